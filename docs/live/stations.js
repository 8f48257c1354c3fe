// The stations of a detection's path, from the pixels to the answer.
import { boxWords, f1, f2, signed } from "./elements.js";
import { channelOf, pooledOf } from "./frame.js";
import { range } from "./picture.js";

const middle = ([x1, y1, x2, y2]) => [(x1 + x2) / 2, (y1 + y2) / 2];
const size = ([x1, y1, x2, y2]) => [x2 - x1, y2 - y1];
/** The map of the level that the object was found from. */
const levelOf = ({ frame, path }) => frame.out[`features_${path.level}`];

/**
 * Each has a name; the stage that explains it and the figure there; `note(given)`, a short number;
 * `words(given)`, a sentence; `draw(pen, given)`, its small picture. `given` is what panels draw.
 */
export const STATIONS = [
  {
    name: "pixels",
    stage: "pixels",
    figure: "scene",
    note: ({ frame }) => frame.meta.image_size.join(" × "),
    words: ({ chosen }) =>
      `Here the ${chosen.name} is nothing but pixels, three numbers each: all that the network gets.`,
    draw: (pen) => pen.crop(),
  },
  {
    name: "level",
    stage: "stage-pyramid",
    figure: "pyramid",
    note: (given) => `P${given.path.level + 2}, ${levelOf(given).dims.slice(1).join(" × ")}`,
    words: (given) => {
      const { path, chosen } = given;
      const cells = levelOf(given).dims.slice(1).join(" × ");
      return `Of the four maps it is P${path.level + 2} from which the ${chosen.name} was found: ${cells} cells, `
        + `one for ${path.stride} × ${path.stride} pixels.`;
    },
    draw: (pen, given) => {
      const { data, dims } = levelOf(given);
      const values = channelOf(data, dims[0], given.state.channel);
      pen.map(values, dims[1], range(values));
      const [x, y] = given.path.cell.map((index) => index / dims[1]);
      pen.box([x, y, x + 1 / dims[1], y + 1 / dims[1]]);
    },
  },
  {
    name: "anchor",
    stage: "stage-objectness",
    figure: "objectness",
    note: ({ path }) => `p ${f2(path.proposalScore)}`,
    words: ({ path }) =>
      `At row ${path.cell[1]}, column ${path.cell[0]} stands an anchor of ${size(path.anchor)[0]} px. `
      + `The RPN says: an object, with probability ${f2(path.proposalScore)}.`,
    draw: (pen, { path }) => pen.crop().box(path.anchor, { dashed: true }),
  },
  {
    name: "proposal",
    stage: "stage-proposals",
    figure: "after",
    note: ({ path }) => `number ${path.proposal + 1}`,
    words: ({ path }) => {
      const [from, to] = [middle(path.anchor), middle(path.proposalBox)];
      const moved = to.map((place, k) => signed(place - from[k])).join(", ");
      const large = size(path.proposalBox).map(f1).join(" × ");
      return `The RPN moves the anchor by (${moved}) px and makes it ${large} px: candidate ${path.rank + 1} `
        + `of P${path.level + 2}, after suppression proposal ${path.proposal + 1}.`;
    },
    draw: (pen, { path }) => pen.crop().box(path.anchor, { dashed: true, width: 1 }).box(path.proposalBox),
  },
  {
    name: "RoI",
    stage: "stage-roi",
    figure: "roi-pooled",
    note: () => "7 × 7",
    words: ({ frame, state }) =>
      `${frame.meta.poolings[state.pooling]} cuts every proposal out of P2, the finest map: `
      + `7 × 7 cells of ${frame.out.box_pooled.dims[1]} numbers.`,
    draw: (pen, { frame, path, state }) => {
      const values = pooledOf(frame.out.box_pooled, path.proposal, state.channel);
      pen.map(values, 7, range(values));
    },
  },
  {
    name: "class",
    stage: "stage-box",
    figure: "scores",
    note: ({ chosen }) => f2(chosen.score),
    words: ({ chosen, path, frame }) => {
      const others = [...path.scores.keys()].filter((c) => c !== chosen.label);
      const second = others.reduce((a, b) => (path.scores[a] > path.scores[b] ? a : b));
      return `The box branch gives “${chosen.name}” ${f2(chosen.score)}; `
        + `next comes “${frame.meta.class_names[second]}” with ${f2(path.scores[second])}.`;
    },
    draw: (pen, { path, chosen }) => pen.bars(path.scores, chosen.label),
  },
  {
    name: "box",
    stage: "stage-box",
    figure: "regression",
    note: ({ chosen }) => `${size(chosen.box).map(Math.round).join(" × ")} px`,
    words: ({ chosen, path }) => {
      const shift = chosen.box.map((edge, k) => signed(edge - path.proposalBox[k])).join(", ");
      return `The same branch moves the four edges by ${shift} px (left, top, right, bottom), `
        + `to ${boxWords(chosen.box)}.`;
    },
    draw: (pen, { path, chosen }) => pen.crop().box(path.proposalBox, { dashed: true, width: 1 }).box(chosen.box),
  },
  {
    name: "RoI",
    stage: "stage-mask",
    figure: "mask-pooled",
    note: () => "14 × 14",
    words: ({ frame, state }) =>
      `${frame.meta.poolings[state.pooling]} once more, now of the better box and finer: 14 × 14.`,
    draw: (pen, { frame, chosen, state }) => {
      const values = pooledOf(frame.out.mask_pooled, chosen.i, state.channel);
      pen.map(values, 14, range(values));
    },
  },
  {
    name: "mask",
    stage: "stage-mask",
    figure: "mask",
    note: () => "28 × 28",
    words: ({ chosen }) =>
      `The mask branch answers for “${chosen.name}”: 28 × 28 probabilities, `
      + "from purple, outside, to yellow, inside.",
    draw: (pen, { chosen }) => pen.map(chosen.mask, 28, [0, 1]),
  },
  {
    name: "detection",
    stage: "stage-paste",
    figure: "outline",
    note: ({ chosen }) => `${chosen.area} pixels`,
    words: ({ chosen }) =>
      `The answer: ${chosen.name}, score ${f2(chosen.score)}, box ${boxWords(chosen.box)}, `
      + `${chosen.area} pixels. Walk back to see where it came from.`,
    draw: (pen, { chosen }) => pen.crop().mask(chosen).box(chosen.box),
  },
];
