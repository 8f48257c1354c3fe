// Drawing on canvases: numbers as colours, boxes, points. The unit of a picture is an image pixel.

// matplotlib's viridis at 17 places, from purple, little, to yellow, much.
const VIRIDIS =
  "440154 48186a 472d7b 424086 3b528b 33638d 2c728e 26828e 21918c 1fa088 28ae80 3fbc73 5ec962 84d44b addc30 d8e219 fde725"
    .split(" ")
    .map((hex) => [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16)));
const TABLE = Uint8ClampedArray.from({ length: 3 * 256 }, (_, i) => {
  const [place, c] = [(Math.floor(i / 3) / 255) * 16, i % 3];
  const low = Math.min(Math.floor(place), 15);
  return VIRIDIS[low][c] + (place - low) * (VIRIDIS[low + 1][c] - VIRIDIS[low][c]);
});

// Okabe and Ito's colours, in the order in which objects get them (mrcnn_lite/draw.py).
export const COLOURS = ["#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442"];
export const colourOf = (slot) => COLOURS[slot % COLOURS.length];
export const rgbOf = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));

/** viridis at t in 0..1 as a CSS colour. */
export function viridis(t) {
  const at = 3 * Math.round(Math.min(Math.max(t, 0), 1) * 255);
  return `rgb(${TABLE[at]} ${TABLE[at + 1]} ${TABLE[at + 2]})`;
}

/** The smallest and the largest of some numbers. */
export function range(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return [low, high];
}

/** A canvas of w x h pixels without a place in the page. */
export function bitmap(w, h = w) {
  return Object.assign(document.createElement("canvas"), { width: w, height: h });
}

/** A pixel as a canvas keeps it, one number: red in its lowest byte, as processors order bytes. */
export const pixel = (r, g, b, a) => ((a << 24) | (b << 16) | (g << 8) | r) >>> 0;

const COLOUR = Uint32Array.from({ length: 256 }, (_, i) => pixel(...TABLE.subarray(3 * i, 3 * i + 3), 0));
const kept = new WeakMap(); // of canvases: their pixels, which every frame writes anew

/** Write a canvas's pixels: `fill(pixels)` gets Uint32Array[w * h] of transparent ones, see `pixel`. */
export function fillPixels(canvas, fill) {
  const { width, height } = canvas;
  const context = canvas.getContext("2d");
  let image = kept.get(canvas);
  if (image?.width !== width || image.height !== height) {
    image = context.createImageData(width, height);
    kept.set(canvas, image);
  }
  fill(new Uint32Array(image.data.buffer).fill(0));
  context.putImageData(image, 0, 0);
  return canvas;
}

/** An image [3, S, S] in 0..1 on a canvas of S x S. */
export function paintImage(canvas, image) {
  const n = canvas.width * canvas.height;
  const byte = (i) => Math.round(255 * image[i]);
  return fillPixels(canvas, (pixels) => {
    for (let i = 0; i < n; i++) pixels[i] = pixel(byte(i), byte(n + i), byte(2 * n + i), 255);
  });
}

/** The same without colours and paler, so that what is drawn over it stands out. */
export function paintGrey(canvas, image) {
  const n = canvas.width * canvas.height;
  return fillPixels(canvas, (pixels) => {
    for (let i = 0; i < n; i++) {
      const tone = 0.3 * image[i] + 0.59 * image[n + i] + 0.11 * image[2 * n + i];
      const byte = Math.round(90 + 140 * tone);
      pixels[i] = pixel(byte, byte, byte, 255);
    }
  });
}

/** Numbers [h, w] in viridis on a canvas of w x h; opaque, or with `alpha(t)` in 0..1. */
export function paintMap(canvas, values, low, high, alpha = () => 1) {
  const span = high - low || 1;
  return fillPixels(canvas, (pixels) => {
    for (let i = 0; i < values.length; i++) {
      const t = Math.min(Math.max((values[i] - low) / span, 0), 1);
      pixels[i] = COLOUR[Math.round(t * 255)] | (Math.round(255 * alpha(t)) << 24);
    }
  });
}

/** Pixels [S * S] of a mask in a colour, the rest transparent. */
export function paintMask(canvas, inside, hex, alpha) {
  const colour = pixel(...rgbOf(hex), Math.round(255 * alpha));
  return fillPixels(canvas, (pixels) => {
    for (let i = 0; i < inside.length; i++) if (inside[i]) pixels[i] = colour;
  });
}

/** The outline of a mask [S * S] along the pixels' edges: lines [x1, y1, x2, y2]. */
export function edgesOf(pixels) {
  const [n, lines] = [Math.sqrt(pixels.length), []];
  for (let y = 0; y < n; y++) {
    for (let x = 0; x < n; x++) {
      const i = y * n + x;
      const here = pixels[i];
      if (here !== (x ? pixels[i - 1] : 0)) lines.push([x, y, x, y + 1]);
      if (here !== (y ? pixels[i - n] : 0)) lines.push([x, y, x + 1, y]);
      if (here && x === n - 1) lines.push([n, y, n, y + 1]);
      if (here && y === n - 1) lines.push([x, n, x + 1, n]);
    }
  }
  return lines;
}

const sizes = new WeakMap(); // of canvases in the page, in CSS pixels
const sizing = new ResizeObserver((entries) => {
  for (const { target, contentRect } of entries) {
    sizes.set(target, [contentRect.width, contentRect.height]);
    target.dispatchEvent(new Event("resized"));
  }
});

/** A canvas in the page that shows a window of the image, [x1, y1, x2, y2] in image pixels. */
export class Picture {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    sizing.observe(canvas);
  }

  /** Begin anew; false where the canvas has no size yet. */
  begin(view = [0, 0, 128, 128]) {
    const [width, height] = sizes.get(this.canvas) ?? [0, 0];
    const dense = Math.min(devicePixelRatio, 2);
    const [w, h] = [Math.round(width * dense), Math.round(height * dense)];
    if (!w || !h) return false;
    if (this.canvas.width !== w) this.canvas.width = w;
    if (this.canvas.height !== h) this.canvas.height = h;
    this.view = view;
    this.unit = (view[2] - view[0]) / width; // image pixels in a CSS pixel
    const scale = w / (view[2] - view[0]);
    this.context.setTransform(scale, 0, 0, scale, -view[0] * scale, -view[1] * scale);
    this.context.imageSmoothingEnabled = false;
    this.context.clearRect(view[0], view[1], view[2] - view[0], view[3] - view[1]);
    return true;
  }

  /** A bitmap over a box of the image. */
  bitmap(source, [x1, y1, x2, y2] = [0, 0, 128, 128]) {
    this.context.drawImage(source, x1, y1, x2 - x1, y2 - y1);
  }

  /** A veil over everything, so that lines stand out. */
  veil(colour) {
    const [x1, y1, x2, y2] = this.view;
    this.context.fillStyle = colour;
    this.context.fillRect(x1, y1, x2 - x1, y2 - y1);
  }

  /** Outlines of boxes; `width` in CSS pixels. A dark or light rim keeps them legible anywhere. */
  boxes(boxes, colour, { width = 2, dashed = false, rim = "" } = {}) {
    const { context, unit } = this;
    context.beginPath();
    for (const [x1, y1, x2, y2] of boxes) context.rect(x1, y1, x2 - x1, y2 - y1);
    if (rim) this.#stroke(rim, width + 2);
    context.setLineDash(dashed ? [4 * unit, 3 * unit] : []);
    this.#stroke(colour, width);
    context.setLineDash([]);
  }

  /** Round points, `radius` in CSS pixels. */
  points(points, colour, radius, rim = "") {
    const { context, unit } = this;
    context.beginPath();
    for (const [x, y] of points) {
      context.moveTo(x + radius * unit, y);
      context.arc(x, y, radius * unit, 0, 2 * Math.PI);
    }
    if (rim) this.#stroke(rim, 2);
    context.fillStyle = colour;
    context.fill();
  }

  /** Straight lines [x1, y1, x2, y2]. */
  lines(lines, colour, width = 1, rim = "") {
    this.context.beginPath();
    for (const [x1, y1, x2, y2] of lines) {
      this.context.moveTo(x1, y1);
      this.context.lineTo(x2, y2);
    }
    if (rim) this.#stroke(rim, width + 2);
    this.#stroke(colour, width);
  }

  /** Text of `size` CSS pixels; `on` is the colour of a plate behind it. */
  text(words, x, y, { colour = "#fff", size = 12, align = "left", on = "", weight = 600 } = {}) {
    const { context, unit } = this;
    context.save();
    context.setTransform(1, 0, 0, 1, 0, 0);
    const scale = this.canvas.width / (this.view[2] - this.view[0]);
    const pixel = unit * scale; // device pixels in a CSS pixel
    context.font = `${weight} ${size * pixel}px system-ui, sans-serif`;
    context.textAlign = align;
    context.textBaseline = "middle";
    let [left, middle] = [(x - this.view[0]) * scale, (y - this.view[1]) * scale];
    if (on) {
      const length = context.measureText(words).width + 8 * pixel;
      const tall = (size + 6) * pixel;
      left = Math.max(0, Math.min(left, this.canvas.width - length));
      middle = Math.max(tall / 2, Math.min(middle, this.canvas.height - tall / 2));
      context.fillStyle = on;
      context.beginPath();
      context.roundRect(left, middle - tall / 2, length, tall, 3 * pixel);
      context.fill();
      left += 4 * pixel;
    }
    context.fillStyle = colour;
    context.fillText(words, left, middle);
    context.restore();
  }

  /** Where a pointer is, in image pixels. */
  at(event) {
    const box = this.canvas.getBoundingClientRect();
    const [x1, y1, x2] = this.view ?? [0, 0, 128, 128];
    const unit = (x2 - x1) / box.width;
    return [x1 + (event.clientX - box.left) * unit, y1 + (event.clientY - box.top) * unit];
  }

  #stroke(colour, width) {
    this.context.strokeStyle = colour;
    this.context.lineWidth = width * this.unit;
    this.context.stroke();
  }
}
