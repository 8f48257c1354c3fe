// The RoI explorer: drag a RoI and see RoIPool jump and RoIAlign glide.
//
// `mount(element, store)` builds it. In JupyterLab the store is the Python object's traits; on a page
// without a kernel it is `localStore(state)`. Everything that is shown is computed here, from the state.

import { binCounts, boxGradients, chosenSample, mapGradients, poolWindow, roiAlign, roiPool, slide } from "./roi_ops.js";
import { mapOf, traitStore } from "./roi_store.js";
import { Panel } from "./roi_panels.js";
import { check, html, range, select } from "./roi_controls.js";
import { Handles } from "./roi_handles.js";
import { Chart } from "./roi_chart.js";
import { Text } from "./roi_text.js";

const SAVE_EVERY = 60; // ms between two states that are sent to Python during a drag
const FRAMES = 300; // durations that are kept, ms: `element.frames`
const LARGEST = 7; // bins per axis
const FINEST = 48; // cells per axis of the finest map that is offered
const SLIDE = 128; // steps of a slide along x
const PLAY = "Slide the RoI for me";
const RESET = "map box stride size sampling_ratio aligned overlap gradient arrows chosen_only slide bin sample".split(" ");

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
    this.text = new Text((bin) => this.change({ bin: bin + 1, sample: 1 }));
    this.playButton = html("button", { type: "button", onclick: () => this.play() }, PLAY);
    this.begin = structuredClone(Object.fromEntries([...RESET].map((name) => [name, store.get(name)])));
    const reset = html("button", { type: "button", onclick: () => this.change(this.begin) }, "Reset");
    this.chart = new Chart(this.playButton, reset);
    this.root.append(this.text.status, this.buildPanels(), this.chart.node, this.buildControls());
    element.append(this.root);
    this.handles = new Handles(this, this.panels);
    store.listen(() => this.request());
    this.draw();
  }

  // --- building ---------------------------------------------------------------------------------

  buildPanels() {
    const sections = this.panels.map(({ name, svg: figure }, k) => {
      const kind = k ? "align" : "pool";
      const roi = html("span", { class: "swatch roi" });
      const own = html("span", { class: `swatch ${kind}` });
      const means = k ? "where it samples" : "its window, rounded outwards";
      const legend = html("p", { class: "legend" }, roi, "the RoI ", own, means);
      const title = html("p", { class: "title" }, name);
      const parts = [title, figure, legend, this.text.tables[k], this.text.remarks[k]];
      return html("section", { "aria-label": name, class: `of-${kind}` }, ...parts);
    });
    return html("div", { class: "panels" }, ...sections);
  }

  buildControls() {
    const maps = this.store.get("maps").map(({ key, label }) => [key, label]);
    const strides = [4, 8, 16, 32].map((stride) => [stride, `${stride} px`]);
    const change = (name, value) => this.change({ [name]: value });
    const ratioText = (ratio) => (ratio ? String(ratio) : "adaptive");
    const shared = [
      select("map", "feature map", [...maps, ["own", "your own numbers"]], (_, key) => this.changeMap(key)),
      select("stride", "stride", strides, (_, value) => change("stride", Number(value))),
      range("size", "output size", 1, LARGEST, (size) => `${size} × ${size}`, change),
      check("overlap", "overlap: cells in several bins", change),
    ];
    const align = [
      range("sampling_ratio", "sampling ratio", 0, 8, ratioText, change),
      range("sample", "sample of the bin", 1, 64, String, change),
      check("aligned", "aligned (half a cell off)", change),
      check("gradient", "which cells learn (gradients)", change),
      check("arrows", "arrows: where the output grows", change),
      check("chosen_only", "gradients of the chosen bin only", change),
      check("slide", "slide: the output along x, and its slope", change),
    ];
    for (const { node } of align) node.classList.add("of-align");
    this.controls = [...shared, ...align];
    this.own = html("textarea", { rows: 6, spellcheck: "false", oninput: () => this.readOwn() });
    this.ownError = html("p", { class: "error", role: "alert" });
    const label = html("label", {}, "Your own map, one row of numbers per line", this.own);
    this.ownPlace = html("div", { class: "own" }, label, this.ownError);
    const fields = this.controls.map((control) => control.node);
    return html("section", { class: "controls", "aria-label": "Controls" }, ...fields, this.ownPlace);
  }

  // --- changes ------------------------------------------------------------------------------------

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
    this.change(begin ? { map, stride: begin.stride, box: begin.box } : { map, stride: 32 });
    if (!begin) this.fit();
  }

  /** A RoI that leaves the map begins anew in its middle. */
  fit() {
    const { h, w, parts, coarsest } = mapOf(this.store);
    const ends = [w, h, w, h].map((cells) => (cells / parts) * coarsest); // px
    const box = this.store.get("box");
    if (box.some((at, k) => at < 0 || at > ends[k])) this.change({ box: ends.map((end, k) => end * (k < 2 ? 0.125 : 0.75)) });
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
    if (problem) return;
    this.change({ own: rows });
    this.fit();
  }

  /** Slide the RoI to where there is room, at most two cells, and back, a step of 1/32 cell per frame. */
  play() {
    if (this.playing) return this.stop();
    const box = [...this.store.get("box")];
    const ways = this.handles.room(box).map(([back, on]) => (on >= back ? on : -back));
    let step = 0;
    this.playButton.textContent = "Stop";
    const next = () => {
      const by = ((step <= 64 ? step : 128 - step) * this.current.coarsest) / 32;
      this.handles.move(box, [0, 1, 2, 3], ...ways.map((way) => Math.sign(way) * Math.min(by, Math.abs(way))));
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

    const names = ["gradient", "arrows", "overlap", "slide"];
    const shown = { ...Object.fromEntries(names.map((name) => [name, get(name)])), poolOnly: get("view") === "pool" };
    this.root.classList.toggle("pool-only", shown.poolOnly);
    const bins = get("chosen_only") ? [bin] : pool.values.map((_, k) => k);
    const gradients = shown.gradient ? mapGradients(map, align, pool, size, bins) : null;
    const roi = box.map((corner) => corner * scale);
    this.panels.forEach((panel, k) => {
      const overlay = gradients && (k ? gradients.align : gradients.pool);
      if (overlay || panel.drawn !== map.key) panel.drawMap(map, overlay);
      panel.drawn = overlay ? null : map.key;
      panel.drawRoi(roi);
    });
    const edges = boxGradients(map, align).map((all) => bins.reduce((sum, k) => sum + all[k], 0)); // per px
    const slopes = edges.map((slope) => slope * get("stride")); // per cell
    const counts = shown.overlap ? binCounts(map, pool) : null;
    this.panels[0].drawPool(pool, bin);
    this.panels[0].drawCounts(counts);
    this.panels[1].drawAlign(align, size, bin, sample);
    this.panels[1].drawArrows(shown.arrows ? slopes : null);
    this.handles.place();
    const window = { ...poolWindow(pool, box, scale), stride: get("stride") };
    const what = get("chosen_only") ? `the output of bin ${bin + 1}` : "the sum of the outputs";
    const learners = gradients && learnersOf(gradients);
    const view = { map, box, pool, align, size, bin, sample, slopes, shown, counts, window, learners, what };
    this.text.write({ ...view, stride: get("stride") });
    this.drawChart(map, bin, box, [pool.values[bin], align.values[bin]], shown.slide);
    this.showControls(map, sample);

    this.root.frames.push(performance.now() - start + this.handles.time);
    this.handles.time = 0;
    if (this.root.frames.length > FRAMES) this.root.frames.shift();
  }

  /** The last steps, or all the places to which the RoI can slide along x. */
  drawChart(map, bin, box, values, sliding) {
    const settings = ["size", "sampling_ratio", "aligned", "stride"].map((name) => this.store.get(name));
    this.chart.remember(`${bin} ${map.key} ${settings}`, box.join(), values);
    if (!sliding) return this.chart.drawSteps(bin, values);
    const [size, ratio, aligned, stride] = settings;
    const first = Math.min(0, box[0]);
    const last = Math.max(map.w * stride - (box[2] - box[0]), box[0]);
    const along = (shifts) => slide(map, box, size, 1 / stride, ratio, aligned, bin, shifts);
    // A slide along x changes where the RoI is, not the curves; rounded, for its width is a difference.
    const subject = `${this.chart.subject} ${[first, last, box[1], box[3]].map((n) => n.toFixed(6))}`;
    if (subject !== this.slid?.subject) {
      const shifts = Array.from({ length: SLIDE + 1 }, (_, k) => first - box[0] + (k * (last - first)) / SLIDE);
      this.slid = { subject, points: along(shifts) };
    }
    this.chart.drawSlide(bin, values, this.slid.points, [first, last], box[0], along([0])[0].slope);
  }

  showControls(map, sample) {
    for (const control of this.controls) control.show(this.store.get(control.name));
    const slider = this.controls.find(({ name }) => name === "sample").input;
    slider.max = Math.max(sample?.count ?? 1, 1);
    const cells = Math.max(map.h, map.w) / map.parts; // at the coarsest stride
    for (const option of this.controls.find(({ name }) => name === "stride").input.options) {
      const parts = map.coarsest / Number(option.value);
      option.disabled = parts < 1 || parts * cells > FINEST;
    }
    this.ownPlace.hidden = this.store.get("map") !== "own";
    if (document.activeElement !== this.own && this.ownText !== map.key) {
      this.own.value = this.store.get("own").map((row) => row.join(" ")).join("\n");
      this.ownText = map.key;
    }
  }
}

/** How many cells get a gradient from each operator, and how much all of them together. */
function learnersOf(gradients) {
  const summary = (all) => ({
    count: all.filter((gradient) => gradient > 1e-12).length,
    sum: all.reduce((sum, gradient) => sum + gradient, 0),
  });
  return { pool: summary(gradients.pool), align: summary(gradients.align) };
}

/** Build the explorer in `element`; returns it. */
export function mount(element, store) {
  return new Explorer(element, store);
}

/** What anywidget calls. */
function render({ model, el }) {
  const explorer = mount(el, traitStore(model));
  return () => explorer.stop();
}

export default { render };
