// Confusion matrices, in the page and in print.
// What may be wider than the page: keys and fingers move it.
const scrolling = (label, ...nodes) => {
  return el('div', {className: 'scrolls', tabIndex: 0, role: 'region', 'aria-label': label}, ...nodes);
};

// True class (rows) against predicted class (columns); colour is the share of the row.
const matrix = ({name, confusion: {classes, counts}}, title, swatch) => {
  const line = (row, k) => {
    const sum = row.reduce((a, b) => a + b, 0);
    const cells = row.map((count, n) => {
      const share = sum ? Math.round(100 * count / sum) : 0;
      const cell = el('td', {textContent: count, title: `${classes[k]} taken for ${classes[n]}: ${share} %`});
      cell.style.background = `color-mix(in srgb, #2f6db3 ${share}%, Canvas)`;
      cell.style.color = share > 50 ? '#fff' : 'CanvasText';
      return cell;
    });
    return el('tr', {}, el('th', {scope: 'row', textContent: classes[k]}), ...cells);
  };
  const corner = el('td', {textContent: 'true ↓ predicted →'});
  const head = el('tr', {}, corner, ...classes.map(textContent => el('th', {scope: 'col', textContent})));
  const caption = el('caption', {}, title, swatch, el('small', {textContent: name}));
  const grid = el('table', {}, caption, el('thead', {}, head), el('tbody', {}, ...counts.map(line)));
  return scrolling(`confusion matrix of ${name}`, grid);
};

// The same as a drawing: a block, as save.js has them.
const drawnMatrix = ({name, confusion: {classes, counts}}, title, width) => {
  const side = Math.min(34, width / (counts.length + 4)), left = 4 * side, size = Math.min(11, .45 * side);
  const write = (text, x, y, more = {}) => svg('text', {x, y, 'font-size': size, fill: 'currentColor', ...more}, text);
  const called = k => classes[k].length > 12 ? `${classes[k].slice(0, 11)}…` : classes[k];
  const line = (row, k) => {
    const sum = row.reduce((a, b) => a + b, 0), y = left + k * side;
    const cells = row.map((count, n) => {
      const share = sum ? count / sum : 0, x = left + n * side, shade = [47, 109, 179].map(c => Math.round(255 + share * (c - 255)));
      const cell = svg('rect', {x, y, width: side, height: side, fill: `rgb(${shade})`, stroke: '#ccc', 'stroke-width': .5});
      const number = {'text-anchor': 'middle', fill: share > .5 ? '#fff' : '#000'};
      return svg('g', {}, cell, write(count, x + side / 2, y + .5 * side + .35 * size, number));
    });
    return svg('g', {}, write(called(k), left - 5, y + .5 * side + .35 * size, {'text-anchor': 'end'}), ...cells);
  };
  const heads = classes.map((_, k) => {
    const [x, y] = [left + (k + .5) * side + .35 * size, left - 5];
    return write(called(k), x, y, {transform: `rotate(-90 ${x} ${y})`});
  });
  const grid = {width: left + classes.length * side, height: left + classes.length * side};
  const corner = write('true ↓ predicted →', 0, size);
  const drawing = {...grid, node: svg('g', {}, corner, ...heads, ...counts.map(line))};
  return below([words(title, width, 11, 600), words(name, width, 9), drawing]);
};
