// The live comparison: one image in two to six panels, a lens each; what is pointed at, enlarged or painted out in one is so in all.
start(async (data, numbers) => {
  remember(data, numbers);
  spreadPositions();
  const colours = ramps(data.colours), [signed] = ramps({signed: data.signed});
  const looks = {opacity: .6, colours: 0, zoom: 1, y: .5, x: .5}; // y and x: what is pointed at, as shares of the image
  const brush = {on: false, size: .05, fill: data.fills[0]};
  let image = data.now.image, original = image, panels = [], made = 0;

  const add = chosen => {
    const number = made++, panel = {number, shown: null, curve: null};
    panel.canvas = el('canvas', {width: 320, height: 320});
    panel.text = el('p', {className: 'text'});
    panel.list = el('dl', {className: 'bars'});
    panel.title = el('h4');
    panel.glass = lens(data, {...chosen, image}, number, all => {
      if (panel.shown && textOf(panel.shown.of) !== textOf(all.of)) panel.curve = null; // it was that of another map
      panel.shown = all;
      closer();
    });
    panel.remove = pressing('×', () => { panels = panels.filter(each => each !== panel); arrange(); });
    const head = el('div', {className: 'head'}, panel.title, panel.remove);
    const controls = el('div', {className: 'controls'}, ...Object.values(panel.glass.pick));
    panel.node = el('section', {className: 'panel'}, head, panel.canvas, panel.text, controls, panel.list);
    pointing(panel.canvas, () => !brush.on, (y, x) => point(...unmagnified(looks, y, x)), (rows, columns) => {
      point(looks.y + rows / 20, looks.x + columns / 20);
    });
    paintable(panel);
    panels.push(panel);
    panel.glass.look();
  };

  const point = (y, x) => {
    Object.assign(looks, {y: inside(y), x: inside(x)});
    for (const {glass} of panels) if (glass.queried()) glass.at(looks.y, looks.x);
    draw();
  };

  const cross = canvas => {
    const context = canvas.getContext('2d'), [x, y] = [looks.x * canvas.width, looks.y * canvas.height];
    const thin = Math.max(canvas.width, canvas.height) / 400 / looks.zoom, arm = 9 * thin;
    for (const [strokeStyle, lineWidth] of [['#000', 4], ['#fff', 1.6]]) {
      Object.assign(context, {strokeStyle, lineWidth: lineWidth * thin});
      context.stroke(new Path2D(`M${x - arm} ${y}h${2 * arm}M${x} ${y - arm}v${2 * arm}`));
    }
  };
  const level = ({map: {bytes, grid: [rows, columns]}}, y, x) => bytes[Math.floor(y * rows) * columns + Math.floor(x * columns)];

  const closer = () => {
    for (const {glass, shown} of panels) if (shown && looks.zoom > 1) glass.sharpen(shown);
    draw();
  };
  const draw = () => {
    for (const [place, panel] of panels.entries()) drawPanel(panel, place);
    drawDifference();
    drawCurves();
  };
  const render = (canvas, {picture, map, of}, longer = 400) => {
    enlarge(canvas, picture, longer, looks);
    overlay(canvas, picture, map.bytes, map.grid, colours[looks.colours], looks.opacity);
    canvas.getContext('2d').drawImage(mask, 0, 0, canvas.width, canvas.height);
    if (of.at) frame(canvas, of.at[0], of.at[1], of.at.slice(2));
    cross(canvas);
    return canvas;
  };
  const drawPanel = ({shown, canvas, title, text, list, remove, glass}, place) => {
    title.textContent = `${place + 1} ${glass.now.method ?? ''}`;
    title.style.color = marked(place).colour;
    remove.setAttribute('aria-label', `remove panel ${place + 1}`);
    remove.hidden = panels.length <= 2;
    if (!shown) return;
    const {map, image, network, words} = shown;
    render(canvas, shown);
    const here = map.low + level(shown, looks.y, looks.x) / 255 * (map.high - map.low);
    const told = map.even ? 'Even everywhere: it tells no place.' : `${short(here)} at the cross.`;
    text.textContent = `${told}${painted(image, network)}`;
    list.replaceChildren(...bars(image.ranked, network.classes, image.truth));
    describe(canvas, `Panel ${place + 1}: ${words}. ${text.textContent}`, 'the cross');
  };
  const painted = ({before}, {classes, searches}) => {
    if (!before) return '';
    if (searches) return ` Cosine similarity to what it was: ${before.similarity.toFixed(2)}.`;
    return ` ${classes[before.class]}: ${percentage(before.then)} before, ${percentage(before.now)} painted.`;
  };
  const percentage = p => `${Math.round(100 * p)} %`;

  // One map minus another, each from its least to its greatest value, on the finer of their grids.
  const apart = {of: [0, 1], on: false, canvas: el('canvas', {width: 320, height: 320, role: 'img'}), text: el('p', {className: 'text'})};
  const drawDifference = () => {
    const [one, other] = apart.of.map(place => panels[place]?.shown);
    apart.node.hidden = !(apart.on && one && other);
    if (apart.node.hidden) return;
    const [rows, columns] = one.map.bytes.length > other.map.bytes.length ? one.map.grid : other.map.grid;
    const differences = Int16Array.from({length: rows * columns}, (_, i) => {
      const at = [(Math.floor(i / columns) + .5) / rows, (i % columns + .5) / columns];
      return level(one, ...at) - level(other, ...at);
    });
    enlarge(apart.canvas, one.picture, 400, looks);
    overlay(apart.canvas, one.picture, differences.map(d => 127.5 + d / 2), [rows, columns], signed, .85);
    cross(apart.canvas);
    const mean = differences.reduce((sum, d) => sum + Math.abs(d), 0) / differences.length / 255;
    const [first, second] = apart.of.map(place => place + 1);
    apart.text.textContent = `Red: more in ${first}; blue: more in ${second}. Mean difference ${short(mean)} of 1.`;
    apart.canvas.setAttribute('aria-label', `Panel ${first} minus panel ${second}. ${apart.text.textContent}`);
  };

  // The class's probability while the map's pixels go, or come: a line a panel.
  const curves = el('div'), curved = el('p', {className: 'text', 'aria-live': 'polite'});
  const curvesAsked = kind => {
    for (const panel of panels.filter(({shown}) => shown)) {
      const {what, ...of} = panel.shown.of;
      ask(`curve${panel.number}`, {...of, what: 'curve', kind, steps: data.steps}, answer => {
        panel.curve = {kind, ...answer};
        draw();
      });
    }
  };
  const lines = () => [...panels.entries()].filter(([, {curve}]) => curve).map(([place, {curve, shown}]) => {
    const {points, kind, target, area} = curve, name = `${place + 1}: ${shown.of.method}, ${shown.network.classes[target]}`;
    return {points: points.map((p, i) => [100 * i / (points.length - 1), 100 * p]), ...marked(place), name, kind, area};
  });
  const curveTitle = ({kind}) => `% of the pixels ${kind === 'deletion' ? 'taken away' : 'put in'}, most relevant first; probability in %`;
  const drawCurves = () => {
    const drawn = lines();
    curves.hidden = curved.hidden = !drawn.length;
    if (!drawn.length) return;
    const {width, height, node} = chart(drawn, curveTitle(drawn[0]), Math.max(300, Math.min(560, root.clientWidth)));
    const areas = drawn.map(({name, area}) => `${name}: ${short(area)}`);
    curved.textContent = `Area under the ${drawn[0].kind} curve: ${areas.join('; ')}.`;
    curves.replaceChildren(svg('svg', {viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': curved.textContent}, node));
  };

  // The brush: strokes are drawn on a mask; when it is lifted the kernel makes an image of them.
  const mask = el('canvas', {width: 128, height: 128}), ink = mask.getContext('2d');
  const dab = (y, x) => {
    const {width, height} = mask;
    Object.assign(ink, {fillStyle: '#2f6db3b0', globalCompositeOperation: 'source-over'});
    ink.beginPath();
    ink.ellipse(x * width, y * height, brush.size * width, brush.size * height, 0, 0, 7);
    ink.fill();
    draw();
  };
  let strokes = null; // what was painted of this image, 1 or 0 a position
  const lifted = panel => {
    const {data: pixels} = ink.getImageData(0, 0, mask.width, mask.height), {length} = pixels;
    strokes ??= new Uint8Array(length / 4);
    for (let i = 3; i < length; i += 4) if (pixels[i]) strokes[(i - 3) / 4] = 1;
    ink.clearRect(0, 0, mask.width, mask.height);
    fillIn(panel.glass.now.network);
  };
  const fillIn = network => {
    const wish = {what: 'paint', image: original, network, fill: brush.fill, grid: [mask.height, mask.width]};
    ask('paint', wish, ({image}) => change(image), [strokes]);
  };
  const paintable = panel => {
    const {canvas} = panel;
    let down = false;
    const at = event => {
      const box = canvas.getBoundingClientRect();
      return unmagnified(looks, (event.clientY - box.top) / box.height, (event.clientX - box.left) / box.width);
    };
    canvas.addEventListener('pointerdown', event => {
      if (!brush.on || !kernel) return;
      down = true;
      canvas.setPointerCapture(event.pointerId);
      dab(...at(event));
    });
    canvas.addEventListener('pointermove', event => { if (down) dab(...at(event)); });
    canvas.addEventListener('pointerup', () => { if (down) lifted(panel); down = false; });
    canvas.addEventListener('keydown', event => {
      if (!brush.on || !kernel || ![' ', 'Enter'].includes(event.key)) return;
      event.preventDefault();
      dab(looks.y, looks.x);
      lifted(panel);
    });
  };

  const change = id => {
    image = id;
    for (const {glass} of panels) { glass.now.image = id; glass.look(); }
    again.hidden = image === original;
  };
  const anew = id => { [original, strokes] = [id, null]; change(id); };
  const again = pressing('start over', () => anew(original));
  again.hidden = true;

  const images = finder(data, () => panels[0].glass.now, anew);
  const grid = el('div', {className: 'panels lenses'});
  apart.node = el('section', {className: 'panel'}, el('h4', {textContent: 'difference'}), apart.canvas, apart.text);
  const numbered = () => panels.map((_, place) => `panel ${place + 1}`);
  const minus = ['of', 'minus'].map((label, i) => select(label, [], place => { apart.of[i] = place; draw(); }));
  const arrange = () => {
    grid.replaceChildren(...panels.map(({node}) => node), apart.node);
    more.disabled = panels.length >= data.most;
    apart.of = apart.of.map(place => Math.min(place, panels.length - 1));
    minus.forEach((control, i) => { control.offer(numbered(), apart.of[i]); control.hidden = !apart.on; });
    draw();
  };
  const more = pressing('another panel', () => { add({...panels.at(-1).glass.now}); arrange(); });
  const unchecked = (label, changed) => {
    const control = checkbox(label, changed);
    control.querySelector('input').checked = false;
    return control;
  };
  const difference = unchecked('difference', on => { apart.on = on; arrange(); });
  const painting = unchecked('paint out', on => { brush.on = on; tools.hidden = !on; grid.classList.toggle('painting', on); });
  const tools = el('div', {className: 'controls wide', hidden: true},
    slider('brush', [2, 3, 5, 8, 12, 18].map(n => `${n} %`), 2, i => { brush.size = [.02, .03, .05, .08, .12, .18][i]; }),
    select('fill with', data.fills, i => { brush.fill = data.fills[i]; if (strokes) fillIn(panels[0].glass.now.network); }),
  );
  const controls = el('div', {className: 'controls wide'},
    slider('opacity', percent, 12, i => { looks.opacity = i / 20; draw(); }),
    zooming(looks, closer),
    select('colours', Object.keys(data.colours), i => { looks.colours = i; draw(); }),
    difference, ...minus, painting,
  );
  const run = el('p', {className: 'pages'}, more, ...data.curves.map(kind => pressing(`${kind} curve`, () => curvesAsked(kind))), again);

  for (const chosen of data.now.panels) add(chosen);
  arrange();
  const begin = () => {
    if (kernel) { offerNetworks(data, panels.map(({glass}) => glass)); images.find(); } else images.hold(heldMaps().map(({image}) => image));
    more.hidden = painting.hidden = !kernel;
    for (const {glass} of panels) glass.look();
  };
  connect(begin, () => ({image, panels: panels.map(({glass}) => glass.now)}));
  begin();
  const picture = () => {
    const width = COLUMN / 1.5, blocks = panels.filter(({shown}) => shown).map(({title, shown}) => below([
      words(title.textContent, width, 11, 700), raster(render(el('canvas'), shown, 1200), width), words(shown.words, width, 8),
    ]));
    const drawn = lines();
    const under = drawn.length ? [chart(drawn, curveTitle(drawn[0]), PAGE), legend(drawn, PAGE)] : [];
    return below([beside(blocks, 3), ...under], 10);
  };
  const call = () => mapsCell(panels.map(({shown}) => shown).filter(Boolean), data, looks);
  const plots = el('div', {className: 'chart'}, curves, curved);
  return [images.node, controls, tools, run, status, grid, plots, saving('comparison', picture, call)];
});
