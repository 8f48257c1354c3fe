// Masks from the RoI back into the image, as `mrcnn_lite.ops.paste` defines it.
import { corners } from "../../mrcnn_lite/lessons/kit/roi_explorer/js/roi_ops.js";

/** Where each of n pixels of an axis lies on the padded mask, and [first, last) that it reaches. */
function positions(low, high, m, n, rule) {
  const f = Math.fround; // the operation's type, whose rounding can move an edge
  let [first, last, position] = [0, 0, null];
  if (rule === "torchvision") {
    const half = f(f(f(high - low) * 0.5) * f((m + 2) / m));
    const centre = f(f(high + low) * 0.5);
    first = Math.trunc(f(centre - half));
    last = Math.max(Math.trunc(f(centre + half)) + 1, first + 1);
    const scale = f((m + 2) / (last - first));
    position = (pixel) => Math.min(Math.max(f(scale * (pixel + 0.5 - first) - 0.5), 0), m + 1);
  } else {
    const size = f(high - low);
    const reach = f(size / (2 * m));
    first = Math.floor(f(low - reach));
    last = size > 0 ? Math.ceil(f(high + reach)) : first;
    position = (pixel) => f(f(f(f(pixel + 0.5 - low) / size) * m) + 0.5);
  }
  const within = (x) => Math.min(Math.max(x, 0), n);
  return { position, first: within(first), last: Math.max(within(last), within(first)) };
}

/**
 * Scale a mask to its box and put it into an image.
 *
 * Args: mask, M * M probabilities, row by row; box, [x1, y1, x2, y2] in pixels; size, of the square
 * image; rule, "torchvision" or "pixel_centres", see `mrcnn_lite.ops.paste_masks`.
 *
 * Returns Float32Array[size * size], 0 away from the box.
 */
export function pasteMask(mask, [x1, y1, x2, y2], size, rule) {
  const m = Math.sqrt(mask.length);
  const out = new Float32Array(size * size);
  const value = (y, x) => (y < 1 || x < 1 || y > m || x > m ? 0 : mask[(y - 1) * m + x - 1]);
  const along = (low, high) => {
    const { position, first, last } = positions(low, high, m, size, rule);
    const pixels = Array.from({ length: last - first }, (_, i) => first + i);
    return pixels.map((pixel) => ({ pixel, ...corners(position(pixel), m + 2) }));
  };
  const columns = along(x1, x2);
  for (const y of along(y1, y2)) {
    for (const x of columns) {
      const [u, v] = [x.fraction, y.fraction];
      const above = (1 - u) * value(y.low, x.low) + u * value(y.low, x.high);
      const below = (1 - u) * value(y.high, x.low) + u * value(y.high, x.high);
      out[y.pixel * size + x.pixel] = (1 - v) * above + v * below;
    }
  }
  return out;
}
