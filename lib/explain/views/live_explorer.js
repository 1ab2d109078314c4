// The live explorer: any image under any map that a network can give, asked of the kernel or remembered.
start(async (data, numbers) => {
  remember(data, numbers);
  const colours = ramps(data.colours);
  const now = {method: null, target: 'answer', layer: null, head: 0, at: [.5, .5], opacity: .6, colours: 0, ...data.now};
  let network = null, shown = null; // what the network is, what the canvas shows
  const method = () => network.methods.find(({name}) => name === now.method);
  const layer = () => method().layers.find(({name}) => name === now.layer);

  const canvas = el('canvas', {'aria-roledescription': 'attention map'}), bar = el('canvas', {'aria-hidden': 'true'});
  const low = el('span'), high = el('span'), list = el('dl', {className: 'bars'});
  const text = el('p', {className: 'text', 'aria-live': 'polite'});
  const hint = el('p', {className: 'hint', textContent: 'Click a patch, or use the arrow keys, to choose the query position.'});

  // What was answered for maps of this page: without a kernel there are no others to choose from.
  const order = ['image', 'network', 'method', 'target', 'layer', 'head'];
  const held = () => [...known.keys()].map(JSON.parse).filter(({what}) => what === 'map');
  const there = (name, values) => {
    if (kernel) return values;
    const before = order.slice(0, order.indexOf(name));
    const fitting = held().filter(wish => before.every(each => wish[each] === (each === 'target' ? asked_target() : now[each])));
    return values.filter(value => fitting.some(wish => wish[name] === value));
  };
  const asked_target = () => method().by_class ? now.target : 'answer';

  // A list of choices of `now[name]`, called as `told` says.
  const chooser = (name, label, told = String) => {
    let values = [];
    const control = select(label, [], i => { now[name] = values[i]; look(); });
    control.fill = offered => {
      values = there(name, offered);
      if (!values.includes(now[name])) now[name] = values[0];
      control.offer(values.map(told), values.indexOf(now[name]));
    };
    return control;
  };
  const classOf = target => {
    if (target === 'answer' || target === 'truth') return {answer: 'its answer', truth: 'the true class'}[target];
    return network.classes[target];
  };
  let layers = [];
  const pick = {
    network: chooser('network', 'network'),
    method: chooser('method', 'map'),
    target: chooser('target', 'of class', classOf),
    layer: slider('layer', [''], 0, i => { now.layer = layers[i]; look(); }),
    head: chooser('head', 'head', n => n ? n : 'mean of all'),
    opacity: slider('opacity', percent, 12, i => { now.opacity = i / 20; draw(); }),
    colours: select('colours', Object.keys(data.colours), i => { now.colours = i; draw(); }),
  };

  // After a choice: what the controls offer now, each kept as near as can be to what it was.
  const offer = () => {
    pick.network.fill(data.networks);
    pick.method.fill(network.methods.map(({name}) => name));
    pick.target.fill(method().by_class ? ['answer', 'truth', ...network.classes.keys()] : ['answer']);
    layers = there('layer', method().layers.map(({name}) => name));
    if (!layers.includes(now.layer)) now.layer = layers.at(-1);
    pick.layer.offer(layers, layers.indexOf(now.layer));
    const {heads} = layer();
    pick.head.fill([...Array(heads > 1 ? heads + 1 : 1).keys()]);
    hint.hidden = !(layer().queries && kernel);
  };

  const place = () => { // of the query position: row, column, of how many
    const {queries} = layer();
    return queries && [...now.at.map((share, i) => Math.min(Math.floor(share * queries[i]), queries[i] - 1)), ...queries];
  };
  const wish = () => {
    const {image, network, method, layer, head} = now;
    return {what: 'map', image, network, method, target: asked_target(), layer, head, at: place()};
  };

  // Ask for all that is to be shown; it is shown when all of it has come, so that no map stands under another's name.
  const look = () => {
    const {image: id, network: name} = now;
    ask('network', {what: 'network', network: name}, answer => {
      network = answer;
      offer();
      const of = wish(), come = {};
      const arrive = part => {
        Object.assign(come, part);
        if (!come.picture || !come.map || textOf(of) !== textOf(wish())) return;
        shown = {...come, network, at: of.at, words: words(of, come)};
        draw();
      };
      ask('image', {what: 'image', image: id, network: name}, async answer => {
        const picture = el('img', {src: answer.src});
        await picture.decode();
        arrive({picture, image: answer});
      });
      ask('map', of, map => arrive({map}));
    });
  };

  const draw = () => {
    if (!shown) return;
    const {picture, map, image, network, words, at} = shown;
    Object.assign(canvas, fitting(picture, 512));
    overlay(canvas, picture, map.bytes, map.grid, colours[now.colours], now.opacity);
    if (at) frame(canvas, at[0], at[1], at.slice(2));
    paint(bar, Uint8Array.from({length: 256}, (_, i) => i), 1, 256, colours[now.colours]);
    [low.textContent, high.textContent] = [short(map.low), short(map.high)];
    list.replaceChildren(...bars(image.ranked, network.classes, image.truth));
    text.textContent = words;
    describe(canvas, `${words}. From ${low.textContent} to ${high.textContent}.`, layer().queries && kernel);
  };

  const words = ({image: id, method, layer, head, at}, {image, map}) => {
    const truth = image.truth === null ? '' : `, truly ${network.classes[image.truth]}`;
    const of = map.target === undefined ? '' : `of ${network.classes[map.target]}`;
    const query = at ? `query at row ${at[0] + 1}, column ${at[1] + 1}` : '';
    return [id + truth, method, of, layer, head ? `head ${head}` : '', query].filter(Boolean).join(' · ');
  };

  const choose = (...shares) => { now.at = shares; look(); };
  const moved = (...steps) => {
    const [row, column, rows, columns] = place(), inside = (at, of) => (Math.max(0, Math.min(at, of - 1)) + .5) / of;
    choose(inside(row + steps[0], rows), inside(column + steps[1], columns));
  };
  pointing(canvas, () => kernel && layer().queries, choose, moved);

  const images = finder(data, now, id => { now.image = id; look(); });
  const begin = () => {
    if (kernel) images.find(); else images.hold(held().map(({image}) => image));
    look();
  };
  connect(begin, () => now);
  begin();
  const stage = el('div', {className: 'stage'}, canvas, el('div', {className: 'scale'}, low, bar, high), text);
  const controls = el('div', {className: 'controls'}, ...Object.values(pick), hint, list);
  return [images.node, el('div', {className: 'columns'}, stage, controls), status];
});
