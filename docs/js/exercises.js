// Exercises that can be checked without Python: numbers worked out by hand, the blocks of notebook 00,
// the map of notebook 01. What they are compared with was computed by the package when the site was
// built (tools/site_exercises.py).

import { numberOf } from "./questions.js";

const NEAR = 0.0051; // two decimals are enough
const MOST = 3; // mistakes that are told

const agree = (a, b) => b !== null && Math.abs(a - b) <= NEAR;
const fit = (typed, numbers) => numbers !== null && typed.every((number, k) => agree(number, numbers[k]));

/**
 * What can be said of the numbers of all cases.
 *
 * @param {number[][]} typed for each case the numbers; NaN for an empty field, Infinity for what is no number.
 * @param {{ right: number[][], mistakes: { message: string, numbers: (number[] | null)[] }[] }} checks
 * @returns {{ passed: boolean, words: string, wrong: boolean[][] }} `wrong`: which fields are.
 */
export function gradeByHand(typed, { right, mistakes }) {
  const wrong = typed.map((numbers, k) => numbers.map((number, i) => number === number && !agree(number, right[k][i])));
  const open = typed.flat().filter(Number.isNaN).length;
  const count = typed.flat().length;
  const off = wrong.flat().filter(Boolean).length;
  if (!off && !open) return { passed: true, wrong, words: `Right: all ${count} numbers, worked out by hand.` };
  if (!off) {
    const good = count - open;
    return { passed: false, wrong, words: good ? `${good} right so far, ${open} to go.` : "Nothing is filled in yet." };
  }
  const rest = open ? `, ${open} to go` : "";
  const words = [`Not right yet: ${count - open - off} of ${count} numbers are right${rest}.`];
  const first = wrong.findIndex((fields, k) => fields.includes(true) && !typed[k].some(Number.isNaN));
  const likely = first < 0 ? [] : mistakes.filter(({ numbers }) => fit(typed[first], numbers[first]));
  if (likely.length) words.push(`Case ${first + 1}, likely: ${likely.slice(0, MOST).map((it) => it.message).join(" Or: ")}`);
  else words.push("None of the known mistakes gives these numbers; the hints may help.");
  return { passed: false, wrong, words: words.join("\n") };
}

/**
 * What can be said of the chosen names.
 *
 * @param {Record<string, string>} chosen "" where nothing is chosen.
 * @param {{ right: Record<string, string>, nudges: Record<string, Record<string, string>>, passed: string }} checks
 */
export function gradeNames(chosen, { right, nudges, passed }) {
  const answered = Object.keys(right).filter((question) => chosen[question]);
  const wrong = answered.filter((question) => chosen[question] !== right[question]);
  const [count, open] = [Object.keys(right).length, Object.keys(right).length - answered.length];
  if (!answered.length) return { passed: false, words: "Not yet: choose an answer for each line." };
  if (!wrong.length && !open) return { passed: true, words: passed };
  const score = `Not right yet: ${answered.length - wrong.length} of ${count} right${open ? `, ${open} still open` : ""}.`;
  return { passed: false, words: [score, ...wrong.map((question) => nudges[question][chosen[question]])].join("\n") };
}

/** The maxima of a map (rows of numbers) over half-open ranges, row by row. */
function maxima(map, ranges) {
  const over = ([top, bottom], [left, right]) => Math.max(...map.slice(top, bottom).flatMap((row) => row.slice(left, right)));
  return ranges.flatMap((rows) => ranges.map((columns) => over(rows, columns)));
}

/**
 * Whether a 6 x 6 map tells RoIPool's overlapping bins from both disjoint splits.
 *
 * @param {number[][]} map NaN for what is no number.
 * @param {{ bins: number[][], splits: Record<string, number[][]>, both: string, passed: string }} checks
 */
export function gradeMap(map, { bins, splits, both, passed }) {
  if (map.flat().some(Number.isNaN)) return { passed: false, words: "Not right yet: the map must be 6 x 6 finite numbers." };
  if (map.flat().every((number) => number === 0)) return { passed: false, words: "Not yet: your map is still empty." };
  const true_ = maxima(map, bins);
  const same = Object.keys(splits).filter((name) => maxima(map, splits[name]).every((number, k) => number === true_[k]));
  if (!same.length) return { passed: true, words: passed };
  return { passed: false, words: both.replace(Object.keys(splits).join(" and "), same.join(" and ")) };
}

const typedIn = (input, empty, strange) => {
  const text = input.value.trim();
  const number = text ? numberOf(text) : empty;
  return text && Number.isNaN(number) ? strange : number;
};
const rowsOf = (place) => [...place.querySelectorAll(".row")].map((row) => [...row.querySelectorAll("input")]);

const GRADES = {
  "by-hand": (form, checks) => {
    const cases = [...form.querySelectorAll("li")].map((item) => [...item.querySelectorAll("input")]);
    const found = gradeByHand(cases.map((inputs) => inputs.map((input) => typedIn(input, NaN, Infinity))), checks);
    cases.forEach((inputs, k) => inputs.forEach((input, i) => input.setAttribute("aria-invalid", found.wrong[k][i])));
    return found;
  },
  naming: (form, checks) => gradeNames(Object.fromEntries(new FormData(form)), checks),
  "own-map": (form, checks) => gradeMap(rowsOf(form).map((row) => row.map((input) => typedIn(input, 0, NaN))), checks),
};

/** An exercise: what was written comes back another day, and is judged when asked. */
export function mountExercise(form, progress) {
  const [{ name }, checks] = [form.dataset, JSON.parse(form.dataset.checks)];
  const grade = GRADES[[...form.classList].find((kind) => kind in GRADES)];
  const controls = [...form.querySelectorAll("input, select")];
  const kept = JSON.parse(progress.get("written", name) || "[]");
  controls.forEach((control, k) => (control.value = kept[k] ?? ""));
  const say = ({ passed, words }) => {
    form.querySelector("[role=status]").textContent = words;
    if (passed) progress.keep("by hand", name, "yes");
  };
  form.addEventListener("change", () => progress.keep("written", name, JSON.stringify(controls.map(({ value }) => value))));
  form.addEventListener("submit", () => say(grade(form, checks)));
  if (progress.get("by hand", name)) form.querySelector("[role=status]").textContent = "Done before.";
}
