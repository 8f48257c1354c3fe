// The page's elements, by id or made anew.

export const byId = (id) => document.getElementById(id);

/** Make an element with properties and children. */
export function make(tag, properties = {}, ...children) {
  const { dataset, ...rest } = properties;
  const element = Object.assign(document.createElement(tag), rest);
  Object.assign(element.dataset, dataset);
  element.append(...children);
  return element;
}

/** Set an element's text where it changed: a screen reader hears no repetition. */
export function say(element, words) {
  if (element.textContent !== words) element.textContent = words;
}

/** Connect a slider: `change(number)` at every move; shows the number beside it. */
export function slider(id, change, format = (value) => value.toFixed(2)) {
  const [input, output] = [byId(id), byId(`${id}-now`)];
  const show = () => {
    say(output, format(Number(input.value)));
    input.setAttribute("aria-valuetext", output.textContent);
  };
  input.addEventListener("input", () => {
    show();
    change(Number(input.value));
  });
  show();
  return {
    input,
    set(value) {
      input.value = value;
      show();
    },
  };
}

/** Call `visit(point)` with the pointer's place on a picture in image pixels, null when it leaves. */
export function onPoint(picture, visit) {
  const { canvas } = picture;
  for (const kind of ["pointermove", "pointerdown"]) {
    canvas.addEventListener(kind, (event) => visit(picture.at(event)));
  }
  canvas.addEventListener("pointerleave", () => visit(null));
}

/** What a stage of one object says where there is none. */
export const NOTHING = "No object is chosen: choose one under the image.";

export const f2 = (value) => minus(value.toFixed(2));
export const f1 = (value) => minus(value.toFixed(1));
/** With its sign: +0.8, −1.2. */
export const signed = (value) => (value < 0 ? f1(value) : `+${f1(value)}`);
const minus = (text) => (Number(text) === 0 ? text.replace("-", "") : text.replace("-", "−"));
/** A box in whole pixels. */
export const boxWords = (box) => `(${box.map((edge) => Math.round(edge)).join(", ")})`;
