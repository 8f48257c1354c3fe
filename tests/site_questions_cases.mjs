// Reads cases from standard input, judges each as the site's pages do, and writes the verdicts.
import { readFileSync } from "node:fs";

const [folder] = process.argv.slice(2);
const { compared, isRight } = await import(`${folder}/questions.js`);
const { gradeByHand, gradeMap, gradeNames } = await import(`${folder}/exercises.js`);
const { gradeLines } = await import(`${folder}/lines.js`);
const { progressIn } = await import(`${folder}/progress.js`);

const NUMBERS = { nan: NaN, inf: Infinity };
const revived = (value) => (Array.isArray(value) ? value.map(revived) : (NUMBERS[value] ?? value));
const judges = {
  isRight,
  compared,
  gradeNames,
  gradeLines,
  gradeByHand: (typed, checks) => gradeByHand(revived(typed), checks),
  gradeMap: (map, checks) => gradeMap(revived(map), checks),
  progress(kept) {
    const items = new Map(kept === null ? [] : [["mrcnn_lite", kept]]);
    const storage = {
      getItem: (key) => items.get(key) ?? null,
      setItem: (key, value) => items.set(key, value),
      removeItem: (key) => items.delete(key),
    };
    const progress = progressIn(storage);
    progress.keep("predictions", "a", "4");
    progress.keep("calibration", "a", "sure: wrong");
    const again = progressIn(storage);
    const seen = [again.get("predictions", "a"), again.count(), again.calibration()];
    again.forget();
    return [...seen, again.count(), items.size];
  },
};
const cases = JSON.parse(readFileSync(0, "utf8"));
console.log(JSON.stringify(cases.map(([judge, ...given]) => judges[judge](...given))));
