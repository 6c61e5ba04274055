// A release while it happens, and afterwards: its stages, what is measured, what was chosen and why, its test cases.

import {
  api, badge, bytes, card, el, facts, figure, first, foreign, problem, scrolling, sections, show, table, tell, usd, wait,
  when,
} from "./core.js";
import { panel } from "./plot.js";

/** @import {CaseResult, Chart, PowerValueResult, Prices, Problem, Release, StatusChange, Summary} from "../api.d.ts" */
/** @import {View} from "./app.js" */
/**
 * What is known of one memory size, while it is measured and afterwards.
 * @typedef {{
 *   memoryMb: number, dots: number[], durationMs: number | null, done: number, total: number, mark: string | null,
 *   result?: PowerValueResult, tried?: import("../api.d.ts").ChartPoint,
 * }} Size
 */

const STAGES = [
  ["UPLOADING", "Upload"], ["REGISTERED", "Received and registered"], ["PROVISIONING", "Stack being provisioned"],
  ["PROVISIONED", "Provisioned"], ["TESTING", "Test begun"], ["CHOSEN", "Size chosen"], ["LIVE", "Live"]];
/** @type {Record<string, string>} */
const LATER = {
  RETIRED: "Retired", ROLLED_BACK: "Rolled back", REJECTED: "Rejected", FAILED: "Failed", SUPERSEDED: "Superseded" };
/** @type {Record<string, string>} */
const MEANT = {
  wrong_answer: "gave another answer than expected", exception: "raised an exception", timeout: "ran out of time",
  out_of_memory: "ran out of memory" };
const DIFFERENCE_AT = /^first difference at (.*)/;
const [POLL_MS, POLL_HIDDEN_MS, POLL_OUTAGE_MS] = [400, 3000, 2000];

/** @type {(view: View, id: string) => Promise<void>} */
export async function release(view, id) {
  const part = sections(6);
  /** @type {string | null} */
  let last = null;
  while (view.alive()) {
    let pause = document.hidden ? POLL_HIDDEN_MS : POLL_MS;
    try {
      const found = await api("GET", `releases/${id}`);
      if (!view.alive()) return;
      if (!last) show(part.nodes);
      draw(part, found);
      if (last && found.status !== last) tell(`The release is ${found.status}.`);
      last = found.status;
      if (found.ended) return;
    } catch (error) {
      if (!last || (error.code && error.code < 500)) throw error;
      tell(`${error.message} Trying again.`);
      pause = POLL_OUTAGE_MS;
    }
    await wait(pause);
  }
}

/** @type {(part: ReturnType<typeof sections>, found: Release) => void} */
function draw(part, found) {
  const { algorithm, cases, ended, fileName, notCompared, problem: wrong, reason, status, summary } = found;
  const title = algorithm ? el("a", { href: `#/algorithms/${algorithm}` }, algorithm) : foreign(fileName);
  part.draw(0, [algorithm, fileName, status], () => el("h1", {}, title, " ", badge(status)));
  part.draw(1, { wrong, reason, failure: failureOf(wrong, summary) }, (data) => {
    if (data.wrong) return whatWasWrong(data.wrong, data.failure);
    return reason ? el("p", { class: "soft" }, reason) : null;
  });
  part.draw(2, { history: found.history, chosenMb: summary?.chosenMemoryMb, ended }, (data) => card(null, stages(data)));
  part.draw(3, { summary, values: sizesOf(found), ended, atMostUsd: found.costAtMostUsd }, test);
  part.draw(4, { names: cases, notCompared, summary, ended }, testCases);
  // Last on the page, and not before what stands above it is there, which would push it down.
  const known = ended || Boolean(found.metadata);
  part.draw(5, [known, found.packageSizeBytes, found.version], () => (known ? about(found) : null));
}

// What was wrong, where, and what to do.

/** @type {(summary: Summary | null) => CaseResult[]} */
const failuresOf = (summary) => (summary?.cases ?? []).filter((each) => each.failed && (each.error || each.difference));

/** @type {(wrong: Problem | null, summary: Summary | null) => CaseResult | undefined} */
const failureOf = (wrong, summary) => failuresOf(summary).find((each) => each.error === wrong?.code);

/** @type {(wrong: Problem, failure: CaseResult | undefined) => any} */
const whatWasWrong = ({ message, where, hint }, failure) => problem("What was wrong",
  facts(["What", message], where ? ["Where", where] : null, hint ? ["What to do", hint] : null),
  failure ? [difference(failure.difference, { head: false }), logOf(failure)] : null);

/** @type {(each: CaseResult) => any} */
const logOf = (each) => (each.log ? el("details", { "data-key": `log ${each.case}` },
  el("summary", {}, "Log of the failing invocation"), el("pre", { tabindex: 0 }, each.log)) : null);

// A unified difference as two columns: what was expected, and what came instead.
/** @type {(text: string | null, options?: {head?: boolean}) => any} */
function difference(text, { head = true } = {}) {
  if (!text) return null;
  const lines = text.split("\n");
  const place = DIFFERENCE_AT.test(lines[0]) ? lines.shift() : null;
  if (!lines[0]?.startsWith("---")) return el("pre", { tabindex: 0 }, text);
  /** @type {(value: any, tag: string | false) => any} */
  const side = (value, tag) => el("td", {}, tag && value !== undefined ? el(tag, {}, value) : value);
  const rows = pairs(lines.slice(2)).map(([kind, one, other]) => {
    if (kind === "place") return el("tr", { class: kind }, el("td", { colspan: 2 }, one));
    const changed = kind === "changed";
    return el("tr", { class: kind }, side(one, changed && "del"), side(other, changed && "ins"));
  });
  const heads = ["Expected", "Actual"].map((name) => el("th", { scope: "col" }, name));
  return scrolling("Expected and actual", head && place ? el("p", { class: "soft" }, place) : null,
    el("table", { class: "difference" }, el("thead", {}, el("tr", {}, heads)), el("tbody", {}, rows)));
}

/** @type {(lines: string[]) => string[][]} */
function pairs(lines) {
  /** @type {string[][]} */
  const rows = [];
  /** @type {string[][]} */
  let [gone, come] = [[], []];
  const flush = () => {
    for (let index = 0; index < Math.max(gone.length, come.length); index++) {
      rows.push(["changed", gone[index], come[index]]);
    }
    [gone, come] = [[], []];
  };
  for (const line of lines) {
    if (line.startsWith("-")) gone.push(line.slice(1));
    else if (line.startsWith("+")) come.push(line.slice(1));
    else {
      flush();
      if (line.startsWith("@@")) rows.push(["place", line.replace(/^@@ -(\d+).*/, "From line $1")]);
      else rows.push(["same", line.slice(1), line.slice(1)]);
    }
  }
  flush();
  return rows;
}

// The stages of a release.

/** @type {(data: {history: StatusChange[], chosenMb: number | null | undefined, ended: boolean}) => any} */
function stages({ history, chosenMb, ended }) {
  const at = (/** @type {string} */ status) => history.find((each) => each.status === status);
  const began = Date.parse(history[0].at);
  let underWay = !ended;
  /** @type {(label: string, status: string, change: Partial<StatusChange> & {text?: string} | null | undefined) => any} */
  const step = (label, status, change) => {
    const current = !change && underWay;
    if (current) underWay = false;
    const late = change?.at && change !== history[0] ? ` (+${figure((Date.parse(change.at) - began) / 1000)}\u00a0s)` : "";
    const text = change?.at ? [when(change.at, { timeStyle: "medium" }), late, change.by ? ` by ${change.by}` : ""]
      : change?.text ?? (current ? "under way" : null);
    return el("li", { class: change ? `done ${status}` : "soft", "aria-current": current ? "step" : null },
      el("strong", {}, label), el("span", { class: "soft" }, text));
  };
  const way = STAGES.map(([status, label]) => {
    if (status === "CHOSEN") {
      return chosenMb || !ended ? step(label, status, chosenMb && { text: `${chosenMb} MB` }) : null;
    }
    return at(status) || !ended ? step(label, status, at(status)) : null;
  });
  const later = history.filter((each) => LATER[each.status] || (each.status === "LIVE" && each !== at("LIVE")));
  return el("ol", { class: "stages" }, way,
    later.map((each) => step(LATER[each.status] ?? "Live again", each.status, each)));
}

// The test: from its measurements while they are made, and then from the summary.

/** @type {(values: number[]) => number} */
const meanOf = (values) => values.reduce((sum, each) => sum + each, 0) / values.length;

/** @type {<T extends {memoryMb: number}>(rows: T[]) => Record<number, T | undefined>} */
const bySize = (rows) => Object.fromEntries(rows.map((each) => [each.memoryMb, each]));

/** @type {(found: Release) => Size[]} */
function sizesOf({ powerValues, progress, summary }) {
  const underWay = bySize(progress);
  const results = bySize(summary?.powerValues ?? []);
  const tried = bySize(summary?.chart?.tried ?? []);
  const sizes = new Set([...powerValues, ...Object.keys(underWay), ...Object.keys(results)].map(Number));
  return [...sizes].sort((less, more) => less - more).map((memoryMb) => {
    const [under, result] = [underWay[memoryMb], results[memoryMb]];
    const dots = under?.durationsMs ?? [];
    const durationMs = result ? result.trimmedMeanMs ?? result.meanMs : dots.length ? meanOf(dots) : null;
    const chosen = result && memoryMb === summary?.chosenMemoryMb;
    return {
      memoryMb, dots, durationMs, result, tried: tried[memoryMb], done: under?.done ?? 0, total: under?.total ?? 0,
      mark: result && result.status !== "ok" ? "excluded" : chosen ? "chosen" : null,
    };
  });
}

/** @type {(data: {summary: Summary | null, values: Size[], ended: boolean, atMostUsd: number | null}) => any} */
function test({ summary, values, ended, atMostUsd }) {
  if (!values.length || !(summary || !ended || values.some((each) => each.done))) return null;
  const under = values.some((each) => each.total);
  const sentence = summary ? first(summary.sentence)
    : under ? "Each size is invoked with the test cases; what is measured appears as it comes."
      : "It begins when the stack is there.";
  const compared = summary?.comparison?.sentence;
  const cost = summary ? `The test cost ${usd(summary.testCostUsd)}${pricesOf(summary.prices)}.`
    : atMostUsd ? `The test costs at most ${usd(atMostUsd)}.` : "\u00a0";
  return card("The test",
    el("p", { class: "sentence" }, sentence),
    compared && !sentence.includes(compared) ? el("p", {}, compared) : null,
    plots(values, summary?.chart?.model ?? []),
    measured(values, summary?.chosenMemoryMb, ended),
    setAside(values),
    el("p", { class: "soft" }, cost));
}

/** @type {(result: PowerValueResult) => number} */
const madeOf = ({ n, setAside: aside }) => Object.values(aside).reduce((sum, each) => sum + each, n);

/** Says how many invocations do not count, and why. @type {(values: Size[]) => any} */
function setAside(values) {
  const results = values.flatMap((each) => (each.result ? [each.result] : []));
  const made = results.reduce((sum, each) => sum + madeOf(each), 0);
  /** @type {Record<string, number>} */
  const counts = {};
  for (const { setAside: aside } of results) {
    for (const [why, count] of Object.entries(aside)) counts[why] = (counts[why] ?? 0) + count;
  }
  if (!Object.keys(counts).length) return null;
  const said = Object.entries(counts).map(([why, count]) => `${count} ${why}`).join(", ");
  return el("p", { class: "soft" }, `Of ${made} invocations these don't count for the figures: ${said}.`);
}

/** @type {(prices: Prices | null) => string} */
const pricesOf = (prices) => (prices ? ` by the prices of ${prices.region}, as of ${prices.asOf}` : "");

/** @type {(values: Size[], model: Chart["model"]) => any} */
function plots(values, model) {
  /** @type {(each: Size, value: number, low: number, high: number, shown: (value: number) => string) => any} */
  const point = (each, value, low, high, shown) => {
    const interval = high > low ? ` (${shown(low)} to ${shown(high)}, 95 %)` : "";
    const text = value > 0 ? `${shown(value)}${interval}` : each.result ? first(each.result.reason) : "not measured yet";
    const mark = each.mark ? `, ${each.mark}` : "";
    return { memoryMb: each.memoryMb, value, low, high, mark: each.mark, text: `${each.memoryMb} MB${mark}: ${text}` };
  };
  const durations = values.map((each) => {
    const { dots, durationMs, tried } = each;
    const shown = (/** @type {number} */ ms) => `${figure(ms)} ms`;
    return { ...point(each, tried?.durationMs ?? durationMs ?? 0, tried?.lowMs ?? 0, tried?.highMs ?? 0, shown), dots };
  });
  const costs = values.map((each) => {
    const { tried } = each;
    return tried ? point(each, tried.costUsdPerMillion, tried.lowUsdPerMillion, tried.highUsdPerMillion, usd)
      : point(each, 0, 0, 0, usd);
  });
  const sizes = values.map((each) => each.memoryMb);
  return el("div", { class: "plots" },
    panel("Cost, $ per million invocations", costs, sizes, model.map((each) => ({
      memoryMb: each.memoryMb, value: each.costUsdPerMillion, low: each.lowUsdPerMillion, high: each.highUsdPerMillion,
    }))),
    panel("Duration, ms", durations, sizes, model.map((each) => ({
      memoryMb: each.memoryMb, value: each.durationMs, low: each.lowMs, high: each.highMs }))));
}

/** @type {(values: Size[], chosenMb: number | null | undefined, ended: boolean) => any} */
function measured(values, chosenMb, ended) {
  const said = (/** @type {Size} */ { memoryMb, result, done }) => {
    if (memoryMb === chosenMb) return "chosen";
    if (result) return result.status === "ok" ? "ok" : `${result.status}: ${first(result.reason)}`;
    return done ? "being measured" : ended ? "–" : "waits";
  };
  const count = (/** @type {Size} */ { memoryMb, result, done, total }) => (result ? `${result.n} of ${madeOf(result)}` : el("span", { class: "bar" },
    el("progress", { max: total || 1, value: done, "aria-label": `${memoryMb} MB` }), ` ${done} of ${total || "…"}`));
  const heads = ["Memory MB", "Result", "Count", "Trimmed mean ms", "p90 ms", "Min ms", "Max ms", "Cold start ms", "Used MB",
    "$ per million"];
  return table("Measurements by memory size", heads, values.map((each) => {
    const { memoryMb, result, dots, durationMs } = each;
    const [min, max] = dots.length ? [Math.min(...dots), Math.max(...dots)] : [];
    return { chosen: memoryMb === chosenMb, cells: [
      `${memoryMb}`, said(each), count(each), figure(durationMs), figure(result?.p90Ms),
      figure(result ? result.minMs : min), figure(result ? result.maxMs : max), figure(result?.coldStartMs),
      figure(result?.maxMemoryUsedMb, 5), figure(result?.costUsdPerMillion)] };
  }), [2, 3, 4, 5, 6, 7, 8, 9]);
}

/** @type {(data: {names: string[], notCompared: string[], summary: Summary | null, ended: boolean}) => any} */
function testCases({ names, notCompared, summary, ended }) {
  /** @type {Partial<CaseResult>[]} */
  const results = summary?.cases ?? names.map((name) => ({ case: name }));
  if (!results.length) return null;
  const said = (/** @type {Partial<CaseResult>} */ each) => {
    if (!summary) return ended ? "–" : "…";
    if (each.error) return `${MEANT[each.error] ?? each.error} at ${sizesAt(each)}`;
    if (!each.passed) return "not run";
    return notCompared.includes(each.case ?? "") ? "passed, not compared: it has no expected.*" : "passed";
  };
  return card("Test cases",
    table("Test cases", ["Case", "Result", "Passed", "Failed"], results.map((each) => (
      { cells: [each.case, said(each), figure(each.passed, 5), figure(each.failed, 5)] })), [2, 3]),
    failuresOf(summary).map((each) => el("details", { "data-key": `case ${each.case}` },
      el("summary", {}, `${each.case} at ${each.memoryMb} MB`),
      each.errorMessage ? el("pre", { tabindex: 0 }, each.errorMessage) : null,
      difference(each.difference), logOf(each))));
}

// The sizes at which a case failed; an older summary has only the one that the details are of.
/** @type {(each: Partial<CaseResult>) => string} */
function sizesAt({ failedMemoryMb = [], memoryMb }) {
  const sizes = failedMemoryMb.length ? failedMemoryMb : [memoryMb];
  return `${sizes.length > 1 ? `${sizes.slice(0, -1).join(", ")} and ` : ""}${sizes.at(-1)} MB`;
}

/** @type {(found: Release) => any} */
function about(found) {
  const log = el("pre", { tabindex: 0 }, "Loading…");
  const load = async () => {
    const { events } = await api("GET", `releases/${found.releaseId}/logs?limit=500`)
      .catch((error) => ({ events: [{ message: error.message, memoryMb: 0 }] }));
    const lines = events.map((each) => `${each.memoryMb ? `${each.memoryMb} MB  ` : ""}${each.message}`);
    log.textContent = lines.join("\n") || "There are no lines yet.";
  };
  /** @type {(key: string, title: string, content: any, onopen?: () => void) => any} */
  const more = (key, title, content, onopen) => el("details", {
    "data-key": key, ontoggle: (event) => event.target.open && onopen?.() }, el("summary", {}, title), content);
  const metadata = JSON.stringify(found.metadata, null, 2);
  return card("The package",
    facts(
      ["Release", el("code", {}, found.releaseId)],
      ["File", foreign(found.fileName)],
      found.packageSizeBytes ? ["Size", bytes(found.packageSizeBytes)] : null,
      ["Uploaded", [when(found.createdAt), found.author ? ` by ${found.author}` : ""]],
      found.packageSha256 ? ["SHA-256", el("code", {}, found.packageSha256)] : null,
      found.version ? ["Lambda version", found.version] : null),
    found.metadata ? more("metadata", "metadata.json, with defaults", el("pre", { tabindex: 0 }, metadata)) : null,
    found.algorithm ? more("log", "Log of its versions", log, load) : null);
}
