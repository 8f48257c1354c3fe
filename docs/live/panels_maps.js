// The pyramid and the objectness: four maps each, side by side.
import { byId, f2, make, onPoint, say, slider } from "./elements.js";
import { channelOf } from "./frame.js";
import { Picture, bitmap, colourOf, paintMap, range } from "./picture.js";

/** Four pictures with captions, one for each level, the finest first. */
function fourPictures(place, what) {
  return [0, 1, 2, 3].map((level) => {
    const canvas = make("canvas", { role: "img", ariaLabel: `${what} of level P${level + 2}` });
    const caption = make("figcaption");
    place.append(make("figure", {}, canvas, caption));
    return { level, picture: new Picture(canvas), caption, tiny: bitmap(32 >> level) };
  });
}

/** Where the reader points: `at` is { level, point } or null. */
function pointingAt(pictures, app) {
  const pointing = { at: null };
  for (const { level, picture } of pictures) {
    onPoint(picture, (point) => {
      pointing.at = point && { level, point };
      if (!point) app.cell = null;
      app.redraw();
    });
  }
  return pointing;
}

const cellAt = ([x, y], stride, n) =>
  [x, y].map((position) => Math.min(Math.max(Math.floor(position / stride), 0), n - 1));

/** The box of a cell, as it is drawn: [x1, y1, x2, y2] in image pixels. */
const cellBox = ([column, row], stride) =>
  [column, row, column + 1, row + 1].map((edge) => edge * stride);

export function pyramidPanel(app) {
  const pictures = fourPictures(byId("pyramid"), "Feature map");
  const channel = slider(
    "channel",
    (value) => app.change({ channel: value }),
    (value) => (value < 0 ? "mean of all 48" : `${value} of 0 to 47`),
  );
  const pointing = pointingAt(pictures, app);
  return {
    id: "stage-pyramid",
    draw({ frame, chosen, path, state }) {
      channel.set(state.channel);
      let readout = "Point at a cell: its number, and the pixels that it stands for.";
      for (const { level, picture, caption, tiny } of pictures) {
        if (!picture.begin()) continue;
        const { data, dims } = frame.out[`features_${level}`];
        const n = dims[2];
        const stride = frame.meta.strides[level];
        const values = channelOf(data, dims[0], state.channel);
        const [low, high] = range(values);
        picture.bitmap(paintMap(tiny, values, low, high));
        if (chosen) picture.boxes([chosen.box], colourOf(chosen.slot), { width: 2, rim: "#fffc" });
        const mine = path?.level === level;
        caption.classList.toggle("mine", mine);
        say(caption, `P${level + 2} · ${n} × ${n} · stride ${stride}`);
        if (pointing.at?.level === level) {
          const cell = cellAt(pointing.at.point, stride, n);
          const box = cellBox(cell, stride);
          picture.boxes([box], "#fff", { width: 2, rim: "#000" });
          app.cell = box;
          const value = values[cell[1] * n + cell[0]];
          readout = `P${level + 2}, row ${cell[1]}, column ${cell[0]}: ${f2(value)}. It stands for the pixels `
            + `${box[0]} to ${box[2]} across and ${box[1]} to ${box[3]} down, and has seen many around them.`;
        }
      }
      if (!pointing.at && chosen) readout = `The ${chosen.name} was found from P${path.level + 2}. ${readout}`;
      say(byId("pyramid-now"), readout);
    },
  };
}

export function objectnessPanel(app) {
  const pictures = fourPictures(byId("objectness"), "Objectness");
  const pointing = pointingAt(pictures, app);
  return {
    id: "stage-objectness",
    draw({ frame, path, chosen, grey }) {
      let readout = "Point at a cell: its anchor and the probability.";
      if (chosen) {
        const score = f2(frame.out.candidate_scores.data[path.candidate]);
        readout = `The ${chosen.name} began as the dashed anchor on P${path.level + 2}: ${score}. ${readout}`;
      }
      for (const { level, picture, caption, tiny } of pictures) {
        if (!picture.begin()) continue;
        const { data, dims } = frame.out[`objectness_${level}`];
        const [n, stride] = [dims[1], frame.meta.strides[level]];
        const size = Number(frame.meta.anchor_sizes[level][0]);
        picture.bitmap(grey);
        picture.bitmap(paintMap(tiny, data, 0, 1, (t) => 0.1 + 0.65 * t));
        say(caption, `P${level + 2} · anchors of ${size} px · at most ${f2(range(data)[1])}`);
        const mine = path?.level === level;
        caption.classList.toggle("mine", mine);
        if (mine) picture.boxes([path.anchor], colourOf(chosen.slot), { dashed: true, rim: "#fff" });
        if (pointing.at?.level === level) {
          const cell = cellAt(pointing.at.point, stride, n);
          const [x, y] = cell.map((index) => index * stride); // the anchors' grid starts at (0, 0)
          picture.boxes([cellBox(cell, stride)], "#fff", { rim: "#000" });
          app.cell = [x - size / 2, y - size / 2, x + size / 2, y + size / 2];
          picture.boxes([app.cell], "#fff", { dashed: true, rim: "#000" });
          readout = `P${level + 2}, row ${cell[1]}, column ${cell[0]}: an object with probability `
            + `${f2(data[cell[1] * n + cell[0]])}, says the anchor of ${size} px around (${x}, ${y}).`;
        }
      }
      say(byId("objectness-now"), readout);
    },
  };
}
