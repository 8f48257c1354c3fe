// The path of the chosen detection, from the pixels to the answer: ten stations, and a sentence on each.
import { boxWords, byId, f1, f2, make, say, signed } from "./elements.js";
import { channelOf, row } from "./frame.js";
import { Picture, bitmap, colourOf, paintMap, paintMask, range } from "./picture.js";

const WHOLE = [0, 0, 1, 1];

/** name, the stage that explains it and the figure there, a short number, a sentence, what is drawn. */
const STATIONS = [
  {
    name: "pixels", stage: "pixels", figure: "scene",
    note: () => "128 × 128",
    words: ({ chosen }) => `Here the ${chosen.name} is nothing but pixels, three numbers each: all that the network gets.`,
    draw: (pen) => pen.crop(),
  },
  {
    name: "level", stage: "stage-pyramid", figure: "pyramid",
    note: ({ path, frame }) => `P${path.level + 2}, ${frame.out[`features_${path.level}`].dims.slice(1).join(" × ")}`,
    words: ({ path, chosen, frame }) => {
      const n = frame.out[`features_${path.level}`].dims[1];
      return `Of the four maps it is P${path.level + 2} from which the ${chosen.name} was found: ${n} × ${n} cells, one for ${path.stride} × ${path.stride} pixels.`;
    },
    draw: (pen, { path, frame, state }) => {
      const { data, dims } = frame.out[`features_${path.level}`];
      const values = channelOf(data, dims[0], state.channel);
      pen.map(values, dims[1], range(values));
      const [x, y] = path.cell.map((index) => index / dims[1]);
      pen.box([x, y, x + 1 / dims[1], y + 1 / dims[1]], WHOLE);
    },
  },
  {
    name: "anchor", stage: "stage-objectness", figure: "objectness",
    note: ({ path }) => `p ${f2(path.proposalScore)}`,
    words: ({ path }) => `At row ${path.cell[1]}, column ${path.cell[0]} stands an anchor of ${path.anchor[2] - path.anchor[0]} px. `
      + `The RPN says: an object, with probability ${f2(path.proposalScore)}.`,
    draw: (pen, { path }) => pen.crop().box(path.anchor, null, true),
  },
  {
    name: "proposal", stage: "stage-proposals", figure: "after",
    note: ({ path }) => `number ${path.proposal + 1}`,
    words: ({ path }) => {
      const middle = ([a, b, c, d]) => [(a + c) / 2, (b + d) / 2];
      const [p, q] = [middle(path.anchor), middle(path.proposalBox)];
      return `The RPN moves the anchor by (${signed(q[0] - p[0])}, ${signed(q[1] - p[1])}) px and makes it `
        + `${f1(path.proposalBox[2] - path.proposalBox[0])} × ${f1(path.proposalBox[3] - path.proposalBox[1])} px: candidate ${path.rank + 1} of its level, `
        + `which survives suppression and becomes proposal ${path.proposal + 1}.`;
    },
    draw: (pen, { path }) => pen.crop().box(path.anchor, null, true, 1).box(path.proposalBox),
  },
  {
    name: "RoI", stage: "stage-roi", figure: "roi-pooled",
    note: () => "7 × 7",
    words: ({ state }) => `${state.pooling ? "RoIPool" : "RoIAlign"} cuts the proposal out of P2: 7 × 7 cells of 48 numbers.`,
    draw: (pen, { frame, path, state }) => {
      const values = channelOf(row(frame.out.box_pooled, path.proposal), 48, state.channel);
      pen.map(values, 7, range(values));
    },
  },
  {
    name: "class", stage: "stage-box", figure: "scores",
    note: ({ chosen }) => f2(chosen.score),
    words: ({ chosen, path, frame }) => {
      const second = [...path.scores.keys()].filter((c) => c !== chosen.label).reduce((a, b) => (path.scores[a] > path.scores[b] ? a : b));
      return `The box branch gives “${chosen.name}” ${f2(chosen.score)}; next comes “${frame.meta.class_names[second]}” with ${f2(path.scores[second])}.`;
    },
    draw: (pen, { path, chosen }) => pen.bars(path.scores, chosen.label),
  },
  {
    name: "box", stage: "stage-box", figure: "regression",
    note: ({ chosen: { box } }) => `${Math.round(box[2] - box[0])} × ${Math.round(box[3] - box[1])} px`,
    words: ({ chosen, path }) => {
      const shift = chosen.box.map((edge, k) => signed(edge - path.proposalBox[k]));
      return `The same branch moves the four edges by ${shift.join(", ")} px (left, top, right, bottom), to ${boxWords(chosen.box)}.`;
    },
    draw: (pen, { path, chosen }) => pen.crop().box(path.proposalBox, null, true, 1).box(chosen.box),
  },
  {
    name: "RoI", stage: "stage-mask", figure: "mask-pooled",
    note: () => "14 × 14",
    words: ({ state }) => `${state.pooling ? "RoIPool" : "RoIAlign"} once more, now of the better box and finer: 14 × 14.`,
    draw: (pen, { frame, chosen, state }) => {
      const values = channelOf(row(frame.out.mask_pooled, chosen.i), 48, state.channel);
      pen.map(values, 14, range(values));
    },
  },
  {
    name: "mask", stage: "stage-mask", figure: "mask",
    note: () => "28 × 28",
    words: ({ chosen }) => `The mask branch answers for “${chosen.name}”: 28 × 28 probabilities, from purple, outside, to yellow, inside.`,
    draw: (pen, { chosen }) => pen.map(chosen.mask, 28, [0, 1]),
  },
  {
    name: "detection", stage: "stage-paste", figure: "outline",
    note: ({ chosen }) => `${chosen.area} pixels`,
    words: ({ chosen }) => `The answer: ${chosen.name}, score ${f2(chosen.score)}, box ${boxWords(chosen.box)}, ${chosen.area} pixels. Walk back to see where it came from.`,
    draw: (pen, { chosen }) => pen.crop().mask(chosen).box(chosen.box),
  },
];

/** What a station's small canvas can show. */
class Pen {
  constructor(canvas) {
    this.picture = new Picture(canvas);
    this.tiny = bitmap(1);
  }

  begin(given) {
    Object.assign(this, { given, colour: colourOf(given.chosen.slot) });
    return this.picture.begin(given.path.view);
  }

  crop() {
    this.picture.bitmap(this.given.colours);
    return this;
  }

  map(values, n, [low, high]) {
    this.picture.begin(WHOLE);
    if (this.tiny.width !== n) this.tiny.width = this.tiny.height = n;
    this.picture.bitmap(paintMap(this.tiny, values, low, high), WHOLE);
    return this;
  }

  box(box, _, dashed = false, width = 2) {
    this.picture.boxes([box], this.colour, { width, dashed, rim: "#fff" });
    return this;
  }

  mask({ pixels }) {
    if (this.tiny.width !== 128) this.tiny.width = this.tiny.height = 128;
    this.picture.bitmap(paintMask(this.tiny, pixels, this.colour, 0.6));
    return this;
  }

  bars(scores, label) {
    this.picture.begin(WHOLE);
    const { context } = this.picture;
    scores.forEach((score, c) => {
      context.fillStyle = c === label ? this.colour : "#8888";
      context.fillRect(0.06, 0.08 + 0.15 * c, Math.max(0.88 * score, 0.02), 0.1);
    });
  }
}

export function pathPanel(app) {
  const place = byId("stations");
  const stations = STATIONS.map((station, k) => {
    const canvas = make("canvas", { ariaHidden: "true" });
    const caption = make("small");
    const button = make("button", { className: station.stage.match(/roi|mask|paste/) ? "station changed" : "station" }, canvas, make("span", { textContent: station.name }), caption);
    button.addEventListener("click", () => app.walk(k));
    place.append(make("li", {}, button));
    return { ...station, button, caption, pen: new Pen(canvas) };
  });
  const last = stations.length - 1;
  byId("path-back").addEventListener("click", () => app.walk(app.state.station - 1));
  byId("path-on").addEventListener("click", () => app.walk(app.state.station + 1));
  byId("path-done").addEventListener("click", () => document.body.classList.remove("walking"));
  let shown = -1; // the station that was scrolled to
  place.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by) return;
    event.preventDefault();
    app.walk(app.state.station + by);
    stations[app.state.station].button.focus({ preventScroll: true });
  });
  return {
    id: "stages",
    last,
    proposal: STATIONS.findIndex(({ name }) => name === "proposal"),
    whereIs: (k) => [stations[k].stage, stations[k].figure],
    draw(given) {
      const { chosen, state } = given;
      say(byId("path-name"), chosen ? `the ${chosen.name}` : "an object");
      byId("path-back").disabled = !chosen || state.station === 0;
      byId("path-on").disabled = !chosen || state.station === last;
      place.classList.toggle("lost", !chosen);
      if (shown !== state.station) {
        shown = state.station;
        const { offsetLeft, offsetWidth } = stations[shown].button.parentElement;
        place.scrollLeft = offsetLeft - (place.clientWidth - offsetWidth) / 2;
      }
      stations.forEach(({ button, caption, pen, ...station }, k) => {
        button.setAttribute("aria-pressed", k === state.station);
        button.disabled = !chosen;
        if (!chosen) return;
        say(caption, station.note(given));
        if (pen.begin(given)) station.draw(pen, given);
      });
      const words = chosen ? stations[state.station].words(given) : app.lostWords();
      say(byId("path-words"), words);
    },
  };
}
