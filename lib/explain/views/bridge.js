// Draws nothing: hands the views of its name a line to the kernel, whichever of them and it is there first.
export default {
  render({model}) {
    const mine = `.attention-view[data-bridge="${model.get('view')}"]`;
    const hand = view => view.dispatchEvent(new CustomEvent('kernel', {detail: model}));
    const meet = ({target}) => { if (target.matches?.(mine)) hand(target); };
    document.addEventListener('attention-view', meet);
    document.querySelectorAll(mine).forEach(hand);
    return () => document.removeEventListener('attention-view', meet);
  },
};
