// The run browser: a table to sort, and of the chosen runs the curves and the confusion matrices.
const COLOURS = ['#2f6db3', '#d9822b', '#4b9a6b', '#8a63b0', '#b8433f', '#5f7d8c', '#b59b2b'];
const spoken = name => name.replaceAll('_', ' ');
const missing = value => value === null || value === undefined;
const word = value => missing(value) ? '' : Array.isArray(value) ? value.join(', ') : String(value);

// A column: its title, what a run has there to sort by, and how that is written.
const columnsOf = data => {
  const interval = (run, name) => run.intervals[name] ? ` [${run.intervals[name].map(short).join(', ')}]` : '';
  const columns = [
    ...data.settings.map(name => ({title: spoken(name), of: run => run.settings[name]})),
    ...data.metrics.map(name => ({
      title: spoken(name),
      of: run => run.metrics[name],
      write: (value, run) => short(value) + interval(run, name),
    })),
    {title: 'best epoch', of: run => run.best},
    {title: 'state', of: run => run.state},
    {title: 'run', of: run => run.name},
  ];
  const number = of => data.runs.every(run => missing(of(run)) || typeof of(run) === 'number');
  return columns.map(column => ({write: word, ...column, number: number(column.of)}));
};

// The numbers of the runs in the order of a column; runs without a value come last, up or down.
const sorted = (runs, {of, number}, up) => [...runs.keys()].sort((i, j) => {
  const [a, b] = [of(runs[i]), of(runs[j])];
  if (missing(a) || missing(b)) return missing(a) - missing(b);
  return (up ? 1 : -1) * (number ? a - b : word(a).localeCompare(word(b), undefined, {numeric: true}));
});

// What may be wider than the page: keys and fingers move it.
const scrolling = (label, node) => {
  return el('div', {className: 'scrolls', tabIndex: 0, role: 'region', 'aria-label': label}, node);
};

// A table whose heads sort it; `first` gives each row's first cell.
const table = (runs, columns, first) => {
  const cell = (run, {of, number, write}) => {
    const value = of(run), textContent = missing(value) ? '' : write(value, run);
    return el('td', {className: number ? 'number' : '', textContent});
  };
  const line = (run, i) => el('tr', {}, first(i), ...columns.map(column => cell(run, column)));
  const rows = runs.map(line);
  const body = el('tbody', {}, ...rows);
  const heads = columns.map(column => {
    const button = el('button', {type: 'button', textContent: column.title});
    const head = el('th', {scope: 'col', 'aria-sort': 'none'}, button);
    button.addEventListener('click', () => {
      const before = head.getAttribute('aria-sort'); // numbers: the greatest first
      const up = before === 'descending' || (before === 'none' && !column.number);
      heads.forEach(other => other.setAttribute('aria-sort', 'none'));
      head.setAttribute('aria-sort', up ? 'ascending' : 'descending');
      body.append(...sorted(runs, column, up).map(i => rows[i]));
    });
    return head;
  });
  const top = el('thead', {}, el('tr', {}, el('th', {scope: 'col', textContent: 'show'}), ...heads));
  return scrolling('runs', el('table', {className: 'runs'}, top, body));
};

const svg = (tag, attributes, ...children) => {
  const node = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
};

// About five round numbers from low to high.
const ticks = (low, high) => {
  if (!(high > low)) return [low];
  const rough = (high - low) / 5, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find(factor => factor * power >= rough), first = Math.ceil(low / step - 1e-9);
  return [...Array(Math.floor(high / step + 1e-9) - first + 1).keys()].map(n => +((first + n) * step).toPrecision(12));
};

// Lines [{points: [[epoch, value], …], colour, dashed}] over the epochs.
const chart = (lines, title, label) => {
  const all = lines.flatMap(line => line.points), width = Math.max(300, Math.min(700, root.clientWidth));
  const [left, right, top, bottom] = [56, width - 10, 12, 250];
  const [epochs, values] = [0, 1].map(axis => {
    const ordered = all.map(point => point[axis]).sort((a, b) => a - b);
    return [ordered[0], ordered.at(-1)];
  });
  const along = ([low, high], at) => high > low ? (at - low) / (high - low) : .5;
  const x = epoch => left + (right - left) * along(epochs, epoch);
  const y = value => bottom - (bottom - top) * along(values, value);
  const drawing = svg('svg', {viewBox: `0 0 ${width} 290`, role: 'img', 'aria-label': label});
  const write = (text, x, y, anchor) => drawing.append(svg('text', {x, y, 'text-anchor': anchor}, text));
  for (const value of ticks(...values)) {
    drawing.append(svg('line', {x1: left, x2: right, y1: y(value), y2: y(value)}));
    write(short(value), left - 8, y(value) + 4, 'end');
  }
  for (const epoch of ticks(...epochs).filter(Number.isInteger)) write(String(epoch), x(epoch), bottom + 18, 'middle');
  write(title, (left + right) / 2, bottom + 36, 'middle');
  for (const {points, colour, dashed} of lines) {
    const style = {fill: 'none', stroke: colour, 'stroke-width': 2, 'stroke-dasharray': dashed ? '5 4' : 'none'};
    const path = points.map(([epoch, value]) => `${x(epoch).toFixed(1)},${y(value).toFixed(1)}`).join(' ');
    const dot = () => svg('circle', {cx: x(points[0][0]), cy: y(points[0][1]), r: 4, fill: colour});
    drawing.append(points.length > 1 ? svg('polyline', {...style, points: path}) : dot());
  }
  return drawing;
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

start(async ({runs, settings, metrics}) => {
  const chosen = []; // the numbers of runs, in the order in which they were chosen
  const colour = i => COLOURS[chosen.indexOf(i) % COLOURS.length];
  const swatch = i => {
    const node = el('span', {className: 'swatch', hidden: !chosen.includes(i)});
    node.style.background = chosen.includes(i) ? colour(i) : '';
    return node;
  };

  // Measures of the logs: training and validation of one are drawn together.
  const names = runs.flatMap(run => Object.keys(run.log)).filter(name => name !== 'epoch');
  const measures = [...new Set(names.map(name => name.replace(/^(train|val)_/, '')))];
  let measure = Math.max(0, measures.indexOf('loss'));
  const lines = () => chosen.flatMap(i => ['train_', 'val_', ''].map(part => {
    const {log} = runs[i], values = log[part + measures[measure]] ?? [];
    const points = values.map((value, n) => [log.epoch[n], value]).filter(([, value]) => !missing(value));
    return {points, colour: colour(i), dashed: part === 'train_'};
  })).filter(line => line.points.length);
  const curves = () => {
    const curves = lines(), what = spoken(measures[measure] ?? ''), of = chosen.map(i => runs[i].name).join(', ');
    const textContent = chosen.length ? 'The chosen runs have no curve.' : 'Choose a run in the table.';
    if (!curves.length) return el('p', {className: 'text', textContent});
    return chart(curves, `epoch; ${what}: training dashed, validation full`, `${what} over the epochs of ${of}`);
  };

  const boxes = runs.map((run, i) => {
    const box = el('input', {type: 'checkbox', 'aria-label': `show ${run.name}`});
    box.addEventListener('change', () => {
      if (box.checked) chosen.push(i);
      else chosen.splice(chosen.indexOf(i), 1);
      draw();
    });
    return box;
  });
  const marks = runs.map(() => el('span')), picture = el('div'), confusions = el('div', {className: 'confusions'});
  const label = run => settings.map(name => word(run.settings[name])).filter(Boolean).join(' · ');
  const draw = () => {
    marks.forEach((mark, i) => mark.replaceChildren(swatch(i)));
    picture.replaceChildren(curves());
    const matrices = chosen.filter(i => runs[i].confusion).map(i => matrix(runs[i], label(runs[i]), swatch(i)));
    confusions.replaceChildren(...matrices);
  };

  const logged = [...runs.keys()].filter(i => Object.keys(runs[i].log).length);
  for (const i of logged.slice(0, 2)) {
    chosen.push(i);
    boxes[i].checked = true;
  }
  draw();
  const pick = select('curve', measures.map(spoken), i => { measure = i; draw(); });
  pick.offer(measures.map(spoken), measure);
  const shown = table(runs, columnsOf({runs, settings, metrics}), i => el('td', {}, boxes[i], marks[i]));
  const line = ({name, problem}) => el('li', {}, el('b', {textContent: name}), `: ${problem}`);
  const problems = runs.filter(run => run.problem).map(line);
  const trouble = el('ul', {className: 'problems', 'aria-label': 'problems', hidden: !problems.length}, ...problems);
  return [shown, trouble, el('div', {className: 'chart'}, el('div', {className: 'controls'}, pick), picture), confusions];
});
