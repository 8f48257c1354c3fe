// One answer of the network, made easy to draw: detections, and the path of each back to the pixels.
import { SIZE } from "./drawing.js";
import { pasteMask } from "./paste.js";
import { edgesOf } from "./picture.js";

/** Row i of an output: a view, nothing is copied. */
export function row(output, i) {
  const length = output.dims.slice(1).reduce((n, d) => n * d, 1);
  return output.data.subarray(i * length, (i + 1) * length);
}

/** The mean over the channels, or one of them, of [C, h, w]: Float32Array[h * w]. */
export function channelOf(data, count, channel) {
  const n = data.length / count;
  if (channel >= 0) return data.subarray(channel * n, (channel + 1) * n);
  const mean = new Float32Array(n);
  for (let c = 0; c < count; c++) for (let i = 0; i < n; i++) mean[i] += data[c * n + i] / count;
  return mean;
}

/** A channel, or the mean, of a RoI's pooled features: row i of [K, C, P, P] as Float32Array[P * P]. */
export function pooledOf(output, i, channel) {
  return channelOf(row(output, i), output.dims[1], channel);
}

/** In words: which channel is shown. */
export const channelWords = (channel, count) => (channel < 0 ? `mean of ${count} channels` : `channel ${channel}`);

/**
 * Read an answer.
 *
 * Args: out, the network's outputs by name; painted, { image, owner } of `paint`; shapes, the scene's;
 * meta, what the network's file says; tracker, a `Tracker`; threshold, of the masks' probabilities.
 *
 * Returns { out, meta, image, owner, detections, by slot }. A detection has slot, label, name, score,
 * box, mask [M * M], source (row of the proposals), probabilities [S * S] and pixels [S * S] in the
 * image, their area and edges, and truth: { kind, iou } of the shape that shares most pixels with it.
 */
export function understand(out, painted, shapes, meta, tracker, threshold) {
  const count = Number(out.count.data[0]);
  const boxes = Array.from({ length: count }, (_, i) => [...row(out.boxes, i)]);
  const slots = tracker.slots(boxes);
  const detections = boxes.map((box, i) => {
    const mask = row(out.masks, i);
    const probabilities = pasteMask(mask, box, SIZE, meta.paste);
    const label = Number(out.labels.data[i]);
    const source = Number(out.detection_source.data[i]);
    const found = { i, slot: slots[i], label, name: meta.class_names[label], box, mask, source };
    return { ...found, score: out.scores.data[i], probabilities };
  });
  detections.sort((a, b) => a.slot - b.slot);
  const frame = { out, meta, ...painted, shapes, detections };
  applyThreshold(frame, threshold);
  return frame;
}

/** Decide which pixels belong to the detections. */
export function applyThreshold(frame, threshold) {
  for (const detection of frame.detections) {
    const { probabilities } = detection;
    const pixels = new Uint8Array(probabilities.length);
    let area = 0;
    for (let i = 0; i < pixels.length; i++) if (probabilities[i] >= threshold) area += pixels[i] = 1;
    Object.assign(detection, { pixels, area, edges: edgesOf(pixels), truth: truthOf(pixels, area, frame) });
  }
}

/** The shape whose visible pixels a mask shares most of: { g, kind, iou, area }, or null. */
function truthOf(pixels, area, { owner, shapes }) {
  const [shared, whole] = [new Array(shapes.length + 1).fill(0), new Array(shapes.length + 1).fill(0)];
  for (let i = 0; i < owner.length; i++) {
    whole[owner[i]]++;
    shared[owner[i]] += pixels[i];
  }
  let best = null;
  shapes.forEach(({ kind }, g) => {
    const iou = shared[g + 1] / (area + whole[g + 1] - shared[g + 1] || 1);
    if (iou > (best?.iou ?? 0)) best = { g, kind, iou, area: whole[g + 1] };
  });
  return best;
}

/**
 * Where a detection came from: { proposal, proposalBox, proposalScore, candidate, rank, level, stride,
 * anchor, cell, scores [classes], view }. `rank` is the candidate's place on its level, from 0; `view`
 * is a square of the image around all its boxes.
 */
export function pathOf({ out, meta }, detection) {
  const proposal = detection.source;
  const candidate = Number(out.proposal_source.data[proposal]);
  const level = Number(out.candidate_level.data[candidate]);
  const [anchor, proposalBox] = [[...row(out.anchors, candidate)], [...row(out.proposals, proposal)]];
  const stride = meta.strides[level];
  // The grid of anchors starts at (0, 0): the middle of an anchor is a multiple of the stride.
  const cell = [(anchor[0] + anchor[2]) / 2 / stride, (anchor[1] + anchor[3]) / 2 / stride];
  return {
    proposal,
    proposalBox,
    proposalScore: out.proposal_scores.data[proposal],
    candidate,
    rank: candidate - out.candidate_level.data.indexOf(out.candidate_level.data[candidate]),
    level,
    stride,
    anchor,
    cell,
    scores: row(out.class_probabilities, proposal),
    view: around([anchor, proposalBox, detection.box], 6),
  };
}

/** A square around boxes with a margin in pixels, [x1, y1, x2, y2]. */
export function around(boxes, margin) {
  const ends = [0, 1, 2, 3].map((k) => (k < 2 ? Math.min : Math.max)(...boxes.map((box) => box[k])));
  const half = Math.max(ends[2] - ends[0], ends[3] - ends[1]) / 2 + margin;
  const [x, y] = [(ends[0] + ends[2]) / 2, (ends[1] + ends[3]) / 2];
  return [x - half, y - half, x + half, y + half];
}
