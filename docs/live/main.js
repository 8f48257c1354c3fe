// "Mask R-CNN, live": the page comes together here.
import { App } from "./app.js";
import { connectDesk } from "./desk.js";
import { SIZE } from "./drawing.js";
import { connect } from "./editor.js";
import { byId, say } from "./elements.js";
import { loadNetwork } from "./network.js";
import { boxPanel } from "./panels_box.js";
import { objectnessPanel, pyramidPanel } from "./panels_maps.js";
import { maskPanel, pastePanel } from "./panels_mask.js";
import { proposalsPanel } from "./panels_proposals.js";
import { roiPanel } from "./panels_roi.js";
import { scenePanel } from "./panel_scene.js";
import { pathPanel } from "./path.js";
import { Picture, bitmap, paintImage } from "./picture.js";
import { Scene } from "./scene.js";
import { FIRST } from "./scenes.js";
import { connectTour } from "./tour.js";

const CALM = matchMedia("(prefers-reduced-motion: reduce)");

/** Scroll to a stage and mark it, and a figure in it. */
function pointAt(id, figure = id) {
  const stage = byId(id);
  for (const other of document.querySelectorAll(".pointed")) other.classList.remove("pointed");
  for (const it of [id, figure]) byId(it).classList.add("pointed");
  stage.scrollIntoView({ behavior: CALM.matches ? "auto" : "smooth", block: "start" });
}

/** What stays at the top of the window hides no stage that is scrolled to. */
const above = new ResizeObserver(() => {
  const bar = [byId("path"), byId("pixels")].find((it) => getComputedStyle(it).position === "sticky");
  document.documentElement.style.setProperty("--above", `${bar.offsetHeight + 12}px`);
});
above.observe(byId("path"));
above.observe(byId("pixels"));

const scene = new Scene((pixels) => (pixels ? app.imageChanged() : app.redraw()));
const app = new App(scene);
const picture = new Picture(byId("scene"));

const path = pathPanel(app);
app.walk = (to) => {
  const station = Math.min(Math.max(to, 0), path.last);
  const { path: chosen } = app;
  const step = station === path.proposal && chosen ? { stepLevel: chosen.level, step: chosen.rank } : {};
  app.change({ station, ...step });
  document.body.classList.add("walking");
  pointAt(...path.whereIs(station));
  requestAnimationFrame(() => app.tell(byId("path-words").textContent));
};
app.pointAt = pointAt;

app.add(scenePanel(app, picture));
for (const panel of [pyramidPanel, objectnessPanel, proposalsPanel, roiPanel, boxPanel, maskPanel, pastePanel]) {
  app.add(panel(app));
}
app.add(path);

const desk = connectDesk(app);
connect(picture, scene, {
  draws: () => desk.kind,
  pointed: (point) => app.chooseAt(point),
  told: (words) => {
    app.tell(words);
    app.follow(scene.chosen);
  },
});
connectTour(app);
document.body.app = app; // for the tests, and for whoever opens the console
app.forget("star");
scene.load(FIRST);

// What can be seen before the network is there: the image.
const first = () => {
  if (app.frame || !picture.begin()) return;
  picture.bitmap(paintImage(bitmap(SIZE), scene.paint().image));
};
picture.canvas.addEventListener("resized", first, { once: true });

byId("licences-text").textContent = byId("licences")?.textContent ?? "";
try {
  const network = await loadNetwork();
  byId("waking").hidden = true;
  app.start(network);
} catch (error) {
  const needed = "A browser of 2023 or later with WebAssembly is needed.";
  say(byId("waking"), `The network cannot run here: ${error.message}. ${needed}`);
}
