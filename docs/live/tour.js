// The guided tour: seven steps in the words of notebook 00. Each sets a scene and points at a stage.
import { UNTOUCHED } from "./app.js";
import { byId, say } from "./elements.js";
import { FIRST, PAIR, SIZES, SMALL } from "./scenes.js";

const STEPS = [
  {
    title: "What does such a network answer?",
    words: "Four things about every object: where it is (a box), what it is (a class), how sure it is (a "
      + "score), and which pixels are its own (a mask). This one has learned from drawn shapes alone.",
    task: "Drag the star over the rectangle: the outline of the lower one ends where it is hidden.",
    scene: FIRST, stage: "pixels", station: 9,
  },
  {
    title: "What does this neighbourhood look like?",
    words: "Body and pyramid turn the image into feature maps, smaller than the image by their stride. A "
      + "small object is found on a fine map, a large one on a coarse map.",
    task: "Click the large ellipse and then the small one in the image, and see which map is marked.",
    scene: SIZES, stage: "stage-pyramid", station: 1,
  },
  {
    title: "Might there be an object here?",
    words: "The region proposal network (RPN) asks this at every cell, of an anchor: a box of fixed size. "
      + "Yellow means yes; what it is nobody has asked yet.",
    task: "Drag the star across the image: the yellow goes with it, from cell to cell.",
    scene: PAIR, stage: "stage-objectness", station: 2,
  },
  {
    title: "Several boxes for one object?",
    words: "Many anchors see the same star, and each proposes a box. Suppression keeps the best one and "
      + "removes those that overlap it too much.",
    task: "Step through the candidates with ▶: which box removes which?",
    scene: PAIR, stage: "stage-proposals", station: 3,
  },
  {
    title: "What do the features in this box say?",
    words: "Boxes of all sizes become 7 × 7 numbers. RoIPool rounded the box to whole cells on the way, "
      + "which a class survives and an outline does not; RoIAlign rounds nothing.",
    task: "Switch to RoIPool and read by how many pixels the boxes move.",
    scene: SMALL, stage: "stage-roi", station: 4,
  },
  {
    title: "What is it, and where exactly?",
    words: "The box branch gives a score to every class, and a better box. It looks at nothing but the 7 × "
      + "7 features.",
    task: "Slide the rectangle over the star, bit by bit, and watch the scores.",
    scene: PAIR, stage: "stage-box", station: 5,
  },
  {
    title: "Which pixels?",
    words: "One more small network looks at the box, beside the other, and says of 28 × 28 cells whether "
      + "they are inside. One new branch and one repaired operator: that is Mask R-CNN.",
    task: "Press “← Step back” below the path, again and again, and walk the path of the star to its pixels.",
    scene: FIRST, stage: "stage-mask", station: 8,
  },
];

/** Connect the tour's buttons. */
export function connectTour(app) {
  const [panel, title, start] = [byId("tour"), byId("tour-title"), byId("tour-start")];
  let at = 0;

  function show(step) {
    at = step;
    const { words, task, scene, stage, station } = STEPS[at];
    say(title, STEPS[at].title);
    say(byId("tour-words"), words);
    byId("tour-try").replaceChildren(Object.assign(document.createElement("b"), { textContent: "Try: " }), task);
    say(byId("tour-place"), `${at + 1} of ${STEPS.length}`);
    byId("tour-back").disabled = at === 0;
    say(byId("tour-next"), at === STEPS.length - 1 ? "Finish" : "Next");
    panel.hidden = false;
    document.body.classList.add("touring");
    document.body.classList.remove("walking");
    app.forget("star");
    app.scene.load(scene);
    app.change({ ...UNTOUCHED, station });
    app.pointAt(stage);
    byId("desk").parentElement.scrollTop = 0;
    title.focus({ preventScroll: true });
  }

  function leave() {
    panel.hidden = true;
    document.body.classList.remove("touring");
    start.focus({ preventScroll: true });
  }

  start.addEventListener("click", () => show(0));
  byId("tour-back").addEventListener("click", () => show(at - 1));
  byId("tour-next").addEventListener("click", () => (at === STEPS.length - 1 ? leave() : show(at + 1)));
  byId("tour-end").addEventListener("click", leave);
  panel.addEventListener("keydown", (event) => {
    if (event.key === "Escape") leave();
    if (event.key === "ArrowRight" && at < STEPS.length - 1) show(at + 1);
    if (event.key === "ArrowLeft" && at > 0) show(at - 1);
  });
}
