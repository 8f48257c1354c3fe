// Proposals: the candidates before suppression, suppression step by step, the proposals after it.
import { byId, f2, make, say, slider } from "./elements.js";
import { row } from "./frame.js";
import { Picture, colourOf } from "./picture.js";
import { suppressionSteps } from "./suppression.js";

const LIKELY = 0.1; // objectness from which a candidate is drawn at full strength
const LEVELS = ["#56B4E9", "#F0E442", "#E69F00", "#CC79A7"]; // and the captions name them

export function proposalsPanel(app) {
  const pictures = Object.fromEntries(
    ["before", "stepping", "after"].map((id) => [id, new Picture(byId(id))]),
  );
  const level = byId("step-level");
  level.append(...[0, 1, 2, 3].map((l) => make("option", { value: l, textContent: `P${l + 2}` })));
  level.addEventListener("change", () => app.change({ stepLevel: Number(level.value), step: 0 }));
  const step = byId("step");
  step.addEventListener("input", () => app.change({ step: Number(step.value) }));
  const go = (by) => {
    app.change({ step: Math.min(Math.max(app.state.step + by, 0), Number(step.max)) });
    requestAnimationFrame(() => app.tell(byId("step-now").textContent));
  };
  byId("step-back").addEventListener("click", () => go(-1));
  byId("step-on").addEventListener("click", () => go(1));
  byId("step-chosen").addEventListener("click", () => {
    if (!app.path) return;
    app.change({ stepLevel: app.path.level, step: app.path.rank });
  });
  const iou = slider("rpn-iou", (value) => app.change({ rpn_nms_iou: value }, "rpn-iou"));

  return {
    id: "stage-proposals",
    draw({ frame, chosen, path, grey, state }) {
      iou.set(state.rpn_nms_iou);
      const { out } = frame;
      const all = Array.from({ length: out.candidates.dims[0] }, (_, i) => row(out.candidates, i));
      const count = Number(out.proposal_count.data[0]);
      const kept = out.candidate_kept.data.reduce((sum, k) => sum + Number(k), 0);
      drawBefore(pictures.before, out, all, grey);
      const sure = out.candidate_scores.data.filter((score) => score >= LIKELY).length;
      say(byId("before-now"), `before: ${all.length} candidates, `
        + `${sure} with an objectness of at least ${LIKELY}; the others are faint`);
      if (pictures.after.begin()) {
        pictures.after.bitmap(grey);
        const proposals = Array.from({ length: count }, (_, i) => row(out.proposals, i));
        const likely = (i) => out.proposal_scores.data[i] >= LIKELY;
        pictures.after.context.globalAlpha = 0.3;
        pictures.after.boxes(proposals.filter((_, i) => !likely(i)), "#56B4E9", { width: 0.8 });
        pictures.after.context.globalAlpha = 1;
        pictures.after.boxes(proposals.filter((_, i) => likely(i)), "#56B4E9", { width: 1.6, rim: "#0005" });
        if (chosen) pictures.after.boxes([path.proposalBox], colourOf(chosen.slot), { width: 3, rim: "#fff" });
      }
      say(byId("after-now"), `after: ${kept} left, the best ${count} are proposals`);
      const level = state.stepLevel ?? path?.level ?? 0; // the chosen one's until the reader says
      drawStep(pictures.stepping, frame, all, grey, { ...state, stepLevel: level });
    },
  };
}

/** The rows of the candidates of a level. */
function rowsOf(out, level) {
  const rows = [];
  out.candidate_level.data.forEach((l, i) => Number(l) === level && rows.push(i));
  return rows;
}

/** Every candidate in its level's colour; the less likely, the fainter. */
function drawBefore(picture, out, all, grey) {
  if (!picture.begin()) return;
  picture.bitmap(grey);
  LEVELS.forEach((colour, level) => {
    const rows = rowsOf(out, level);
    const likely = (i) => out.candidate_scores.data[i] >= LIKELY;
    picture.context.globalAlpha = 0.12;
    picture.boxes(rows.filter((i) => !likely(i)).map((i) => all[i]), colour, { width: 0.7 });
    picture.context.globalAlpha = 1;
    picture.boxes(rows.filter(likely).map((i) => all[i]), colour, { width: 1.2 });
  });
}

/** One step: which candidate is looked at, and which kept one removes it. */
function drawStep(picture, { out }, all, grey, state) {
  const rows = rowsOf(out, state.stepLevel);
  const at = Math.min(state.step, rows.length - 1);
  const steps = suppressionSteps(rows.map((i) => all[i]), state.rpn_nms_iou);
  const [input, level] = [byId("step"), byId("step-level")];
  input.max = rows.length - 1;
  input.value = at;
  level.value = state.stepLevel;
  const { by, iou } = steps[at];
  const score = f2(out.candidate_scores.data[rows[at]]);
  const name = `Candidate ${at + 1} of ${rows.length} on P${state.stepLevel + 2}, objectness ${score}`;
  const words = by >= 0
    ? `${name}: its IoU with candidate ${by + 1} is ${f2(iou)}, more than ${f2(state.rpn_nms_iou)}. It is removed.`
    : `${name}: kept. ${iou > 0 ? `Its largest IoU with a kept one is ${f2(iou)}.` : "It meets no kept one."}`;
  say(byId("step-now"), words);
  input.setAttribute("aria-valuetext", words);
  if (!picture.begin()) return;
  picture.bitmap(grey);
  const before = rows.slice(0, at).filter((_, k) => steps[k].by < 0);
  picture.boxes(before.map((i) => all[i]), "#56B4E9", { width: 1.2 });
  if (by >= 0) picture.boxes([all[rows[by]]], "#0072B2", { width: 3, rim: "#fff" });
  picture.boxes([all[rows[at]]], by >= 0 ? "#D55E00" : "#009E73", { width: 3, dashed: by >= 0, rim: "#fff" });
}
