// The run browser: a table to filter and to sort, and of the chosen runs the curves and the confusion matrices. While a
// kernel lives it follows the store.
const LOOK = 2000; // ms between two looks at the store
const spoken = name => name.replaceAll('_', ' ');
const missing = value => value === null || value === undefined;
const word = value => missing(value) ? '' : Array.isArray(value) ? value.join(', ') : String(value);

// A column: its title, what a run has there to sort by, and how that is written.
const columnsOf = ({runs, settings, metrics}) => {
  const interval = (run, name) => run.intervals[name] ? ` [${run.intervals[name].map(short).join(', ')}]` : '';
  const columns = [
    ...settings.map(name => ({title: spoken(name), of: run => run.settings[name]})),
    ...metrics.map(name => ({
      title: spoken(name),
      of: run => run.metrics[name],
      write: (value, run) => short(value) + interval(run, name),
    })),
    {title: 'best epoch', of: run => run.best},
    {title: 'state', of: run => run.state},
    {title: 'run', of: run => run.name},
  ];
  const number = of => runs.every(run => missing(of(run)) || typeof of(run) === 'number');
  return columns.map(column => ({write: word, ...column, number: number(column.of)}));
};

// Runs in the order of a column; those without a value come last, up or down.
const sorted = (runs, {of, number}, up) => [...runs].sort((one, other) => {
  const [a, b] = [of(one), of(other)];
  if (missing(a) || missing(b)) return missing(a) - missing(b);
  return (up ? 1 : -1) * (number ? a - b : word(a).localeCompare(word(b), undefined, {numeric: true}));
});

// Whether a run passes a filter, or in words why it cannot: 'learnable seed=1 balanced_accuracy>0.5' are parts of a cell and
// comparisons with a column, all of which have to hold.
const COMPARISONS = {
  '<=': (a, b) => a <= b, '>=': (a, b) => a >= b, '!=': (a, b) => a !== b, '<': (a, b) => a < b, '>': (a, b) => a > b,
  '=': (a, b) => a === b,
};
const passing = (filter, columns) => {
  const tests = filter.trim().split(/\s+/).filter(Boolean).map(part => {
    const [, name, sign, value] = part.match(/^(.+?)(<=|>=|!=|=|<|>)(.+)$/) ?? [];
    if (!sign) return run => columns.some(({of}) => word(of(run)).toLowerCase().includes(part.toLowerCase()));
    const column = columns.find(({title}) => title.toLowerCase() === spoken(name).toLowerCase());
    if (!column) throw new Error(`No column is called “${spoken(name)}”: there are ${columns.map(({title}) => title).join(', ')}.`);
    const alike = column.number ? Number : text => word(text).toLowerCase();
    return run => !missing(column.of(run)) && COMPARISONS[sign](alike(column.of(run)), alike(value));
  });
  return run => tests.every(test => test(run));
};

start(async data => {
  const now = {chosen: null, measure: 'loss', filter: '', by: null, up: true, ...data.now}; // runs by key, a column by title
  now.chosen ??= data.runs.filter(({log}) => Object.keys(log).length).slice(0, 2).map(({key}) => key);
  const run = key => data.runs.find(each => each.key === key);
  now.chosen = now.chosen.filter(run); // of a page that was saved, one may have gone from the store meanwhile
  const settings = run => data.settings.map(name => word(run.settings[name])).filter(Boolean).join(' · ');
  const label = run => { // what it differs in, or its name where another differs in the same
    const alike = data.runs.filter(other => settings(other) === settings(run));
    return alike.length > 1 ? run.name : settings(run) || run.name;
  };
  const look = key => marked(now.chosen.indexOf(key));
  const swatch = key => {
    if (!now.chosen.includes(key)) return el('span');
    const {colour, mark} = look(key);
    return svg('svg', {class: 'swatch', viewBox: '-6 -6 12 12', 'aria-hidden': 'true'}, svg('path', {d: mark, fill: colour}));
  };

  // Measures of the logs: training and validation of one are drawn together.
  const measures = () => {
    const names = data.runs.flatMap(({log}) => Object.keys(log)).filter(name => name !== 'epoch');
    return [...new Set(names.map(name => name.replace(/^(train|val)_/, '')))];
  };
  const columnsOfMeasure = () => ['train_', 'val_', ''].map(part => part + now.measure);
  const lines = () => now.chosen.flatMap(key => columnsOfMeasure().map(column => {
    const {log, name} = run(key), values = log[column] ?? [];
    const points = values.map((value, n) => [log.epoch[n], value]).filter(([, value]) => !missing(value));
    return {points, ...look(key), dashed: column.startsWith('train_'), name: label(run(key))};
  })).filter(line => line.points.length);
  const full = () => now.chosen.map(run).filter(({confusion}) => confusion);
  const title = () => `epoch; ${spoken(now.measure)}: training dashed, validation full`;
  const picture = el('div'), confusions = el('div', {className: 'confusions'});
  const draw = () => {
    const curves = lines(), of = now.chosen.map(key => run(key).name).join(', ');
    const textContent = now.chosen.length ? 'The chosen runs have no curve.' : 'Choose a run in the table.';
    if (curves.length) {
      const {width, height, node} = chart(curves, title(), Math.max(300, Math.min(700, root.clientWidth)));
      const label = `${spoken(now.measure)} over the epochs of ${of}`;
      picture.replaceChildren(svg('svg', {viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': label}, node));
    } else picture.replaceChildren(el('p', {className: 'text', textContent}));
    confusions.replaceChildren(...full().map(each => matrix(each, label(each), swatch(each.key))));
    saved.hidden = !curves.length && !full().length;
  };

  // The table, made anew whenever what it shows has changed; what had the focus has it afterwards.
  const count = el('output', {role: 'status'}), body = el('div');
  const focusables = () => [...body.querySelectorAll('[data-key]')];
  const focusable = (node, key) => { node.dataset.key = key; return node; };
  const box = ({key, name}) => {
    const node = el('input', {type: 'checkbox', 'aria-label': `show ${name}`, checked: now.chosen.includes(key)});
    node.addEventListener('change', () => {
      now.chosen = now.chosen.filter(each => each !== key);
      if (node.checked) now.chosen.push(key);
      tabulate();
      draw();
    });
    return focusable(node, `show ${key}`);
  };
  const head = column => {
    const chosen = column.title === now.by;
    const node = focusable(pressing(column.title, () => {
      now.up = chosen ? !now.up : !column.number; // numbers: the greatest first
      now.by = column.title;
      tabulate();
    }), `sort ${column.title}`);
    return el('th', {scope: 'col', 'aria-sort': chosen ? now.up ? 'ascending' : 'descending' : 'none'}, node);
  };
  const cell = (run, {title, of, number, write}) => {
    const value = of(run), textContent = missing(value) ? '' : write(value, run);
    const opens = title === 'run' && kernel && run.state === 'finished';
    if (!opens) return el('td', {className: number ? 'number' : '', textContent});
    return el('td', {}, textContent, ' ', focusable(pressing('look inside', () => open(run)), `open ${run.key}`));
  };
  const tabulate = () => {
    const columns = columnsOf(data), by = columns.find(({title}) => title === now.by), focus = document.activeElement?.dataset.key;
    let passes = () => true, wrong = '';
    try { passes = passing(now.filter, columns); } catch ({message}) { wrong = message; }
    const runs = by ? sorted(data.runs, by, now.up) : data.runs, shown = runs.filter(passes);
    const row = run => el('tr', {}, el('td', {}, box(run), swatch(run.key)), ...columns.map(column => cell(run, column)));
    const top = el('thead', {}, el('tr', {}, el('th', {scope: 'col', textContent: 'show'}), ...columns.map(head)));
    const place = body.firstChild ?? scrolling('runs'), {scrollTop, scrollLeft} = place;
    place.replaceChildren(el('table', {className: 'runs'}, top, el('tbody', {}, ...shown.map(row))));
    body.replaceChildren(place);
    Object.assign(place, {scrollTop, scrollLeft});
    if (focus && !root.contains(document.activeElement)) focusables().find(({dataset}) => dataset.key === focus)?.focus();
    const all = `${runs.length} run${runs.length === 1 ? '' : 's'}`;
    count.textContent = wrong || (shown.length < runs.length ? `${shown.length} of ${all}` : all);
  };
  const open = ({name}) => {
    count.textContent = `opening ${name} …`;
    ask('open', {what: 'open', run: name}, ({told}) => { count.textContent = told; });
  };

  // News of the store: runs that have changed take their former places, new ones come to the end, those that have gone go.
  const take = ({version, keys, runs, settings, metrics}) => {
    data.version = version;
    if (runs.length || keys.length < data.runs.length) {
      const changed = new Map([...data.runs, ...runs].map(run => [run.key, run]));
      Object.assign(data, {runs: keys.map(key => changed.get(key)), settings, metrics});
      now.chosen = now.chosen.filter(key => keys.includes(key));
      fresh = true;
      update();
    }
    if (fresh && data.runs.every(({state}) => state === 'finished')) root.dispatchEvent(new Event('focusout')); // keeps it
  };
  let next = 0;
  const follow = () => {
    clearTimeout(next);
    if (!kernel || !root.isConnected) return;
    if (document.visibilityState === 'visible') ask('follow', {what: 'runs', version: data.version}, take);
    next = setTimeout(follow, LOOK);
  };

  const filter = el('input', {type: 'search', value: now.filter, placeholder: 'learnable seed=1 accuracy>0.5'});
  filter.addEventListener('input', () => { now.filter = filter.value; tabulate(); });
  const pick = select('curve', [], i => { now.measure = measures()[i]; draw(); });
  const trouble = el('ul', {className: 'problems', 'aria-label': 'problems'});
  const print = () => {
    const curves = lines(), drawn = curves.length ? [chart(curves, title(), PAGE), legend(curves, PAGE)] : [];
    const matrices = full().map(each => drawnMatrix(each, label(each), PAGE / 2 - 7));
    return below([...drawn, matrices.length && beside(matrices, 2)], 14);
  };
  const saved = saving('runs', print, () => call());
  const call = () => {
    const chosen = now.chosen.map(run), best = chosen.filter(({best}) => best).map(each => [each.name, each.best]);
    const panel = {[spoken(now.measure)]: [spoken(now.measure), columnsOfMeasure()]};
    const runs = `runs = [${chosen.map(({path}) => `Run(${python(path)})`).join(', ')}]`;
    const matrices = full().map(each => `confusion(Run(${python(each.path)}), ${python(label(each))})`);
    const phantom = python(chosen.some(({phantom}) => phantom));
    const curves = `log_curves({run.path.name: run.log for run in runs}, ${python(Object.fromEntries(best))}, ${phantom}, ${python(panel)})`;
    const imports = ['from lib.report.figures.run_figures import confusion, log_curves', 'from lib.training import Run', '', runs];
    return pythonCell(imports, [...matrices, ...(lines().length ? [curves] : [])]);
  };
  const update = () => {
    const named = measures();
    if (!named.includes(now.measure)) now.measure = named[0] ?? 'loss';
    pick.offer(named.map(spoken), named.indexOf(now.measure));
    const line = ({name, problem}) => el('li', {}, el('b', {textContent: name}), `: ${problem}`);
    const problems = data.runs.filter(({problem}) => problem);
    trouble.replaceChildren(...problems.map(line));
    trouble.hidden = !problems.length;
    tabulate();
    draw();
  };

  update();
  connect(() => { tabulate(); follow(); }, () => now);
  const search = el('div', {className: 'pages'}, labelled('filter', filter), count);
  const drawn = el('div', {className: 'chart'}, el('div', {className: 'controls'}, pick), picture, saved);
  return [search, body, status, trouble, drawn, confusions];
});
