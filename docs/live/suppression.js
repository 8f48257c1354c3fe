// Suppression one box at a time, as `mrcnn_lite.ops.nms` defines it.

/** Overlap of two boxes [x1, y1, x2, y2], as `mrcnn_lite.ops.box_iou`, in its type. */
export function boxIou(a, b) {
  const f = Math.fround;
  const area = (box) => f(f(box[2] - box[0]) * f(box[3] - box[1]));
  const width = Math.max(f(Math.min(a[2], b[2]) - Math.max(a[0], b[0])), 0);
  const height = Math.max(f(Math.min(a[3], b[3]) - Math.max(a[1], b[1])), 0);
  const both = f(width * height);
  const union = f(f(area(a) + area(b)) - both);
  return union > 0 ? f(both / union) : 0;
}

/**
 * Go through boxes from the best to the worst: one is removed if a kept one overlaps it by more than
 * the threshold.
 *
 * Args: boxes, [x1, y1, x2, y2] each, best first; threshold, an IoU.
 *
 * Returns for every box { by, iou }: the first kept box that removes it and their IoU; or by = -1, it
 * is kept, and iou is the largest with one kept before it.
 */
export function suppressionSteps(boxes, threshold) {
  const [kept, steps] = [[], []];
  boxes.forEach((box, at) => {
    const ious = kept.map((k) => boxIou(boxes[k], box));
    const first = ious.findIndex((iou) => iou > threshold);
    if (first < 0) kept.push(at);
    steps.push(first < 0 ? { by: -1, iou: Math.max(0, ...ious) } : { by: kept[first], iou: ious[first] });
  });
  return steps;
}
