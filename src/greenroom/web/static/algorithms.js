// All algorithms: what is live, what it costs, how the last test ended, and where the cost is going.

import { api, badge, card, el, figure, percent, show, table, tell, usd, when } from "./core.js";
import { sparkline } from "./plot.js";

/** @type {(points: import("../api.d.ts").TrendPoint[]) => any} */
export function trendOf(points) {
  const costs = points.map((each) => each.costUsdPerMillion).filter((each) => each > 0);
  if (costs.length < 2) return null;
  const text = `${usd(costs[0])} to ${usd(costs.at(-1))} per million over ${costs.length} releases`;
  return el("span", { title: text }, sparkline(costs, text), " ", percent(costs.at(-1) / costs[0]));
}

/** @type {(view: import("./app.js").View) => Promise<void>} */
export async function algorithms(view) {
  const found = (await api("GET", "algorithms")).algorithms;
  if (!view.alive()) return;
  if (!found.length) { teach(); return; }
  const heads = ["Name", "Type", "Last test", "", "Live version", "Memory MB", "$ per million", "Trend"];
  const list = table("Algorithms", heads, found.map((each) => ({ name: each.name, cells: [
    el("a", { href: `#/algorithms/${each.name}` }, each.name), each.type,
    el("a", { href: `#/releases/${each.latestReleaseId}` }, badge(each.latestStatus)), when(each.updatedAt),
    each.liveVersion, figure(each.memoryMb, 5), figure(each.costUsdPerMillion), trendOf(each.trend),
  ] })), [4, 5, 6]);
  const rows = [...list.querySelectorAll("tbody tr")];
  const input = el("input", { type: "search", id: "filter", oninput: () => {
    const wanted = input.value.trim().toLowerCase();
    for (const row of rows) row.hidden = !row.dataset.name.includes(wanted);
    tell(`${rows.filter((row) => !row.hidden).length} of ${rows.length} algorithms`);
  } });
  show(
    el("h1", {}, "Algorithms ", el("span", { class: "soft count" }, String(found.length))),
    found.length > 10 ? el("p", {}, el("label", { for: "filter" }, "Filter by name "), input) : null,
    card(null, list));
}

function teach() {
  show(el("h1", {}, "Algorithms"), card("There are none yet",
    el("p", {}, "An algorithm is a ZIP with its code, its tests and a metadata.json. ",
      el("code", {}, "greenroom init my-algorithm"), " makes one that passes its tests, ",
      el("code", {}, "greenroom pack my-algorithm"), " zips it."),
    el("p", {}, "Upload it, and it is tested here at several memory sizes. If it passes, it goes live at the best of them."),
    el("p", {}, el("a", { href: "#/upload" }, "Upload a package"))));
}
