// Reads cases from standard input, computes each with the live page's files, and writes the results.
import { readFileSync } from "node:fs";

const [folder] = process.argv.slice(2);
const { pasteMask } = await import(`${folder}/paste.js`);
const { boxIou, suppressionSteps } = await import(`${folder}/suppression.js`);
const answers = JSON.parse(readFileSync(0, "utf8")).map((it) => ({
  pasted: [...pasteMask(it.mask, it.box, it.size, it.rule)],
  steps: suppressionSteps(it.boxes, it.threshold),
  ious: it.boxes.map((box) => boxIou(it.boxes[0], box)),
}));
console.log(JSON.stringify(answers));
