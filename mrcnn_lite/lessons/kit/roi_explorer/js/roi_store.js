// Where the RoI explorer's state is kept, and the feature map that a state names.
//
// A store is { get(name), set(name, value), save(), listen(callback) }.

/** A state without a kernel. */
export function localStore(state) {
  const values = structuredClone(state);
  let changed = () => {};
  return {
    get: (name) => values[name],
    set: (name, value) => {
      values[name] = value;
      changed();
    },
    save: () => {},
    listen: (callback) => {
      changed = callback;
    },
  };
}

/**
 * The Python object's traits as a store. What was changed and not yet sent is kept here: the kernel
 * echoes what it receives, and such an echo would take back a change that is younger than it.
 */
export function traitStore(model) {
  const unsent = new Map();
  return {
    get: (name) => (unsent.has(name) ? unsent.get(name) : model.get(name)),
    set: (name, value) => unsent.set(name, value),
    save: () => {
      for (const [name, value] of unsent) model.set(name, value);
      unsent.clear();
      model.save_changes();
    },
    listen: (callback) => model.on("change", callback),
  };
}

const OWN_STRIDE = 32; // of the map "own"

/**
 * The map that the state names, as { h, w, values, coarsest, parts, key }. A stride below the map's own
 * (`coarsest`) cuts every cell into smaller ones: the same image, seen through a finer map.
 */
export function mapOf(store) {
  const [name, stride] = [store.get("map"), store.get("stride")];
  const own = { rows: store.get("own"), stride: OWN_STRIDE };
  const { rows, stride: coarsest } = name === "own" ? own : store.get("maps").find(({ key }) => key === name);
  const parts = Math.max(coarsest / stride, 1);
  const repeat = (items) => items.flatMap((item) => new Array(parts).fill(item));
  const values = repeat(rows).flatMap(repeat);
  const key = `${name} ${parts} ${name === "own" ? JSON.stringify(rows) : ""}`;
  return { h: rows.length * parts, w: rows[0].length * parts, values, coarsest, parts, key };
}
