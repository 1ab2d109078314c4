// The comparison: one image under several maps, a panel each, with bars of probability and the object's outline.
start(async (data, numbers) => {
  const levels = new Uint8Array(numbers, 8 * data.maps), colours = ramps(data.colours);
  const now = {image: 0, opacity: .6, colours: 0, outline: true};
  const {row: choices, pictures} = thumbnails(data.images, i => { now.image = i; draw(); });
  await Promise.all(pictures.map(picture => picture.decode()));

  const panels = data.panels.map(panel => {
    const canvas = panel.place && el('canvas', {...fitting(pictures[0], 320), role: 'img'});
    const text = panel.texts && el('p', {className: 'text'}), list = panel.bars && el('dl', {className: 'bars'});
    const heading = el('h4', {textContent: panel.name});
    const node = el('section', {className: 'panel'}, ...[heading, canvas, text, list].filter(Boolean));
    return {name: panel.name, panel, canvas, text, list, node};
  });

  const draw = () => {
    const {name} = data.images[now.image];
    title.textContent = data.labels ? `${name}, true class: ${data.classes[data.labels[now.image]]}` : name;
    for (const {panel, canvas, text, list} of panels) {
      if (canvas) show(canvas, panel, name);
      if (text) text.textContent = panel.texts[now.image];
      if (list) list.replaceChildren(...bars(panel.bars[now.image], data.classes, data.labels?.[now.image]));
    }
  };

  const show = (canvas, panel, image) => {
    render(canvas, panel);
    canvas.setAttribute('aria-label', `${panel.name}, ${image}`);
  };
  const render = (canvas, {place: {grid: [height, width], level}}) => {
    const first = level + now.image * height * width, map = levels.subarray(first, first + height * width);
    overlay(canvas, pictures[now.image], map, [height, width], colours[now.colours], now.opacity);
    if (data.outlines && now.outline) outline(canvas, data.outlines[now.image]);
  };

  const outline = (canvas, pieces) => {
    const context = canvas.getContext('2d'), path = new Path2D();
    for (const [x, y, toX, toY] of pieces) {
      path.moveTo(x * canvas.width, y * canvas.height);
      path.lineTo(toX * canvas.width, toY * canvas.height);
    }
    const thin = Math.max(canvas.width, canvas.height) / 320;
    for (const [strokeStyle, lineWidth] of [['#000', 4 * thin], ['#fff', 2 * thin]]) {
      Object.assign(context, {strokeStyle, lineWidth, lineCap: 'square'});
      context.stroke(path);
    }
  };

  const title = el('p', {className: 'text', 'aria-live': 'polite'});
  const outlined = checkbox('outline of the object', checked => { now.outline = checked; draw(); });
  outlined.hidden = !data.outlines;
  const controls = [
    slider('opacity', percent, 12, i => { now.opacity = i / 20; draw(); }),
    select('colours', Object.keys(data.colours), i => { now.colours = i; draw(); }),
    outlined,
  ];
  draw();

  // In print: a panel beside the other, with what stands below it.
  const printedPanel = ({panel}, width) => below([
    words(panel.name, width, 12, 600),
    panel.place && printed(pictures[now.image], width, canvas => render(canvas, panel)),
    panel.texts && words(panel.texts[now.image], width, 10),
    ...(panel.bars?.[now.image] ?? []).map(([k, p]) => words(`${data.classes[k]}: ${Math.round(100 * p)} %`, width, 10)),
  ]);
  const across = Math.min(4, panels.length), wide = (PAGE - 14 * (across - 1)) / across;
  const saved = saving('comparison', () => below([
    words(title.textContent, PAGE), beside(panels.map(panel => printedPanel(panel, wide)), across),
  ]), () => pythonCall('comparison_figure', 'view,  # what this cell displays', {
    image: data.images[now.image].name, colours: Object.keys(data.colours)[now.colours], opacity: now.opacity,
    outline: now.outline,
  }));
  const shown = el('div', {className: 'panels'}, ...panels.map(({node}) => node));
  return [choices, el('div', {className: 'controls wide'}, ...controls), title, shown, saved];
});
