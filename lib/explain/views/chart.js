// Lines over the epochs, as a drawing that scales: in the page, in a file, on paper.
// Colours that eyes which see few tell apart (Okabe and Ito, without the palest), and a mark each, for print.
const COLOURS = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#595959'];
const MARKS = [ // closed paths around 0, 0
  'M-4 0A4 4 0 1 0 4 0A4 4 0 1 0 -4 0Z', 'M-3.6 -3.6H3.6V3.6H-3.6Z', 'M0 -5L5 0L0 5L-5 0Z', 'M0 -4.6L4.6 3.6H-4.6Z',
  'M0 4.6L4.6 -3.6H-4.6Z', 'M-1.5 -4.5H1.5V-1.5H4.5V1.5H1.5V4.5H-1.5V1.5H-4.5V-1.5H-1.5Z', 'M-4 -2L-2 -4L4 2L2 4Z',
];
const marked = n => ({colour: COLOURS[n % COLOURS.length], mark: MARKS[(n + Math.floor(n / COLOURS.length)) % MARKS.length]});

// About five round numbers from low to high.
const ticks = (low, high) => {
  if (!(high > low)) return [low];
  const rough = (high - low) / 5, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find(factor => factor * power >= rough), first = Math.ceil(low / step - 1e-9);
  return [...Array(Math.floor(high / step + 1e-9) - first + 1).keys()].map(n => +((first + n) * step).toPrecision(12));
};

// Lines [{points: [[epoch, value], …], colour, mark, dashed, name}] over the epochs, in a drawing `width` wide: a block, as
// save.js has them. Only what each needs is an attribute, so that it looks the same in a file.
const chart = (lines, title, width) => {
  const all = lines.flatMap(line => line.points);
  const [left, right, top, bottom] = [56, width - 10, 12, 250];
  const [epochs, values] = [0, 1].map(axis => {
    const ordered = all.map(point => point[axis]).sort((a, b) => a - b);
    return [ordered[0], ordered.at(-1)];
  });
  const along = ([low, high], at) => high > low ? (at - low) / (high - low) : .5;
  const x = epoch => left + (right - left) * along(epochs, epoch);
  const y = value => bottom - (bottom - top) * along(values, value);
  const write = (text, x, y, anchor) => svg('text', {x, y, 'text-anchor': anchor, 'font-size': 12, fill: 'currentColor'}, text);
  const rule = value => svg('line', {x1: left, x2: right, y1: y(value), y2: y(value), stroke: 'currentColor', 'stroke-opacity': .15});
  const axes = [
    ...ticks(...values).flatMap(value => [rule(value), write(short(value), left - 8, y(value) + 4, 'end')]),
    ...ticks(...epochs).filter(Number.isInteger).map(epoch => write(String(epoch), x(epoch), bottom + 18, 'middle')),
    write(title, (left + right) / 2, bottom + 36, 'middle'),
  ];
  const curve = ({points, colour, mark, dashed}) => {
    const style = {fill: 'none', stroke: colour, 'stroke-width': 2, 'stroke-dasharray': dashed ? '5 4' : 'none'};
    const path = points.map(([epoch, value]) => `${x(epoch).toFixed(1)},${y(value).toFixed(1)}`).join(' ');
    const end = points.at(-1), place = `translate(${x(end[0]).toFixed(1)} ${y(end[1]).toFixed(1)})`;
    const glyph = svg('path', {d: mark, transform: place, fill: dashed ? '#fff' : colour, stroke: colour});
    return svg('g', {}, svg('polyline', {...style, points: path}), glyph);
  };
  return {width, height: 290, node: svg('g', {}, ...axes, ...lines.map(curve))};
};

// What each line is, once a name: its mark and the name, in words that wrap.
const legend = (lines, width) => below([...new Map(lines.map(line => [line.name, line])).values()].map(line => {
  const {height, node} = words(line.name, width - 18, 11);
  const glyph = svg('path', {d: line.mark, fill: line.colour, transform: 'translate(6 7)'});
  return {width, height, node: svg('g', {}, glyph, at(18, 0, node))};
}), 3);
