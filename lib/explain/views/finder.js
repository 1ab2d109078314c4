// Images to choose from: those that a search finds, or that a person brings; without a kernel those of the page. `now()` tells
// which image is shown, and whose answers are searched.
const finder = (data, now, chosen) => {
  const search = {text: '', label: '', answered: 'all', order: data.orders[0], start: 0};
  const row = el('div', {className: 'choices', role: 'group', 'aria-label': 'image'});
  const count = el('output', {role: 'status'});

  const show = images => {
    const buttons = images.map(({id, name, src}) => {
      const button = el('button', {type: 'button', title: name}, el('img', {src, alt: name}));
      button.setAttribute('aria-pressed', id === now().image);
      button.addEventListener('click', () => {
        for (const each of buttons) each.setAttribute('aria-pressed', each === button);
        pick(id);
      });
      return button;
    });
    row.replaceChildren(...buttons);
    row.hidden = images.length < 2 && !kernel;
  };

  const pick = id => { say('bring', ''); chosen(id); };

  const find = () => {
    ask('find', {what: 'find', network: now().network, ...search}, ({count: all, start, images}) => {
      show(images);
      [back.disabled, on.disabled] = [start === 0, start + images.length >= all];
      const page = images.length ? `${start + 1} to ${start + images.length} of ` : '';
      count.textContent = all ? `${page}${all} images` : 'no image is like that';
    });
  };
  const searched = (name, value) => { Object.assign(search, {start: 0, [name]: value}); find(); };
  const turn = by => { search.start = Math.max(0, search.start + by); find(); };

  const words = el('input', {type: 'search', placeholder: 'part of an id or class'});
  words.addEventListener('input', () => searched('text', words.value));
  const back = pressing('‹ before', () => turn(-data.page)), on = pressing('next ›', () => turn(data.page));
  const file = el('input', {type: 'file', accept: 'image/*,.tif,.tiff', hidden: true, tabIndex: -1});
  file.addEventListener('change', () => { bring(file.files[0]); file.value = ''; });
  const controls = el('div', {className: 'controls wide', hidden: true},
    labelled('find', words),
    select('class', ['any', ...data.classes], i => searched('label', i ? data.classes[i - 1] : '')),
    select('answered', data.answered, i => searched('answered', data.answered[i])),
    select('in order', data.orders, i => searched('order', data.orders[i])),
  );
  const pages = el('p', {className: 'pages', hidden: true}, back, on, count, file, pressing('Your own image…', () => file.click()));

  // A file in pieces, since a server drops a connection whose message is larger than 10 MB.
  const PIECE = 4 * 2 ** 20, LARGEST = 16 * PIECE;
  const bring = async brought => {
    if (!brought) return;
    if (brought.size > LARGEST) {
      return say('bring', `${brought.name} has ${Math.round(brought.size / 2 ** 20)} MB: bring an image of at most 64 MB.`);
    }
    const parts = Math.max(1, Math.ceil(brought.size / PIECE));
    for (let part = 0; part < parts; part++) {
      const piece = await brought.slice(part * PIECE, (part + 1) * PIECE).arrayBuffer();
      const taken = await new Promise(resolve => {
        ask('bring', {what: 'bring', name: brought.name, part, parts}, resolve, [piece]);
        if (parts > 1) say('bring', `${brought.name}: piece ${part + 1} of ${parts} on its way.`);
      });
      if (taken.image) pick(taken.image);
    }
  };
  root.addEventListener('dragover', event => { if (kernel) event.preventDefault(); });
  root.addEventListener('drop', event => {
    if (!kernel || !event.dataTransfer.files.length) return;
    event.preventDefault();
    event.stopPropagation(); // JupyterLab would take the file into its folder
    bring(event.dataTransfer.files[0]);
  });

  return {
    node: el('div', {}, controls, pages, row),
    find: () => { controls.hidden = pages.hidden = false; find(); },
    // Without a kernel: the images of which the page holds maps.
    hold: ids => { controls.hidden = pages.hidden = true; show([...new Set(ids)].map(id => {
      const [, picture] = [...known].find(([wish]) => { const {what, image} = JSON.parse(wish); return what === 'image' && image === id; });
      return {id, name: id, src: picture.src};
    })); },
  };
};
