// The page's state and its loop: one run of the network at a time, of the latest scene.
import { difference } from "./compare.js";
import { SIZE } from "./drawing.js";
import { byId, f2, say } from "./elements.js";
import { applyThreshold, pathOf, understand } from "./frame.js";
import { bitmap, colourOf, paintGrey, paintImage } from "./picture.js";
import { Tracker } from "./tracking.js";

const SWITCHES = ["pooling", "score_threshold", "nms_iou", "rpn_nms_iou"];
/** The state that the page begins with: the switches, and what is looked at (station 9, the answer). */
export const UNTOUCHED = {
  pooling: 0, score_threshold: 0.5, nms_iou: 0.5, rpn_nms_iou: 0.7, maskThreshold: 0.5,
  channel: -1, bin: 24, stepLevel: null, step: 0, station: 9,
};
const PATIENCE = 1500; // ms after which another object is chosen for one that is not found any more
const SLOW = 0.12; // seconds of a run from which the image does not wait for it
const EFFECTS = {
  pooling: (was, meta) => `Instead of ${meta.poolings[was.pooling]}`,
  "rpn-iou": (was) => `Instead of ${f2(was.rpn_nms_iou)}`,
  threshold: (was) => `Instead of score ${f2(was.score_threshold)} and IoU ${f2(was.nms_iou)}`,
};

export class App {
  constructor(scene) {
    this.scene = scene;
    this.panels = []; // { id, draw(given) }
    this.visible = new Set();
    this.tracker = new Tracker();
    this.baselines = new Map(); // by effect: { version, state, detections } before a switch moved
    this.version = 0; // of the image
    this.slot = null; // of the chosen detection
    this.preferred = ""; // the class to choose where nothing is chosen
    this.wanted = null; // a point of the image whose detection is to be chosen
    this.cell = null; // the box of a map's cell that the reader points at
    this.colours = bitmap(SIZE);
    this.grey = bitmap(SIZE);
    this.state = { ...UNTOUCHED, show: { masks: true, boxes: true, proposals: false } };
    this.runs = []; // when the last runs ended, ms
    this.seconds = 0; // that the last one took
    document.addEventListener("resized", () => this.redraw(), true);
  }

  /** From here on the network answers. */
  start(network) {
    this.network = network;
    this.rerun();
  }

  /** Draw a panel whenever it is in sight. */
  add(panel) {
    this.panels.push(panel);
    if (!panel.id) return;
    const seen = new IntersectionObserver((entries) => {
      for (const { isIntersecting } of entries) {
        if (isIntersecting) this.visible.add(panel.id);
        else this.visible.delete(panel.id);
      }
      this.redraw();
    });
    seen.observe(byId(panel.id));
  }

  /** Change parts of the state; `effect` names the place that says what a switch changed. */
  change(patch, effect) {
    const known = this.baselines.get(effect);
    if (effect && this.frame?.version === this.version && known?.version !== this.version) {
      const { state, frame: { detections } } = this;
      this.baselines.set(effect, { version: this.version, state, detections });
    }
    this.state = { ...this.state, ...patch };
    if (this.frame && "maskThreshold" in patch) applyThreshold(this.frame, patch.maskThreshold);
    if (SWITCHES.some((name) => name in patch)) this.rerun();
    else this.redraw();
  }

  /** Choose a detection by its slot. */
  choose(slot) {
    this.slot = slot;
    this.redraw();
  }

  /** Forget the objects of the scene before; of the next one choose a class, if it is found. */
  forget(preferred = "") {
    this.tracker.reset();
    this.slot = null;
    this.preferred = preferred;
  }

  /** Choose what was found at a point of the image. */
  chooseAt([x, y]) {
    const area = ({ box }) => (box[2] - box[0]) * (box[3] - box[1]);
    const inBox = ({ box }) => x >= box[0] && y >= box[1] && x < box[2] && y < box[3];
    const found = (this.frame?.detections ?? []).filter(inBox).sort((a, b) => area(a) - area(b));
    const pixel = Math.floor(y) * SIZE + Math.floor(x);
    const mine = found.find((it) => it.pixels[pixel]) ?? found[0];
    if (mine) this.choose(mine.slot);
  }

  /** Choose what will be found where a shape is. */
  follow(shape) {
    this.wanted = shape && [shape.x, shape.y];
    this.redraw();
  }

  /** Tell a screen reader. */
  tell(words) {
    say(byId("live-region"), words);
  }

  lostWords() {
    return this.frame?.detections.length
      ? "The chosen object is not found at the moment. Choose another one under the image."
      : "Nothing is found, so there is no path. Add a shape, or lower the score threshold.";
  }

  imageChanged() {
    this.version++;
    this.rerun();
  }

  rerun() {
    this.wantsRun = true;
    this.redraw();
  }

  redraw() {
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => this.#tick());
  }

  async #tick() {
    this.asked = false;
    if (this.running) return;
    if (this.wantsRun && this.network) {
      this.wantsRun = false;
      this.running = true;
      await this.#run();
      this.running = false;
      if (this.wantsRun) this.redraw();
    }
    this.draw();
  }

  async #run() {
    const [version, painted] = [this.version, this.scene.paint()];
    const { image } = painted;
    if (this.seconds > SLOW && this.frame) {
      // The image follows the hand at once; what is found in it, when it is known.
      paintImage(this.colours, image);
      this.draw();
      await new Promise((done) => setTimeout(done));
    }
    const start = performance.now();
    const switches = Object.fromEntries(SWITCHES.map((name) => [name, this.state[name]]));
    const out = await this.network.run(image, switches);
    this.seconds = (performance.now() - start) / 1000;
    const { meta } = this.network;
    const shapes = [...this.scene.shapes];
    this.frame = understand(out, painted, shapes, meta, this.tracker, this.state.maskThreshold);
    this.frame.version = version;
    paintImage(this.colours, image);
    paintGrey(this.grey, image);
    this.#settle();
    this.#effects();
    this.#count();
  }

  /** Keep the choice where its object is known; else choose the surest. */
  #settle() {
    const { detections } = this.frame;
    clearTimeout(this.lost);
    if (detections.some(({ slot }) => slot === this.slot)) return;
    if (this.slot !== null && this.tracker.knows(this.slot)) {
      this.lost = setTimeout(() => {
        this.tracker.forget(this.slot);
        this.#settle();
        this.redraw();
      }, PATIENCE);
      return;
    }
    const rank = ({ name, score }) => score + (name === this.preferred);
    const best = detections.reduce((a, b) => (a && rank(a) > rank(b) ? a : b), null);
    this.slot = best && best.slot;
  }

  /** Say what the switches changed, as long as the image is the same. */
  #effects() {
    for (const [effect, start] of Object.entries(EFFECTS)) {
      const before = this.baselines.get(effect);
      const same = SWITCHES.every((name) => before?.state[name] === this.state[name]);
      const words = before?.version === this.version && !same
        ? `${start(before.state, this.frame.meta)}: ${difference(before.detections, this.frame.detections)}`
        : "";
      say(byId(`${effect}-effect`), words);
    }
  }

  /** Runs in a second, of the last ones that followed one another. */
  #count() {
    const now = performance.now();
    const { runs } = this;
    if (runs.length && now - runs.at(-1) > 400) runs.length = 0;
    runs.push(now);
    if (runs.length > 12) runs.shift();
    if (runs.length > 4) say(byId("speed"), `${Math.round((1000 * (runs.length - 1)) / (now - runs[0]))} frames/s`);
  }

  draw() {
    const { frame, state, colours, grey } = this;
    if (!frame) return;
    if (this.wanted && frame.version === this.version) {
      this.chooseAt(this.wanted);
      this.wanted = null;
    }
    this.chosen = frame.detections.find((it) => it.slot === this.slot) ?? null;
    this.path = this.chosen && pathOf(frame, this.chosen);
    document.body.classList.toggle("lost", !this.chosen); // what is shown of an object is of before
    const colour = this.chosen ? colourOf(this.slot) : "";
    document.documentElement.style.setProperty("--chosen", colour);
    const given = { frame, state, colours, grey, chosen: this.chosen, path: this.path };
    for (const panel of this.panels) {
      if (!panel.id || this.visible.has(panel.id)) panel.draw(given);
    }
  }
}
