// The scene that the reader edits: shapes, the lowest first, on a drawn ground or a photograph.
import {
  KINDS, LONGEST, MAX_ASPECT, SIZE, background, distanceFrom, generator, noise, paint, pickColour,
  randomScene, randomShape,
} from "./drawing.js";

const [SMALLEST, LARGEST] = [12, 110]; // px; training has 20 to 60

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

export class Scene {
  /** `changed(pixels)` is called after every change; `pixels` says whether the image is another. */
  constructor(changed) {
    this.changed = changed;
    this.random = generator(7);
    this.shapes = [];
    this.chosen = null; // one of the shapes
  }

  /** Show a scene, { seed, shapes }; it is copied, so that the original can come back. */
  load({ seed, shapes }) {
    this.seed = seed;
    this.shapes = structuredClone(shapes);
    this.chosen = null;
    this.setGround(background(seed), noise(seed));
  }

  loadRandom() {
    this.load(randomScene(Math.floor(this.random() * 2 ** 31)));
  }

  /** A ground of the reader's own: pixels [3 * S * S] in 0..1, without noise. */
  loadPhotograph(pixels) {
    this.shapes = [];
    this.chosen = null;
    this.setGround({ pixels, colours: [] }, new Float32Array(pixels.length));
  }

  setGround(ground, noisy) {
    this.ground = ground;
    this.noise = noisy;
    this.changed(true);
  }

  /** { image: Float32Array[3 * S * S], owner: Uint8Array[S * S] }, see `paint`. */
  paint() {
    return paint(this.ground.pixels, this.noise, this.shapes);
  }

  colours() {
    return [...this.ground.colours, ...this.shapes.map((shape) => shape.colour), [0.5, 0.5, 0.5]];
  }

  /** A new shape on top, where there is most room, or at a point with a length. */
  add(kind, point, long) {
    const shape = randomShape(this.random, kind, this.colours());
    if (long) Object.assign(shape, resized(shape, long));
    [shape.x, shape.y] = point ?? this.roomiest();
    this.shapes.push(shape);
    this.chosen = shape;
    this.changed(true);
    return shape;
  }

  /** Of some points the one that is farthest from all shapes. */
  roomiest() {
    const tried = Array.from({ length: 24 }, () => [0, 1].map(() => 24 + this.random() * (SIZE - 48)));
    const room = ([x, y]) => Math.min(99, ...this.shapes.map((shape) => distanceFrom(shape, x, y)));
    return tried.reduce((best, point) => (room(point) > room(best) ? point : best));
  }

  /** The topmost shape at a point, also a little beside it: null where there is none. */
  at([x, y], near = 2) {
    return this.shapes.findLast((shape) => distanceFrom(shape, x, y) < near) ?? null;
  }

  /** Choose a shape, or none. */
  choose(shape) {
    this.chosen = shape;
    this.changed(false);
  }

  /** Choose the next shape, from the lowest to the highest. */
  chooseNext(by = 1) {
    const [n, now] = [this.shapes.length, this.shapes.indexOf(this.chosen)];
    if (n) this.choose(this.shapes[(now + (now < 0 && by < 0 ? 0 : by) + n) % n]);
  }

  /** Change the chosen shape by an edit of `EDITS`; nothing happens where none is chosen. */
  edit(name, amount = 1) {
    if (!this.chosen) return;
    EDITS[name](this.chosen, amount, this);
    this.changed(true);
  }
}

/** The sides of a shape whose long one becomes `long` px, within limits. */
function resized(shape, long) {
  const length = clamp(long, SMALLEST, LARGEST);
  return { long: length, short: (shape.short * length) / shape.long };
}

const stay = (value) => clamp(value, 0, SIZE);

const EDITS = {
  right: (shape, px) => (shape.x = stay(shape.x + px)),
  down: (shape, px) => (shape.y = stay(shape.y + px)),
  moveTo: (shape, [x, y]) => Object.assign(shape, { x: stay(x), y: stay(y) }),
  grow: (shape, factor) => Object.assign(shape, resized(shape, shape.long * factor)),
  resize: (shape, long) => Object.assign(shape, resized(shape, long)),
  turn: (shape, radians) => (shape.angle += radians),
  turnTo: (shape, radians) => (shape.angle = radians),
  stretch: (shape, factor) => {
    const thinnest = shape.long / MAX_ASPECT[shape.kind];
    shape.short = clamp(shape.short / factor, thinnest, shape.long);
  },
  raise: (shape, by, scene) => {
    const others = scene.shapes.filter((other) => other !== shape);
    const place = clamp(scene.shapes.indexOf(shape) + by, 0, others.length);
    scene.shapes = [...others.slice(0, place), shape, ...others.slice(place)];
  },
  recolour: (shape, _, scene) => (shape.colour = pickColour(scene.random, scene.colours())),
  duplicate: (shape, _, scene) => {
    const copy = structuredClone(shape);
    [copy.x, copy.y] = [stay(shape.x + 14), stay(shape.y + 14)];
    copy.colour = pickColour(scene.random, scene.colours());
    scene.shapes.push(copy);
    scene.chosen = copy;
  },
  remove: (shape, _, scene) => {
    scene.shapes = scene.shapes.filter((other) => other !== shape);
    scene.chosen = null;
  },
};

/** In words: "star, 46 px long, turned by 20°", and whether training had such sizes. */
export function describe(shape) {
  const degrees = ((Math.round((shape.angle * 180) / Math.PI) % 360) + 360) % 360;
  const unusual = shape.long > LONGEST ? "longer" : shape.long < 20 ? "shorter" : "";
  const note = unusual && `, ${unusual} than any in training`;
  return `${shape.kind}, ${Math.round(shape.long)} × ${Math.round(shape.short)} px, turned by ${degrees}°${note}`;
}

export { KINDS };
