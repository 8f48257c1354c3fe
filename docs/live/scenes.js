// Scenes that the page sets: the first one and those of the tour. Lengths in px, angles in radians.

const PLAIN = { tones: [0.06, -0.05], ripple: null, bite: [0.58, 0.85] };

const shape = (kind, x, y, long, short, angle, colour, more = {}) =>
  ({ ...PLAIN, kind, x, y, long, short, angle, colour, ...more });

const RED = [0.83, 0.27, 0.24];
const BLUE = [0.2, 0.42, 0.8];
const GOLD = [0.92, 0.76, 0.25];
const GREEN = [0.25, 0.62, 0.36];
const VIOLET = [0.55, 0.35, 0.72];
const WAVES = { ripple: [5, 0.07] };

export const FIRST = {
  seed: 29,
  shapes: [
    shape("rectangle", 44, 40, 50, 30, 0.3, BLUE, WAVES),
    shape("ellipse", 92, 88, 52, 34, -0.5, GREEN),
    shape("crescent", 92, 32, 40, 38, 2.4, VIOLET),
    shape("star", 62, 62, 44, 40, 0.2, GOLD),
    shape("triangle", 30, 96, 40, 32, -1.4, RED, WAVES),
  ],
};

export const SIZES = {
  seed: 28,
  shapes: [
    shape("ellipse", 80, 82, 60, 50, 0.4, BLUE, WAVES),
    shape("star", 34, 34, 38, 35, 0.1, GOLD),
    shape("ellipse", 100, 24, 22, 17, 0.3, RED),
  ],
};

export const PAIR = {
  seed: 29,
  shapes: [
    shape("star", 44, 66, 50, 46, 0.3, GOLD),
    shape("rectangle", 92, 62, 46, 30, 1.3, BLUE, WAVES),
  ],
};

export const SMALL = {
  seed: 28,
  shapes: [
    shape("triangle", 30, 32, 26, 22, 0.5, RED),
    shape("ellipse", 90, 34, 28, 16, 0.6, GREEN),
    shape("star", 34, 92, 30, 28, 0.1, GOLD),
    shape("crescent", 92, 90, 32, 28, 2.8, VIOLET),
  ],
};
