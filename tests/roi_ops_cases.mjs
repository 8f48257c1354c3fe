// Reads cases from standard input, computes each with the explorer's files, and writes the results.
import { readFileSync } from "node:fs";

const [folder] = process.argv.slice(2);
const ops = await import(`${folder}/roi_ops.js`);
const { localStore, mapOf } = await import(`${folder}/roi_store.js`);
const answers = JSON.parse(readFileSync(0, "utf8")).map((it) => {
  const map = { h: it.rows.length, w: it.rows[0].length, values: it.rows.flat() };
  const scale = 1 / it.stride;
  const pool = ops.roiPool(map, it.box, it.size, scale);
  const align = ops.roiAlign(map, it.box, it.size, scale, it.ratio, it.aligned);
  const gradients = ops.mapGradients(map, align, pool, it.size, pool.values.keys());
  const first = Math.min(0, it.box[0]);
  const last = Math.max(map.w * it.stride - (it.box[2] - it.box[0]), it.box[0]);
  const shifts = Array.from({ length: 129 }, (_, k) => first - it.box[0] + (k * (last - first)) / 128);
  const slide = ops.slide(map, it.box, it.size, scale, it.ratio, it.aligned, it.bin, shifts);
  const along = (name) => slide.map((point) => point[name]);
  const state = { map: "ramp", stride: it.stride, own: [], maps: [{ key: "ramp", rows: it.rows, stride: 32 }] };
  const chosen = ops.chosenSample(map, align, it.size, it.bin, it.sample);
  return {
    pool: pool.values,
    align: align.values,
    poolGradient: gradients.pool,
    alignGradient: gradients.align,
    counts: ops.binCounts(map, pool),
    window: ops.poolWindow(pool, it.box, scale),
    slide: { shifts, pool: along("pool"), align: along("align"), slope: along("slope") },
    finer: mapOf(localStore(state)),
    boxGradients: ops.boxGradients(map, align),
    sample: chosen && { x: chosen.x, y: chosen.y, value: chosen.value },
  };
});
console.log(JSON.stringify(answers));
