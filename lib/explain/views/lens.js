// The cell that draws what lenses show, as it looks; and one lens's call.
const mapsCell = (all, data, looks) => pythonCell([`${FIGURES} map_figure`], all.map(shown => callOf(shown, data, looks)));
const callOf = ({map: {source: [run, image]}, of: {method, target, layer, head, at}}, data, looks) => {
  const shown = {image, method, target, layer, head, at};
  const call = {...shown, colours: Object.keys(data.colours)[looks.colours], opacity: looks.opacity};
  if (looks.zoom > 1) Object.assign(call, {zoom: looks.zoom, middle: middle(looks)});
  return callText('map_figure', `${python(run)},`, call);
};

// Of what the page holds for many query positions at once: each as the answer that a wish for it would get.
const spreadPositions = () => {
  for (const [text, {rows, columns, of, grid, ranges, source, bytes}] of [...known]) {
    const {what, ...wish} = JSON.parse(text), [height, width] = grid ?? [];
    if (what !== 'positions') continue;
    known.delete(text);
    rows.flatMap(row => columns.map(column => [row, column, ...of])).forEach((at, i) => {
      const [low, high] = ranges[i], levels = bytes.subarray(i * height * width, (i + 1) * height * width);
      known.set(textOf({...wish, what: 'map', target: 'answer', at}), {grid, low, high, source, bytes: levels});
    });
  }
};
const heldMaps = () => [...known.keys()].map(JSON.parse).filter(({what}) => what === 'map');

// The networks that the kernel has now: a store may have got others since.
const offerNetworks = (data, lenses) => ask('networks', {what: 'networks'}, ({names}) => {
  data.networks = names;
  for (const {look} of lenses) look();
});

const loaded = async src => {
  const picture = el('img', {src});
  await picture.decode();
  return picture;
};

// A lens: which map of which network it shows of an image. Asks for what is chosen, and hands it on when all of it is there.
const lens = (data, chosen, name, arrived) => {
  const now = {image: null, network: null, method: null, target: 'answer', layer: null, head: 0, at: [.5, .5], ...chosen};
  let network = null, layers = [];
  const method = () => network.methods.find(({name}) => name === now.method);
  const layer = () => method().layers.find(({name}) => name === now.layer);
  const target = () => method().by_class ? now.target : 'answer';

  // Without a kernel there is no other choice than among the maps of the page: those that fit what was chosen before.
  const order = ['image', 'network', 'method', 'target', 'layer', 'head'];
  const there = (name, values) => {
    if (kernel) return values;
    const before = order.slice(0, order.indexOf(name));
    const fitting = heldMaps().filter(wish => before.every(each => wish[each] === (each === 'target' ? target() : now[each])));
    return values.filter(value => fitting.some(wish => wish[name] === value));
  };

  // A list of choices of `now[name]`, each called as `called` says.
  const chooser = (name, label, called = String) => {
    let values = [];
    const control = select(label, [], i => { now[name] = values[i]; look(); });
    control.fill = offered => {
      values = there(name, offered);
      if (!values.includes(now[name])) now[name] = values[0];
      control.offer(values.map(called), values.indexOf(now[name]));
      control.title = called(now[name]); // names may be longer than there is room
    };
    return control;
  };
  const classOf = target => ({answer: 'its answer', truth: 'the true class'}[target] ?? network.classes[target]);
  const pick = {
    network: chooser('network', 'network'),
    method: chooser('method', 'map'),
    target: chooser('target', 'of class', classOf),
    layer: slider('layer', [''], 0, i => { now.layer = layers[i]; look(); }),
    head: chooser('head', 'head', n => n || 'mean of all'),
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
  };

  const heldPositions = () => {
    const chosen = {image: now.image, network: now.network, method: now.method, target: target(), layer: now.layer, head: now.head};
    return heldMaps().filter(wish => wish.at && order.every(name => wish[name] === chosen[name])).map(({at}) => at);
  };
  const place = () => { // of the query position: row, column, of how many rows and columns
    const {queries} = layer();
    if (!queries) return null;
    const away = at => Math.hypot(...now.at.map((share, i) => share - (at[i] + .5) / queries[i]));
    const at = now.at.map((share, i) => Math.min(Math.floor(share * queries[i]), queries[i] - 1));
    const held = kernel ? [] : heldPositions();
    return held.length ? held.reduce((best, at) => away(at) < away(best) ? at : best) : [...at, ...queries];
  };
  const wish = () => {
    const {image, network, method, layer, head} = now;
    return {what: 'map', image, network, method, target: target(), layer, head, at: place()};
  };

  // Without a kernel: an image, and a network, of which the page holds a map.
  const settle = () => {
    for (const name of ['image', 'network']) {
      const fitting = heldMaps().filter(wish => name === 'image' || wish.image === now.image);
      if (fitting.length && !fitting.some(wish => wish[name] === now[name])) now[name] = fitting.at(-1)[name];
    }
  };

  // Ask for what is chosen. It is handed on when all of it has come, so that no map stands under another's name.
  const look = () => {
    if (!kernel) settle();
    const {image: id} = now;
    ask(`network${name}`, {what: 'network', network: now.network}, answer => {
      network = answer;
      offer();
      const of = wish(), come = {};
      const arrive = part => {
        Object.assign(come, part);
        if (!come.picture || !come.map || textOf(of) !== textOf(wish())) return;
        arrived({...come, of, network, words: words(of, come)});
      };
      ask(`image${name}`, {what: 'image', image: id, network: now.network}, async answer => {
        arrive({picture: closer(of) ?? await loaded(answer.src), image: answer});
      });
      ask(`map${name}`, of, map => arrive({map}));
    });
  };

  // The picture in as many pixels as the file has, for whoever looks closer: in no page that is saved.
  let sharp = {};
  const closer = ({image, network}) => sharp.image === image && sharp.network === network ? sharp.picture : null;
  const sharpen = all => {
    const {image, network} = all.of;
    if (!kernel || closer(all.of)) return;
    ask(`sharp${name}`, {what: 'sharp', image, network}, async ({src}) => {
      sharp = {image, network, picture: await loaded(src)};
      if (all.of.image === now.image && all.of.network === now.network) look();
    });
  };

  const words = ({image: id, method, layer, head, at}, {image, map}) => {
    const truth = image.truth === null ? '' : `, truly ${network.classes[image.truth]}`;
    const of = map.target === undefined ? '' : `of ${network.classes[map.target]}`;
    const query = at ? `query at row ${at[0] + 1}, column ${at[1] + 1}` : '';
    return [id + truth, method, of, layer, head ? `head ${head}` : '', query].filter(Boolean).join(' · ');
  };

  const ask_at = (...shares) => { now.at = shares; look(); };
  // To the next position there is: a page may hold one row in so many.
  const moved = (...steps) => {
    const before = place(), [, , ...of] = before;
    for (let far = 1; far < Math.max(...of) && textOf(place()) === textOf(before); far++) {
      now.at = of.map((side, i) => inside((before[i] + far * steps[i] + .5) / side));
    }
    look();
  };
  const queried = () => Boolean(network && layer()?.queries && (kernel || heldPositions().length > 1));
  return {now, pick, look, queried, sharpen, at: ask_at, moved};
};
