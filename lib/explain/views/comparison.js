// The comparison: one image under several maps, a panel each, with bars of probability and the object's outline.
start(async (data, numbers) => {
  const levels = new Uint8Array(numbers, 8 * data.maps);
  const colours = Object.fromEntries(Object.entries(data.colours).map(([name, stops]) => [name, ramp(stops)]));
  const now = {image: 0, opacity: .6, colours: Object.keys(colours)[0], outline: true};
  const {row: pictureRow, pictures} = thumbnails(data.images, image => { now.image = image; draw(); });
  await Promise.all(pictures.map(picture => picture.decode()));
  const {naturalWidth, naturalHeight} = pictures[0], scale = 320 / Math.max(naturalWidth, naturalHeight);
  const told = el('p', {className: 'told', 'aria-live': 'polite'});

  const panels = data.panels.map(panel => {
    const size = {width: Math.round(naturalWidth * scale), height: Math.round(naturalHeight * scale)};
    const canvas = panel.place && el('canvas', {...size, role: 'img'});
    const line = el('p', {className: 'told'}), bars = el('dl', {className: 'bars'});
    line.hidden = !panel.told;
    const parts = [canvas, line, panel.bars && bars].filter(Boolean);
    return {...panel, canvas, line, bars, said: panel.bars, node: el('section', {className: 'panel'}, el('h4', {textContent: panel.name}), ...parts)};
  });

  const outline = canvas => {
    const context = canvas.getContext('2d'), path = new Path2D();
    for (const [x, y, toX, toY] of data.outlines[now.image]) {
      path.moveTo(x * canvas.width, y * canvas.height);
      path.lineTo(toX * canvas.width, toY * canvas.height);
    }
    for (const [style, lineWidth] of [['#000', 4], ['#fff', 2]]) {
      Object.assign(context, {strokeStyle: style, lineWidth, lineCap: 'square'});
      context.stroke(path);
    }
  };

  const showBars = ({bars, said}) => bars.replaceChildren(...said[now.image].flatMap(([k, p]) => {
    const kind = data.labels?.[now.image] === k ? 'true' : '', told = `${Math.round(100 * p)} %`;
    const bar = el('div', {className: `bar ${kind}`});
    bar.style.width = `${100 * p}%`;
    return [el('dt', {className: kind, textContent: data.classes[k]}), el('dd', {'aria-hidden': 'true'}, bar), el('dd', {textContent: told})];
  }));

  const draw = () => {
    for (const panel of panels) {
      if (panel.place) {
        const [height, width] = panel.place.grid, first = panel.place.level + now.image * height * width;
        overlay(panel.canvas, pictures[now.image], levels.subarray(first, first + height * width), [height, width], colours[now.colours], now.opacity);
        if (data.outlines && now.outline) outline(panel.canvas);
        panel.canvas.setAttribute('aria-label', `${panel.name}, ${data.images[now.image].name}`);
      }
      panel.line.textContent = panel.told?.[now.image] ?? '';
      if (panel.said) showBars(panel);
    }
    told.textContent = data.images[now.image].name;
    if (data.labels) told.textContent += `, true class: ${data.classes[data.labels[now.image]]}`;
  };

  const id = unique(), box = el('input', {type: 'checkbox', id, checked: true});
  box.addEventListener('change', () => { now.outline = box.checked; draw(); });
  const outlined = el('div', {className: 'control'}, box, el('label', {htmlFor: id, textContent: 'outline of the object'}));
  outlined.hidden = !data.outlines;
  const controls = [
    slider('opacity', percent, 12, i => { now.opacity = i / 20; draw(); }),
    select('colours', Object.keys(colours), i => { now.colours = Object.keys(colours)[i]; draw(); }),
    outlined,
  ];
  draw();
  return [pictureRow, el('div', {className: 'controls wide'}, ...controls), told, el('div', {className: 'panels'}, ...panels.map(each => each.node))];
});
