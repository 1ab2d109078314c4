// A phone starts with the contents folded; one button folds or unfolds all code.
if (innerWidth < 1100) document.querySelector('.contents details').open = false;
const code = document.querySelectorAll('details.code'), all = document.getElementById('all-code');
all.hidden = code.length === 0;
all.onclick = () => {
  const open = all.textContent.startsWith('Show');
  code.forEach(each => { each.open = open; });
  all.textContent = open ? 'Hide all code' : 'Show all code';
};
