// The mask branch: 14 x 14 features, 28 x 28 probabilities, and their way back into the image.
import { SIZE } from "./drawing.js";
import { NOTHING, byId, f2, make, onPoint, say, slider } from "./elements.js";
import { channelWords, pooledOf, row } from "./frame.js";
import { Picture, bitmap, colourOf, edgesOf, paintMap, paintMask, range } from "./picture.js";

const [POOLED, M] = [14, 28];

export function maskPanel(app) {
  const [pooled, mask] = [new Picture(byId("mask-pooled")), new Picture(byId("mask"))];
  const [pooledTiny, maskTiny] = [bitmap(POOLED), bitmap(M)];
  const six = [];
  let pointed = null;
  onPoint(mask, (point) => {
    pointed = point && point.map((x) => Math.min(Math.max(Math.floor(x), 0), M - 1));
    app.redraw();
  });
  return {
    id: "stage-mask",
    draw({ frame, chosen, state }) {
      if (!chosen) return say(byId("mask-cell"), NOTHING);
      const features = pooledOf(frame.out.mask_pooled, chosen.i, state.channel);
      if (pooled.begin([0, 0, POOLED, POOLED])) {
        pooled.bitmap(paintMap(pooledTiny, features, ...range(features)), [0, 0, POOLED, POOLED]);
      }
      const what = channelWords(state.channel, frame.out.mask_pooled.dims[1]);
      say(byId("mask-pooled-now"), `${frame.meta.poolings[state.pooling]} 14 × 14, ${what}`);
      if (mask.begin([0, 0, M, M])) {
        mask.bitmap(paintMap(maskTiny, chosen.mask, 0, 1), [0, 0, M, M]);
        if (pointed) mask.boxes([[...pointed, pointed[0] + 1, pointed[1] + 1]], "#fff", { rim: "#000" });
      }
      say(byId("mask-now"), `28 × 28 probabilities of “${chosen.name}”`);
      const at = pointed && pointed[1] * M + pointed[0];
      const sure = chosen.mask.reduce((n, p) => n + (p >= 0.9 || p <= 0.1), 0);
      say(byId("mask-cell"), pointed
        ? `Row ${pointed[1]}, column ${pointed[0]}: inside with probability ${f2(chosen.mask[at])}.`
        : `${sure} of the ${M * M} cells are sure: below 0.1 or above 0.9.`);
      drawAll(frame, chosen, six);
    },
  };
}

/** The probabilities of every class, side by side. */
function drawAll({ out, meta }, chosen, six) {
  const place = byId("mask-all");
  if (!six.length) {
    meta.class_names.forEach((name) => {
      const canvas = Object.assign(bitmap(M), { role: "img", ariaLabel: `Mask of ${name}` });
      six.push(canvas);
      place.append(make("div", {}, canvas, make("span", { textContent: name })));
    });
  }
  const all = row(out.mask_all, chosen.i);
  six.forEach((canvas, c) => {
    paintMap(canvas, all.subarray(c * M * M, (c + 1) * M * M), 0, 1);
    canvas.parentElement.classList.toggle("mine", c === chosen.label);
  });
}

export function pastePanel(app) {
  const [probable, outline] = [new Picture(byId("pasted")), new Picture(byId("outline"))];
  const tiny = bitmap(SIZE);
  const threshold = slider("mask-threshold", (value) => app.change({ maskThreshold: value }));
  return {
    id: "stage-paste",
    draw({ frame, chosen, path, colours, grey, state }) {
      threshold.set(state.maskThreshold);
      if (!chosen) return say(byId("paste-now"), NOTHING);
      if (probable.begin(path.view)) {
        probable.bitmap(grey);
        probable.bitmap(paintMap(tiny, chosen.probabilities, 0, 1, (t) => Math.min(0.85, 3 * t)));
        probable.boxes([chosen.box], "#fff", { width: 1.5, rim: "#000a" });
      }
      if (outline.begin(path.view)) {
        outline.bitmap(colours);
        outline.bitmap(paintMask(tiny, chosen.pixels, colourOf(chosen.slot), 0.4));
        if (chosen.truth) {
          const drawn = Uint8Array.from(frame.owner, (g) => g === chosen.truth.g + 1);
          outline.lines(edgesOf(drawn), "#000", 1.5, "#fff");
        }
        outline.lines(chosen.edges, colourOf(chosen.slot), 2.5);
      }
      say(byId("paste-now"), pasteWords(chosen, state.maskThreshold));
    },
  };
}

function pasteWords({ name, area, truth, probabilities }, threshold) {
  const reached = probabilities.reduce((n, p) => n + (p > 0), 0);
  const words = `${area} of the ${reached} pixels that the mask reaches have a probability of at least `
    + `${f2(threshold)}: they are the ${name}.`;
  if (!truth) return words;
  const a = truth.kind === "ellipse" ? "an" : "a";
  return `${words} Drawn are ${truth.area} visible pixels of ${a} ${truth.kind}; `
    + `the mask's IoU with them is ${f2(truth.iou)}.`;
}
