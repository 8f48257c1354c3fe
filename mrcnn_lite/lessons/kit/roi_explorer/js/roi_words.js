// The words and numbers of the RoI explorer: two tables, a remark for each operator, a status line.

import { html } from "./roi_controls.js";
import { binColour, decimal } from "./roi_panels.js";

const px = (value) => String(Math.round(value * 1000) / 1000).replace("-", "−");

/** What both pictures say, for everybody. */
export class Words {
  /** `choose(bin)` is called when the reader clicks a number. */
  constructor(choose) {
    this.choose = choose;
    this.status = html("p", { class: "status", role: "status", "aria-live": "polite" });
    const table = (name) => html("table", {}, html("caption", {}, `${name}'s output`), html("tbody"));
    this.tables = ["RoIPool", "RoIAlign"].map(table);
    this.remarks = this.tables.map(() => html("p", { class: "remark" }));
  }

  /** Write all of a view: see `Explorer.draw`. */
  write(view) {
    const { pool, align, size, bin, box } = view;
    const digits = size <= 4 ? 4 : 2;
    [pool, align].forEach(({ values }, k) => this.writeTable(this.tables[k], values, size, bin, digits));
    this.remarks[0].replaceChildren(...poolWords(view));
    this.remarks[1].replaceChildren(...alignWords(view));
    const [x1, y1, x2, y2] = box.map(px);
    this.status.textContent =
      `RoI from (${x1}, ${y1}) to (${x2}, ${y2}) px. Bin ${bin + 1}: ` +
      `RoIPool ${decimal(pool.values[bin])}, RoIAlign ${decimal(align.values[bin])}.`;
  }

  writeTable(table, values, size, chosen, digits) {
    const body = table.tBodies[0];
    if (Number(table.dataset.size) !== size) {
      table.dataset.size = size;
      const places = Array.from({ length: size }, (_, k) => k);
      const cell = (row, column) => html("td", {}, this.binButton(row * size + column));
      body.replaceChildren(
        ...places.map((row) => html("tr", {}, ...places.map((column) => cell(row, column)))),
      );
    }
    body.querySelectorAll("button").forEach((button, k) => {
      const words = decimal(values[k], digits);
      if (button.textContent !== words) button.textContent = words;
      button.setAttribute("aria-pressed", k === chosen);
    });
  }

  binButton(k) {
    const look = { type: "button", title: `bin ${k + 1}`, style: `--bin: ${binColour(k)}` };
    return html("button", { ...look, onclick: () => this.choose(k) });
  }
}

/** How many cells get a gradient, when that is shown. */
function learnWords({ map, gradients, shown }, operator) {
  if (!shown.gradient) return "";
  const count = gradients[operator].filter((gradient) => gradient > 1e-12).length;
  return ` ${count} of ${map.values.length} cells learn.`;
}

function poolWords(view) {
  const { map, pool, size, bin, shown } = view;
  const [top, bottom] = pool.rows[Math.floor(bin / size)];
  const [left, right] = pool.columns[bin % size];
  const at = pool.argmax[bin];
  const value = at < 0 ? "" : `${decimal(pool.values[bin])}, at row ${Math.floor(at / map.w)}, column ${at % map.w}.`;
  const window = `rows ${top} to ${bottom - 1} and columns ${left} to ${right - 1}`;
  const seen = at < 0 ? "is empty: 0." : `takes the maximum of ${window}: ${value}`;
  const box = shown.arrows ? " The box gets no gradient: its corners were rounded." : "";
  return [`Bin ${bin + 1} ${seen}`, learnWords(view, "pool"), box];
}

function alignWords(view) {
  const { sample, bin, slopes, shown } = view;
  const names = ["x1", "y1", "x2", "y2"].map((name, k) => `${name} ${decimal(slopes[k])}`);
  const arrows = shown.arrows
    ? ` One cell more of each side changes the output by: ${names.join(", ")}.`
    : "";
  return [...sampleWords(sample, bin), learnWords(view, "align"), arrows];
}

function sampleWords(sample, bin) {
  if (!sample) return [`Bin ${bin + 1} has no sample: 0.`];
  const count = `${sample.count} sample${sample.count > 1 ? "s" : ""}`;
  const where = `x = ${decimal(sample.x)}, y = ${decimal(sample.y)}`;
  const head = `Bin ${bin + 1} is the mean of ${count}. Sample ${sample.place + 1}, at ${where}: `;
  if (!sample.counts) return [head, "more than one cell outside the map, so it counts as 0."];
  const terms = sample.terms.flatMap(([, , weight, value], k) => {
    const chip = html("span", { class: "chip", style: `--chip: ${binColour(k)}` }, decimal(weight));
    return [k ? " + " : "", chip, ` × ${decimal(value)}`];
  });
  return [head, ...terms, ` = ${decimal(sample.value)}.`];
}
