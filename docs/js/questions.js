// `predict`, `recall` and `why` of the notebooks, answered in the browser. Their forms, each with its
// folded answer, are written by tools/site_questions.py.

const CLOSE = 0.01; // of a number that is not whole, relative; as in lessons/kit/recall.py
const NUMBER = /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i;

/**
 * The number that somebody wrote: 0.5, .5, 0,5 and 1/2 are one.
 *
 * @param {string} text
 * @returns {number} NaN if it is none.
 */
export function numberOf(text) {
  const parts = text.replaceAll(",", ".").replaceAll("−", "-").replaceAll(" ", "").split("/");
  if (parts.length > 2 || !parts.every((part) => NUMBER.test(part))) return NaN;
  const number = Number(parts[0]) / Number(parts[1] ?? 1);
  return Number.isFinite(number) ? number : NaN;
}

/**
 * Whether an answer is the right option or number; a whole number is asked for exactly.
 *
 * @param {string} answer
 * @param {string} truth
 * @param {"choice" | "whole" | "real"} kind
 */
export function isRight(answer, truth, kind) {
  if (kind === "choice") return answer === truth;
  const [given, wanted] = [numberOf(answer), Number(truth)];
  const most = kind === "whole" ? 0 : CLOSE * Math.max(Math.abs(given), Math.abs(wanted));
  return Math.abs(given - wanted) <= most;
}

/**
 * A prediction in the words of lessons/kit/predictions.py.
 *
 * @param {string} answer "" for none.
 * @param {string} sure how sure; "" for not said.
 * @param {string} truth
 * @param {boolean} known whether the truth is one of the options, so that the two can be compared.
 * @returns {{ predicted: string, verdict: string }}
 */
export function compared(answer, sure, truth, known) {
  if (!answer) return { predicted: "You predicted: nothing yet.", verdict: "" };
  const verdict = !known ? "" : answer === truth ? "They agree." : "They differ.";
  return { predicted: `You predicted: ${answer}${sure && ` (${sure})`}`, verdict };
}

const statusOf = (form) => form.querySelector("[role=status]");

/** Radio buttons or a line: what is chosen or written. */
function answerOf(form, name = "answer") {
  return (new FormData(form).get(name) ?? "").trim();
}

function setAnswer(form, name, value) {
  const controls = form.elements.namedItem(name);
  if (controls && value) controls.value = value;
}

/** A prediction: noted as it changes, compared once its result is unfolded, here or further down. */
export function mountPrediction(form, progress) {
  const { name, truth } = form.dataset;
  const known = form.dataset.known === "yes";
  const below = document.getElementById(`answer-${name}`);
  const folds = [form.querySelector("details"), below?.closest("details")].filter(Boolean);
  const show = () => {
    const answer = answerOf(form);
    const { predicted, verdict } = compared(answer, answerOf(form, "sure"), truth, known);
    if (below) below.textContent = [predicted, `The result: ${truth}`, verdict].join("\n").trim();
    const isOpen = folds.some((fold) => fold.open);
    statusOf(form).textContent = !answer ? "" : isOpen ? `${predicted}. ${verdict}` : `${predicted}.`;
  };
  setAnswer(form, "answer", progress.get("predictions", name));
  setAnswer(form, "sure", progress.get("confidence", name));
  form.addEventListener("change", () => {
    progress.keep("predictions", name, answerOf(form));
    progress.keep("confidence", name, answerOf(form, "sure"));
    show();
  });
  const opened = ({ target }) => {
    const [answer, sure] = [answerOf(form), answerOf(form, "sure")];
    if (target.open && known && answer && sure && !progress.get("calibration", name)) {
      progress.keep("calibration", name, `${sure}: ${answer === truth ? "right" : "wrong"}`);
    }
    show();
  };
  for (const fold of folds) fold.addEventListener("toggle", opened);
  show();
}

/** A question about an earlier notebook; the first answer is the one that is kept. */
export function mountRecall(form, progress) {
  const { name, truth, kind } = form.dataset;
  const told = form.querySelector("details p").textContent;
  if (progress.get("recall", name)) statusOf(form).textContent = "Answered before.";
  const judge = () => {
    const answer = answerOf(form);
    const forgotten = answer === "?" || answer === "I do not remember";
    if (!answer) return;
    if (kind !== "choice" && !forgotten && Number.isNaN(numberOf(answer))) {
      statusOf(form).textContent = "Write a number, such as 12, 0.5 or 1/32.";
      return;
    }
    const right = !forgotten && isRight(answer, truth, kind);
    if (!progress.get("recall", name)) progress.keep("recall", name, right ? "right" : "wrong");
    statusOf(form).textContent = `${right ? "Right" : forgotten ? "It is" : "No"}: ${told}`;
  };
  form.addEventListener(kind === "choice" ? "change" : "submit", judge);
}

/** A reason in the reader's own words: kept, and compared by the reader alone. */
export function mountWhy(form, progress) {
  setAnswer(form, "answer", progress.get("why", form.dataset.name));
  form.addEventListener("change", () => {
    progress.keep("why", form.dataset.name, answerOf(form));
    statusOf(form).textContent = "Noted. Compare it with the answer below.";
  });
}
