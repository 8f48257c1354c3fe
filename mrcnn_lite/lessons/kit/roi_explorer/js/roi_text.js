// The text and numbers of the RoI explorer: two tables, a remark for each operator, a status line.

import { html } from "./roi_controls.js";
import { binColour, decimal } from "./roi_panels.js";

const px = (value) => String(Math.round(value * 1000) / 1000).replace("-", "−");
const plural = (count, name) => `${count} ${name}${count === 1 ? "" : "s"}`;

/** A half-open range of cells as people say it. */
function span([first, end]) {
  if (end <= first) return "none";
  return end === first + 1 ? `${first}` : `${first}–${end - 1}`;
}

/** What both figures say, for everybody. */
export class Text {
  /** `choose(bin)` is called when the reader clicks a number. */
  constructor(choose) {
    this.choose = choose;
    this.status = html("p", { class: "status", role: "status", "aria-live": "polite" });
    const table = (name) => html("table", {}, html("caption", {}, `${name}'s output`), html("tbody"));
    this.tables = ["RoIPool", "RoIAlign"].map(table); // the colours of RoIPool's bins, which overlap
    this.remarks = this.tables.map(() => html("p", { class: "remark" }));
  }

  /** Write all of a view: see `Explorer.draw`. */
  write(view) {
    const { pool, align, size, bin } = view;
    const digits = size <= 4 ? 4 : 2;
    [pool, align].forEach(({ values }, k) => this.writeTable(this.tables[k], values, size, bin, digits));
    this.remarks[0].replaceChildren(...poolRemark(view));
    this.remarks[1].replaceChildren(...alignRemark(view));
    this.status.textContent = statusLine(view);
  }

  writeTable(table, values, size, chosen, digits) {
    const body = table.tBodies[0];
    if (Number(table.dataset.size) !== size) {
      table.dataset.size = size;
      const indices = Array.from({ length: size }, (_, k) => k);
      const cell = (row, column) => html("td", {}, this.binButton(row * size + column));
      body.replaceChildren(
        ...indices.map((row) => html("tr", {}, ...indices.map((column) => cell(row, column)))),
      );
    }
    body.querySelectorAll("button").forEach((button, k) => {
      const number = decimal(values[k], digits);
      if (button.textContent !== number) button.textContent = number;
      button.setAttribute("aria-pressed", k === chosen);
    });
  }

  binButton(k) {
    const look = { type: "button", title: `bin ${k + 1}`, style: `--bin: ${binColour(k)}` };
    return html("button", { ...look, onclick: () => this.choose(k) });
  }
}

/** What changes at every step, said by a screen reader. */
function statusLine({ box, bin, pool, align, window, learners, shown }) {
  const [x1, y1, x2, y2] = box.map(px);
  const outputs = [`RoIPool ${decimal(pool.values[bin])}`];
  if (!shown.poolOnly) outputs.push(`RoIAlign ${decimal(align.values[bin])}`);
  let line = `RoI from (${x1}, ${y1}) to (${x2}, ${y2}) px. Bin ${bin + 1}: ${outputs.join(", ")}.`;
  if (shown.overlap) line += ` ${windowSize(window)}.`;
  if (learners) line += ` Cells that learn: RoIPool ${learners.pool.count}, RoIAlign ${learners.align.count}.`;
  return line;
}

function windowSize({ cells: [x1, y1, x2, y2], iou, stride }) {
  return `Window ${px((x2 - x1) * stride)} × ${px((y2 - y1) * stride)} px, IoU with the RoI ${decimal(iou)}`;
}

/** How RoIPool's window is cut, when that is shown. */
function overlapRemark({ pool, window, counts, shown }) {
  if (!shown.overlap) return "";
  const [x1, y1, x2, y2] = window.cells;
  const [several, seen] = [1, 0].map((least) => counts.filter((count) => count > least).length);
  const spans = (bins) => bins.map(span).join(", ");
  return (
    ` ${windowSize(window)}: columns ${span([x1, x2])}, rows ${span([y1, y2])}. ` +
    `Columns of the bins: ${spans(pool.columns)}. Rows of the bins: ${spans(pool.rows)}. ` +
    `${several} of ${plural(seen, "cell")} in more than one bin.`
  );
}

/** How many cells get a gradient, when that is shown. */
function learnRemark({ map, learners, what }, operator) {
  if (!learners) return "";
  const { count, sum } = learners[operator];
  return ` ${count} of ${map.values.length} cells learn from ${what}; their gradients add up to ${decimal(sum)}.`;
}

function poolRemark(view) {
  const { map, pool, size, bin, shown } = view;
  const [top, bottom] = pool.rows[Math.floor(bin / size)];
  const [left, right] = pool.columns[bin % size];
  const at = pool.argmax[bin];
  const value = at < 0 ? "" : `${decimal(pool.values[bin])}, at row ${Math.floor(at / map.w)}, column ${at % map.w}.`;
  const cells = `rows ${top} to ${bottom - 1} and columns ${left} to ${right - 1}`;
  const seen = at < 0 ? "is empty: 0." : `takes the maximum of ${cells}: ${value}`;
  const box = shown.arrows ? " The box gets no gradient: its corners were rounded." : "";
  return [`Bin ${bin + 1} ${seen}`, overlapRemark(view), learnRemark(view, "pool"), box];
}

function alignRemark(view) {
  const { sample, bin, slopes, shown, stride, what } = view;
  const names = (scale) => ["x1", "y1", "x2", "y2"].map((name, k) => `${name} ${decimal(slopes[k] / scale)}`).join(", ");
  const arrows = shown.arrows
    ? ` One cell more of each side changes ${what} by: ${names(1)}; one px by: ${names(stride)}.`
    : "";
  return [...sampleRemark(sample, bin), learnRemark(view, "align"), arrows];
}

function sampleRemark(sample, bin) {
  if (!sample) return [`Bin ${bin + 1} has no sample: 0.`];
  const where = `x = ${decimal(sample.x)}, y = ${decimal(sample.y)}`;
  const head = `Bin ${bin + 1} is the mean of ${plural(sample.count, "sample")}. Sample ${sample.index + 1}, at ${where}: `;
  if (!sample.counts) return [head, "more than one cell outside the map, so it counts as 0."];
  const terms = sample.terms.flatMap(([, , weight, value], k) => {
    const chip = html("span", { class: "chip", style: `--chip: ${binColour(k)}` }, decimal(weight));
    return [k ? " + " : "", chip, ` × ${decimal(value)}`];
  });
  return [head, ...terms, ` = ${decimal(sample.value)}.`];
}
