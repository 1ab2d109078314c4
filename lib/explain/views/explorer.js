// The attention explorer: one image under one map, of a model, a kind, a layer, a head and a position that asks.
start(async (data, numbers) => {
  const ranges = new Float32Array(numbers, 0, 2 * data.maps), levels = new Uint8Array(numbers, 8 * data.maps);
  const colours = Object.fromEntries(Object.entries(data.colours).map(([name, stops]) => [name, ramp(stops)]));
  const now = {image: 0, model: 0, kind: 0, layer: 0, head: 0, row: 0, column: 0, opacity: .6, colours: Object.keys(colours)[0]};
  const named = list => list.map(each => each.name);
  const model = () => data.models[now.model], kind = () => model().kinds[now.kind], layer = () => kind().layers[now.layer];

  const {row: pictureRow, pictures} = thumbnails(data.images, image => { now.image = image; draw(); });
  await Promise.all(pictures.map(picture => picture.decode()));
  const canvas = el('canvas', {'aria-roledescription': 'attention map'}), bar = el('canvas', {width: 256, height: 1, 'aria-hidden': 'true'});
  const low = el('span'), high = el('span'), told = el('p', {className: 'told', 'aria-live': 'polite'});
  const {naturalWidth, naturalHeight} = pictures[0], scale = 512 / Math.max(naturalWidth, naturalHeight);
  Object.assign(canvas, {width: Math.round(naturalWidth * scale), height: Math.round(naturalHeight * scale)});

  // Where the position that asks is among those that were kept.
  const place = queries => [now.row, now.column].map((at, axis) => {
    const kept = queries[axis ? 'columns' : 'rows'];
    return kept.reduce((best, each, i) => Math.abs(each - at) < Math.abs(kept[best] - at) ? i : best, 0);
  });

  const draw = () => {
    const {heads, queries, grid: [height, width], map, level, name} = layer();
    const [r, c] = queries ? place(queries) : [0, 0];
    const [rows, columns] = queries ? [queries.rows.length, queries.columns.length] : [1, 1];
    const index = ((now.image * heads.length + now.head) * rows + r) * columns + c, first = level + index * height * width;
    overlay(canvas, pictures[now.image], levels.subarray(first, first + height * width), [height, width], colours[now.colours], now.opacity);
    if (queries) mark(queries.rows[r], queries.columns[c], queries.of);
    paint(bar, Uint8Array.from({length: 256}, (_, i) => i), 1, 256, colours[now.colours]);
    [low.textContent, high.textContent] = [0, 1].map(side => short(ranges[2 * (map + index) + side]));
    const asks = queries ? `asked by row ${queries.rows[r] + 1}, column ${queries.columns[c] + 1}` : '';
    const parts = [model().name, kind().name, kind().layers.length > 1 ? name : '', heads.length > 1 ? heads[now.head] : '', asks];
    told.textContent = [data.images[now.image].name, ...parts].filter(Boolean).join(' · ');
    canvas.setAttribute('role', queries ? 'application' : 'img');
    canvas.setAttribute('aria-label', `${told.textContent}. From ${low.textContent} to ${high.textContent}.${queries ? ' Arrow keys move the position that asks.' : ''}`);
    canvas.tabIndex = queries ? 0 : -1;
    canvas.classList.toggle('asks', Boolean(queries));
    hint.hidden = !queries;
  };

  const mark = (row, column, [rows, columns]) => {
    const context = canvas.getContext('2d'), [w, h] = [canvas.width / columns, canvas.height / rows];
    for (const [style, lineWidth] of [['#000', 6], ['#fff', 3]]) {
      Object.assign(context, {strokeStyle: style, lineWidth});
      context.strokeRect(column * w, row * h, w, h);
    }
  };

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
    colours: select('colours', Object.keys(colours), i => { now.colours = Object.keys(colours)[i]; draw(); }),
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
  const hint = el('p', {className: 'hint', textContent: 'Click a patch, or use the arrow keys, to choose what asks.'});

  canvas.addEventListener('click', event => {
    const {queries} = layer(), box = canvas.getBoundingClientRect();
    if (!queries) return;
    [now.row, now.column] = [Math.floor((event.clientY - box.top) / box.height * queries.of[0]), Math.floor((event.clientX - box.left) / box.width * queries.of[1])];
    draw();
  });
  canvas.addEventListener('keydown', event => {
    const step = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]}[event.key], {queries} = layer();
    if (!step || !queries) return;
    event.preventDefault();
    const [row, column] = place(queries), inside = (at, list) => Math.max(0, Math.min(at, list.length - 1));
    now.row = queries.rows[inside(row + step[0], queries.rows)];
    now.column = queries.columns[inside(column + step[1], queries.columns)];
    draw();
  });

  const middle = data.models[0].kinds.flatMap(each => each.layers).find(each => each.queries)?.queries;
  if (middle) [now.row, now.column] = [Math.floor(middle.of[0] / 2), Math.floor(middle.of[1] / 2)];
  now.layer = kind().layers.length - 1;
  offer();
  const scaleRow = el('div', {className: 'scale'}, low, bar, high);
  return [pictureRow, el('div', {className: 'columns'}, el('div', {className: 'stage'}, canvas, scaleRow, told), el('div', {className: 'controls'}, ...Object.values(pick), hint))];
});
