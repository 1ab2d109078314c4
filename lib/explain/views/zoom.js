// What is enlarged. `looks` has the zoom and what is pointed at, y and x, as shares of the image.
const ZOOMS = [1, 2, 3, 4, 6, 8];
const zooming = (looks, changed) => {
  return slider('zoom', ZOOMS.map(n => `${n} ×`), 0, i => { looks.zoom = ZOOMS[i]; changed(); });
};
const inside = share => Math.max(0, Math.min(share, .999));

// The middle of what a canvas shows, and what stands at these shares of the canvas.
const middle = ({zoom, y, x}) => [y, x].map(at => Math.max(.5 / zoom, Math.min(at, 1 - .5 / zoom)));
const unmagnified = (looks, ...shares) => shares.map((share, i) => (share - .5) / looks.zoom + middle(looks)[i]);

// Have a canvas of the picture's shape show the enlarged part of whatever is drawn over all of it.
const enlarge = (canvas, picture, longer, looks) => {
  Object.assign(canvas, fitting(picture, longer));
  const {width, height} = canvas, [y, x] = middle(looks), {zoom} = looks;
  canvas.getContext('2d').setTransform(zoom, 0, 0, zoom, width * (.5 - zoom * x), height * (.5 - zoom * y));
};
