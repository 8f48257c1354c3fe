// The buttons beside the image: shapes to add, edits, scenes, a photograph, what to show, the theme.
import { UNTOUCHED } from "./app.js";
import { SIZE } from "./drawing.js";
import { byId, make, say } from "./elements.js";
import { KINDS, describe } from "./scene.js";
import { FIRST } from "./scenes.js";

const DRAWINGS = {
  ellipse: '<ellipse cx="12" cy="12" rx="9" ry="6"/>',
  rectangle: '<rect x="4" y="6" width="16" height="12"/>',
  triangle: '<path d="M12 3 21 19H3z"/>',
  star: '<path d="m12 2 2.6 7.4h7.9l-6.4 4.7 2.4 7.5-6.5-4.6-6.5 4.6 2.4-7.5L1.5 9.4h7.9z"/>',
  crescent: '<path d="M16 3a9.5 9.5 0 1 0 5 13A8 8 0 0 1 16 3z"/>',
};
/** label, lines of its sign, edit, amount. */
const EDITS = [
  ["Smaller", "M5 12h14", "grow", 1 / 1.1],
  ["Larger", "M5 12h14M12 5v14", "grow", 1.1],
  ["Turn left", "M5 5v6h6M5.5 11a7.5 7.5 0 1 1 .5 5", "turn", -Math.PI / 12],
  ["Turn right", "M19 5v6h-6M18.5 11a7.5 7.5 0 1 0-.5 5", "turn", Math.PI / 12],
  ["Wider", "M12 4v16M8 8l-4 4 4 4M16 8l4 4-4 4M4 12h16", "stretch", 1 / 1.15],
  ["Slimmer", "M12 4v16M3 12h6M6 9l3 3-3 3M21 12h-6M18 9l-3 3 3 3", "stretch", 1.15],
  ["To the front", "M4 4h10v10H4zM18 10v10H8v-2", "raise", 99],
  ["To the back", "M14 10V4H4v10h6M10 10h10v10H10z", "raise", -99],
  ["Another colour", "M12 3c4 5 6 8 6 11a6 6 0 0 1-12 0c0-3 2-6 6-11z", "recolour", 1],
  ["Duplicate", "M8 8h12v12H8zM4 16V4h12", "duplicate", 1],
  ["Delete", "M6 6l12 12M18 6L6 18", "remove", 1],
];

/** Make the buttons; gives { kind }, the kind of shape that a drag on empty ground draws. */
export function connectDesk(app) {
  const { scene } = app;
  const desk = { kind: "star" };
  for (const kind of KINDS) {
    const button = make("button", { className: "icon", ariaLabel: `Add: ${kind}`, title: kind });
    button.innerHTML = `<svg viewBox="0 0 24 24" aria-hidden="true">${DRAWINGS[kind]}</svg>`;
    button.addEventListener("click", () => {
      desk.kind = kind;
      const shape = scene.add(kind);
      app.tell(`Added: ${describe(shape)}`);
      app.follow(shape);
    });
    byId("kinds").append(button);
  }
  for (const [label, lines, name, amount] of EDITS) {
    const button = make("button", { className: "icon lines", ariaLabel: label, title: label });
    button.innerHTML = `<svg viewBox="0 0 24 24" aria-hidden="true"><path d="${lines}"/></svg>`;
    button.addEventListener("click", () => {
      if (!scene.chosen) scene.chooseNext(-1);
      scene.edit(name, amount);
      app.tell(scene.chosen ? describe(scene.chosen) : "Deleted.");
    });
    byId("edits").append(button);
  }
  const fresh = (load) => () => {
    app.forget("star");
    byId("photo-note").hidden = true;
    load();
  };
  byId("random").addEventListener("click", fresh(() => scene.loadRandom()));
  byId("reset").addEventListener("click", fresh(() => {
    app.change(UNTOUCHED);
    scene.load(FIRST);
  }));
  for (const name of ["masks", "boxes", "proposals"]) {
    const box = byId(`show-${name}`);
    box.addEventListener("change", () => app.change({ show: { ...app.state.show, [name]: box.checked } }));
  }
  connectPhotograph(fresh, scene);
  connectTheme();
  return desk;
}

/** A file chosen or dropped; it never leaves the page. */
function connectPhotograph(fresh, scene) {
  const [input, note] = [byId("photo-file"), byId("photo-note")];
  const show = async (file) => {
    if (!file) return;
    note.hidden = false;
    try {
      const pixels = await squarePixels(file);
      fresh(() => scene.loadPhotograph(pixels))();
      say(note, "Your photograph stays on this machine. The network has seen drawn shapes only: "
        + "it looks for what resembles them.");
    } catch {
      say(note, `${file.name} cannot be read as an image; choose a PNG, a JPEG or a WebP file.`);
    }
    note.hidden = false;
  };
  byId("photo").addEventListener("click", () => input.click());
  input.addEventListener("change", () => show(input.files[0]));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    show(event.dataTransfer.files[0]);
  });
}

/** The middle square of an image file, made small: [3 * S * S] in 0..1. */
async function squarePixels(file) {
  const image = await createImageBitmap(file);
  const side = Math.min(image.width, image.height);
  const canvas = Object.assign(document.createElement("canvas"), { width: SIZE, height: SIZE });
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(image, (image.width - side) / 2, (image.height - side) / 2, side, side, 0, 0, SIZE, SIZE);
  const { data } = context.getImageData(0, 0, SIZE, SIZE);
  return Float32Array.from({ length: 3 * SIZE * SIZE }, (_, i) => {
    const [c, at] = [Math.floor(i / SIZE ** 2), i % SIZE ** 2];
    return data[4 * at + c] / 255;
  });
}

/** Light or dark: as the system has it, until the button is pressed. */
function connectTheme() {
  const [button, root] = [byId("theme"), document.documentElement];
  const set = (dark) => {
    root.dataset.theme = dark ? "dark" : "light";
    button.setAttribute("aria-pressed", dark);
  };
  set(matchMedia("(prefers-color-scheme: dark)").matches);
  button.addEventListener("click", () => set(root.dataset.theme !== "dark"));
}
