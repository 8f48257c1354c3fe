// Labelled controls: each has a name, an input, its place on the page, and a way to show a value.

/** An HTML element with attributes and children. */
export function html(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

let counter = 0;

function field(name, label, input, after = []) {
  input.id = `roi-explorer-${name}-${counter++}`;
  const words = html("label", { for: input.id }, label);
  return html("div", { class: "field" }, words, input, ...after);
}

/** A list; `change(name, value)` is called with what the reader chose. */
export function select(name, label, options, change) {
  const entries = options.map(([value, words]) => html("option", { value }, words));
  const input = html("select", { onchange: () => change(name, input.value) }, ...entries);
  const show = (value) => {
    input.value = String(value);
  };
  return { name, input, node: field(name, label, input), show };
}

/** A slider of whole numbers; `words(value)` stands beside it. */
export function range(name, label, min, max, words, change) {
  const input = html("input", { type: "range", min, max, step: 1, oninput: () => change(name, Number(input.value)) });
  const output = html("output", {});
  const show = (value) => {
    input.value = value;
    output.textContent = words(value);
    input.setAttribute("aria-valuetext", words(value));
  };
  return { name, input, node: field(name, label, input, [output]), show };
}

/** A check box. */
export function check(name, label, change) {
  const input = html("input", { type: "checkbox", onchange: () => change(name, input.checked) });
  const show = (value) => {
    input.checked = value;
  };
  return { name, input, node: field(name, label, input), show };
}
