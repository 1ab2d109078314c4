// The attention explorer: one image under one map, of a model, a kind, a layer, a head and a query position.
start(async (data, numbers) => {
  const ranges = new Float32Array(numbers, 0, 2 * data.maps), levels = new Uint8Array(numbers, 8 * data.maps);
  const colours = ramps(data.colours), named = list => list.map(({name}) => name);
  const now = {image: 0, model: 0, kind: 0, layer: 0, head: 0, x: .501, y: .501, opacity: .6, colours: 0};
  const model = () => data.models[now.model];
  const kind = () => model().kinds[now.kind];
  const layer = () => kind().layers[now.layer];

  const {row: choices, pictures} = thumbnails(data.images, i => { now.image = i; draw(); });
  await Promise.all(pictures.map(picture => picture.decode()));
  const canvas = el('canvas', {...fitting(pictures[0], 512), 'aria-roledescription': 'attention map'});
  const bar = el('canvas', {'aria-hidden': 'true'}), low = el('span'), high = el('span');
  const text = el('p', {className: 'text', 'aria-live': 'polite'});
  const hint = el('p', {className: 'hint', textContent: 'Click a patch, or use the arrow keys, to choose the query position.'});

  const pick = {
    model: select('model', named(data.models), i => {
      const before = kind().name;
      now.model = i;
      now.kind = Math.max(0, named(model().kinds).indexOf(before));
      offer();
    }),
    kind: select('map', named(model().kinds), i => { now.kind = i; offer(); }),
    layer: slider('layer', named(kind().layers), 0, i => { now.layer = i; offer(); }),
    head: select('head', layer().heads, i => { now.head = i; draw(); }),
    opacity: slider('opacity', percent, 12, i => { now.opacity = i / 20; draw(); }),
    colours: select('colours', Object.keys(data.colours), i => { now.colours = i; draw(); }),
  };

  // After a choice: what the other controls offer now, each kept as near as can be to what it was.
  const offer = () => {
    now.layer = Math.min(now.layer, kind().layers.length - 1);
    now.head = Math.min(now.head, layer().heads.length - 1);
    pick.kind.offer(named(model().kinds), now.kind);
    pick.layer.offer(named(kind().layers), now.layer);
    pick.head.offer(layer().heads, now.head);
    draw();
  };

  // Where the query position, (x, y) as shares of the picture, is among those that were kept: [row, column].
  const place = ({rows, columns, of: [height, width]}) => {
    return [nearest(rows, now.y * height - .5), nearest(columns, now.x * width - .5)];
  };
  const nearest = (kept, at) => {
    const away = kept.map(place => Math.abs(place - at));
    return away.indexOf(Math.min(...away));
  };

  const query = () => { // the row and column that are shown, where a position asks
    const {queries} = layer(), [row, column] = queries ? place(queries) : [];
    return queries && [queries.rows[row], queries.columns[column]];
  };
  const render = canvas => { // returns the map's number
    const {heads, queries, grid: [height, width], level} = layer();
    const [row, column] = queries ? place(queries) : [0, 0];
    const [rows, columns] = queries ? [queries.rows.length, queries.columns.length] : [1, 1];
    const index = ((now.image * heads.length + now.head) * rows + row) * columns + column;
    const first = level + index * height * width, shown = levels.subarray(first, first + height * width);
    overlay(canvas, pictures[now.image], shown, [height, width], colours[now.colours], now.opacity);
    if (queries) frame(canvas, ...query(), queries.of);
    return index;
  };
  const draw = () => {
    const index = layer().map + render(canvas), at = query();
    paint(bar, Uint8Array.from({length: 256}, (_, i) => i), 1, 256, colours[now.colours]);
    [low.textContent, high.textContent] = [0, 1].map(side => short(ranges[2 * index + side]));
    tell(at ? `query at row ${at[0] + 1}, column ${at[1] + 1}` : '');
  };

  // In words, and to those who do not see: what is shown, and what can be done with it.
  const tell = query => {
    const {heads, name, queries} = layer();
    const depth = kind().layers.length > 1 ? name : '', head = heads.length > 1 ? heads[now.head] : '';
    const parts = [data.images[now.image].name, model().name, kind().name, depth, head, query];
    const words = parts.filter(Boolean).join(' · ');
    text.textContent = words;
    describe(canvas, `${words}. From ${low.textContent} to ${high.textContent}.`, queries && 'the query position');
    hint.hidden = !queries;
  };

  const moved = (rows, columns) => {
    const {queries} = layer(), inside = (kept, at) => kept[Math.max(0, Math.min(at, kept.length - 1))];
    const [row, column] = place(queries);
    now.y = (inside(queries.rows, row + rows) + .5) / queries.of[0];
    now.x = (inside(queries.columns, column + columns) + .5) / queries.of[1];
    draw();
  };
  pointing(canvas, () => layer().queries, (y, x) => { Object.assign(now, {y, x}); draw(); }, moved);

  now.layer = kind().layers.length - 1;
  offer();
  const saved = saving('attention', () => below([
    words(text.textContent, COLUMN),
    printed(pictures[now.image], COLUMN, render),
    scale(colours[now.colours], low.textContent, high.textContent, COLUMN),
  ]), () => pythonCall('explorer_figure', 'view,  # what this cell displays', {
    image: data.images[now.image].name, model: model().name, kind: kind().name, layer: layer().name,
    head: layer().heads[now.head], at: query(), colours: Object.keys(data.colours)[now.colours], opacity: now.opacity,
  }));
  const stage = el('div', {className: 'stage'}, canvas, el('div', {className: 'scale'}, low, bar, high), text);
  const controls = el('div', {className: 'controls'}, ...Object.values(pick), hint);
  return [choices, el('div', {className: 'columns'}, stage, controls), saved];
});
