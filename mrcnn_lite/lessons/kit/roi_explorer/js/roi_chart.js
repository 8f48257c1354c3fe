// The chart of the RoI explorer: one output of both operators over the last steps, or wherever the
// RoI can slide along x; then its slope, too.

import { html } from "./roi_controls.js";
import { decimal, svg } from "./roi_panels.js";

const [FEWEST, STEPS] = [40, 180]; // steps that fill the chart at first, and that are remembered
const [WIDTH, HEIGHT, LOW] = [800, 90, 60];
const NAMES = { pool: "RoIPool", align: "RoIAlign" };

/** Curves of equally many values each, and where on them the RoI is. */
class Plot {
  constructor(height) {
    this.height = height;
    this.svg = svg("svg", { viewBox: `0 0 ${WIDTH} ${height}`, role: "img", class: "chart" });
    const add = (tag, kind, more = {}) => this.svg.appendChild(svg(tag, { class: kind, ...more }));
    this.zero = add("path", "zero");
    this.paths = { pool: add("path", "pool"), align: add("path", "align") };
    this.dots = { pool: add("circle", "pool", { r: 5 }), align: add("circle", "align", { r: 5 }) };
  }

  /**
   * `curves` is { pool, align }, either of them optional; `stepped` names those whose values hold until
   * the next one. `slots` values fill the width. `here` is { at, pool, align }, or null.
   */
  draw(curves, stepped, slots, here, levels = []) {
    const all = [...Object.values(curves).flat(), ...levels];
    const [low, high] = [Math.min(...all), Math.max(...all)];
    const x = (k) => ((k * WIDTH) / slots).toFixed(1);
    const y = (value) => (this.height - 8 - ((this.height - 16) * (value - low)) / (high - low || 1)).toFixed(1);
    for (const [kind, path] of Object.entries(this.paths)) {
      const values = curves[kind] ?? [];
      const steps = stepped.includes(kind);
      const points = values.map((v, k) => (steps ? `${x(k)} ${y(v)}H${x(k + 1)}` : `${x(k + 0.5)} ${y(v)}`));
      if (points.length === 1 && !steps) points.unshift(`0 ${y(values[0])}`);
      path.setAttribute("d", points.length ? `M${points.join("L")}` : "");
      const dot = this.dots[kind];
      dot.style.display = here && kind in curves ? "" : "none";
      if (!here || !(kind in curves)) continue;
      dot.setAttribute("cx", x(here.at + 0.5));
      dot.setAttribute("cy", y(here[kind]));
    }
    this.zero.setAttribute("d", levels.length ? `M0 ${y(0)}H${WIDTH}` : "");
    return `${decimal(low)} to ${decimal(high)}`;
  }
}

/** RoIPool jumps, RoIAlign glides. */
export class Chart {
  /** The buttons stand beside the title. */
  constructor(...buttons) {
    this.steps = [];
    this.values = new Plot(HEIGHT);
    this.slopes = new Plot(LOW);
    this.title = document.createTextNode("");
    this.numbers = ["pool", "align"].map((kind) => {
      const text = document.createTextNode("");
      const swatch = html("span", { class: `swatch ${kind === "pool" ? "pool" : "solid"}` });
      return { text, node: html("span", { class: `of-${kind}` }, swatch, text) };
    });
    const title = html("p", { class: "title" }, this.title, ...this.numbers.map(({ node }) => node));
    this.ends = html("p", { class: "legend ends" }, html("span"), html("span"), html("span"));
    const head = html("div", { class: "chart-head" }, title, html("span", { class: "buttons" }, ...buttons));
    const plots = [this.values.svg, this.slopes.svg, this.ends];
    this.node = html("section", { "aria-label": "The output while the RoI moves" }, head, ...plots);
  }

  write(words, values) {
    this.title.data = words;
    this.numbers.forEach(({ text }, k) => {
      text.data = `${Object.values(NAMES)[k]} ${decimal(values[k])} `;
    });
  }

  /** Remember the values for a box; with another `subject` (bin, map, settings) begin anew. */
  remember(subject, box, values) {
    if (subject !== this.subject) this.steps = [];
    this.subject = subject;
    if (this.steps.at(-1)?.box !== box) this.steps.push({ box, values });
    if (this.steps.length > STEPS) this.steps.shift();
  }

  /** The last steps of a drag. */
  drawSteps(bin, values) {
    this.write(`Bin ${bin + 1} while you drag: `, values);
    const count = this.steps.length;
    const curves = { pool: this.steps.map((it) => it.values[0]), align: this.steps.map((it) => it.values[1]) };
    const range = this.values.draw(curves, ["pool"], Math.max(count, FEWEST), null);
    this.values.svg.setAttribute("aria-label", `Bin ${bin + 1} over ${count} step${count > 1 ? "s" : ""}: ${range}`);
    this.showSlopes(false);
  }

  /** A slide along x: `points` from `slide` of roi_ops.js, from x1 = `first` to `last`; `now` is x1. */
  drawSlide(bin, values, points, [first, last], now, slope) {
    this.write(`Bin ${bin + 1}, sliding to the right: `, values);
    const at = ((now - first) / (last - first || 1)) * (points.length - 1);
    const curve = (name) => points.map((point) => point[name]);
    const here = { at, pool: values[0], align: values[1] };
    const range = this.values.draw({ pool: curve("pool"), align: curve("align") }, ["pool"], points.length, here);
    const of = { at, align: slope };
    const steep = this.slopes.draw({ align: curve("slope") }, ["align"], points.length, of, [0]);
    const ends = `x1 from ${decimal(first, 0)} to ${decimal(last, 0)} px`;
    this.values.svg.setAttribute("aria-label", `Bin ${bin + 1}, ${ends}: ${range}`);
    this.slopes.svg.setAttribute("aria-label", `RoIAlign's slope per px, ${ends}: ${steep}`);
    const words = [`x1 = ${decimal(first, 0)} px`, `RoIAlign's slope here: ${decimal(slope)} per px`];
    words.push(`x1 = ${decimal(last, 0)} px`);
    words.forEach((text, k) => {
      this.ends.children[k].textContent = text;
    });
    this.showSlopes(true);
  }

  showSlopes(shown) {
    for (const node of [this.slopes.svg, this.ends]) node.style.display = shown ? "" : "none";
  }
}
