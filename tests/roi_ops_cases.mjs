// Reads cases from standard input, computes each with roi_ops.js, and writes the results.
import { readFileSync } from "node:fs";

const [script] = process.argv.slice(2);
const ops = await import(script);
const answers = JSON.parse(readFileSync(0, "utf8")).map((it) => {
  const map = { h: it.rows.length, w: it.rows[0].length, values: it.rows.flat() };
  const scale = 1 / it.stride;
  const pool = ops.roiPool(map, it.box, it.size, scale);
  const align = ops.roiAlign(map, it.box, it.size, scale, it.ratio, it.aligned);
  const gradients = ops.mapGradients(map, align, pool);
  const chosen = ops.chosenSample(map, align, it.size, it.bin, it.sample);
  return {
    pool: pool.values,
    align: align.values,
    poolGradient: gradients.pool,
    alignGradient: gradients.align,
    boxGradients: ops.boxGradients(map, align),
    sample: chosen && { x: chosen.x, y: chosen.y, value: chosen.value },
  };
});
console.log(JSON.stringify(answers));
