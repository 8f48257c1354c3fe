// RoIPool and RoIAlign of one RoI on one small map, as `mrcnn_lite.ops` defines them, for a browser.
//
// A map is { h, w, values } with h * w numbers, row by row. A box is [x1, y1, x2, y2] in image px.
// `size` is P, the bins per axis; `scale` is 1 / stride. Results are flat arrays of P * P numbers,
// row by row. tests/lessons/test_kit_roi_explorer.py holds every function to `mrcnn_lite.ops`.

/** Halves away from zero, as C++ rounds; Math.round takes them upwards. In float32, as there. */
export function roundHalfAway(x) {
  const size = Math.fround(Math.abs(x));
  return Math.sign(x) * (Math.floor(size) + (size % 1 >= 0.5 ? 1 : 0));
}

const clamp = (x, low, high) => Math.min(Math.max(x, low), high);

/** The half-open windows of one axis's bins, clipped to n elements; neighbours may overlap. */
function poolWindows(first, last, bins, n) {
  const float32 = Math.fround; // the operation's type, whose rounding can move a border
  const step = float32(Math.max(last - first + 1, 1) / bins);
  return Array.from({ length: bins }, (_, i) => [
    clamp(Math.floor(float32(i * step)) + first, 0, n),
    clamp(Math.ceil(float32((i + 1) * step)) + first, 0, n),
  ]);
}

/** The index of the largest element of a window; -1 where it is empty. */
function largest(map, [top, bottom], [left, right]) {
  let best = -1;
  for (let y = top; y < bottom; y++) {
    for (let x = left; x < right; x++) {
      const at = y * map.w + x;
      if (best < 0 || map.values[at] > map.values[best]) best = at;
    }
  }
  return best;
}

/** RoIPool: { values, argmax, rows, columns, window }; argmax is -1 where a bin is empty. */
export function roiPool(map, box, size, scale) {
  const [x1, y1, x2, y2] = box.map((corner) => roundHalfAway(corner * scale));
  const rows = poolWindows(y1, y2, size, map.h);
  const columns = poolWindows(x1, x2, size, map.w);
  const argmax = rows.flatMap((row) => columns.map((column) => largest(map, row, column)));
  const values = argmax.map((at) => (at < 0 ? 0 : map.values[at]));
  // Both ends of the rounded RoI are included, hence + 1.
  return { values, argmax, rows, columns, window: [x1, y1, x2 + 1, y2 + 1] };
}

/** The two elements around a position, the weight of the second, and whether the sample counts. */
export function corners(position, n) {
  const inside = position >= -1 && position <= n;
  const onMap = clamp(position, 0, n - 1);
  const low = Math.floor(onMap);
  // A sample that was moved onto the map stays where it is when the box moves.
  const moves = inside && position >= 0 && position <= n - 1;
  return { low, high: Math.min(low + 1, n - 1), fraction: onMap - low, inside, moves };
}

/** One axis of a RoI: where it begins, how long it is, and its samples, bin by bin. */
function sampleAxis(from, to, size, scale, ratio, aligned) {
  const start = from * scale - (aligned ? 0.5 : 0);
  const length = to * scale - (aligned ? 0.5 : 0) - start;
  const extent = aligned ? length : Math.max(length, 1);
  const count = ratio > 0 ? ratio : Math.max(Math.ceil(extent / size), 0);
  const step = extent / size;
  const bins = Array.from({ length: size }, (_, i) =>
    Array.from({ length: count }, (_, s) => start + i * step + ((s + 0.5) * step) / count),
  );
  return { start, extent, count, bins, stretches: aligned || length >= 1 };
}

/**
 * The weights of one axis as a matrix [P][n], and its derivatives with respect to both ends of the
 * RoI (per image px). Pooling is a product of two such matrices with the map.
 */
function axisMatrices(axis, size, scale, n) {
  const zeros = () => Array.from({ length: size }, () => new Float64Array(n));
  const matrices = { weight: zeros(), from: zeros(), to: zeros() };
  axis.bins.forEach((positions, bin) => {
    positions.forEach((position, sample) => {
      const { low, high, fraction, inside, moves } = corners(position, n);
      if (!inside) return;
      const share = 1 / axis.count;
      matrices.weight[bin][low] += share * (1 - fraction);
      matrices.weight[bin][high] += share * fraction;
      if (!moves) return;
      // The position is start + t * extent; a RoI held at one element only moves with its start.
      const t = (bin + (sample + 0.5) / axis.count) / size;
      const byTo = axis.stretches ? t * scale : 0;
      for (const [name, speed] of [["from", scale - byTo], ["to", byTo]]) {
        matrices[name][bin][low] -= share * speed;
        matrices[name][bin][high] += share * speed;
      }
    });
  });
  return matrices;
}

/** rows [P][h] times the map times columns [P][w], transposed: P * P numbers. */
function sandwich(rows, map, columns) {
  const out = [];
  for (const row of rows) {
    const mixed = new Float64Array(map.w); // [w]
    for (let y = 0; y < map.h; y++) {
      if (row[y] === 0) continue;
      for (let x = 0; x < map.w; x++) mixed[x] += row[y] * map.values[y * map.w + x];
    }
    for (const column of columns) {
      let sum = 0;
      for (let x = 0; x < map.w; x++) sum += column[x] * mixed[x];
      out.push(sum);
    }
  }
  return out;
}

/** RoIAlign: { values, x, y, A_x, A_y }; x and y hold the samples of each axis. */
export function roiAlign(map, box, size, scale, ratio, aligned) {
  const x = sampleAxis(box[0], box[2], size, scale, ratio, aligned);
  const y = sampleAxis(box[1], box[3], size, scale, ratio, aligned);
  const A_x = axisMatrices(x, size, scale, map.w);
  const A_y = axisMatrices(y, size, scale, map.h);
  return { values: sandwich(A_y.weight, map, A_x.weight), x, y, A_x, A_y };
}

/** How fast every output changes with x1, y1, x2, y2 (per image px): four arrays of P * P. */
export function boxGradients(map, align) {
  const { A_x, A_y } = align;
  return [
    sandwich(A_y.weight, map, A_x.from),
    sandwich(A_y.from, map, A_x.weight),
    sandwich(A_y.weight, map, A_x.to),
    sandwich(A_y.to, map, A_x.weight),
  ];
}

/** What the outputs of some bins together send back to every element: h * w numbers, both operators. */
export function mapGradients(map, align, pool, size, bins) {
  const gradients = { align: new Array(map.h * map.w).fill(0), pool: new Array(map.h * map.w).fill(0) };
  for (const bin of bins) {
    const [row, column] = [align.A_y.weight[Math.floor(bin / size)], align.A_x.weight[bin % size]];
    row.forEach((v, y) => {
      if (v !== 0) column.forEach((u, x) => (gradients.align[y * map.w + x] += v * u));
    });
    if (pool.argmax[bin] >= 0) gradients.pool[pool.argmax[bin]] += 1;
  }
  return gradients;
}

/**
 * One output while the RoI slides along x: at every shift (image px) what RoIPool and RoIAlign give,
 * and RoIAlign's slope per px.
 */
export function slide(map, box, size, scale, ratio, aligned, bin, shifts) {
  const [row, column] = [Math.floor(bin / size), bin % size];
  const y = sampleAxis(box[1], box[3], size, scale, ratio, aligned);
  const rows = [axisMatrices(y, size, scale, map.h).weight[row]];
  const round = (corner) => roundHalfAway(corner * scale);
  const windowRows = poolWindows(round(box[1]), round(box[3]), size, map.h)[row];
  return shifts.map((by) => {
    const [x1, x2] = [box[0] + by, box[2] + by];
    const at = largest(map, windowRows, poolWindows(round(x1), round(x2), size, map.w)[column]);
    const x = sampleAxis(x1, x2, size, scale, ratio, aligned);
    const { weight, from, to } = axisMatrices(x, size, scale, map.w);
    const [align, left, right] = sandwich(rows, map, [weight[column], from[column], to[column]]);
    return { pool: at < 0 ? 0 : map.values[at], align, slope: left + right };
  });
}

/** How many bins of RoIPool look at each cell: h * w numbers. */
export function binCounts(map, pool) {
  const along = (bins, n) =>
    Array.from({ length: n }, (_, i) => bins.filter(([from, to]) => from <= i && i < to).length);
  const columns = along(pool.columns, map.w);
  return along(pool.rows, map.h).flatMap((row) => columns.map((column) => row * column));
}

/** The cells that RoIPool looks at, [x1, y1, x2, y2], and their intersection over union with the RoI. */
export function poolWindow(pool, box, scale) {
  const ends = (bins) => [bins[0][0], bins.at(-1)[1]];
  const [[x1, x2], [y1, y2]] = [ends(pool.columns), ends(pool.rows)];
  const [a, b, c, d] = box.map((corner) => corner * scale);
  const shared = Math.max(Math.min(x2, c) - Math.max(x1, a), 0) * Math.max(Math.min(y2, d) - Math.max(y1, b), 0);
  const union = (x2 - x1) * (y2 - y1) + (c - a) * (d - b) - shared;
  return { cells: [x1, y1, x2, y2], iou: shared / union };
}

/** The chosen sample of the chosen bin: its index, its corners, their weights and values. */
export function chosenSample(map, align, size, bin, sample) {
  const ys = align.y.bins[Math.floor(bin / size)];
  const xs = align.x.bins[bin % size];
  const count = ys.length * xs.length;
  if (!count) return null;
  const index = Math.min(sample, count - 1);
  const [y, x] = [ys[Math.floor(index / xs.length)], xs[index % xs.length]];
  const [v, u] = [corners(y, map.h), corners(x, map.w)];
  const weights = [v.fraction, u.fraction];
  const pairs = [
    [v.low, u.low, (1 - weights[0]) * (1 - weights[1])],
    [v.low, u.high, (1 - weights[0]) * weights[1]],
    [v.high, u.low, weights[0] * (1 - weights[1])],
    [v.high, u.high, weights[0] * weights[1]],
  ];
  const valueAt = (row, column) => map.values[row * map.w + column];
  const terms = pairs.map(([row, column, weight]) => [row, column, weight, valueAt(row, column)]);
  // Each corner owns the rectangle opposite to it. The cell's corners lie in the middle of elements.
  const [left, top] = [u.low + 0.5, v.low + 0.5];
  const [right, bottom] = [left + 1, top + 1];
  const [cx, cy] = [left + weights[1], top + weights[0]];
  const areas = [[cx, cy, right, bottom], [left, cy, cx, bottom], [cx, top, right, cy], [left, top, cx, cy]];
  const middles = [[left, top], [right, top], [left, bottom], [right, bottom]];
  const counts = v.inside && u.inside;
  const value = counts ? terms.reduce((sum, [, , weight, f]) => sum + weight * f, 0) : 0;
  return { x, y, index, count, counts, terms, value, areas, corners: middles };
}
