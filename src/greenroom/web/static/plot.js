// Plots: a panel of figures over memory sizes, with intervals, and a small line for a trend. Each point can be reached
// with the mouse, by touch and with the arrow keys; what it says stands below the panel.

import { el, figure, svg } from "./core.js";

const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [420, 230, 52, 14, 12, 30];
const [INSET, HIT, MOST_LABELS] = [16, 28, 7];
const FLOOR = HEIGHT - BOTTOM;

/**
 * A point of a panel; `mark` is "chosen", "excluded" or nothing.
 * @typedef {{
 *   memoryMb: number, value: number | null, low: number, high: number, mark: string | null, text: string,
 *   dots?: number[],
 * }} Point
 */
/** @typedef {{memoryMb: number, value: number, low: number, high: number}} BandPoint */

/** @type {(top: number) => number[]} */
const ticks = (top) => {
  const magnitude = 10 ** Math.floor(Math.log10(top / 4));
  const step = [1, 2, 2.5, 5, 10].map((each) => each * magnitude).find((each) => top / each <= 5);
  return Array.from({ length: Math.floor(top / step) + 1 }, (_, index) => index * step);
};

/** @type {(places: number[][]) => string} */
const pathOf = (places) => places.map(([x, y], index) => `${index ? "L" : "M"}${x},${y}`).join("");

// `band` is the model's curve with its ends, if there is one.
/** @type {(title: string, points: Point[], sizes: number[], band?: BandPoint[]) => any} */
export function panel(title, points, sizes, band = []) {
  const [first, last] = [Math.log2(sizes[0]), Math.log2(sizes.at(-1))];
  const share = (/** @type {number} */ mb) => (first === last ? 0.5 : (Math.log2(mb) - first) / (last - first));
  const x = (/** @type {number} */ mb) => LEFT + INSET + share(mb) * (WIDTH - LEFT - RIGHT - 2 * INSET);
  const values = [...points, ...band, ...points.flatMap(({ dots = [] }) => dots.map((value) => ({ value, high: value })))]
    .flatMap((each) => [each.value, each.high])
    .filter((each) => each > 0);
  const top = (values.length ? Math.max(...values) : 1) * 1.06;
  const y = (/** @type {number} */ value) => FLOOR - (value / top) * (FLOOR - TOP);
  const along = (/** @type {"value" | "low" | "high"} */ key) => band.map((each) => [x(each.memoryMb), y(each[key])]);
  const means = points.filter((each) => each.value > 0).map((each) => [x(each.memoryMb), y(each.value)]);
  const every = Math.ceil(sizes.length / MOST_LABELS);
  const drawn = points.map((each) => drawPoint(title, each, x(each.memoryMb), y));
  const readout = el("p", { class: "readout soft", "aria-hidden": "true" }, "\u00a0");
  makeReadable(drawn, points, readout);
  return el("figure", { class: "plot" }, el("figcaption", {}, title),
    svg("svg", {
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "group",
      "aria-label": `${title}, by memory; arrow keys go from size to size` },
    ticks(top).map((value) => [
      svg("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value) }),
      svg("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, values.length ? figure(value) : "")]),
    sizes.filter((_, index) => index % every === 0).map((mb) => (
      svg("text", { x: x(mb), y: FLOOR + 17, "text-anchor": "middle" }, `${mb}`))),
    band.length ? svg("path", { class: "band", d: `${pathOf([...along("low"), ...along("high").reverse()])}Z` }) : null,
    svg("path", { class: "through", d: pathOf(band.length ? along("value") : means) }),
    drawn),
    readout);
}

/** @type {(title: string, point: Point, x: number, y: (value: number) => number) => any} */
function drawPoint(title, { memoryMb, value, low, high, dots = [], mark, text }, x, y) {
  const shape = value > 0 ? [
    high > low ? svg("line", { class: "interval", x1: x, x2: x, y1: y(low), y2: y(high) }) : null,
    svg("circle", { cx: x, cy: y(value), r: mark === "chosen" ? 7 : 5 })]
    : svg("text", { class: "cross", x, y: FLOOR - 5, "text-anchor": "middle" }, mark === "excluded" ? "×" : "");
  return svg("g", {
    class: `point ${mark ?? ""}`, role: "img", tabindex: -1, "aria-label": text, "data-key": `${title} ${memoryMb}` },
  dots.map((each) => svg("circle", { class: "dot", cx: x, cy: y(each), r: 2 })), shape,
  svg("rect", { class: "hit", x: x - HIT / 2, y: TOP, width: HIT, height: FLOOR - TOP }));
}

// One point is reached with Tab, the others from there with the arrow keys.
/** @type {(drawn: any[], points: Point[], readout: any) => void} */
function makeReadable(drawn, points, readout) {
  const read = (/** @type {number} */ index) => { readout.textContent = points[index].text; };
  /** @type {(index: number) => void} */
  const reachable = (index) => drawn.forEach((each, other) => each.setAttribute("tabindex", other === index ? 0 : -1));
  drawn.forEach((node, index) => {
    node.addEventListener("pointerenter", () => read(index));
    node.addEventListener("focus", () => { read(index); reachable(index); });
    node.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
      if (!step) return;
      event.preventDefault();
      drawn[(index + step + drawn.length) % drawn.length].focus();
    });
  });
  const chosen = Math.max(0, points.findIndex((each) => each.mark === "chosen"));
  reachable(chosen);
  if (points[chosen]?.value > 0) read(chosen);
}

// A line through the last values, with what it says in words.
/** @type {(values: number[], text: string) => any} */
export function sparkline(values, text) {
  const high = Math.max(...values);
  const low = Math.min(...values, high * 0.9); // a change of a tenth fills the height, and less does not
  /** @type {(value: number, index: number) => string} */
  const place = (value, index) => `${2 + (index / (values.length - 1)) * 66},${16 - ((value - low) / (high - low)) * 14}`;
  return svg("svg", { class: "spark", viewBox: "0 0 70 18", width: 70, height: 18, role: "img", "aria-label": text },
    svg("polyline", { points: values.map(place).join(" ") }));
}
