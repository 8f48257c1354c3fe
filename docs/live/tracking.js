// Which detection of this run is which of the run before: so that colours and the reader's choice stay
// with an object while it moves.
import { boxIou } from "./suppression.js";

const SAME = 0.3; // IoU of boxes from which two detections are one object
const PATIENCE = 10; // runs after which an object that is not found any more is forgotten

/** Pairs [i, j] of boxes, the best IoU first, each box once. */
export function pairUp(first, second) {
  const pairs = [];
  first.forEach((a, i) => second.forEach((b, j) => pairs.push([boxIou(a, b), i, j])));
  pairs.sort((p, q) => q[0] - p[0]);
  const [mine, theirs, found] = [new Set(), new Set(), []];
  for (const [iou, i, j] of pairs) {
    if (iou < SAME) break;
    if (mine.has(i) || theirs.has(j)) continue;
    mine.add(i);
    theirs.add(j);
    found.push([i, j]);
  }
  return found;
}

export class Tracker {
  constructor() {
    this.reset();
  }

  reset() {
    this.tracks = []; // { slot, box, missed }
  }

  /** Give every box [x1, y1, x2, y2], the most likely first, a slot: a small number that stays. */
  slots(boxes) {
    const slots = new Array(boxes.length).fill(-1);
    for (const track of this.tracks) track.missed++;
    for (const [i, j] of pairUp(this.tracks.map((track) => track.box), boxes)) {
      slots[j] = this.tracks[i].slot;
      Object.assign(this.tracks[i], { box: boxes[j], missed: 0 });
    }
    this.tracks = this.tracks.filter((track) => track.missed < PATIENCE);
    boxes.forEach((box, j) => {
      if (slots[j] >= 0) return;
      let slot = 0;
      while (this.knows(slot)) slot++;
      slots[j] = slot;
      this.tracks.push({ slot, box, missed: 0 });
    });
    return slots;
  }

  forget(slot) {
    this.tracks = this.tracks.filter((track) => track.slot !== slot);
  }

  knows(slot) {
    return this.tracks.some((track) => track.slot === slot);
  }
}
