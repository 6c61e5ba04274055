// A release while it happens, and afterwards: its stages, what is measured, what was chosen and why, its test cases.

import { ENDED, api, badge, bytes, card, el, facts, figure, first, problem, scrolling, sections, show, table, tell, usd, wait, when } from "./core.js";
import { panel } from "./plot.js";

const STAGES = [
  ["UPLOADING", "Upload"], ["REGISTERED", "Received and registered"], ["PROVISIONING", "Stack being provisioned"],
  ["PROVISIONED", "Provisioned"], ["TESTING", "Test begun"], ["CHOSEN", "Size chosen"], ["LIVE", "Live"]];
const LATER = { RETIRED: "Retired", ROLLED_BACK: "Rolled back", REJECTED: "Rejected", FAILED: "Failed", SUPERSEDED: "Superseded" };
const MEANT = {
  wrong_answer: "gave another answer than expected", exception: "raised an exception", timeout: "ran out of time", out_of_memory: "ran out of memory" };
const [POLL_MS, POLL_HIDDEN_MS, POLL_OUTAGE_MS] = [400, 3000, 2000];

function whatToDo(failure, summary) {
  const again = "Then upload it again; what is live has not been touched.";
  if (failure?.error === "wrong_answer") return `Mend the algorithm, or tests/${failure.case}/expected.* if that is what is wrong; greenroom test runs the case on your machine. ${again}`;
  if (failure?.error === "exception") return `The log below has the traceback; greenroom test runs the case on your machine. ${again}`;
  if (summary?.comparison?.regression) return `Make it as fast and as cheap as what is live, or say in metadata.json how much worse it may be. ${again}`;
  return `If a size is too small, name larger ones as powerValues in metadata.json, or a longer timeout. ${again}`;
}

const failuresOf = (summary) => (summary?.cases ?? []).filter((each) => each.failed && (each.error || each.difference));

function wrong({ status, reason, summary }) {
  const failure = failuresOf(summary).find((each) => each.error === "wrong_answer" || each.error === "exception");
  if (failure) return problem("What was wrong", facts(
    ["What", `Case ${failure.case} ${MEANT[failure.error]}.${failure.error === "exception" ? ` ${first(failure.errorMessage)}` : ""}`],
    ["Where", `tests/${failure.case}, at ${failure.memoryMb} MB${/^first difference at (.*)/.test(failure.difference ?? "") ? `, in the answer at ${first(failure.difference).slice(20)}` : ""}`],
    ["What to do", whatToDo(failure)]), difference(failure.difference, { head: false }), logOf(failure));
  return problem(status === "REJECTED" ? "The package was not accepted" : "What was wrong", reason, summary ? whatToDo(null, summary) : null);
}

// A unified difference as two columns: what was expected, and what came instead.
function difference(text, { head = true } = {}) {
  if (!text) return null;
  const rows = [];
  let [gone, come] = [[], []];
  const flush = () => {
    for (let index = 0; index < Math.max(gone.length, come.length); index++) rows.push(["changed", gone[index], come[index]]);
    [gone, come] = [[], []];
  };
  const lines = text.split("\n");
  const place = /^first difference at /.test(lines[0]) ? lines.shift() : null;
  if (!lines[0]?.startsWith("---")) return el("pre", {}, text);
  for (const line of lines.slice(2)) {
    if (line.startsWith("-")) gone.push(line.slice(1));
    else if (line.startsWith("+")) come.push(line.slice(1));
    else {
      flush();
      if (line.startsWith("@@")) rows.push(["place", line.replaceAll("@@", "").trim().replace(/^-(\d+).*/, "From line $1")]);
      else rows.push(["same", line.slice(1), line.slice(1)]);
    }
  }
  flush();
  const side = (kind, value, tag) => el("td", { class: value === undefined ? "none" : null }, kind === "changed" && value !== undefined ? el(tag, {}, value) : value);
  return scrolling("Expected and actual", head && place ? el("p", { class: "soft" }, place) : null, el("table", { class: "difference" },
    el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Expected"), el("th", { scope: "col" }, "Actual"))),
    el("tbody", {}, rows.map(([kind, one, other]) => (kind === "place" ? el("tr", { class: kind }, el("td", { colspan: 2 }, one))
      : el("tr", { class: kind }, side(kind, one, "del"), side(kind, other, "ins")))))));
}

const logOf = (each) => (each.log ? el("details", { "data-key": `log ${each.case}` }, el("summary", {}, "Log of the failing invocation"), el("pre", { tabindex: 0 }, each.log)) : null);

function stages({ history, chosenMb, ended }) {
  const at = Object.fromEntries(history.map((change) => [change.status, change]));
  const way = STAGES.filter(([name]) => at[name] || (name === "CHOSEN" ? chosenMb || !ended : !ended));
  const began = new Date(history[0].at);
  const later = history.filter((change, index) => LATER[change.status] || (change.status === "LIVE" && history.findIndex((each) => each.status === "LIVE") !== index));
  let next = !ended;
  return el("ol", { class: "stages" }, [...way.map(([name, label]) => [label, name === "CHOSEN" ? (chosenMb ? {} : null) : at[name] === later.at(-1) ? null : at[name], name]),
    ...later.map((change) => [LATER[change.status] ?? "Live again", change, change.status])].map(([label, change, name]) => {
    const current = !change && next;
    if (current) next = false;
    return el("li", { class: change ? `done ${name}` : "soft", "aria-current": current ? "step" : null }, el("strong", {}, label, name === "CHOSEN" && chosenMb ? `: ${chosenMb} MB` : ""),
      el("span", { class: "soft" }, change?.at ? [when(change.at, { timeStyle: "medium" }), change.at === history[0].at ? "" : ` (+${figure((new Date(change.at) - began) / 1000)} s)`, change.by ? ` by ${change.by}` : ""] : current ? "under way" : "\u00a0"));
  }));
}

const meanOf = (values) => values.reduce((sum, each) => sum + each, 0) / values.length;

// What is known of each power value: while it is measured from the measurements, and then from the summary.
function valuesOf(release) {
  const progress = Object.fromEntries(release.progress.map((each) => [each.memoryMb, each]));
  const results = Object.fromEntries((release.summary?.powerValues ?? []).map((each) => [each.memoryMb, each]));
  const sizes = [...new Set([...[release.metadata?.powerValues ?? []].flat().filter(Number), ...Object.keys(progress), ...Object.keys(results)].map(Number))].sort((one, other) => one - other);
  return sizes.map((memoryMb) => {
    const [under, result] = [progress[memoryMb], results[memoryMb]];
    const dots = under?.durationsMs ?? [];
    const durationMs = result ? result.trimmedMeanMs ?? result.meanMs : dots.length ? meanOf(dots) : null;
    const wide = Math.exp(1.96 * (result?.relativeError ?? 0)); // 95 %, as the interval of a logarithm
    return { memoryMb, dots, durationMs, wide, done: under?.done ?? 0, total: under?.total ?? 0, result,
      mark: result && result.status !== "ok" ? "excluded" : result && memoryMb === release.summary.chosenMemoryMb ? "chosen" : null };
  });
}

function plots({ values, prices, model }) {
  const cost = (mb, ms) => (prices ? ((mb / 1024) * (ms / 1000) * prices.gbSecondUsd + prices.requestUsd) * 1e6 : 0);
  const words = (each, value, low, high, shown) => `${each.memoryMb} MB${each.mark ? `, ${each.mark}` : ""}: ${value > 0
    ? `${shown(value)}${high > low ? ` (${shown(low)} to ${shown(high)}, 95 %)` : ""}` : each.result ? first(each.result.reason) : "not measured yet"}`;
  const sizes = values.map((each) => each.memoryMb);
  const durations = values.map((each) => {
    const [value, low, high] = [each.durationMs, each.durationMs / each.wide, each.durationMs * each.wide];
    return { memoryMb: each.memoryMb, value, low, high, dots: each.dots, mark: each.mark, text: words(each, value, low, high, (ms) => `${figure(ms)} ms`) };
  });
  const costs = values.map((each) => {
    // Lambda bills whole milliseconds, so the measured cost is not quite that of the mean duration.
    const value = each.result?.costUsdPerMillion ?? (each.durationMs ? cost(each.memoryMb, each.durationMs) : 0);
    const scaled = (ms) => (value && prices ? value * cost(each.memoryMb, ms) / cost(each.memoryMb, each.durationMs) : value);
    const [low, high] = [scaled(each.durationMs / each.wide), scaled(each.durationMs * each.wide)];
    return { memoryMb: each.memoryMb, value, low, high, mark: each.mark, text: words(each, value, low, high, usd) };
  });
  return el("div", { class: "plots" },
    panel("Cost, $ per million invocations", costs, sizes, model.map((each) => ({ memoryMb: each.memoryMb, value: each.costUsdPerMillion, low: each.lowUsdPerMillion, high: each.highUsdPerMillion }))),
    panel("Duration, ms", durations, sizes, model.map((each) => ({ memoryMb: each.memoryMb, value: each.durationMs, low: each.lowMs, high: each.highMs }))));
}

const measured = ({ values, chosenMb, ended }) => table("Measurements by memory size",
  ["Memory MB", "Result", "Measured", "Mean ms", "p90 ms", "Min ms", "Max ms", "Init ms", "Used MB", "$ per million"],
  values.map(({ memoryMb, result, done, total, dots, durationMs }) => ({ chosen: memoryMb === chosenMb, cells: [
    `${memoryMb}`, memoryMb === chosenMb ? "chosen" : result ? (result.status === "ok" ? "ok" : `${result.status}: ${first(result.reason)}`) : done ? "being measured" : ended ? "–" : "waits",
    result ? `${result.n}` : el("span", { class: "bar" }, el("progress", { max: total || 1, value: done, "aria-label": `${memoryMb} MB` }), ` ${done} of ${total || "…"}`),
    figure(result ? result.meanMs : durationMs), figure(result?.p90Ms), figure(result ? result.minMs : dots.length ? Math.min(...dots) : null), figure(result ? result.maxMs : dots.length ? Math.max(...dots) : null),
    figure(result?.initMs), figure(result?.maxMemoryUsedMb, 5), figure(result?.costUsdPerMillion)] })), [2, 3, 4, 5, 6, 7, 8, 9]);

function cases({ names, summary, ended }) {
  const results = summary?.cases ?? names.map((name) => ({ case: name }));
  if (!results.length) return null;
  return card("Test cases", table("Test cases", ["Case", "Result", "Passed", "Failed"], results.map((each) => ({ cells: [
    each.case, !summary ? (ended ? "–" : "…") : each.error ? `${MEANT[each.error] ?? each.error} at ${each.memoryMb} MB` : each.passed ? "passed" : "not run",
    figure(each.passed, 5), figure(each.failed, 5)] })), [2, 3]),
  failuresOf(summary).map((each) => el("details", { "data-key": `case ${each.case}` }, el("summary", {}, `${each.case} at ${each.memoryMb} MB`),
    each.errorMessage ? el("pre", { tabindex: 0 }, each.errorMessage) : null, difference(each.difference), logOf(each))));
}

function about(release) {
  const log = el("pre", { tabindex: 0 }, "Loading…");
  const load = async () => {
    const { events } = await api("GET", `releases/${release.releaseId}/logs?limit=500`).catch((error) => ({ events: [{ message: error.message }] }));
    log.textContent = events.map((each) => `${each.memoryMb ? `${each.memoryMb} MB  ` : ""}${each.message}`).join("\n") || "There is none yet.";
  };
  return card("The package", facts(
    ["Release", el("code", {}, release.releaseId)], ["File", release.fileName], release.packageSizeBytes ? ["Size", bytes(release.packageSizeBytes)] : null,
    ["Uploaded", [when(release.createdAt), release.author ? ` by ${release.author}` : ""]], release.packageSha256 ? ["SHA-256", el("code", {}, release.packageSha256)] : null,
    release.version ? ["Lambda version", release.version] : null),
  release.metadata ? el("details", { "data-key": "metadata" }, el("summary", {}, "metadata.json, with defaults"), el("pre", { tabindex: 0 }, JSON.stringify(release.metadata, null, 2))) : null,
  release.algorithm ? el("details", { "data-key": "log", ontoggle: (event) => event.target.open && load() }, el("summary", {}, "Log of its versions"), log) : null);
}

function draw(part, release) {
  const { summary, status, reason } = release;
  const ended = ENDED.has(status);
  const bad = status === "FAILED" || status === "REJECTED";
  const values = valuesOf(release);
  part.draw(0, [release.algorithm, release.fileName, status], () => el("h1", {}, release.algorithm ? el("a", { href: `#/algorithms/${release.algorithm}` }, release.algorithm) : release.fileName, " ", badge(status)));
  part.draw(1, { bad, status, reason, summary }, () => (bad ? wrong(release) : reason ? el("p", { class: "soft" }, reason) : null));
  part.draw(2, { history: release.history, chosenMb: summary?.chosenMemoryMb, ended }, (data) => card(null, stages(data)));
  const atMostUsd = release.costAtMostUsd;
  part.draw(3, { summary, values, ended, atMostUsd }, () => (values.length && (summary || !ended || values.some((each) => each.done)) ? card("The test",
    el("p", { class: "sentence" }, summary ? first(summary.sentence) : release.progress.length ? "Each size is invoked with the test cases; what is measured appears as it comes." : "It begins when the stack is there."),
    summary?.comparison?.sentence && !summary.sentence.includes(summary.comparison.sentence) ? el("p", {}, summary.comparison.sentence) : null,
    plots({ values, prices: summary?.prices, model: summary?.chart?.model ?? [] }),
    measured({ values, chosenMb: summary?.chosenMemoryMb, ended }),
    el("p", { class: "soft" }, summary ? `The test cost ${usd(summary.testCostUsd)} by the prices of ${summary.prices?.region ?? "its region"}, as of ${summary.prices?.asOf ?? "today"}.` : atMostUsd ? `The test costs at most ${usd(atMostUsd)}.` : "\u00a0")) : null));
  part.draw(4, { names: release.cases, summary, ended }, cases);
  part.draw(5, [release.releaseId, release.fileName, release.packageSizeBytes, release.version, Boolean(release.metadata)], () => about(release));
}

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
