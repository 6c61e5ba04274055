// Plots: a panel of figures over memory sizes, with intervals, and a small line for a trend. Each point can be reached
// with the mouse, by touch and with the arrow keys; what it says stands below the panel.

import { el, figure, svg } from "./core.js";

const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [420, 230, 52, 14, 12, 30];

const ticks = (top) => {
  const step = [1, 2, 2.5, 5, 10].map((each) => each * 10 ** Math.floor(Math.log10(top / 4))).find((each) => top / each <= 5);
  return Array.from({ length: Math.floor(top / step) + 1 }, (_, index) => index * step);
};

// `points`: {memoryMb, value, low, high, dots, mark, text}; `mark` is "chosen", "excluded" or nothing. `band`: the
// model's {memoryMb, value, low, high}, if there is one.
export function panel(title, points, sizes, band = []) {
  const readout = el("p", { class: "readout soft", "aria-hidden": "true" }, "\u00a0");
  const [first, last] = [Math.log2(sizes[0]), Math.log2(sizes.at(-1))];
  const x = (mb) => (first === last ? (LEFT + WIDTH - RIGHT) / 2 : LEFT + 16 + ((Math.log2(mb) - first) / (last - first)) * (WIDTH - LEFT - RIGHT - 32));
  const values = [...points, ...band].flatMap((each) => [each.value, each.high, ...(each.dots ?? [])]).filter((each) => each > 0);
  const top = (values.length ? Math.max(...values) : 1) * 1.06;
  const y = (value) => HEIGHT - BOTTOM - (value / top) * (HEIGHT - TOP - BOTTOM);
  const every = Math.ceil(sizes.length / 7);
  const drawn = points.map((point) => svg("g", { class: `point ${point.mark ?? ""}`, role: "img", tabindex: -1, "aria-label": point.text, "data-key": `${title} ${point.memoryMb}` },
    (point.dots ?? []).map((value) => svg("circle", { class: "dot", cx: x(point.memoryMb), cy: y(value), r: 2 })),
    point.value > 0 ? [
      point.high > point.low ? svg("line", { class: "interval", x1: x(point.memoryMb), x2: x(point.memoryMb), y1: y(point.low), y2: y(point.high) }) : null,
      svg("circle", { class: "mean", cx: x(point.memoryMb), cy: y(point.value), r: point.mark === "chosen" ? 7 : 5 })]
      : svg("text", { class: "cross", x: x(point.memoryMb), y: HEIGHT - BOTTOM - 5, "text-anchor": "middle" }, point.mark === "excluded" ? "×" : ""),
    svg("rect", { class: "hit", x: x(point.memoryMb) - 14, y: TOP, width: 28, height: HEIGHT - TOP - BOTTOM })));
  const read = (index) => { readout.textContent = points[index].text; };
  drawn.forEach((node, index) => {
    node.addEventListener("pointerenter", () => read(index));
    node.addEventListener("focus", () => {
      read(index);
      drawn.forEach((each, other) => each.setAttribute("tabindex", other === index ? 0 : -1));
    });
    node.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (step) { event.preventDefault(); drawn[(index + step + drawn.length) % drawn.length].focus(); }
    });
  });
  const chosen = Math.max(0, points.findIndex((each) => each.mark === "chosen"));
  drawn[chosen]?.setAttribute("tabindex", 0);
  if (points[chosen]?.value > 0) read(chosen);
  const line = (key) => band.map((each, index) => `${index ? "L" : "M"}${x(each.memoryMb)},${y(each[key])}`).join("");
  const middle = points.filter((each) => each.value > 0);
  return el("figure", { class: "plot" }, el("figcaption", {}, title),
    svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "group", "aria-label": `${title}, by memory; arrow keys go from size to size` },
      ticks(top).map((value) => [
        svg("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value) }),
        svg("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, values.length ? figure(value) : "")]),
      sizes.map((mb, index) => (index % every ? null : svg("text", { x: x(mb), y: HEIGHT - BOTTOM + 17, "text-anchor": "middle" }, `${mb}`))),
      band.length ? svg("path", { class: "band", d: `${line("low")}${band.toReversed().map((each) => `L${x(each.memoryMb)},${y(each.high)}`).join("")}Z` }) : null,
      svg("path", { class: "through", d: band.length ? line("value") : middle.map((each, index) => `${index ? "L" : "M"}${x(each.memoryMb)},${y(each.value)}`).join("") }),
      drawn),
    readout);
}

// A line through the last values, with what it says in words.
export function sparkline(values, text) {
  if (values.length < 2) return null;
  const high = Math.max(...values);
  const low = Math.min(...values, high * 0.9); // a change of a tenth fills the height, and less does not
  const place = (value, index) => `${2 + (index / (values.length - 1)) * 66},${16 - ((value - low) / (high - low)) * 14}`;
  return svg("svg", { class: "spark", viewBox: "0 0 70 18", width: 70, height: 18, role: "img", "aria-label": text },
    svg("polyline", { points: values.map(place).join(" ") }));
}
