// The run browser: a table to sort, and of the chosen runs the curves and the confusion matrices.
const COLOURS = ['#2f6db3', '#d9822b', '#4b9a6b', '#8a63b0', '#b8433f', '#5f7d8c', '#b59b2b'];
const svg = (tag, attributes, ...children) => {
  const node = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
};
const spoken = name => name.replaceAll('_', ' ');

start(async data => {
  const chosen = []; // the numbers of runs, in the order in which they were chosen
  const colourOf = run => COLOURS[chosen.indexOf(run) % COLOURS.length];
  const word = value => value === null || value === undefined ? '' : Array.isArray(value) ? value.join(', ') : String(value);

  // A column: its title, what a run has there to sort by, and how that is written.
  const columns = [
    ...data.settings.map(name => ({title: spoken(name), of: run => run.settings[name]})),
    ...data.metrics.map(name => ({
      title: spoken(name),
      of: run => run.metrics[name],
      write: (value, run) => run.intervals[name] ? `${short(value)} [${run.intervals[name].map(short).join(', ')}]` : short(value),
    })),
    {title: 'best epoch', of: run => run.best},
    {title: 'state', of: run => run.state},
    {title: 'run', of: run => run.name},
  ];
  for (const column of columns) column.number = data.runs.every(run => [null, undefined].includes(column.of(run)) || typeof column.of(run) === 'number');

  const swatches = data.runs.map(() => el('span', {className: 'swatch', hidden: true}));
  const boxes = data.runs.map((run, i) => {
    const box = el('input', {type: 'checkbox', 'aria-label': `show ${run.name}`});
    box.addEventListener('change', () => {
      if (box.checked) chosen.push(i);
      else chosen.splice(chosen.indexOf(i), 1);
      draw();
    });
    return box;
  });
  const rows = data.runs.map((run, i) => el('tr', {title: run.problem ?? ''}, el('td', {}, boxes[i], swatches[i]), ...columns.map(column => {
    const value = column.of(run), empty = value === null || value === undefined;
    return el('td', {className: column.number ? 'number' : '', textContent: empty ? '' : column.write ? column.write(value, run) : word(value)});
  })));
  const body = el('tbody', {}, ...rows);
  const heads = columns.map((column, n) => {
    const button = el('button', {type: 'button', textContent: column.title}), head = el('th', {scope: 'col', 'aria-sort': 'none'}, button);
    button.addEventListener('click', () => {
      const before = head.getAttribute('aria-sort'), up = before === 'descending' || (before === 'none' && !column.number);
      heads.forEach(each => each.setAttribute('aria-sort', 'none'));
      head.setAttribute('aria-sort', up ? 'ascending' : 'descending');
      body.append(...sorted(columns[n], up).map(i => rows[i]));
    });
    return head;
  });
  const sorted = (column, up) => data.runs.map((run, i) => i).sort((a, b) => {
    const [x, y] = [a, b].map(i => column.of(data.runs[i])), missing = value => value === null || value === undefined;
    if (missing(x) || missing(y)) return missing(x) - missing(y);
    return (up ? 1 : -1) * (column.number ? x - y : word(x).localeCompare(word(y), undefined, {numeric: true}));
  });

  // Curves: training dashed, validation full.
  const measures = [...new Set(data.runs.flatMap(run => Object.keys(run.log)).filter(name => name !== 'epoch').map(name => name.replace(/^(train|val)_/, '')))];
  let measure = Math.max(0, measures.indexOf('loss'));
  const pickMeasure = select('curve', measures.map(spoken), i => { measure = i; draw(); });
  const picture = el('div'), confusions = el('div', {className: 'confusions'});

  const curves = () => {
    const lines = chosen.flatMap(i => ['train_', 'val_', ''].map(part => {
      const {log} = data.runs[i], values = log[part + measures[measure]];
      return values && {run: i, part, points: values.map((y, n) => [log.epoch[n], y]).filter(([, y]) => y !== null)};
    })).filter(line => line?.points.length);
    const all = lines.flatMap(line => line.points), width = Math.max(300, Math.min(700, root.clientWidth));
    const [left, right, top, bottom] = [56, width - 10, 12, 250];
    if (!all.length) return el('p', {className: 'told', textContent: chosen.length ? 'The chosen runs have no such curve.' : 'Choose a run in the table.'});
    const range = axis => [Math.min(...all.map(point => point[axis])), Math.max(...all.map(point => point[axis]))];
    const [[firstEpoch, lastEpoch], [least, greatest]] = [range(0), range(1)];
    const x = epoch => left + (right - left) * (lastEpoch > firstEpoch ? (epoch - firstEpoch) / (lastEpoch - firstEpoch) : .5);
    const y = value => bottom - (bottom - top) * (greatest > least ? (value - least) / (greatest - least) : .5);
    const chart = svg('svg', {viewBox: `0 0 ${width} 290`, role: 'img', 'aria-label': `${spoken(measures[measure])} over the epochs of ${chosen.map(i => data.runs[i].name).join(', ')}`});
    for (const value of ticks(least, greatest)) {
      chart.append(svg('line', {x1: left, x2: right, y1: y(value), y2: y(value)}), svg('text', {x: left - 8, y: y(value) + 4, 'text-anchor': 'end'}, short(value)));
    }
    for (const epoch of ticks(firstEpoch, lastEpoch).filter(Number.isInteger)) chart.append(svg('text', {x: x(epoch), y: bottom + 18, 'text-anchor': 'middle'}, String(epoch)));
    chart.append(svg('text', {x: (left + right) / 2, y: bottom + 36, 'text-anchor': 'middle'}, `epoch; ${spoken(measures[measure])}: training dashed, validation full`));
    for (const {run, part, points} of lines) {
      const style = {fill: 'none', stroke: colourOf(run), 'stroke-width': 2, 'stroke-dasharray': part === 'train_' ? '5 4' : 'none'};
      if (points.length === 1) chart.append(svg('circle', {cx: x(points[0][0]), cy: y(points[0][1]), r: 4, fill: colourOf(run)}));
      else chart.append(svg('polyline', {...style, points: points.map(([epoch, value]) => `${x(epoch).toFixed(1)},${y(value).toFixed(1)}`).join(' ')}));
    }
    return chart;
  };

  // About five round numbers from low to high.
  const ticks = (low, high) => {
    if (!(high > low)) return [low];
    const rough = (high - low) / 5, power = 10 ** Math.floor(Math.log10(rough));
    const step = power * [1, 2, 5, 10].find(each => each * power >= rough), first = Math.ceil(low / step - 1e-9);
    return [...Array(Math.floor(high / step + 1e-9) - first + 1).keys()].map(n => +((first + n) * step).toPrecision(12));
  };

  const matrix = i => {
    const {name, settings, confusion: {classes, counts}} = data.runs[i];
    const line = (row, k) => {
      const sum = row.reduce((a, b) => a + b, 0);
      return el('tr', {}, el('th', {scope: 'row', textContent: classes[k]}), ...row.map((count, n) => {
        const share = sum ? count / sum : 0, cell = el('td', {textContent: count, title: `${classes[k]} taken for ${classes[n]}: ${Math.round(100 * share)} %`});
        cell.style.background = `color-mix(in srgb, #2f6db3 ${Math.round(100 * share)}%, Canvas)`;
        cell.style.color = share > .5 ? '#fff' : 'CanvasText';
        return cell;
      }));
    };
    const head = el('tr', {}, el('td', {'aria-label': 'true class (rows), predicted class (columns)', textContent: 'true ↓ predicted →'}), ...classes.map(textContent => el('th', {scope: 'col', textContent})));
    const swatch = el('span', {className: 'swatch'});
    swatch.style.background = colourOf(i);
    return el('div', {tabIndex: 0, className: 'scrolls', role: 'region', 'aria-label': `confusion matrix of ${name}`}, el('table', {}, el('caption', {title: name}, data.settings.map(each => word(settings[each])).filter(Boolean).join(' · '), swatch), el('thead', {}, head), el('tbody', {}, ...counts.map(line))));
  };

  const draw = () => {
    swatches.forEach((swatch, i) => {
      swatch.hidden = !chosen.includes(i);
      if (!swatch.hidden) swatch.style.background = colourOf(i);
    });
    picture.replaceChildren(curves());
    confusions.replaceChildren(...chosen.filter(i => data.runs[i].confusion).map(matrix));
  };

  for (const [i, run] of data.runs.entries()) {
    if (chosen.length < 2 && Object.keys(run.log).length) {
      chosen.push(i);
      boxes[i].checked = true;
    }
  }
  draw();
  const table = el('table', {className: 'runs'}, el('thead', {}, el('tr', {}, el('th', {scope: 'col', textContent: 'show'}), ...heads)), body);
  const scrolls = el('div', {className: 'scrolls', tabIndex: 0, role: 'region', 'aria-label': 'runs'}, table);
  return [scrolls, el('div', {className: 'chart'}, el('div', {className: 'controls'}, pickMeasure), picture), confusions];
});
