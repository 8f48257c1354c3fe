// Labelled controls: each has a name, an input, its node on the page, and a way to show a value.

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
  return html("div", { class: "field" }, html("label", { for: input.id }, label), input, ...after);
}

/** A list; `change(name, value)` is called with what the reader chose. */
export function select(name, label, options, change) {
  const entries = options.map(([value, text]) => html("option", { value }, text));
  const input = html("select", { onchange: () => change(name, input.value) }, ...entries);
  const show = (value) => {
    input.value = String(value);
  };
  return { name, input, node: field(name, label, input), show };
}

/** A slider of whole numbers; `text(value)` stands beside it. */
export function range(name, label, min, max, text, change) {
  const input = html("input", { type: "range", min, max, step: 1, oninput: () => change(name, Number(input.value)) });
  const output = html("output", {});
  const show = (value) => {
    input.value = value;
    output.textContent = text(value);
    input.setAttribute("aria-valuetext", text(value));
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
