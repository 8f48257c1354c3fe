// What a switch changed: two answers of the network to the same image.
import { pairUp } from "./tracking.js";

const px = (value) => `${value.toFixed(1)} px`;
const objects = (n) => (n === 1 ? "1 object" : `${n} objects`);

/** The difference of two lists of detections (`frame.js`) in one sentence. */
export function difference(before, after) {
  const pairs = pairUp(before.map((it) => it.box), after.map((it) => it.box));
  const [lost, won] = [before.length - pairs.length, after.length - pairs.length];
  let [moved, most, score, pixels, renamed] = [0, 0, 0, 0, 0];
  for (const [i, j] of pairs) {
    const [a, b] = [before[i], after[j]];
    const shift = Math.max(...a.box.map((edge, k) => Math.abs(edge - b.box[k])));
    moved += shift / pairs.length;
    most = Math.max(most, shift);
    score = Math.max(score, Math.abs(a.score - b.score));
    a.pixels.forEach((inside, k) => (pixels += inside !== b.pixels[k]));
    renamed += a.label !== b.label;
  }
  const parts = [];
  if (lost) parts.push(`${objects(lost)} lost`);
  if (won) parts.push(`${objects(won)} more`);
  if (renamed) parts.push(`${objects(renamed)} with another class`);
  if (most >= 0.05) parts.push(`boxes move by ${px(moved)} on average, at most ${px(most)}`);
  if (score >= 0.005) parts.push(`scores change by up to ${score.toFixed(2)}`);
  if (pixels) parts.push(`${pixels} pixels of the masks change`);
  return parts.length ? `${parts.join(", ")}.` : "the detections stay as they are.";
}
