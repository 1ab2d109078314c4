// What every view shares. The script stands in a block of its own, inside the figure that it brings to life; VS Code runs a
// copy of it that stands behind the figure.
const {currentScript} = document, root = currentScript.closest('.attention-view') ?? currentScript.parentNode.querySelector('.attention-view');
root.addEventListener('keydown', event => event.stopPropagation()); // in JupyterLab an arrow key is a move to the next cell

// An element with properties, attributes (names with a dash, or role) and children; text is never markup.
const el = (tag, properties = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes('-') || name === 'role') node.setAttribute(name, value);
    else node[name] = value;
  }
  node.append(...children);
  return node;
};

// The same of a drawing.
const svg = (tag, attributes, ...children) => {
  const node = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
};

const unique = () => `view-${crypto.getRandomValues(new Uint32Array(2)).join('-')}`;
const labelled = (label, input, ...more) => {
  input.id = unique();
  return el('div', {className: 'control'}, el('label', {htmlFor: input.id, textContent: label}), input, ...more);
};

// A labelled slider through `values`, with the chosen one beside it; hidden where there is no choice.
const slider = (label, values, chosen, changed) => {
  const input = el('input', {type: 'range', min: 0, step: 1}), shown = el('output');
  const control = labelled(label, input, shown);
  const tell = () => {
    shown.textContent = values[+input.value];
    input.setAttribute('aria-valuetext', shown.textContent);
  };
  control.offer = (offered, value) => {
    values = offered;
    input.max = offered.length - 1;
    input.value = value;
    control.hidden = offered.length < 2;
    tell();
  };
  input.addEventListener('input', () => { tell(); changed(+input.value); });
  control.offer(values, chosen);
  return control;
};

// A labelled list of choices; hidden where there is only one.
const select = (label, values, changed) => {
  const input = el('select'), control = labelled(label, input, el('span'));
  control.offer = (offered, value) => {
    input.replaceChildren(...offered.map(textContent => el('option', {textContent})));
    input.selectedIndex = value;
    control.hidden = offered.length < 2;
  };
  input.addEventListener('change', () => changed(input.selectedIndex));
  control.offer(values, 0);
  return control;
};

// A labelled box, checked at first.
const checkbox = (label, changed) => {
  const input = el('input', {type: 'checkbox', checked: true});
  input.addEventListener('change', () => changed(input.checked));
  return labelled(label, input);
};

// A row of small pictures to choose from; `pictures` are their elements, which canvases draw from.
const thumbnails = (images, changed) => {
  const pictures = images.map(({src, name}) => el('img', {src, alt: name}));
  const buttons = pictures.map((picture, i) => el('button', {type: 'button', title: images[i].name}, picture));
  const press = i => buttons.forEach((button, n) => button.setAttribute('aria-pressed', n === i));
  buttons.forEach((button, i) => button.addEventListener('click', () => { press(i); changed(i); }));
  press(0);
  const row = el('div', {className: 'choices', role: 'group', 'aria-label': 'image'}, ...buttons);
  row.hidden = images.length < 2;
  return {row, pictures};
};

// A button that does `press`.
const pressing = (textContent, press) => {
  const node = el('button', {type: 'button', textContent});
  node.addEventListener('click', press);
  return node;
};

const percent = [...Array(21).keys()].map(n => `${5 * n} %`);
const plain = x => x === 0 || (Math.abs(x) >= .001 && Math.abs(x) < 1e4);
const short = x => plain(x) ? String(+x.toPrecision(3)) : x.toExponential(1); // three digits

// The size of a canvas that a picture fills, `longer` pixels on its longer side.
const fitting = ({naturalWidth, naturalHeight}, longer) => {
  const scale = longer / Math.max(naturalWidth, naturalHeight);
  return {width: Math.round(naturalWidth * scale), height: Math.round(naturalHeight * scale)};
};

// For each colour map the colours of 0 … 255, [256 × 3], from a few stops between which is a straight line.
const ramps = maps => Object.values(maps).map(stops => {
  const colours = new Uint8ClampedArray(768), last = stops.length / 3 - 1;
  for (let level = 0; level < 256; level++) {
    const at = level / 255 * last, low = Math.min(Math.floor(at), last - 1);
    for (let c = 0; c < 3; c++) {
      const [from, to] = [stops[3 * low + c], stops[3 * low + 3 + c]];
      colours[3 * level + c] = from + (at - low) * (to - from);
    }
  }
  return colours;
});

// Paint levels [height × width] onto a canvas of as many pixels; returns it.
const paint = (target, levels, height, width, colours) => {
  if (target.width !== width || target.height !== height) Object.assign(target, {width, height});
  const context = target.getContext('2d'), image = context.createImageData(width, height);
  for (let i = 0; i < levels.length; i++) {
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = colours[3 * levels[i] + c];
    image.data[4 * i + 3] = 255;
  }
  context.putImageData(image, 0, 0);
  return target;
};

// A picture with a map on top of it; opacity 1 shows the map alone.
const scratch = el('canvas');
const overlay = (canvas, picture, levels, [height, width], colours, opacity) => {
  const context = canvas.getContext('2d');
  context.globalAlpha = 1;
  context.imageSmoothingEnabled = true;
  context.imageSmoothingQuality = 'high';
  context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  context.globalAlpha = opacity;
  context.imageSmoothingEnabled = false; // a map has the positions that it has
  context.drawImage(paint(scratch, levels, height, width, colours), 0, 0, canvas.width, canvas.height);
  context.globalAlpha = 1;
};

// Bars of probability, [class, probability] each, as the children of a `dl`; the true class is marked.
const bars = (ranked, classes, truth) => ranked.flatMap(([k, p]) => {
  const kind = k === truth ? 'true' : '', length = el('div', {className: `bar ${kind}`});
  length.style.width = `${100 * p}%`;
  const name = el('dt', {className: kind, textContent: classes[k]});
  return [name, el('dd', {'aria-hidden': 'true'}, length), el('dd', {textContent: `${Math.round(100 * p)} %`})];
});

// A frame around one of rows × columns positions of a canvas.
const frame = (canvas, row, column, [rows, columns]) => {
  const context = canvas.getContext('2d'), [width, height] = [canvas.width / columns, canvas.height / rows];
  const thin = Math.max(canvas.width, canvas.height) / 512;
  for (const [strokeStyle, lineWidth] of [['#000', 6 * thin], ['#fff', 3 * thin]]) {
    Object.assign(context, {strokeStyle, lineWidth});
    context.strokeRect(column * width, row * height, width, height);
  }
};

// While `active()`, a click on a canvas is `chosen(y, x)`, as shares of it, and an arrow key `moved(rows, columns)`.
const pointing = (canvas, active, chosen, moved) => {
  canvas.addEventListener('click', event => {
    const box = canvas.getBoundingClientRect();
    if (active()) chosen((event.clientY - box.top) / box.height, (event.clientX - box.left) / box.width);
  });
  canvas.addEventListener('keydown', event => {
    const step = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]}[event.key];
    if (!step || !active()) return;
    event.preventDefault(); // the page would scroll
    moved(...step);
  });
};

// A canvas in words, for those who do not see it, and what a click or an arrow key moves on it, if anything.
const describe = (canvas, words, moves) => {
  canvas.setAttribute('role', moves ? 'application' : 'img');
  canvas.setAttribute('aria-label', words + (moves ? ` Arrow keys move ${moves}.` : ''));
  canvas.tabIndex = moves ? 0 : -1;
  canvas.classList.toggle('query', Boolean(moves));
};

// Read the payload (lib/explain/views/view.py writes it), let `build` make the view, then show it in the still's place.
const start = async build => {
  const packed = Uint8Array.from(atob(root.dataset.payload), c => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream('deflate'));
  const raw = await new Response(stream).arrayBuffer(), length = new DataView(raw).getUint32(0, true);
  const data = JSON.parse(new TextDecoder().decode(new Uint8Array(raw, 4, length)));
  const live = root.querySelector('.live');
  live.append(...await build(data, raw.slice(4 + length)));
  root.querySelector('.still').hidden = true;
  live.hidden = false;
};
