// The two figures of the RoI explorer: a map as cells, the RoI on it, and what an operator reads.
//
// One unit of a figure is a CSS px at its natural size. Element i of an axis is the area from i to
// i + 1 (times the cell's side), so its middle is at i + 0.5: a sample at map coordinate p, which
// counts from the middle of element 0, is drawn at p + 0.5.

const SVG = "http://www.w3.org/2000/svg";
const SIDE = 400; // of a figure
export const BEYOND = 0.75; // cells around the map: a RoI may leave it so far, where the border rule is seen
const KNOB = 10; // px that a corner's handle needs beside that
const READABLE = 34; // px; smaller cells carry no number
const MOST = 64; // samples of all bins that are drawn

// Okabe and Ito's colours, as in all figures of the course: bins in turn, corners of a cell.
const BINS = ["#56B4E9", "#E69F00", "#009E73", "#CC79A7"];
const CORNERS = ["#56B4E9", "#E69F00", "#009E73", "#CC79A7"];
// Viridis at nine positions; the page mixes it with its background.
const VIRIDIS = ["440154", "472d7b", "3b528b", "2c728e", "21918c", "28ae80", "5ec962", "addc30", "fde725"];

/** An SVG element with attributes. */
export function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** A number with fixed decimals and a true minus; never a negative zero. */
export function decimal(value, digits = 4) {
  const text = value.toFixed(digits);
  return Number(text) === 0 ? text.replace("-", "") : text.replace("-", "−");
}

/** Viridis at a position from 0 to 1. */
function viridis(position) {
  const at = Math.min(Math.max(position, 0), 1) * (VIRIDIS.length - 1);
  const low = Math.min(Math.floor(at), VIRIDIS.length - 2);
  const part = (hex, k) => parseInt(hex.slice(2 * k, 2 * k + 2), 16);
  const mix = (k) => {
    const [a, b] = [part(VIRIDIS[low], k), part(VIRIDIS[low + 1], k)];
    return Math.round(a + (at - low) * (b - a));
  };
  return `rgb(${mix(0)} ${mix(1)} ${mix(2)})`;
}

/** The colour of bin number k, here and in the tables. */
export const binColour = (k) => BINS[k % BINS.length];

/** Elements of one kind that are made once, then moved; spare ones are hidden. */
class Pool {
  constructor(parent, make) {
    Object.assign(this, { parent, make, nodes: [] });
  }

  /** Show one element per item, with the attributes, and the text, that `look` gives for it. */
  show(items, look) {
    while (this.nodes.length < items.length) {
      this.nodes.push(this.parent.appendChild(this.make(this.nodes.length)));
    }
    this.nodes.forEach((node, k) => {
      node.style.display = k < items.length ? "" : "none";
      if (k >= items.length) return;
      const { text, ...attributes } = look(items[k], k);
      for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
      if (text !== undefined) node.textContent = text;
    });
  }
}

const rectangle = ([x1, y1, x2, y2]) => ({
  x: Math.min(x1, x2),
  y: Math.min(y1, y2),
  width: Math.abs(x2 - x1),
  height: Math.abs(y2 - y1),
});

/** One figure; RoIPool's and RoIAlign's differ only in what is drawn over the map. */
export class Panel {
  /** `name` is the operator; `label` describes the figure to a screen reader. */
  constructor(name, label) {
    this.name = name;
    this.svg = svg("svg", { viewBox: `0 0 ${SIDE} ${SIDE}`, role: "group", "aria-label": label });
    const layer = (kind) => this.svg.appendChild(svg("g", { class: kind, "aria-hidden": "true" }));
    this.cells = layer("cells");
    const overlay = layer("marks");
    const pool = (tag, kind) => new Pool(overlay, () => svg(tag, { class: kind }));
    this.shared = pool("rect", "shared");
    this.areas = pool("rect", "area");
    this.window = pool("rect", name === "RoIPool" ? "window pool" : "window align");
    this.bins = pool("rect", "bin");
    this.maxima = pool("circle", "maximum");
    this.dots = pool("path", "sample");
    this.rings = pool("circle", "corner");
    this.chosen = pool("circle", "chosen");
    const frame = layer("marks");
    this.roi = new Pool(frame, () => svg("rect", { class: "roi" }));
    this.values = layer("values"); // above all lines, which would hide a minus sign
    const counts = layer("values");
    this.counts = new Pool(counts, () => svg("text", { class: "count", "text-anchor": "end" }));
    this.arrows = new Pool(this.svg, () => svg("path", { class: "arrow", "aria-hidden": "true" }));
  }

  /** Draw the map anew: only when its numbers, its size or the overlay change. */
  drawMap(map, gradient) {
    this.map = map;
    this.cell = (SIDE - 2 * KNOB) / (Math.max(map.h, map.w) + 2 * BEYOND);
    this.margin = BEYOND * this.cell + KNOB;
    const shown = gradient ?? map.values;
    const low = gradient ? 0 : Math.min(...shown);
    const span = Math.max(...shown) - low || 1;
    const readable = this.cell >= READABLE;
    const key = `${map.h}x${map.w}`;
    if (this.key !== key) this.buildCells(map, readable);
    this.key = key;
    shown.forEach((value, at) => {
      const silent = gradient && value === 0;
      this.tiles[at].setAttribute("fill", silent ? "none" : viridis((value - low) / span));
      if (readable) this.texts[at].textContent = silent ? "" : decimal(value, 2);
    });
    this.cells.classList.toggle("gradient", Boolean(gradient));
  }

  buildCells(map, readable) {
    this.cells.replaceChildren();
    this.values.replaceChildren();
    this.tiles = [];
    this.texts = [];
    const middle = { "text-anchor": "middle", "dominant-baseline": "central" };
    const text = (x, y, content, kind) =>
      this.values.appendChild(svg("text", { x, y, class: kind, ...middle }, content));
    for (let row = 0; row < map.h; row++) {
      for (let column = 0; column < map.w; column++) {
        const [x, y] = [this.at(column), this.at(row)];
        const side = { x, y, width: this.cell, height: this.cell, class: "cell" };
        this.tiles.push(this.cells.appendChild(svg("rect", side)));
        if (readable) {
          this.texts.push(text(x + this.cell / 2, y + this.cell / 2, "", "value"));
        }
      }
    }
    const every = Math.ceil(16 / this.cell);
    for (let i = 0; i < Math.max(map.h, map.w); i += every) {
      if (i < map.w) text(this.at(i + 0.5), Math.max(this.margin - 11, 8), String(i), "index");
      if (i < map.h) text(Math.max(this.margin - 11, 8), this.at(i + 0.5), String(i), "index");
    }
  }

  /** Cells, counted from the map's corner, to px of the figure. */
  at(cells) {
    return this.margin + cells * this.cell;
  }

  box(corners) {
    return corners.map((corner) => this.at(corner));
  }

  /** The RoI as it is in the image, in cells. */
  drawRoi(roi) {
    this.roiBox = this.box(roi);
    this.roi.show([this.roiBox], rectangle);
  }

  /** RoIPool: the rounded window, the overlapping bins, the maxima. */
  drawPool(pool, chosen) {
    this.window.show([this.box(pool.window)], rectangle);
    const bins = pool.rows.flatMap(([top, bottom]) =>
      pool.columns.map(([left, right]) => [left, top, right, bottom]),
    );
    this.bins.show(bins, ([left, top, right, bottom], k) => {
      // Bins that share an edge are drawn a little inside each other, so that both are seen.
      const inset = 0.05 + 0.04 * (k % BINS.length);
      const empty = right <= left || bottom <= top;
      const edges = this.box([left + inset, top + inset, right - inset, bottom - inset]);
      const look = { stroke: binColour(k), fill: binColour(k), class: binClass(k, chosen) };
      return { ...rectangle(edges), ...look, visibility: empty ? "hidden" : "visible" };
    });
    this.maxima.show(pool.argmax, (cell, k) => ({
      cx: this.at((Math.max(cell, 0) % this.map.w) + 0.5),
      cy: this.at(Math.floor(Math.max(cell, 0) / this.map.w) + 0.5),
      r: Math.min(this.cell * 0.42, 22),
      class: k === chosen ? "maximum is-chosen" : "maximum",
      visibility: cell < 0 ? "hidden" : "visible",
    }));
  }

  /** RoIPool's cells in several bins, shaded and counted; `counts` is null where that is not shown. */
  drawCounts(counts) {
    const several = (counts ?? []).map((count, cell) => [count, cell]).filter(([count]) => count > 1);
    const corner = (cell) => [cell % this.map.w, Math.floor(cell / this.map.w)];
    this.shared.show(several, ([count, cell]) => {
      const [x, y] = corner(cell);
      const opacity = Math.min(0.07 * (count - 1), 0.28); // numbers stand on it
      return { ...rectangle(this.box([x, y, x + 1, y + 1])), "fill-opacity": opacity };
    });
    this.counts.show(this.cell >= READABLE ? several : [], ([count, cell]) => {
      const [x, y] = corner(cell);
      return { x: this.at(x + 0.96), y: this.at(y + 0.94), text: `×${count}` };
    });
  }

  /** RoIAlign: the window as it is sampled, equal bins, samples; one sample with its corners. */
  drawAlign(align, size, chosen, sample) {
    const { x, y } = align;
    const [left, top] = [x.start + 0.5, y.start + 0.5];
    const [width, height] = [x.extent / size, y.extent / size];
    this.window.show([this.box([left, top, left + x.extent, top + y.extent])], rectangle);
    const bins = Array.from({ length: size * size }, (_, k) => [Math.floor(k / size), k % size]);
    this.bins.show(bins, ([row, column], k) => {
      // A little smaller than it is, so that the frames of neighbours are both seen.
      const inset = 0.03 * Math.sign(width);
      const [x1, y1] = [left + column * width + inset, top + row * height + inset];
      const edges = this.box([x1, y1, x1 + width - 2 * inset, y1 + height - 2 * inset]);
      return { ...rectangle(edges), class: binClass(k, chosen) };
    });
    const [row, column] = bins[chosen];
    this.drawSamples(align, size, row, column, sample);
  }

  /** The samples of all bins while they are few, else of the chosen one: numbers must stay readable. */
  drawSamples({ x, y }, size, row, column, sample) {
    const apart = Math.min(Math.abs(x.extent), Math.abs(y.extent)) / (x.bins.length * Math.max(x.count, 1));
    const radius = Math.min(Math.max(apart * this.cell * 0.36, 1.3), 5);
    // All samples are one path of points with round ends, drawn twice: a rim, and what it frames.
    // Thousands of circles would take longer than a frame.
    const at = (positions) => positions.map((position) => this.at(position + 0.5).toFixed(1));
    const points = (xs, ys) => at(ys).flatMap((py) => at(xs).map((px) => `M${px} ${py}h0`)).join("");
    const few = size * size * x.count * y.count <= MOST;
    const every = few ? points(x.bins.flat(), y.bins.flat()) : "";
    const mine = points(x.bins[column], y.bins[row]);
    const looks = [["rim", every], ["fill", every], ["rim is-chosen", mine], ["fill is-chosen", mine]];
    this.dots.show(looks, ([kind, d]) => {
      const width = 2 * radius - (kind.startsWith("rim") ? 0 : 1.6);
      return { d, class: `sample ${kind}`, "stroke-width": width };
    });
    const shown = sample?.counts ? [sample] : [];
    this.areas.show(shown.length ? sample.areas : [], (area, k) => ({ ...rectangle(this.box(area)), fill: CORNERS[k] }));
    this.rings.show(shown.length ? sample.corners : [], ([cx, cy], k) => ({
      cx: this.at(cx),
      cy: this.at(cy),
      r: Math.min(this.cell * 0.4, 21),
      stroke: CORNERS[k],
    }));
    this.chosen.show(sample ? [sample] : [], (it) => ({
      cx: this.at(it.x + 0.5),
      cy: this.at(it.y + 0.5),
      r: Math.max(radius, 3.5) + 2,
    }));
  }

  /** An arrow at each edge of the RoI: where it must go for the output to grow. */
  drawArrows(slopes) {
    if (!slopes) return this.arrows.show([], () => ({}));
    const [x1, y1, x2, y2] = this.roiBox;
    const [cx, cy] = [(x1 + x2) / 2, (y1 + y2) / 2];
    const starts = [[x1, cy], [cx, y1], [x2, cy], [cx, y2]];
    this.arrows.show(slopes, (slope, k) => {
      const length = Math.max(Math.min(slope * this.cell * 0.9, 90), -90);
      const [x, y] = starts[k];
      return { d: arrow(x, y, k % 2 ? 0 : length, k % 2 ? length : 0) };
    });
  }
}

const binClass = (k, chosen) => (k === chosen ? "bin is-chosen" : "bin");

/** A path from (x, y) by (dx, dy) with a head, along one axis; too short to see: a mere tick. */
function arrow(x, y, dx, dy) {
  const length = Math.hypot(dx, dy);
  if (length < 1) return `M${x - 2} ${y - 2}L${x + 2} ${y + 2}`;
  const [ux, uy] = [dx / length, dy / length];
  const head = Math.min(8, length);
  const [ex, ey] = [x + dx, y + dy];
  const [bx, by] = [ex - ux * head, ey - uy * head];
  const [wx, wy] = [-uy * head * 0.6, ux * head * 0.6];
  return `M${x} ${y}L${ex} ${ey}M${bx + wx} ${by + wy}L${ex} ${ey}L${bx - wx} ${by - wy}`;
}
