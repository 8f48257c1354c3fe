// What the reader has answered: kept by this browser under one key, and sent to nobody. The sections
// are those of the course's own file of progress (mrcnn_lite/lessons/kit/progress.py).

const KEY = "mrcnn_lite";

/**
 * The reader's record. Where the browser keeps nothing, it lasts as long as the page.
 *
 * @param {Storage | null} storage `localStorage`, or what stands for it.
 */
export function progressIn(storage) {
  let record = {}; // section, such as "predictions" -> name -> value
  try {
    record = JSON.parse(storage.getItem(KEY)) ?? {};
  } catch {
    // no storage, or what it holds is none of ours
  }
  let changed = () => {};
  return {
    /** @returns {string} what was kept, or "". */
    get: (section, name) => record[section]?.[name] ?? "",
    keep(section, name, value) {
      try {
        record = JSON.parse(storage.getItem(KEY)) ?? {}; // another page may have written
      } catch {
        // see above
      }
      (record[section] ??= {})[name] = value;
      try {
        storage.setItem(KEY, JSON.stringify(record));
      } catch {
        // see above
      }
      changed();
    },
    /** @returns {number} how many answers are kept, of all pages. */
    count: () =>
      ["predictions", "recall", "why", "by hand", "lines"]
        .flatMap((section) => Object.values(record[section] ?? {}))
        .filter(Boolean).length,
    /** @returns {string[]} such as "sure: 3 of 4": how often what was predicted was right. */
    calibration() {
      const judged = Object.values(record.calibration ?? {}).map((kept) => kept.split(": "));
      return ["sure", "think so", "guess"]
        .map((sure) => [sure, judged.filter(([said]) => said === sure).map(([, how]) => how === "right")])
        .filter(([, right]) => right.length)
        .map(([sure, right]) => `${sure}: ${right.filter(Boolean).length} of ${right.length}`);
    },
    forget() {
      record = {};
      try {
        storage.removeItem(KEY);
      } catch {
        // see above
      }
      changed();
    },
    listen: (callback) => {
      changed = callback;
    },
  };
}

/** @returns {Storage | null} the browser's storage, where a page may use it. */
export function browserStorage() {
  try {
    return window.localStorage;
  } catch {
    return null;
  }
}
