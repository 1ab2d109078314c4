// What a live view shares: it asks the kernel (lib/explain/views/live.py) while there is one, and has what the page brought.
const MOST_KNOWN = 400, PATIENCE = 5000; // answers; ms
const known = new Map(), waiting = new Map(), told = new Map(); // answers by wish; by channel what is asked, what is wrong
const LATE = 'No answer yet: the kernel computes, is busy with a cell, or is gone (then run this cell again).';
const me = unique();
const status = el('p', {className: 'status', role: 'status'});
let kernel = null, asked = 0, sending = null;

// Wishes are written in one order of names, so that equal ones are equal texts.
const textOf = wish => JSON.stringify(Object.fromEntries(Object.entries(wish).sort(([a], [b]) => a < b ? -1 : 1)));

// What the page brought along: answers with the bytes that belong to each.
const remember = (data, numbers) => {
  for (const {wish, answer, at, size} of data.answers) {
    known.set(textOf(wish), {...answer, bytes: new Uint8Array(numbers, at, size)});
  }
};

// Ask on a channel, of which only the last wish counts: `answered` is called with each part of its answer, at once where
// the answer is known. `buffers` are sent along.
const ask = (channel, wish, answered, buffers = []) => {
  const text = textOf(wish), answer = known.get(text);
  say(channel, '');
  if (answer) {
    waiting.delete(channel);
    mark();
    answered(answer);
  } else if (kernel) {
    waiting.set(channel, {number: ++asked, channel, wish, answered, buffers, sent: false});
    sending ??= setTimeout(send, 8); // of many moves of a slider within one frame the last
    mark();
  } else {
    say(channel, 'That is not in this page: it can be computed where a kernel runs.');
  }
};

const send = () => {
  sending = null;
  for (const each of [...waiting.values()].filter(({sent}) => !sent)) {
    const {number, channel, wish, buffers} = each;
    each.sent = true;
    each.late = setTimeout(() => { if (waiting.get(channel) === each) say(channel, LATE); }, PATIENCE);
    try {
      kernel.send({from: `${me} ${channel}`, number, wish}, undefined, buffers);
    } catch { // its comm is closed: it was restarted, or has died
      [kernel, fresh] = [null, false];
      for (const each of [waiting, told]) each.clear();
      mark();
      changed();
      return say('kernel', 'The kernel that answered has gone: run this cell again.');
    }
  }
};

const hear = ({to = '', number, answer, error, done, lasting}, buffers = []) => {
  const [view, channel] = to.split(' '), each = waiting.get(channel);
  if (view !== me || each?.number !== number) return; // another view's, or overtaken
  clearTimeout(each.late);
  if (done) waiting.delete(channel);
  mark();
  say(channel, error ?? '');
  if (!answer) return;
  const [{buffer, byteOffset, byteLength} = new DataView(new ArrayBuffer(0))] = buffers;
  const whole = {...answer, bytes: new Uint8Array(buffer, byteOffset, byteLength)};
  if (lasting) {
    fresh = true;
    known.set(textOf(each.wish), whole);
    if (known.size > MOST_KNOWN) known.delete(known.keys().next().value);
  }
  each.answered(whole);
};

// What is wrong with what was asked on a channel, in one line; nothing where all is well.
const say = (channel, text) => {
  if (text) told.set(channel, text); else told.delete(channel);
  const all = [...new Set(told.values())].join(' ');
  if (status.textContent !== all) status.textContent = all;
};

const mark = () => { // nobody waits for what is followed
  const busy = [...waiting.keys()].some(channel => channel !== 'follow');
  root.classList.toggle('busy', busy);
  root.setAttribute('aria-busy', busy);
};

// `redraw` is called when a kernel is there, or is no more. `state` tells what is shown: the page that is saved opens so.
let fresh = false, changed = null; // whether something was computed that the page does not hold yet
const connect = (redraw, state) => {
  changed = redraw;
  root.addEventListener('kernel', ({detail}) => {
    kernel = detail;
    say('kernel', '');
    kernel.on('msg:custom', hear);
    changed();
  });
  const keep = () => {
    if (!kernel || !fresh || root.matches(':hover') || root.contains(document.activeElement)) return;
    fresh = false;
    kernel.send({keep: state()});
  };
  for (const left of ['mouseleave', 'focusout']) root.addEventListener(left, () => setTimeout(keep, 1000));
  queueMicrotask(() => root.dispatchEvent(new CustomEvent('attention-view', {bubbles: true})));
};
