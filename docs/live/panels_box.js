// The box branch: class scores, the box before and after regression, threshold and suppression.
import { NOTHING, boxWords, byId, f2, make, say, signed, slider } from "./elements.js";
import { row } from "./frame.js";
import { Picture, colourOf } from "./picture.js";

export function boxPanel(app) {
  const picture = new Picture(byId("regression"));
  const bars = byId("scores");
  const score = slider("score-threshold", (value) => app.change({ score_threshold: value }, "threshold"));
  const iou = slider("nms-iou", (value) => app.change({ nms_iou: value }, "threshold"));
  return {
    id: "stage-box",
    draw({ frame, chosen, path, colours, state }) {
      score.set(state.score_threshold);
      iou.set(state.nms_iou);
      say(byId("kept-now"), keptWords(frame, state));
      if (!chosen) return say(byId("regression-now"), NOTHING);
      drawBars(bars, frame.meta.class_names, path.scores, chosen.label);
      const count = Number(frame.out.proposal_count.data[0]);
      say(byId("scores-now"), `proposal ${path.proposal + 1} of ${count}: ${chosen.name} ${f2(chosen.score)}`);
      say(byId("regression-now"), moveWords(path.proposalBox, chosen));
      if (!picture.begin(path.view)) return;
      picture.bitmap(colours);
      picture.boxes([path.proposalBox], "#fff", { width: 2, dashed: true, rim: "#000" });
      picture.boxes([chosen.box], colourOf(chosen.slot), { width: 3, rim: "#fff" });
      const corners = ([x1, y1, x2, y2]) => [[x1, y1], [x2, y1], [x1, y2], [x2, y2]];
      const to = corners(chosen.box);
      picture.lines(corners(path.proposalBox).map((from, k) => [...from, ...to[k]]), "#fff", 1.5, "#000");
    },
  };
}

/** A bar for every class, made once, then changed. */
function drawBars(place, names, scores, label) {
  if (!place.children.length) {
    place.append(...names.map((name) => make("div", { className: "score" },
      make("span", { textContent: name }), make("i", {}, make("b")), make("output"))));
  }
  [...place.children].forEach((line, c) => {
    const [, track, number] = line.children;
    track.firstChild.style.width = `${100 * scores[c]}%`;
    line.classList.toggle("winner", c === label);
    say(number, f2(scores[c]));
  });
  place.setAttribute("aria-label", names.map((name, c) => `${name} ${f2(scores[c])}`).join(", "));
}

function moveWords(from, { name, box }) {
  const middle = ([x1, y1, x2, y2]) => [(x1 + x2) / 2, (y1 + y2) / 2];
  const [a, b] = [middle(from), middle(box)];
  const times = (k) => f2((box[k + 2] - box[k]) / (from[k + 2] - from[k]));
  return `For “${name}” the middle moves by (${signed(b[0] - a[0])}, ${signed(b[1] - a[1])}) px, `
    + `the width becomes ${times(0)} times, the height ${times(1)} times as large: `
    + `from ${boxWords(from)} to ${boxWords(box)}.`;
}

/** How many boxes are left, step by step; all numbers are the network's. */
function keptWords({ out, detections }, state) {
  const [rows, classes] = out.class_kept.dims;
  const count = Number(out.proposal_count.data[0]);
  let likely = 0;
  for (let r = 0; r < Math.min(rows, count); r++) {
    for (const p of row(out.class_probabilities, r).subarray(1)) likely += p > state.score_threshold;
  }
  const left = detections.length === 1 ? "1 is a detection" : `${detections.length} are detections`;
  return `${count} proposals × ${classes} classes make ${count * classes} boxes. `
    + `${likely} score above ${f2(state.score_threshold)}; after suppression ${left}.`;
}
