// How a scene becomes pixels: the course's own generator of training images
// (mrcnn_lite/datasets/drawing.py) in JavaScript, so that what is drawn here looks like what the
// network has learned from. Lengths are pixels, colours RGB in 0..1, angles radians.

export const SIZE = 128; // side of the image
export const KINDS = ["ellipse", "rectangle", "triangle", "star", "crescent"];
export const MAX_ASPECT = { ellipse: 3, rectangle: 3, triangle: 2, star: 1.4, crescent: 1.6 };
export const MIN_SIDE = { ellipse: 20, rectangle: 20, triangle: 22, star: 24, crescent: 24 };
export const LONGEST = 60; // of the training images' objects

const NOISE = 0.05; // standard deviation
const CONTRAST = 0.3; // RGB distance of an object from the background and from the other objects
const SHORTEST = 12;
const [MIN_PIXELS, MIN_SHARE, TRIES] = [80, 0.5, 12]; // see the original

/** A function that gives the next number in 0..1, always the same ones for a seed. */
export function generator(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const between = (random, low, high) => low + (high - low) * random();
const whole = (random, low, high) => low + Math.floor(random() * (high - low)); // without high
const normal = (random) =>
  Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());

const HALF_PLANES = {
  triangle: { angles: [0, 2, 4].map((k) => (k * Math.PI) / 3), reach: 0.5 },
  star: { angles: [0, 1, 2, 3, 4].map((k) => (k * 2 * Math.PI) / 5), reach: Math.cos((2 * Math.PI) / 5) },
};

function disc(u, v, a, b, radius = 1) {
  const length = Math.sqrt(u * u + v * v) + 1e-6;
  return ((length - radius) * length) / (Math.sqrt((u / a) ** 2 + (v / b) ** 2) + 1e-6);
}

/** A function of (u, v), in half sides: the signed distance (px, below 0 inside) from the edge. */
function distances({ kind, long, short, bite }) {
  const [a, b] = [long / 2, short / 2];
  if (kind === "ellipse") return (u, v) => disc(u, v, a, b);
  if (kind === "rectangle") return (u, v) => Math.max((Math.abs(u) - 1) * a, (Math.abs(v) - 1) * b);
  if (kind === "crescent") {
    const [shift, radius] = bite;
    return (u, v) => Math.max(disc(u, v, a, b), -disc(u - shift, v, a, b, radius));
  }
  const { angles, reach } = HALF_PLANES[kind];
  const lines = angles.map((angle) => {
    const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
    return { cos, sin, scale: 1 / Math.hypot(cos / a, sin / b) };
  });
  return (u, v) => {
    let [first, second] = [-Infinity, -Infinity]; // the two largest
    for (const { cos, sin, scale } of lines) {
      const far = (cos * u + sin * v - reach) * scale;
      if (far > first) [first, second] = [far, first];
      else if (far > second) second = far;
    }
    return kind === "triangle" ? first : second; // a star's point is inside of at least four lines
  };
}

/** Signed distance (px) of a point of the image from the shape's edge. */
export function distanceFrom(shape, x, y) {
  const [cos, sin] = [Math.cos(shape.angle), Math.sin(shape.angle)];
  const [dx, dy] = [x - shape.x, y - shape.y];
  return distances(shape)(((cos * dx + sin * dy) * 2) / shape.long, ((cos * dy - sin * dx) * 2) / shape.short);
}

/** Call `visit(index, distance, u, v)` for every pixel of the image that the shape may reach. */
function overPixels(shape, visit) {
  const distance = distances(shape);
  const reach = Math.hypot(shape.long, shape.short) / 2 + 1;
  const [cos, sin] = [Math.cos(shape.angle), Math.sin(shape.angle)];
  const [perLong, perShort] = [2 / shape.long, 2 / shape.short];
  const [left, top] = [shape.x, shape.y].map((middle) => Math.max(0, Math.floor(middle - reach)));
  const [right, bottom] = [shape.x, shape.y].map((middle) => Math.min(SIZE, Math.ceil(middle + reach)));
  for (let y = top; y < bottom; y++) {
    for (let x = left; x < right; x++) {
      const [dx, dy] = [x + 0.5 - shape.x, y + 0.5 - shape.y];
      const [u, v] = [(cos * dx + sin * dy) * perLong, (cos * dy - sin * dx) * perShort];
      visit(y * SIZE + x, distance(u, v), u, v);
    }
  }
}

/** A gradient between two colours, blotches, often stripes: { pixels [3 * S * S], colours }. */
export function background(seed) {
  const random = generator(seed);
  const colour = () => [0, 1, 2].map(() => between(random, 0.1, 0.9));
  const [start, far] = [colour(), colour()];
  const end = start.map((value, c) => value + 0.5 * (far[c] - value));
  const turn = random() * 2 * Math.PI;
  const [cells, strength] = [whole(random, 3, 12), between(random, 0.02, 0.07)];
  const blotches = Array.from({ length: 3 * cells * cells }, () => strength * normal(random));
  const wave = random() < 0.6 ? (between(random, 4, 16) * SIZE * Math.PI) / 64 : 0;
  const across = random() * 2 * Math.PI;
  const tint = [0, 1, 2].map(() => between(random, -0.09, 0.09));
  const pixels = new Float32Array(3 * SIZE * SIZE);
  for (let y = 0; y < SIZE; y++) {
    for (let x = 0; x < SIZE; x++) {
      const [px, py] = [x / (SIZE - 1) - 0.5, y / (SIZE - 1) - 0.5];
      const ramp = Math.cos(turn) * px + Math.sin(turn) * py;
      const stripe = wave && Math.sin(wave * (Math.cos(across) * px + Math.sin(across) * py));
      const [gx, gy] = [(px + 0.5) * (cells - 1), (py + 0.5) * (cells - 1)];
      const [i, j] = [Math.min(Math.floor(gy), cells - 2), Math.min(Math.floor(gx), cells - 2)];
      for (let c = 0; c < 3; c++) {
        const at = (row, column) => blotches[(c * cells + row) * cells + column];
        const top = at(i, j) + (gx - j) * (at(i, j + 1) - at(i, j));
        const bottom = at(i + 1, j) + (gx - j) * (at(i + 1, j + 1) - at(i + 1, j));
        const plain = (start[c] + end[c]) / 2 + (end[c] - start[c]) * ramp;
        pixels[(c * SIZE + y) * SIZE + x] = plain + top + (gy - i) * (bottom - top) + tint[c] * stripe;
      }
    }
  }
  return { pixels, colours: [start, end] };
}

/** The noise of a camera: [3 * S * S]. It stays where it is while objects move. */
export function noise(seed) {
  const random = generator(seed + 1);
  return Float32Array.from({ length: 3 * SIZE * SIZE }, () => NOISE * normal(random));
}

/**
 * Paint a scene.
 *
 * Args: pixels and noise, Float32Array[3 * S * S]; shapes, the lowest first.
 * Returns { image: Float32Array[3 * S * S] in 0..1, owner: Uint8Array[S * S] }: the owner of a pixel
 * is 0 for the background, g + 1 for shape g.
 */
export function paint(pixels, noisy, shapes) {
  const [image, owner] = [pixels.slice(), new Uint8Array(SIZE * SIZE)];
  shapes.forEach((shape, g) => {
    const { colour, tones, ripple } = shape;
    overPixels(shape, (at, far, u, v) => {
      if (far >= 0.5) return;
      let shade = tones[0] * u + tones[1] * v;
      if (ripple) shade += ripple[1] * Math.sin(ripple[0] * (u + v * tones[0] * 10));
      const cover = Math.min(0.5 - far, 1); // share of the pixel that the object covers
      for (let c = 0; c < 3; c++) {
        const i = c * SIZE * SIZE + at;
        image[i] += cover * (colour[c] + shade - image[i]);
      }
      if (far < 0) owner[at] = g + 1;
    });
  });
  for (let i = 0; i < image.length; i++) image[i] = Math.min(Math.max(image[i] + noisy[i], 0), 1);
  return { image, owner };
}

/** The first of some random colours that differs enough from those in use. */
export function pickColour(random, used) {
  const gap = (colour) =>
    Math.min(...used.map((other) => Math.hypot(...colour.map((value, c) => value - other[c]))));
  const tried = Array.from({ length: TRIES }, () => [0, 1, 2].map(() => between(random, 0.05, 0.95)));
  return tried.find((colour) => gap(colour) >= CONTRAST) ?? tried.sort((p, q) => gap(q) - gap(p))[0];
}

/** A shape of a kind in the middle of the image: its size, angle and texture are random. */
export function randomShape(random, kind, used) {
  const long = between(random, Math.max(20, MIN_SIDE[kind]), LONGEST);
  const thin = Math.max(long / between(random, 1, MAX_ASPECT[kind]), Math.min(long, SHORTEST));
  return {
    kind,
    x: SIZE / 2,
    y: SIZE / 2,
    long,
    short: Math.max(thin, MIN_SIDE[kind] / MAX_ASPECT[kind]),
    angle: random() * 2 * Math.PI,
    colour: pickColour(random, used),
    tones: [between(random, -0.1, 0.1), between(random, -0.1, 0.1)],
    ripple: random() < 0.4 ? [between(random, 3, 8), between(random, 0.04, 0.1)] : null,
    bite: [between(random, 0.5, 0.65), between(random, 0.8, 0.9)], // of a crescent
  };
}

/** Put a shape where it and all below it stay visible; false where no such position was found. */
function place(random, shape, owner, needs) {
  const half = Math.ceil(Math.hypot(shape.long, shape.short) / 2) + 2;
  let area = 0;
  overPixels(shape, (_, far) => (area += far < 0));
  const need = Math.max(MIN_PIXELS, MIN_SHARE * area);
  for (let tried = 0; tried < TRIES; tried++) {
    [shape.x, shape.y] = [0, 1].map(() => between(random, half / 2, SIZE - half / 2));
    const [left, mine] = [new Array(needs.length).fill(0), []];
    overPixels(shape, (at, far) => far < 0 && mine.push(at));
    owner.forEach((g) => g && left[g - 1]++);
    mine.forEach((at) => owner[at] && left[owner[at] - 1]--);
    if (mine.length < need || left.some((pixels, g) => pixels < needs[g])) continue;
    needs.push(need);
    mine.forEach((at) => (owner[at] = needs.length));
    return true;
  }
  return false;
}

/** A scene as the training images are: { seed, shapes }, 2 to 5 objects that hide one another. */
export function randomScene(seed) {
  const random = generator(seed + 2);
  const [used, owner, needs] = [background(seed).colours, new Uint8Array(SIZE * SIZE), []];
  const shapes = [];
  for (let count = whole(random, 2, 6); count > 0; count--) {
    const shape = randomShape(random, KINDS[whole(random, 0, KINDS.length)], used);
    if (!place(random, shape, owner, needs)) continue;
    used.push(shape.colour);
    shapes.push(shape);
  }
  return { seed, shapes };
}
