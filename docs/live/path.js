// The path of the chosen detection: a row of stations, and a sentence on one of them.
import { SIZE } from "./drawing.js";
import { byId, make, say } from "./elements.js";
import { Picture, bitmap, colourOf, paintMap, paintMask } from "./picture.js";
import { STATIONS } from "./stations.js";

const WHOLE = [0, 0, 1, 1];

/** What a station's small canvas can show. */
class Pen {
  constructor(canvas) {
    this.picture = new Picture(canvas);
    this.tiny = bitmap(1);
  }

  begin(given) {
    Object.assign(this, { given, colour: colourOf(given.chosen.slot) });
    return this.picture.begin(given.path.view);
  }

  crop() {
    this.picture.bitmap(this.given.colours);
    return this;
  }

  map(values, n, [low, high]) {
    this.picture.begin(WHOLE);
    if (this.tiny.width !== n) this.tiny.width = this.tiny.height = n;
    this.picture.bitmap(paintMap(this.tiny, values, low, high), WHOLE);
    return this;
  }

  box(box, { dashed = false, width = 2 } = {}) {
    this.picture.boxes([box], this.colour, { width, dashed, rim: "#fff" });
    return this;
  }

  mask({ pixels }) {
    if (this.tiny.width !== SIZE) this.tiny.width = this.tiny.height = SIZE;
    this.picture.bitmap(paintMask(this.tiny, pixels, this.colour, 0.6));
    return this;
  }

  bars(scores, label) {
    this.picture.begin(WHOLE);
    const { context } = this.picture;
    scores.forEach((score, c) => {
      context.fillStyle = c === label ? this.colour : "#8888";
      context.fillRect(0.06, 0.08 + 0.15 * c, Math.max(0.88 * score, 0.02), 0.1);
    });
  }
}

export function pathPanel(app) {
  const place = byId("stations");
  const stations = STATIONS.map((station, k) => {
    const canvas = make("canvas", { ariaHidden: "true" });
    const caption = make("small");
    const changed = /roi|mask|paste/.test(station.stage) ? " changed" : "";
    const name = make("span", { textContent: station.name });
    const button = make("button", { className: `station${changed}` }, canvas, name, caption);
    button.addEventListener("click", () => app.walk(k));
    place.append(make("li", {}, button));
    return { ...station, button, caption, pen: new Pen(canvas) };
  });
  const last = stations.length - 1;
  byId("path-back").addEventListener("click", () => app.walk(app.state.station - 1));
  byId("path-on").addEventListener("click", () => app.walk(app.state.station + 1));
  byId("path-done").addEventListener("click", () => document.body.classList.remove("walking"));
  let shown = -1; // the station that was scrolled to
  place.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by) return;
    event.preventDefault();
    app.walk(app.state.station + by);
    stations[app.state.station].button.focus({ preventScroll: true });
  });
  return {
    id: "stages",
    last,
    proposal: STATIONS.findIndex(({ name }) => name === "proposal"),
    whereIs: (k) => [stations[k].stage, stations[k].figure],
    draw(given) {
      const { chosen, state } = given;
      say(byId("path-name"), chosen ? `the ${chosen.name}` : "an object");
      byId("path-back").disabled = !chosen || state.station === 0;
      byId("path-on").disabled = !chosen || state.station === last;
      if (shown !== state.station) {
        shown = state.station;
        const { offsetLeft, offsetWidth } = stations[shown].button.parentElement;
        place.scrollLeft = offsetLeft - (place.clientWidth - offsetWidth) / 2;
      }
      stations.forEach(({ button, caption, pen, ...station }, k) => {
        button.setAttribute("aria-pressed", k === state.station);
        button.disabled = !chosen;
        if (!chosen) return;
        say(caption, station.note(given));
        if (pen.begin(given)) station.draw(pen, given);
      });
      const words = chosen ? stations[state.station].words(given) : app.lostWords();
      say(byId("path-words"), words);
    },
  };
}
