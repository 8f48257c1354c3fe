// What the reader takes hold of: the RoI's body and corners, with the pointer or with the arrow keys.

import { BEYOND, svg } from "./roi_panels.js";

const HANDLES = [
  ["move the RoI", [0, 1, 2, 3]],
  ["upper left corner", [0, 1]],
  ["upper right corner", [2, 1]],
  ["lower left corner", [0, 3]],
  ["lower right corner", [2, 3]],
];

/** Handles in both figures; the keyboard finds those of the first. */
export class Handles {
  constructor(explorer, panels) {
    this.explorer = explorer;
    this.handles = [];
    this.time = 0; // ms that a drag took since it was last asked
    panels.forEach((panel, which) => {
      HANDLES.forEach(([what, sides], k) => {
        const keys = which ? { "aria-hidden": "true" } : { tabindex: 0, role: "button" };
        const label = which ? {} : { "aria-label": `${what}: drag it, or use the arrow keys` };
        const node = svg("g", { class: k ? "handle corner-handle" : "handle body-handle", ...keys, ...label });
        if (k) node.append(svg("circle", { class: "reach", r: 17 }), svg("circle", { class: "knob", r: 7 }));
        else node.append(svg("rect", { class: "grip" }));
        node.addEventListener("pointerdown", (event) => this.grab(event, panel, sides));
        node.addEventListener("keydown", (event) => this.key(event, sides));
        panel.svg.append(node);
        this.handles.push({ node, panel, sides, corner: k > 0 });
      });
    });
  }

  /** How far the box can still go, px: [left, right] and [up, down]. */
  room(box, sides = [0, 1, 2, 3]) {
    const [map, stride] = [this.explorer.current, this.explorer.store.get("stride")];
    const beyond = BEYOND * stride;
    return [map.w, map.h].map((cells, axis) => {
      const mine = sides.filter((side) => side % 2 === axis).map((side) => box[side]);
      return [beyond + Math.min(...mine), cells * stride + beyond - Math.max(...mine)];
    });
  }

  /** Move some sides of the box by whole steps; corners never pass each other. */
  move(box, sides, dx, dy) {
    const step = this.explorer.current.coarsest / 32;
    const room = this.room(box, sides);
    const moved = [...box];
    const shift = [dx, dy].map((by, axis) => {
      const [back, on] = room[axis];
      return Math.min(Math.max(Math.round(by / step) * step, -back), on);
    });
    for (const side of sides) moved[side] = box[side] + shift[side % 2];
    if (sides.length === 2) {
      for (const side of sides) {
        const other = box[(side + 2) % 4];
        moved[side] = side < 2 ? Math.min(moved[side], other - step) : Math.max(moved[side], other + step);
      }
    }
    this.explorer.change({ box: moved });
  }

  grab(event, panel, sides) {
    event.preventDefault();
    event.currentTarget.focus?.();
    const [startX, startY] = [event.clientX, event.clientY];
    const box = [...this.explorer.store.get("box")];
    // The figure's size on the page is read once, so that a drag never waits for the layout.
    const scale = panel.svg.viewBox.baseVal.width / panel.svg.getBoundingClientRect().width;
    const pxPerUnit = (scale / panel.cell) * this.explorer.store.get("stride");
    const follow = (moved) => {
      const start = performance.now();
      this.move(box, sides, (moved.clientX - startX) * pxPerUnit, (moved.clientY - startY) * pxPerUnit);
      this.time += performance.now() - start;
    };
    const target = event.currentTarget;
    const release = () => {
      target.removeEventListener("pointermove", follow);
      for (const name of ["pointerup", "pointercancel"]) target.removeEventListener(name, release);
    };
    target.setPointerCapture(event.pointerId);
    target.addEventListener("pointermove", follow);
    for (const name of ["pointerup", "pointercancel"]) target.addEventListener(name, release);
  }

  key(event, sides) {
    const directions = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const direction = directions[event.key];
    if (!direction) return;
    event.preventDefault();
    event.stopPropagation();
    const { coarsest } = this.explorer.current;
    const step = event.shiftKey ? coarsest : coarsest / 32;
    this.move([...this.explorer.store.get("box")], sides, direction[0] * step, direction[1] * step);
  }

  /** Put the handles where the panels have drawn the RoI. */
  place() {
    for (const { node, panel, sides, corner } of this.handles) {
      const [x1, y1, x2, y2] = panel.roiBox;
      if (corner) {
        node.setAttribute("transform", `translate(${panel.roiBox[sides[0]]} ${panel.roiBox[sides[1]]})`);
      } else {
        const grip = node.firstChild;
        const edges = { x: x1, y: y1, width: Math.max(x2 - x1, 1), height: Math.max(y2 - y1, 1) };
        for (const [name, value] of Object.entries(edges)) grip.setAttribute(name, value);
      }
    }
  }
}
