// The image with what was found in it, and the list of detections below.
import { SIZE } from "./drawing.js";
import { handlesOf } from "./editor.js";
import { byId, f2, make, say } from "./elements.js";
import { row } from "./frame.js";
import { bitmap, colourOf, fillPixels, pixel, rgbOf } from "./picture.js";
import { describe } from "./scene.js";

const IDLE = "Drag a shape, or draw one on empty ground.";
const FILL = 55; // opacity of a mask, of 255
const QUIET = 900; // ms without a change after which a screen reader is told

/** "2 objects: ellipse 0.98, star 0.91". */
export function foundWords(detections) {
  if (!detections.length) return "Nothing is found.";
  const names = [...detections].sort((a, b) => b.score - a.score).map((it) => `${it.name} ${f2(it.score)}`);
  return `${detections.length} ${detections.length === 1 ? "object" : "objects"}: ${names.join(", ")}`;
}

export function scenePanel(app, picture) {
  const tiny = bitmap(SIZE);
  const chips = chipsPanel(app);
  return {
    draw(given) {
      const { frame, chosen, colours, state } = given;
      chips(given);
      say(byId("scene-now"), app.scene.chosen ? describe(app.scene.chosen) : IDLE);
      if (!picture.begin()) return;
      picture.bitmap(colours);
      if (state.show.masks) picture.bitmap(paintMasks(tiny, frame.detections));
      if (state.show.proposals) {
        const count = Number(frame.out.proposal_count.data[0]);
        const boxes = Array.from({ length: count }, (_, i) => row(frame.out.proposals, i));
        picture.boxes(boxes, "#fff", { width: 1, rim: "#0006" });
      }
      for (const it of frame.detections) {
        const mine = it === chosen;
        if (state.show.masks) picture.lines(it.edges, colourOf(it.slot), mine ? 3 : 2);
        const style = mine ? { width: 3, rim: "#fff" } : { width: 1.5 };
        if (state.show.boxes) picture.boxes([it.box], colourOf(it.slot), style);
      }
      if (app.cell) picture.boxes([app.cell], "#fff", { width: 2, rim: "#000" });
      const labelled = [...frame.detections].sort((a, b) => (a === chosen) - (b === chosen));
      for (const it of labelled) label(picture, it, it === chosen);
      if (app.scene.chosen) drawHandles(picture, app.scene.chosen);
    },
  };
}

/** The colour of text on a slot's colour: at least 4.5:1 with these of Okabe and Ito's. */
const inkOn = (slot) => (colourOf(slot) === "#0072B2" ? "#fff" : "#000");

function label(picture, { name, score, slot, box }, mine) {
  const style = { colour: inkOn(slot), on: colourOf(slot), size: mine ? 13 : 11.5, weight: mine ? 700 : 600 };
  picture.text(`${name} ${f2(score)}`, box[0], box[1] - 9 * picture.unit, style);
}

/** All masks on one transparent canvas, the surest object on top. */
function paintMasks(canvas, detections) {
  return fillPixels(canvas, (pixels) => {
    for (const { pixels: inside, slot } of [...detections].sort((a, b) => a.score - b.score)) {
      const colour = pixel(...rgbOf(colourOf(slot)), FILL);
      for (let i = 0; i < inside.length; i++) if (inside[i]) pixels[i] = colour;
    }
  });
}

function drawHandles(picture, shape) {
  const { corners, size, knob, arm } = handlesOf(shape, picture.unit);
  const closed = corners.map((corner, k) => [...corner, ...corners[(k + 1) % 4]]);
  picture.lines([...closed, [...arm, ...knob]], "#fff", 1, "#0008");
  picture.points([knob], "#fff", 6, "#000");
  const half = 4 * picture.unit;
  const square = [size[0] - half, size[1] - half, size[0] + half, size[1] + half];
  picture.boxes([square], "#fff", { width: 4, rim: "#000" });
}

/** A button for every detection; they keep their place while objects move. */
function chipsPanel(app) {
  const place = byId("found");
  let [told, later] = ["", 0];
  return ({ frame, chosen }) => {
    const { detections } = frame;
    while (place.children.length < detections.length) {
      const chip = make("button", { className: "chip" }, make("i"), make("span"));
      chip.addEventListener("click", () => app.choose(Number(chip.dataset.slot)));
      place.append(chip);
    }
    [...place.children].forEach((chip, k) => {
      chip.hidden = k >= detections.length;
      if (chip.hidden) return;
      const { slot, name, score, truth } = detections[k];
      chip.dataset.slot = slot;
      chip.firstChild.style.background = colourOf(slot);
      chip.setAttribute("aria-pressed", detections[k] === chosen);
      const wrong = truth && truth.kind !== name ? ` (drawn: ${truth.kind})` : "";
      say(chip.lastChild, `${name} ${f2(score)}${wrong}`);
    });
    const words = foundWords(detections);
    say(byId("found-line"), `Found ${words.split(":")[0].toLowerCase().replace("nothing is found.", "nothing")}`);
    if (words === told) return;
    told = words;
    clearTimeout(later);
    later = setTimeout(() => say(byId("live-region"), words), QUIET);
  };
}
