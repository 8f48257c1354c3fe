// The RoI explorer: drag a RoI and see RoIPool jump and RoIAlign glide.
//
// `mount(element, store)` builds it. A store holds the state: { get(name), set(name, value),
// save(), listen(callback) }. In JupyterLab the store is the Python object's traits; on a page without a
// kernel it is `localStore(state)`. Everything that is shown is computed here, from the state alone.

import { boxGradients, chosenSample, mapGradients, roiAlign, roiPool } from "./roi_ops.js";
import { BEYOND, Panel, svg } from "./roi_panels.js";
import { check, html, range, select } from "./roi_controls.js";
import { Chart } from "./roi_chart.js";
import { Words } from "./roi_words.js";

const SAVE_EVERY = 60; // ms between two states that are sent to Python during a drag
const FRAMES = 300; // durations that are kept, ms: `element.frames`
const LARGEST = 7; // bins per axis
const PLAY = "Slide the RoI for me";
const HANDLES = [
  ["move the RoI", [0, 1, 2, 3]],
  ["upper left corner", [0, 1]],
  ["upper right corner", [2, 1]],
  ["lower left corner", [0, 3]],
  ["lower right corner", [2, 3]],
];

/** A state without a kernel. */
export function localStore(state) {
  const values = structuredClone(state);
  let changed = () => {};
  return {
    get: (name) => values[name],
    set: (name, value) => {
      values[name] = value;
      changed();
    },
    save: () => {},
    listen: (callback) => {
      changed = callback;
    },
  };
}

/** The numbers that the state names, as { h, w, values }. */
function mapOf(store) {
  const own = store.get("map") === "own";
  const rows = own ? store.get("own") : store.get("maps").find((it) => it.key === store.get("map")).rows;
  return { h: rows.length, w: rows[0].length, values: rows.flat() };
}

class Explorer {
  constructor(element, store) {
    this.store = store;
    this.root = html("div", { class: "roi-explorer", "data-lm-suppress-shortcuts": "true" });
    this.root.frames = [];
    // A notebook takes arrow keys for itself, and a slider would not move.
    this.root.addEventListener("keydown", (event) => {
      if (!["Escape", "Tab"].includes(event.key)) event.stopPropagation();
    });
    this.panels = [
      new Panel("RoIPool", "RoIPool: the map, the RoI, its rounded window, the bins and their maxima"),
      new Panel("RoIAlign", "RoIAlign: the map, the RoI, its bins and its sampling points"),
    ];
    this.words = new Words((bin) => this.change({ bin: bin + 1, sample: 1 }));
    this.playButton = html("button", { type: "button", onclick: () => this.play() }, PLAY);
    this.chart = new Chart(this.playButton);
    this.root.append(this.words.status, this.buildPanels(), this.chart.node, this.buildControls());
    element.append(this.root);
    this.addHandles();
    store.listen(() => this.request());
    this.draw();
  }

  // --- building ---------------------------------------------------------------------------------

  buildPanels() {
    const place = html("div", { class: "panels" });
    this.panels.forEach((panel, k) => {
      const own = panel.name === "RoIPool" ? "its window, rounded outwards" : "where it samples";
      const legend = html(
        "p",
        { class: "legend" },
        html("span", { class: "swatch roi" }),
        "the RoI ",
        html("span", { class: `swatch ${panel.name === "RoIPool" ? "pool" : "align"}` }),
        own,
      );
      const title = html("p", { class: "title" }, panel.name);
      const numbers = [this.words.tables[k], this.words.remarks[k]];
      place.append(html("section", { "aria-label": panel.name }, title, panel.svg, legend, ...numbers));
    });
    return place;
  }

  buildControls() {
    const maps = this.store.get("maps").map(({ key, label }) => [key, label]);
    const strides = [4, 8, 16, 32].map((stride) => [stride, `${stride} px`]);
    const change = (name, value) => this.change({ [name]: value });
    this.controls = [
      select("map", "feature map", [...maps, ["own", "your own numbers"]], (_, key) => this.changeMap(key)),
      select("stride", "stride", strides, (_, value) => this.changeStride(Number(value))),
      range("size", "output size", 1, LARGEST, (size) => `${size} × ${size}`, change),
      range("sampling_ratio", "sampling ratio", 0, 8, (ratio) => (ratio ? String(ratio) : "adaptive"), change),
      range("sample", "sample of the bin", 1, 64, String, change),
      check("aligned", "aligned (half a cell off)", change),
      check("gradient", "which cells learn (gradients)", change),
      check("arrows", "arrows: where the output grows", change),
    ];
    this.own = html("textarea", { rows: 6, spellcheck: "false", oninput: () => this.readOwn() });
    this.ownError = html("p", { class: "error", role: "alert" });
    const label = html("label", {}, "Your own map, one row of numbers per line", this.own);
    this.ownPlace = html("div", { class: "own" }, label, this.ownError);
    const fields = this.controls.map((control) => control.node);
    return html("section", { class: "controls", "aria-label": "Controls" }, ...fields, this.ownPlace);
  }

  /** What is grabbed: the RoI's body and corners, in both pictures; the keyboard finds the first. */
  addHandles() {
    this.handles = [];
    this.panels.forEach((panel, which) => {
      HANDLES.forEach(([words, sides], k) => {
        const keys = which ? { "aria-hidden": "true" } : { tabindex: 0, role: "button" };
        const label = which ? {} : { "aria-label": `${words}: drag it, or use the arrow keys` };
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

  // --- the reader's hand ------------------------------------------------------------------------

  get map() {
    return this.store.get("map") + JSON.stringify(this.store.get("map") === "own" ? this.store.get("own") : 0);
  }

  change(values) {
    for (const [name, value] of Object.entries(values)) this.store.set(name, value);
    this.save();
    this.request();
  }

  /** Save, but during a drag not more often than Python can follow. */
  save() {
    clearTimeout(this.saving);
    const wait = Math.max(0, (this.saved ?? 0) + SAVE_EVERY - performance.now());
    this.saving = setTimeout(() => {
      this.saved = performance.now();
      this.store.save();
    }, wait);
  }

  /** Another map: its own stride, and a RoI that lies on it. */
  changeMap(map) {
    const begin = this.store.get("maps").find(({ key }) => key === map);
    this.change(begin ? { map, stride: begin.stride, box: begin.box } : { map });
  }

  /** Another stride for the same map: the image grows or shrinks, and the RoI with it. */
  changeStride(stride) {
    const factor = stride / this.store.get("stride");
    this.change({ stride, box: this.store.get("box").map((corner) => corner * factor) });
  }

  readOwn() {
    const lines = this.own.value.trim().split("\n");
    const rows = lines.map((line) => line.trim().split(/[\s,;]+/).map(Number));
    const width = rows[0].length;
    let problem = "";
    rows.forEach((row, k) => {
      if (problem) return;
      if (row.length !== width) problem = `Row ${k} has ${row.length} numbers, row 0 has ${width}.`;
      else if (!row.every(Number.isFinite)) problem = `Row ${k} holds something that is not a number.`;
    });
    if (!problem && (rows.length > 32 || width > 32)) problem = "At most 32 × 32 numbers.";
    this.ownError.textContent = problem;
    if (!problem) this.change({ own: rows });
  }

  /** Move some sides of the box by whole steps; corners never pass each other. */
  move(box, sides, dx, dy) {
    const stride = this.store.get("stride");
    const step = stride / 32;
    const map = this.current;
    const beyond = BEYOND * stride;
    const limits = [map.w * stride + beyond, map.h * stride + beyond];
    const moved = [...box];
    const shift = [dx, dy].map((by, axis) => {
      const whole = Math.round(by / step) * step;
      const mine = sides.filter((side) => side % 2 === axis).map((side) => box[side]);
      return Math.min(Math.max(whole, -beyond - Math.min(...mine)), limits[axis] - Math.max(...mine));
    });
    for (const side of sides) moved[side] = box[side] + shift[side % 2];
    if (sides.length === 2) {
      for (const side of sides) {
        const other = box[(side + 2) % 4];
        moved[side] = side < 2 ? Math.min(moved[side], other - step) : Math.max(moved[side], other + step);
      }
    }
    this.change({ box: moved });
  }

  grab(event, panel, sides) {
    event.preventDefault();
    event.currentTarget.focus?.();
    const [startX, startY] = [event.clientX, event.clientY];
    const box = [...this.store.get("box")];
    // The picture's size on the page is read once, so that a drag never waits for the layout.
    const scale = panel.svg.viewBox.baseVal.width / panel.svg.getBoundingClientRect().width;
    const pxPerUnit = (scale / panel.cell) * this.store.get("stride");
    const follow = (moved) => {
      const start = performance.now();
      this.move(box, sides, (moved.clientX - startX) * pxPerUnit, (moved.clientY - startY) * pxPerUnit);
      this.handlerTime = (this.handlerTime ?? 0) + performance.now() - start;
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
    const stride = this.store.get("stride");
    const step = event.shiftKey ? stride : stride / 32;
    this.move([...this.store.get("box")], sides, direction[0] * step, direction[1] * step);
  }

  /** Slide the RoI two cells to the right and down, and back, a step of 1/32 cell per frame. */
  play() {
    if (this.playing) return this.stop();
    const box = [...this.store.get("box")];
    let step = 0;
    this.playButton.textContent = "Stop";
    const next = () => {
      const by = ((step <= 64 ? step : 128 - step) * this.store.get("stride")) / 32;
      this.move(box, [0, 1, 2, 3], by, by);
      if (step++ < 128) this.playing = requestAnimationFrame(next);
      else this.stop();
    };
    this.playing = requestAnimationFrame(next);
  }

  stop() {
    cancelAnimationFrame(this.playing);
    this.playing = null;
    this.playButton.textContent = PLAY;
  }

  // --- drawing ----------------------------------------------------------------------------------

  /** Draw in the next frame, however many changes come before it. */
  request() {
    this.requested ??= requestAnimationFrame(() => {
      this.requested = null;
      this.draw();
    });
  }

  draw() {
    const start = performance.now();
    const get = (name) => this.store.get(name);
    const map = mapOf(this.store);
    const [box, size, scale] = [get("box"), get("size"), 1 / get("stride")];
    const pool = roiPool(map, box, size, scale);
    const align = roiAlign(map, box, size, scale, get("sampling_ratio"), get("aligned"));
    const bin = Math.min(get("bin"), size * size) - 1;
    const sample = chosenSample(map, align, size, bin, get("sample") - 1);
    this.current = map;
    Object.assign(this, { pool, align });

    const gradients = mapGradients(map, align, pool);
    const looks = [gradients.pool, gradients.align];
    const roi = box.map((corner) => corner * scale);
    this.panels.forEach((panel, k) => {
      const overlay = get("gradient") ? looks[k] : null;
      if (overlay || panel.drawn !== this.map) panel.drawMap(map, overlay);
      panel.drawn = overlay ? null : this.map;
      panel.drawRoi(roi);
    });
    const slopes = boxGradients(map, align).map((all) => all[bin] * get("stride")); // per cell
    this.panels[0].drawPool(pool, bin);
    this.panels[1].drawAlign(align, size, bin, sample);
    this.panels[1].drawArrows(get("arrows") ? slopes : null);
    this.placeHandles();
    const shown = { gradient: get("gradient"), arrows: get("arrows") };
    this.words.write({ map, box, pool, align, size, bin, sample, gradients, slopes, shown });
    const settings = ["size", "sampling_ratio", "aligned", "stride"].map(get);
    this.chart.add(`${bin} ${this.map} ${settings}`, bin, box.join(), [pool.values[bin], align.values[bin]]);
    this.showControls(sample);

    this.root.frames.push(performance.now() - start + (this.handlerTime ?? 0));
    this.handlerTime = 0;
    if (this.root.frames.length > FRAMES) this.root.frames.shift();
  }

  placeHandles() {
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

  showControls(sample) {
    for (const control of this.controls) control.show(this.store.get(control.name));
    const slider = this.controls.find(({ name }) => name === "sample").input;
    slider.max = Math.max(sample?.count ?? 1, 1);
    this.ownPlace.hidden = this.store.get("map") !== "own";
    if (document.activeElement !== this.own && this.ownText !== this.map) {
      this.own.value = this.store.get("own").map((row) => row.join(" ")).join("\n");
      this.ownText = this.map;
    }
  }
}

/** Build the explorer in `element`; returns it. */
export function mount(element, store) {
  return new Explorer(element, store);
}

/**
 * The Python object's traits as a store. What was changed and not yet sent is kept here: the kernel
 * echoes what it receives, and such an echo would take back a change that is younger than it.
 */
function traitStore(model) {
  const unsent = new Map();
  return {
    get: (name) => (unsent.has(name) ? unsent.get(name) : model.get(name)),
    set: (name, value) => unsent.set(name, value),
    save: () => {
      for (const [name, value] of unsent) model.set(name, value);
      unsent.clear();
      model.save_changes();
    },
    listen: (callback) => model.on("change", callback),
  };
}

/** What anywidget calls. */
function render({ model, el }) {
  const explorer = mount(el, traitStore(model));
  return () => explorer.stop();
}

export default { render };
