// A page's questions and exercises come to life, and the reader's record gets its line at the end.

import { mountExercise } from "./exercises.js";
import { mountLines } from "./lines.js";
import { browserStorage, progressIn } from "./progress.js";
import { mountPrediction, mountRecall, mountWhy } from "./questions.js";

const KINDS = {
  predict: mountPrediction,
  recall: mountRecall,
  why: mountWhy,
  "by-hand": mountExercise,
  naming: mountExercise,
  "own-map": mountExercise,
  lines: mountLines,
};

/** How many answers are kept, and the button that forgets them. */
function recordLine(progress) {
  const [line, words, button] = ["div", "p", "button"].map((tag) => document.createElement(tag));
  line.className = "reader-record";
  button.type = "button";
  button.textContent = "Forget my answers";
  words.setAttribute("role", "status");
  const show = () => {
    const count = progress.count();
    const kept = count === 1 ? "1 answer" : `${count} answers`;
    const right = progress.calibration();
    words.textContent =
      `This browser keeps ${kept} of yours, of all pages; nothing is sent anywhere.` +
      (right.length ? ` Your predictions that were right: ${right.join(", ")}.` : "");
    button.disabled = count === 0;
  };
  button.addEventListener("click", () => {
    if (!confirm("Forget all answers, of all pages?")) return;
    progress.forget();
    location.reload();
  });
  progress.listen(show);
  show();
  line.append(words, button);
  return line;
}

/** Bring all forms of a document to life. */
export function mountPage() {
  const forms = [...document.querySelectorAll("form.ask")];
  if (!forms.length) return;
  const progress = progressIn(browserStorage());
  for (const form of forms) {
    form.addEventListener("submit", (event) => event.preventDefault());
    KINDS[[...form.classList].find((kind) => kind in KINDS)](form, progress);
  }
  document.querySelector("article").append(recordLine(progress));
}
