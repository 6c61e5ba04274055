// A release while it happens, and afterwards: its stages, what is measured, what was chosen and why, its test cases.

import {
  ENDED, api, badge, bytes, card, el, facts, figure, first, problem, scrolling, sections, show, table, tell, usd, wait,
  when,
} from "./core.js";
import { panel } from "./plot.js";

const STAGES = [
  ["UPLOADING", "Upload"], ["REGISTERED", "Received and registered"], ["PROVISIONING", "Stack being provisioned"],
  ["PROVISIONED", "Provisioned"], ["TESTING", "Test begun"], ["CHOSEN", "Size chosen"], ["LIVE", "Live"]];
const LATER = {
  RETIRED: "Retired", ROLLED_BACK: "Rolled back", REJECTED: "Rejected", FAILED: "Failed", SUPERSEDED: "Superseded" };
const MEANT = {
  wrong_answer: "gave another answer than expected", exception: "raised an exception", timeout: "ran out of time",
  out_of_memory: "ran out of memory" };
const DIFFERENCE_AT = /^first difference at (.*)/;
const [POLL_MS, POLL_HIDDEN_MS, POLL_OUTAGE_MS] = [400, 3000, 2000];

export async function release(view, id) {
  const part = sections(6);
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
      if (ENDED.has(found.status)) return;
    } catch (error) {
      if (!last || (error.code && error.code < 500)) throw error;
      tell(`${error.message} Trying again.`);
      pause = POLL_OUTAGE_MS;
    }
    await wait(pause);
  }
}

function draw(part, found) {
  const { algorithm, summary, status, reason, fileName } = found;
  const ended = ENDED.has(status);
  const bad = status === "FAILED" || status === "REJECTED";
  const title = algorithm ? el("a", { href: `#/algorithms/${algorithm}` }, algorithm) : fileName;
  part.draw(0, [algorithm, fileName, status], () => el("h1", {}, title, " ", badge(status)));
  part.draw(1, { bad, status, reason, summary }, () => {
    if (bad) return wrong(found);
    return reason ? el("p", { class: "soft" }, reason) : null;
  });
  part.draw(2, { history: found.history, chosenMb: summary?.chosenMemoryMb, ended }, (data) => card(null, stages(data)));
  part.draw(3, { summary, values: valuesOf(found), ended, atMostUsd: found.costAtMostUsd }, test);
  part.draw(4, { names: found.cases, summary, ended }, cases);
  // Last on the page, and not before what stands above it is there, which would push it down.
  const known = ended || Boolean(found.metadata);
  part.draw(5, [known, found.packageSizeBytes, found.version], () => (known ? about(found) : null));
}

// What was wrong, where, and what to do.

const failuresOf = (summary) => (summary?.cases ?? []).filter((each) => each.failed && (each.error || each.difference));

function wrong({ status, reason, summary }) {
  const failure = failuresOf(summary).find((each) => ["wrong_answer", "exception"].includes(each.error));
  if (!failure) {
    const title = status === "REJECTED" ? "The package was not accepted" : "What was wrong";
    return problem(title, reason, summary ? whatToDo(null, summary) : null);
  }
  const raised = failure.error === "exception" ? ` ${first(failure.errorMessage)}` : "";
  const place = DIFFERENCE_AT.exec(failure.difference ?? "")?.[1];
  return problem("What was wrong",
    facts(
      ["What", `Case ${failure.case} ${MEANT[failure.error]}.${raised}`],
      ["Where", `tests/${failure.case}, at ${failure.memoryMb} MB${place ? `, in the answer at ${place}` : ""}`],
      ["What to do", whatToDo(failure, summary)]),
    difference(failure.difference, { head: false }), logOf(failure));
}

function whatToDo(failure, summary) {
  const again = "Then upload it again; what is live has not been touched.";
  const here = "greenroom test runs the case on your machine.";
  if (failure?.error === "wrong_answer") {
    return `Mend the algorithm, or tests/${failure.case}/expected.* if that is what is wrong; ${here} ${again}`;
  }
  if (failure?.error === "exception") return `The log below has the traceback; ${here} ${again}`;
  if (summary?.comparison?.regression) {
    return `Make it as fast and as cheap as what is live, or say in metadata.json how much worse it may be. ${again}`;
  }
  return "If a size is too small, name larger ones as powerValues in metadata.json, or a longer timeout. "
    + `If it can't be seen what went wrong, the log of its versions is at the end of this page. ${again}`;
}

const logOf = (each) => (each.log ? el("details", { "data-key": `log ${each.case}` },
  el("summary", {}, "Log of the failing invocation"), el("pre", { tabindex: 0 }, each.log)) : null);

// A unified difference as two columns: what was expected, and what came instead.
function difference(text, { head = true } = {}) {
  if (!text) return null;
  const lines = text.split("\n");
  const place = DIFFERENCE_AT.test(lines[0]) ? lines.shift() : null;
  if (!lines[0]?.startsWith("---")) return el("pre", { tabindex: 0 }, text);
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

function pairs(lines) {
  const rows = [];
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

// The way that a release has gone.

function stages({ history, chosenMb, ended }) {
  const at = (status) => history.find((each) => each.status === status);
  const began = Date.parse(history[0].at);
  let underWay = !ended;
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

const meanOf = (values) => values.reduce((sum, each) => sum + each, 0) / values.length;

function valuesOf({ metadata, progress, summary }) {
  const underWay = Object.fromEntries(progress.map((each) => [each.memoryMb, each]));
  const results = Object.fromEntries((summary?.powerValues ?? []).map((each) => [each.memoryMb, each]));
  const asked = [metadata?.powerValues ?? []].flat().filter(Number);
  const sizes = new Set([...asked, ...Object.keys(underWay), ...Object.keys(results)].map(Number));
  return [...sizes].sort((less, more) => less - more).map((memoryMb) => {
    const [under, result] = [underWay[memoryMb], results[memoryMb]];
    const dots = under?.durationsMs ?? [];
    const durationMs = result ? result.trimmedMeanMs ?? result.meanMs : dots.length ? meanOf(dots) : null;
    const chosen = result && memoryMb === summary.chosenMemoryMb;
    return {
      memoryMb, dots, durationMs, result, done: under?.done ?? 0, total: under?.total ?? 0,
      mark: result && result.status !== "ok" ? "excluded" : chosen ? "chosen" : null,
      wide: Math.exp(1.96 * (result?.relativeError ?? 0)), // half of a 95 % interval, as a factor
    };
  });
}

function test({ summary, values, ended, atMostUsd }) {
  if (!values.length || !(summary || !ended || values.some((each) => each.done))) return null;
  const under = values.some((each) => each.total);
  const sentence = summary ? first(summary.sentence)
    : under ? "Each size is invoked with the test cases; what is measured appears as it comes."
      : "It begins when the stack is there.";
  const compared = summary?.comparison?.sentence;
  const { region, asOf } = summary?.prices ?? {};
  const cost = summary ? `The test cost ${usd(summary.testCostUsd)} by the prices of ${region}, as of ${asOf}.`
    : atMostUsd ? `The test costs at most ${usd(atMostUsd)}.` : "\u00a0";
  return card("The test",
    el("p", { class: "sentence" }, sentence),
    compared && !sentence.includes(compared) ? el("p", {}, compared) : null,
    plots(values, summary?.prices, summary?.chart?.model ?? []),
    measured(values, summary?.chosenMemoryMb, ended),
    el("p", { class: "soft" }, cost));
}

function plots(values, prices, model) {
  const perMillion = (mb, ms) => ((mb / 1024) * (ms / 1000) * prices.gbSecondUsd + prices.requestUsd) * 1e6;
  const point = (each, value, low, high, shown) => {
    const interval = high > low ? ` (${shown(low)} to ${shown(high)}, 95 %)` : "";
    const text = value > 0 ? `${shown(value)}${interval}` : each.result ? first(each.result.reason) : "not measured yet";
    const mark = each.mark ? `, ${each.mark}` : "";
    return { memoryMb: each.memoryMb, value, low, high, mark: each.mark, text: `${each.memoryMb} MB${mark}: ${text}` };
  };
  const durations = values.map((each) => {
    const { durationMs: value, wide, dots } = each;
    return { ...point(each, value, value / wide, value * wide, (ms) => `${figure(ms)} ms`), dots };
  });
  const costs = values.map((each) => {
    const { memoryMb, durationMs, wide, result } = each;
    const value = result?.costUsdPerMillion ?? 0;
    if (!value || !prices) return point(each, 0, 0, 0, usd);
    // Lambda bills whole milliseconds, so what was measured is not quite the cost of the mean duration.
    const scaled = (ms) => (value * perMillion(memoryMb, ms)) / perMillion(memoryMb, durationMs);
    return point(each, value, scaled(durationMs / wide), scaled(durationMs * wide), usd);
  });
  const sizes = values.map((each) => each.memoryMb);
  const band = (value, low, high) => model.map((each) => (
    { memoryMb: each.memoryMb, value: each[value], low: each[low], high: each[high] }));
  return el("div", { class: "plots" },
    panel("Cost, $ per million invocations", costs, sizes,
      band("costUsdPerMillion", "lowUsdPerMillion", "highUsdPerMillion")),
    panel("Duration, ms", durations, sizes, band("durationMs", "lowMs", "highMs")));
}

function measured(values, chosenMb, ended) {
  const said = ({ memoryMb, result, done }) => {
    if (memoryMb === chosenMb) return "chosen";
    if (result) return result.status === "ok" ? "ok" : `${result.status}: ${first(result.reason)}`;
    return done ? "being measured" : ended ? "–" : "waits";
  };
  const count = ({ memoryMb, result, done, total }) => (result ? `${result.n}` : el("span", { class: "bar" },
    el("progress", { max: total || 1, value: done, "aria-label": `${memoryMb} MB` }), ` ${done} of ${total || "…"}`));
  const heads = ["Memory MB", "Result", "Measured", "Mean ms", "p90 ms", "Min ms", "Max ms", "Init ms", "Used MB",
    "$ per million"];
  return table("Measurements by memory size", heads, values.map((each) => {
    const { memoryMb, result, dots, durationMs } = each;
    const [min, max] = dots.length ? [Math.min(...dots), Math.max(...dots)] : [];
    return { chosen: memoryMb === chosenMb, cells: [
      `${memoryMb}`, said(each), count(each), figure(result ? result.meanMs : durationMs), figure(result?.p90Ms),
      figure(result ? result.minMs : min), figure(result ? result.maxMs : max), figure(result?.initMs),
      figure(result?.maxMemoryUsedMb, 5), figure(result?.costUsdPerMillion)] };
  }), [2, 3, 4, 5, 6, 7, 8, 9]);
}

function cases({ names, summary, ended }) {
  const results = summary?.cases ?? names.map((name) => ({ case: name }));
  if (!results.length) return null;
  const said = (each) => {
    if (!summary) return ended ? "–" : "…";
    if (each.error) return `${MEANT[each.error] ?? each.error} at ${each.memoryMb} MB`;
    return each.passed ? "passed" : "not run";
  };
  return card("Test cases",
    table("Test cases", ["Case", "Result", "Passed", "Failed"], results.map((each) => (
      { cells: [each.case, said(each), figure(each.passed, 5), figure(each.failed, 5)] })), [2, 3]),
    failuresOf(summary).map((each) => el("details", { "data-key": `case ${each.case}` },
      el("summary", {}, `${each.case} at ${each.memoryMb} MB`),
      each.errorMessage ? el("pre", { tabindex: 0 }, each.errorMessage) : null,
      difference(each.difference), logOf(each))));
}

function about(found) {
  const log = el("pre", { tabindex: 0 }, "Loading…");
  const load = async () => {
    const { events } = await api("GET", `releases/${found.releaseId}/logs?limit=500`)
      .catch((error) => ({ events: [{ message: error.message }] }));
    const lines = events.map((each) => `${each.memoryMb ? `${each.memoryMb} MB  ` : ""}${each.message}`);
    log.textContent = lines.join("\n") || "There is none yet.";
  };
  const more = (key, title, content, onopen) => el("details", {
    "data-key": key, ontoggle: (event) => event.target.open && onopen?.() }, el("summary", {}, title), content);
  const metadata = JSON.stringify(found.metadata, null, 2);
  return card("The package",
    facts(
      ["Release", el("code", {}, found.releaseId)],
      ["File", found.fileName],
      found.packageSizeBytes ? ["Size", bytes(found.packageSizeBytes)] : null,
      ["Uploaded", [when(found.createdAt), found.author ? ` by ${found.author}` : ""]],
      found.packageSha256 ? ["SHA-256", el("code", {}, found.packageSha256)] : null,
      found.version ? ["Lambda version", found.version] : null),
    found.metadata ? more("metadata", "metadata.json, with defaults", el("pre", { tabindex: 0 }, metadata)) : null,
    found.algorithm ? more("log", "Log of its versions", log, load) : null);
}
