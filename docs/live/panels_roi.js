// One RoI: where the finest map is sampled, and the 7 x 7 that come out.
import { chosenSample, roiAlign, roiPool } from "../../mrcnn_lite/lessons/kit/roi_explorer/js/roi_ops.js";
import { SIZE } from "./drawing.js";
import { NOTHING, byId, f2, onPoint, say, slider } from "./elements.js";
import { around, channelOf, channelWords, pooledOf } from "./frame.js";
import { Picture, bitmap, colourOf, paintMap, range } from "./picture.js";

const P = 7;
const binName = (bin) => `row ${Math.floor(bin / P)}, column ${bin % P}`;

export function roiPanel(app) {
  const [map, pooled] = [new Picture(byId("roi-map")), new Picture(byId("roi-pooled"))];
  const [mapTiny, pooledTiny] = [bitmap(32), bitmap(P)];
  const bin = slider("bin", (value) => app.change({ bin: value }), binName);
  onPoint(pooled, (point) => {
    if (!point) return;
    const [column, line] = point.map((x) => Math.min(Math.max(Math.floor(x), 0), P - 1));
    app.change({ bin: line * P + column });
  });
  const radios = [...document.querySelectorAll("[name=pooling]")];
  for (const radio of radios) {
    radio.addEventListener("change", () => app.change({ pooling: Number(radio.value) }, "pooling"));
  }
  return {
    id: "stage-roi",
    draw({ frame, chosen, path, state }) {
      for (const radio of radios) radio.checked = Number(radio.value) === state.pooling;
      bin.set(state.bin);
      if (!chosen) return say(byId("roi-now"), NOTHING);
      const { features_0: { data, dims }, box_pooled } = frame.out;
      const finest = { h: dims[1], w: dims[2], values: channelOf(data, dims[0], state.channel) };
      const seven = pooledOf(box_pooled, path.proposal, state.channel);
      const [scale, [ratio, aligned]] = [1 / frame.meta.strides[0], frame.meta.box_sampling];
      const box = path.proposalBox;
      const shown = state.pooling
        ? { pool: roiPool(finest, box, P, scale) }
        : { align: roiAlign(finest, box, P, scale, ratio, aligned) };
      const limits = range(finest.values);
      const stride = frame.meta.strides[0];
      drawMap(map, paintMap(mapTiny, finest.values, ...limits), { ...shown, box, stride, ...state }, chosen);
      // Means lie between the map's numbers, and get its colours; the largest ones get their own.
      const own = state.pooling ? range(seven) : limits;
      drawPooled(pooled, paintMap(pooledTiny, seven, ...own), seven, own, state.bin);
      say(byId("roi-map-now"), `P2 around the proposal, ${channelWords(state.channel, dims[0])}`);
      say(byId("roi-pooled-now"), `what goes on: ${P} × ${P}`);
      say(byId("roi-now"), binWords(shown, finest, seven, state));
    },
  };
}

/** The map around the RoI; an element of the map is drawn as a square of one stride. */
function drawMap(picture, tiny, { align, pool, box, stride, bin, channel }, chosen) {
  if (!picture.begin(around([box], 3 * stride))) return;
  const { view } = picture;
  picture.bitmap(tiny);
  const lines = [];
  for (let at = 0; at <= SIZE; at += stride) {
    lines.push([at, 0, at, SIZE], [0, at, SIZE, at]);
  }
  if (view[2] - view[0] < 110) picture.lines(lines, "#fff3", 1);
  picture.boxes([box], colourOf(chosen.slot), { width: 3, rim: "#fff" });
  const [line, column] = [Math.floor(bin / P), bin % P];
  if (align) {
    // Element i is drawn from i to i + 1, so its own place, coordinate i, is the middle of it.
    const at = (position) => (position + 0.5) * stride;
    const points = (rows, columns) => rows.flatMap((y) => columns.map((x) => [at(x), at(y)]));
    picture.points(points(align.y.bins.flat(), align.x.bins.flat()), "#fff", 1.6, "#000a");
    picture.points(points(align.y.bins[line], align.x.bins[column]), "#ff9a55", 4, "#000");
  } else {
    const window = ([top, bottom], [left, right]) => [left, top, right, bottom].map((edge) => edge * stride);
    const whole = pool.window.map((edge) => edge * stride);
    picture.boxes([whole], "#ff9a55", { width: 2, dashed: true, rim: "#000a" });
    picture.boxes([window(pool.rows[line], pool.columns[column])], "#fff", { width: 2, rim: "#000" });
    const best = channel < 0 ? -1 : pool.argmax[bin]; // every channel has its own
    const [y, x] = [Math.floor(best / 32), best % 32];
    if (best >= 0) picture.points([[(x + 0.5) * stride, (y + 0.5) * stride]], "#ff9a55", 5, "#000");
  }
}

function drawPooled(picture, tiny, values, [low, high], bin) {
  if (!picture.begin([0, 0, P, P])) return;
  picture.bitmap(tiny, [0, 0, P, P]);
  const size = Math.min(11, 0.3 / picture.unit);
  values.forEach((value, i) => {
    const colour = (value - low) / (high - low) > 0.6 ? "#000" : "#fff";
    const [x, y] = [(i % P) + 0.5, Math.floor(i / P) + 0.5];
    picture.text(f2(value), x, y, { colour, size, align: "center", weight: 400 });
  });
  const [x, y] = [bin % P, Math.floor(bin / P)];
  picture.boxes([[x, y, x + 1, y + 1]], "#ff9a55", { width: 3, rim: "#000" });
}

/** What a bin's number is made of. */
function binWords({ align, pool }, map, seven, { bin, channel }) {
  const name = `Cell in ${binName(bin)}`;
  if (pool) {
    const window = [pool.rows[Math.floor(bin / P)], pool.columns[bin % P]].map(([from, to]) => Math.max(to - from, 0));
    const of = `${window[0]} × ${window[1]} cells of the map`;
    const most = channel < 0 ? "of every channel the largest" : "the largest";
    const mean = channel < 0 ? " on average" : "";
    return `${name}: ${most} of ${of}, ${f2(seven[bin])}${mean}. The RoI is rounded to the dashed window.`;
  }
  const samples = [];
  for (let s = 0; ; s++) {
    const sample = chosenSample(map, align, P, bin, s);
    if (!sample || sample.index < s) break;
    samples.push(sample.value);
  }
  return `${name}: the mean of ${samples.map(f2).join(", ")} is ${f2(seven[bin])}. The samples lie half a cell `
    + "to the right of and below the box: this network's convention, aligned = False (notebook 02).";
}
