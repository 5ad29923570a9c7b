// Small charts of the last minutes: a line over its area, and what it is now.

import { h, svg } from "./dom.js";

const WIDTH = 300;
const HEIGHT = 56;

export class Chart {
  #figure;
  #now;
  #most;
  #picture;
  #title;
  #form;

  // `form` writes a value for people; `bad` marks what should be zero.
  constructor(title, form, { bad = false } = {}) {
    this.#title = title;
    this.#form = form;
    this.#now = h("span", { className: "now", textContent: "–" });
    this.#most = h("span", { textContent: "" });
    this.#picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" });
    const caption = h("figcaption", {}, h("span", { textContent: title }), this.#most);
    this.#figure = h("figure", { className: bad ? "chart card bad" : "chart card" }, caption, this.#now, this.#picture);
  }

  get figure() {
    return this.#figure;
  }

  // Draws values, oldest first, over `slots` places: the newest is at the right edge.
  draw(values, slots) {
    const now = values.at(-1) ?? 0;
    const most = Math.max(...values, 0);
    this.#now.textContent = this.#form(now);
    this.#most.textContent = `most ${this.#form(most)}`;
    const text = `${this.#title}: now ${this.#form(now)}, at most ${this.#form(most)} in the last five minutes`;
    this.#picture.setAttribute("aria-label", text);
    const step = WIDTH / Math.max(slots - 1, 1);
    const begin = WIDTH - (values.length - 1) * step;
    const top = Math.max(most, 1);
    const points = values.map((value, at) => `${(begin + at * step).toFixed(1)},${(HEIGHT - 2 - (value / top) * (HEIGHT - 6)).toFixed(1)}`);
    const shapes = [svg("line", { class: "base", x1: 0, x2: WIDTH, y1: HEIGHT - 1, y2: HEIGHT - 1 })];
    if (points.length > 1) {
      shapes.push(svg("polygon", { class: "area", points: `${begin.toFixed(1)},${HEIGHT} ${points.join(" ")} ${WIDTH},${HEIGHT}` }));
      shapes.push(svg("polyline", { class: "line", points: points.join(" ") }));
    }
    this.#picture.replaceChildren(...shapes);
  }
}

// A share of a whole, as a bar.
export function bar(share) {
  const width = Math.max(0, Math.min(1, share)) * 100;
  const shape = svg("rect", { width: width.toFixed(1), height: 10 });
  return svg("svg", { class: "bar", viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" }, shape);
}
