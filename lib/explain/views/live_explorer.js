// The live explorer: any image under any map that a network can give, asked of the kernel or remembered.
start(async (data, numbers) => {
  remember(data, numbers);
  spreadPositions();
  const colours = ramps(data.colours), looks = {opacity: .6, colours: 0, zoom: 1, y: .5, x: .5};
  let shown = null;
  const canvas = el('canvas', {'aria-roledescription': 'attention map'}), bar = el('canvas', {'aria-hidden': 'true'});
  const low = el('span'), high = el('span'), list = el('dl', {className: 'bars'});
  const text = el('p', {className: 'text', 'aria-live': 'polite'});
  const hint = el('p', {className: 'hint', textContent: 'Click a patch, or use the arrow keys, to choose the query position.'});

  // Of a network that searches: the nearest images of the gallery, asked for once what is looked at is there.
  const near = el('div', {className: 'choices', role: 'group', 'aria-label': 'nearest images of the gallery'});
  const found = el('p', {className: 'hint', role: 'status'});
  let searched = '';
  const search = ({of: {image, network}, network: {searches}}) => {
    const wish = {what: 'nearest', image, network}, text = textOf(wish), there = searches && (kernel || known.has(text));
    near.hidden = found.hidden = !there;
    if (!there || text === searched) return;
    searched = text;
    near.replaceChildren();
    ask('nearest', wish, ({images, seen, of}) => {
      found.textContent = seen < of ? `Looking through the gallery: ${seen} of ${of} images.` : `Nearest of ${of} gallery images.`;
      near.replaceChildren(...images.map(({id, name, src, right}) => {
        const says = `${name}${right === null ? '' : right ? ', right' : ', wrong'}`;
        const button = el('button', {type: 'button', title: says, className: right ? 'right' : '', disabled: !kernel}, el('img', {src, alt: says}));
        button.addEventListener('click', () => choose(id));
        return button;
      }));
    });
  };

  const render = (canvas, longer = 512) => {
    const {picture, map, of: {at}} = shown;
    enlarge(canvas, picture, longer, looks);
    overlay(canvas, picture, map.bytes, map.grid, colours[looks.colours], looks.opacity);
    if (at) frame(canvas, at[0], at[1], at.slice(2));
    return canvas;
  };
  const draw = () => {
    if (!shown) return;
    const {map, image, network, words} = shown;
    render(canvas);
    paint(bar, Uint8Array.from({length: 256}, (_, i) => i), 1, 256, colours[looks.colours]);
    [low.textContent, high.textContent] = [short(map.low), short(map.high)];
    list.replaceChildren(...bars(image.ranked, network.classes, image.truth));
    text.textContent = words;
    hint.hidden = !glass.queried();
    const moves = glass.queried() ? 'the query position' : looks.zoom > 1 && 'what is enlarged';
    describe(canvas, `${words}. From ${low.textContent} to ${high.textContent}.`, moves);
  };
  const closer = () => {
    if (shown && looks.zoom > 1) glass.sharpen(shown);
    draw();
  };

  const glass = lens(data, data.now, '', all => { shown = all; closer(); search(all); });
  const choose = id => { glass.now.image = id; glass.look(); };
  const point = (y, x) => {
    Object.assign(looks, {y: inside(y), x: inside(x)});
    if (glass.queried()) glass.at(looks.y, looks.x);
    draw();
  };
  const moved = (rows, columns) => {
    if (!glass.queried()) return point(looks.y + rows / 20, looks.x + columns / 20);
    glass.moved(rows, columns);
    [looks.y, looks.x] = glass.now.at;
    draw();
  };
  pointing(canvas, () => glass.queried() || looks.zoom > 1, (y, x) => point(...unmagnified(looks, y, x)), moved);
  const images = finder(data, () => glass.now, choose);
  const begin = () => {
    if (kernel) { offerNetworks(data, [glass]); images.find(); } else images.hold(heldMaps().map(({image}) => image));
    glass.look();
  };
  connect(begin, () => glass.now);
  begin();

  const pick = {
    ...glass.pick,
    opacity: slider('opacity', percent, 12, i => { looks.opacity = i / 20; draw(); }),
    colours: select('colours', Object.keys(data.colours), i => { looks.colours = i; draw(); }),
    zoom: zooming(looks, closer),
  };
  const picture = () => {
    const ends = [low.textContent, high.textContent];
    const print = raster(render(el('canvas'), 1200), COLUMN);
    return below([words(shown.words, COLUMN, 10), print, scale(colours[looks.colours], ...ends, COLUMN)]);
  };
  const saved = saving('map', picture, () => mapsCell([shown], data, looks));
  const stage = el('div', {className: 'stage'}, canvas, el('div', {className: 'scale'}, low, bar, high), text, saved);
  const controls = el('div', {className: 'controls'}, ...Object.values(pick), hint, list, found, near);
  return [images.node, el('div', {className: 'columns'}, stage, controls), status];
});
