// The chart of the RoI explorer: one output over the last steps, of both operators.

import { html } from "./roi_controls.js";
import { decimal, svg } from "./roi_panels.js";

const [FEWEST, STEPS] = [40, 180]; // steps that fill the chart at first, and that are remembered
const [WIDTH, HEIGHT] = [800, 90];

/** RoIPool jumps, RoIAlign glides. */
export class Chart {
  /** `button` stands beside the title. */
  constructor(button) {
    this.steps = [];
    this.picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", class: "chart" });
    this.lines = ["pool", "align"].map((kind) => this.picture.appendChild(svg("path", { class: kind })));
    this.numbers = ["pool", "solid"].map((kind) => {
      return { swatch: html("span", { class: `swatch ${kind}` }), words: document.createTextNode("") };
    });
    this.words = document.createTextNode("");
    const parts = this.numbers.flatMap(({ swatch, words }) => [swatch, words]);
    const title = html("p", { class: "title" }, this.words, ...parts);
    const head = html("div", { class: "chart-head" }, title, button);
    this.node = html("section", { "aria-label": "The output while you drag" }, head, this.picture);
  }

  /** Add the values for a box; with another `subject` (bin, map, settings) the chart begins anew. */
  add(subject, bin, box, values) {
    if (subject !== this.subject) this.steps = [];
    this.subject = subject;
    if (this.steps.at(-1)?.box !== box) this.steps.push({ box, values });
    if (this.steps.length > STEPS) this.steps.shift();
    this.words.data = `Bin ${bin + 1} while you drag: `;
    ["RoIPool", "RoIAlign"].forEach((name, kind) => {
      this.numbers[kind].words.data = `${name} ${decimal(values[kind])} `;
    });
    this.draw(bin);
  }

  draw(bin) {
    const all = this.steps.flatMap(({ values }) => values);
    const [low, high] = [Math.min(...all), Math.max(...all)];
    const width = WIDTH / Math.max(this.steps.length, FEWEST);
    const x = (k) => (k * width).toFixed(1);
    const y = (value) => (HEIGHT - 8 - ((HEIGHT - 16) * (value - low)) / (high - low || 1)).toFixed(1);
    // Each value holds until the next step: RoIPool's line has corners where it jumps.
    const pool = this.steps.map(({ values }, k) => `${x(k)} ${y(values[0])}H${x(k + 1)}`);
    const align = this.steps.map(({ values }, k) => `${x(k + 0.5)} ${y(values[1])}`);
    if (align.length === 1) align.unshift(`0 ${y(all[1])}`);
    this.lines[0].setAttribute("d", `M${pool.join("L")}`);
    this.lines[1].setAttribute("d", `M${align.join("L")}`);
    const steps = this.steps.length;
    const words = `Bin ${bin + 1} over ${steps} step${steps > 1 ? "s" : ""}: ${decimal(low)} to ${decimal(high)}`;
    this.picture.setAttribute("aria-label", words);
  }
}
