// A solution's lines in disorder (`parsons`): pressed, a line joins the end, pressed again it leaves.
// A page runs no Python, so it compares with one solution and says no more than that.

/**
 * How a reader's lines compare with the solution's.
 *
 * @param {string[]} chosen lines in the reader's order.
 * @param {string[]} right the solution's.
 * @returns {{ passed: boolean, words: string }}
 */
export function gradeLines(chosen, right) {
  if (!chosen.length) return { passed: false, words: "No line is chosen yet." };
  const differs = right.findIndex((line, k) => line !== chosen[k]);
  if (differs < 0 && chosen.length === right.length) {
    return { passed: true, words: "These are the solution's lines, in its order." };
  }
  const same = differs < 0 ? right.length : differs;
  const foreign = chosen.filter((line) => !right.includes(line)).length;
  const words = [`As in the solution from the top: ${same} of ${right.length} lines.`];
  if (foreign) words.push(`Lines of mistakes among yours: ${foreign}.`);
  words.push("Another order can be right too: that only a run of it shows, in JupyterLab.");
  return { passed: false, words: words.join("\n") };
}

/** The lines to choose from, the function that grows, and what is said of it. */
export function mountLines(form, progress) {
  const { lines, right } = JSON.parse(form.dataset.checks);
  const name = form.dataset.name;
  const pool = [...form.querySelectorAll(".pool button")];
  const [list, status] = [form.querySelector(".chosen"), form.querySelector("[role=status]")];
  const chosen = [];

  function control(line, label, act) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = label;
    button.setAttribute("aria-label", `${label === "↑" ? "Move up" : "Move down"}: ${lines[line].trim()}`);
    button.addEventListener("click", act);
    return button;
  }

  function move(line, step) {
    const at = chosen.indexOf(line);
    const to = Math.min(Math.max(at + step, 0), chosen.length - 1);
    chosen.splice(to, 0, ...chosen.splice(at, 1));
    show();
    list.children[to].querySelectorAll("button")[step < 0 ? 0 : 1].focus();
  }

  function show() {
    pool.forEach((button, line) => button.setAttribute("aria-pressed", chosen.includes(line)));
    list.replaceChildren(
      ...chosen.map((line) => {
        const [item, code] = ["li", "code"].map((tag) => document.createElement(tag));
        code.textContent = lines[line];
        item.append(control(line, "↑", () => move(line, -1)), control(line, "↓", () => move(line, 1)), code);
        return item;
      }),
    );
    status.textContent = `${chosen.length} of ${right.length} lines.`;
  }

  pool.forEach((button, line) =>
    button.addEventListener("click", () => {
      if (chosen.includes(line)) chosen.splice(chosen.indexOf(line), 1);
      else chosen.push(line);
      show();
    }),
  );
  form.addEventListener("submit", () => {
    const found = gradeLines(chosen.map((line) => lines[line]), right);
    status.textContent = found.words;
    if (found.passed) progress.keep("lines", name, "yes");
  });
  show();
}
