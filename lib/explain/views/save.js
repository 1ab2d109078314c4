// What every view offers of its picture: files at print size, and the Python call that makes it.
const MM = 96 / 25.4, DOTS = 300; // CSS pixels a millimetre; of a PNG, an inch
const PAGE = 180 * MM, COLUMN = 90 * MM; // widths of a picture in print

// A picture is put together from blocks, {width, height, node}, drawn in black on white with nothing but their attributes.
const at = (x, y, ...nodes) => svg('g', {transform: `translate(${x} ${y})`}, ...nodes);
const below = (blocks, gap = 6) => {
  const ends = [], there = blocks.filter(Boolean);
  for (const {height} of there) ends.push((ends.at(-1) ?? -gap) + gap + height);
  const node = svg('g', {}, ...there.map((block, i) => at(0, ends[i] - block.height, block.node)));
  return {width: Math.max(...there.map(({width}) => width)), height: ends.at(-1), node};
};
const beside = (blocks, columns, gap = 14) => {
  const rows = [];
  for (let i = 0; i < blocks.length; i += columns) rows.push(blocks.slice(i, i + columns));
  const wide = Math.max(...blocks.map(({width}) => width)) + gap;
  return below(rows.map(row => ({
    width: row.length * wide - gap,
    height: Math.max(...row.map(({height}) => height)),
    node: svg('g', {}, ...row.map((block, i) => at(i * wide, 0, block.node))),
  })), gap);
};
const words = (text, width, size = 12, weight = 400) => {
  const most = Math.max(8, Math.floor(width / (.56 * size))), lines = [];
  for (const word of text.split(/\s+/).flatMap(word => word.match(new RegExp(`.{1,${most}}`, 'gu')) ?? [])) {
    if (lines.length && `${lines.at(-1)} ${word}`.length <= most) lines.push(`${lines.pop()} ${word}`);
    else lines.push(word);
  }
  const style = {'font-size': size, 'font-weight': weight, fill: 'currentColor'};
  const write = (line, i) => svg('text', {...style, x: 0, y: (1.25 * i + .95) * size}, line);
  return {width, height: 1.25 * size * lines.length, node: svg('g', {}, ...lines.map(write))};
};
const raster = (canvas, width) => {
  const height = width * canvas.height / canvas.width;
  return {width, height, node: svg('image', {href: canvas.toDataURL(), width, height})};
};
// What `draw` paints on a canvas that `image` fills, large enough for print, `width` wide.
const printed = (image, width, draw) => {
  const canvas = el('canvas', fitting(image, 1200));
  draw(canvas);
  return raster(canvas, width);
};
// The scale of a colour map, from `low` to `high` in words.
const scale = (colours, low, high, width) => {
  const levels = paint(el('canvas'), Uint8Array.from({length: 256}, (_, i) => i), 1, 256, colours);
  const bar = svg('image', {href: levels.toDataURL(), width, height: 8, preserveAspectRatio: 'none'});
  const end = (text, x, anchor) => svg('text', {x, y: 20, 'text-anchor': anchor, 'font-size': 10, fill: 'currentColor'}, text);
  return {width, height: 22, node: svg('g', {}, bar, end(low, 0, 'start'), end(high, width, 'end'))};
};

// The picture as a file of its own; what the view says below itself (images that are drawn, say) is said here, too.
const asSvg = block => {
  const notes = [...root.querySelectorAll('.note')].map(note => words(note.textContent, block.width, 9));
  const {width, height, node} = below([block, ...notes]), margin = 8;
  const [across, down] = [width + 2 * margin, height + 2 * margin];
  const size = {width: `${(across / MM).toFixed(2)}mm`, height: `${(down / MM).toFixed(2)}mm`, viewBox: `0 0 ${across} ${down}`};
  const ground = svg('rect', {width: across, height: down, fill: '#fff'});
  const drawing = svg('svg', {...size, color: '#000', 'font-family': 'sans-serif'}, ground, at(margin, margin, node));
  return {width: across, height: down, text: new XMLSerializer().serializeToString(drawing)};
};
const asPng = async ({width, height, text}) => {
  const picture = el('img', {src: `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`});
  await picture.decode();
  const canvas = el('canvas', {width: Math.round(width * DOTS / 96), height: Math.round(height * DOTS / 96)});
  canvas.getContext('2d').drawImage(picture, 0, 0, canvas.width, canvas.height);
  return withDots(Uint8Array.from(atob(canvas.toDataURL().split(',')[1]), c => c.charCodeAt(0)));
};

// A PNG that says how large it is: after its header (33 bytes) a chunk pHYs with dots a metre.
const withDots = png => {
  const chunk = new DataView(new ArrayBuffer(21)), dots = Math.round(DOTS / .0254);
  [9, 0x70485973, dots, dots].forEach((value, i) => chunk.setUint32(4 * i, value));
  chunk.setUint8(16, 1);
  let crc = -1;
  for (let i = 4; i < 17; i++) {
    crc ^= chunk.getUint8(i);
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  chunk.setInt32(17, ~crc);
  return new Blob([png.subarray(0, 33), chunk, png.subarray(33)], {type: 'image/png'});
};

const download = (blob, name) => {
  const link = el('a', {href: URL.createObjectURL(blob), download: name});
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
};

// Buttons that save what `picture` gives, a block, as files of a `name`, and that copy the Python call that `call` tells.
const saving = (name, picture, call) => {
  const told = el('span', {className: 'told', role: 'status'}), code = el('pre', {hidden: true, tabIndex: 0});
  const drawn = () => asSvg(picture());
  const copy = async () => {
    code.textContent = call();
    code.hidden = false;
    getSelection().selectAllChildren(code); // where a page may not write to the clipboard, Ctrl-C does
    await navigator.clipboard.writeText(code.textContent).then(
      () => { told.textContent = 'Copied.'; }, () => { told.textContent = 'Selected: copy it with Ctrl-C.'; });
  };
  return el('div', {className: 'saving', role: 'group', 'aria-label': 'save'},
    pressing('Save PNG', async () => download(await asPng(drawn()), `${name}.png`)),
    pressing('Save SVG', () => download(new Blob([drawn().text], {type: 'image/svg+xml'}), `${name}.svg`)),
    pressing('Copy Python', copy), told, code);
};

// A value as Python writes it.
const python = value => {
  if (value === null || value === undefined) return 'None';
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  if (Array.isArray(value)) return `[${value.map(python).join(', ')}]`;
  if (typeof value === 'object') return `{${Object.entries(value).map(pair => pair.map(python).join(': ')).join(', ')}}`;
  return JSON.stringify(value); // of a text, too: a JSON string is a Python string
};

// A call, and a cell of calls: of its figures it shows the last alone, unless it is told to display the others.
const callText = (name, first, values) => {
  const given = Object.entries(values).map(([key, value]) => `    ${key}=${python(value)},`);
  return [`${name}(`, `    ${first}`, ...given, ')'].join('\n');
};
const pythonCell = (imports, calls) => {
  const display = calls.length > 1 ? ['from IPython.display import display'] : [];
  return [...display, ...imports, '', ...calls.slice(0, -1).map(call => `display(${call})`), calls.at(-1)].join('\n');
};

// A cell with a call of one of lib/explain/views/view_figures.py.
const FIGURES = 'from lib.explain.views.view_figures import';
const pythonCall = (name, ...rest) => pythonCell([`${FIGURES} ${name}`], [callText(name, ...rest)]);
