// The reader's hands on the scene: pointers (mouse, pen, fingers) and keys.
import { describe } from "./scene.js";

const HANDLE = 16; // CSS pixels around a handle that still take hold of it
const DRAWN = 8; // image pixels from which a drag on empty ground draws a shape
const TURN = Math.PI / 36; // of one key stroke

/** The two handles of a shape, in image pixels: a corner that resizes, a knob that turns. */
export function handlesOf(shape, unit) {
  const [cos, sin] = [Math.cos(shape.angle), Math.sin(shape.angle)];
  const at = (u, v) => [shape.x + u * cos - v * sin, shape.y + u * sin + v * cos];
  const [a, b] = [shape.long / 2 + 3 * unit, shape.short / 2 + 3 * unit];
  const corners = [at(-a, -b), at(a, -b), at(a, b), at(-a, b)];
  return { corners, size: corners[2], knob: at(a + 22 * unit, 0), arm: at(a, 0) };
}

/**
 * Let pointers and keys on the canvas edit the scene. `draws()` is the kind that a drag draws,
 * `pointed(point)` is called for a press on the image, `told(words)` after a key.
 */
export function connect(picture, scene, { draws, pointed, told }) {
  const { canvas } = picture;
  const fingers = new Map();
  let grip = null; // what the pointer holds: a function of its position

  const middleAndSpan = () => {
    const [p, q] = [...fingers.values()];
    return [Math.hypot(q[0] - p[0], q[1] - p[1]), Math.atan2(q[1] - p[1], q[0] - p[0])];
  };

  function pinch(shape) {
    const { long, angle } = shape;
    const [span, slope] = middleAndSpan();
    return () => {
      const [now, turned] = middleAndSpan();
      scene.edit("resize", (long * now) / span);
      scene.edit("turnTo", angle + turned - slope);
    };
  }

  function hold(point, unit) {
    const shape = scene.chosen;
    const near = ([x, y]) => Math.hypot(x - point[0], y - point[1]) < HANDLE * unit;
    if (shape) {
      const handles = handlesOf(shape, unit);
      const from = [shape.x, shape.y];
      const reach = (at) => Math.hypot(at[0] - from[0], at[1] - from[1]);
      if (near(handles.knob)) {
        return (at) => scene.edit("turnTo", Math.atan2(at[1] - from[1], at[0] - from[0]));
      }
      if (near(handles.size)) {
        const [long, start] = [shape.long, reach(point)];
        return (at) => scene.edit("resize", (long * reach(at)) / start);
      }
    }
    const found = scene.at(point);
    scene.choose(found);
    pointed(point);
    if (found) {
      const grab = [found.x - point[0], found.y - point[1]];
      return (at) => scene.edit("moveTo", [at[0] + grab[0], at[1] + grab[1]]);
    }
    let drawn = null;
    return (at) => {
      const long = 2 * Math.hypot(at[0] - point[0], at[1] - point[1]);
      if (!drawn && long > DRAWN) drawn = scene.add(draws(), point, long);
      else if (drawn) scene.edit("resize", long);
      if (drawn) told(describe(drawn));
    };
  }

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, picture.at(event));
    if (fingers.size === 2 && scene.chosen) grip = pinch(scene.chosen);
    else if (fingers.size === 1) grip = hold(picture.at(event), picture.unit);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!fingers.has(event.pointerId)) return;
    fingers.set(event.pointerId, picture.at(event));
    grip?.(picture.at(event));
  });
  for (const end of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(end, (event) => {
      fingers.delete(event.pointerId);
      grip = null;
    });
  }

  const keys = keysOf(scene);
  canvas.addEventListener("keydown", (event) => {
    const act = event.ctrlKey || event.metaKey || event.altKey ? null : keys[event.key];
    if (!act) return;
    event.preventDefault();
    act(event.shiftKey ? 5 : 1);
    if (!event.key.startsWith("Arrow")) told(scene.chosen ? describe(scene.chosen) : "No shape is chosen.");
  });
}

/** What each key does; the argument is 5 with the shift key, else 1. */
function keysOf(scene) {
  const move = (axis, by) => (factor) => {
    if (!scene.chosen) scene.chooseNext();
    scene.edit(axis, by * factor);
  };
  const change = (name, amount) => () => scene.edit(name, amount);
  return {
    ArrowRight: move("right", 1),
    ArrowLeft: move("right", -1),
    ArrowDown: move("down", 1),
    ArrowUp: move("down", -1),
    "+": change("grow", 1.05),
    "=": change("grow", 1.05),
    "-": change("grow", 1 / 1.05),
    _: change("grow", 1 / 1.05),
    "[": change("turn", -TURN),
    "]": change("turn", TURN),
    ",": change("raise", -1),
    ".": change("raise", 1),
    w: change("stretch", 1 / 1.08),
    s: change("stretch", 1.08),
    c: change("recolour"),
    d: change("duplicate"),
    n: () => scene.chooseNext(),
    N: () => scene.chooseNext(-1),
    Delete: change("remove"),
    Backspace: change("remove"),
    Escape: () => scene.choose(null),
  };
}
