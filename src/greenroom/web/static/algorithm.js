// One algorithm: what is live, its queues, its history with who and when, two releases side by side, and the way back.

import { trendOf } from "./algorithms.js";
import {
  api, ask, badge, bytes, button, card, el, facts, figure, first, main, nameField, percent, releaseLink, show, table,
  tell, usd, wait, when,
} from "./core.js";

/** @import {Algorithm, AlgorithmQueues, Release, ReleasePage, ReleaseRow, ServedVersion} from "../api.d.ts" */
/** @import {View} from "./app.js" */

const [PAGE, QUEUES_MS] = [50, 2000];

/** @type {(view: View, name: string) => Promise<void>} */
export async function algorithm(view, name) {
  const [found, page] = await Promise.all([
    api("GET", `algorithms/${name}`), api("GET", `algorithms/${name}/releases?limit=${PAGE}`)]);
  if (!view.alive()) return;
  const queues = el("div", {}, el("p", {}, "…"));
  const hint = el("span", { class: "soft" }, " Tick two releases to see them side by side.");
  show(
    el("h1", {}, name, " ", el("span", { class: "soft count" }, found.type)),
    live(view, found), card("Queues", queues), history(name, page, hint));
  while (view.alive()) {
    if (!document.hidden) {
      const [depths, now] = await Promise.all([
        api("GET", `algorithms/${name}/queues`).catch(nothing), api("GET", `algorithms/${name}`).catch(nothing)]);
      if (!view.alive()) return;
      if (depths) drawQueues(queues, name, depths);
      // It is not drawn again by itself: nothing moves while somebody is about to tick a release or to roll back.
      if (now && stateOf(now) !== stateOf(found) && hint.isConnected) {
        hint.replaceWith(button("Show what has changed", view.reload, { class: "quiet" }));
        tell(`${name} has changed.`);
      }
    }
    await wait(QUEUES_MS);
  }
}

/** @returns {null} */
const nothing = () => null;

/** @type {(found: Algorithm) => string} */
const stateOf = ({ updatedAt, liveReleaseId }) => `${updatedAt} ${liveReleaseId}`;

/** @type {(view: View, found: Algorithm) => any} */
function live(view, found) {
  const { name, next, liveVersion, liveBefore } = found;
  if (!liveVersion) return card("Live", el("p", {}, "Nothing is live yet: a release has to pass its test first."));
  const trend = trendOf(found.trend);
  return card("Live",
    facts(
      ["Release", releaseLink(found.liveReleaseId)],
      ["Version", liveVersion],
      ["Memory", `${found.memoryMb} MB`],
      ["Cost", `${usd(found.costUsdPerMillion)} per million invocations`],
      trend ? ["Trend", trend] : null,
      next.length ? ["Forwards to", next.map((each) => [el("a", { href: `#/algorithms/${each}` }, each), " "])] : null),
    el("p", { class: "actions" },
      el("a", { class: "button", href: `#/send/${name}` }, "Send a document"),
      liveBefore.length ? button("Roll back…", () => rollBack(view, name).catch((error) => tell(error.message)),
        { class: "quiet" }) : null));
}

/** @type {(node: HTMLElement, name: string, queues: AlgorithmQueues) => void} */
function drawQueues(node, name, { input, deadLetters }) {
  const failed = deadLetters ? deadLetters.visible + deadLetters.inFlight : 0;
  const text = input ? `${input.visible} waiting, ${input.inFlight} being handled. `
    : "They are made with the first release that passes its checks.";
  if (node.dataset.shown === `${text}${failed}`) return;
  node.dataset.shown = `${text}${failed}`;
  const failures = failed ? el("a", { href: `#/failures/${name}` }, `${failed} could not be handled`)
    : "No failures.";
  node.replaceChildren(el("p", {}, text, input ? failures : ""));
}

/** @type {(name: string, page: ReleasePage, hint: any) => any} */
function history(name, page, hint) {
  /** @type {Set<string>} */
  const chosen = new Set();
  const compare = button("Compare two", () => {
    location.hash = `#/compare/${[...chosen].sort().reverse().join("/")}`;
  }, { class: "quiet", disabled: true });
  /** @type {(id: string) => any} */
  const pick = (id) => el("input", { type: "checkbox", "aria-label": `Compare release ${id}`, onchange: (event) => {
    if (event.target.checked) chosen.add(id); else chosen.delete(id);
    compare.disabled = chosen.size !== 2;
  } });
  const list = releaseTable(page.releases, pick);
  let { cursor } = page;
  const more = button(`The next ${PAGE}`, async () => {
    more.disabled = true;
    const next = await api("GET", `algorithms/${name}/releases?limit=${PAGE}&cursor=${cursor}`);
    list.querySelector("tbody").append(...releaseTable(next.releases, pick).querySelectorAll("tbody tr"));
    cursor = next.cursor;
    more.disabled = false;
    more.hidden = !cursor;
    tell(`${list.querySelectorAll("tbody tr").length} releases are shown`);
  }, { class: "quiet", hidden: !cursor });
  return card("Releases", el("p", { class: "actions" }, compare, hint), list, more);
}

/** @type {(name: string | null) => any} */
const by = (name) => (name ? [el("br"), `by ${name}`] : "");

/** @type {(releases: ReleaseRow[], pick: (id: string) => any) => any} */
function releaseTable(releases, pick) {
  const heads = [
    "Release", "Compare", "Status", "Uploaded", "Memory MB", "$ per million", "Last change", "What was wrong"];
  const wrong = (/** @type {ReleaseRow} */ each) => (["FAILED", "REJECTED"].includes(each.status)
    ? el("span", { class: "cut", title: each.reason }, first(each.reason)) : null);
  return table("Releases", heads, releases.map((each) => ({ chosen: each.status === "LIVE", cells: [
    releaseLink(each.releaseId), pick(each.releaseId), badge(each.status), [when(each.createdAt), by(each.author)],
    figure(each.memoryMb, 5), figure(each.costUsdPerMillion), [when(each.updatedAt), by(each.changedBy)], wrong(each),
  ] })), [4, 5]);
}

/** @type {(view: View, name: string) => Promise<void>} */
async function rollBack(view, name) {
  // What will happen depends on what is live now, which may be another release than when the view was drawn.
  const { liveBefore, liveReleaseId, liveVersion } = await api("GET", `algorithms/${name}`);
  if (!view.alive()) return;
  const named = (/** @type {ServedVersion} */ { version, releaseId }) => `version ${version} of release ${releaseId}`;
  const select = el("select", { id: "target", onchange: () => say() },
    liveBefore.map((each) => el("option", { value: each.releaseId }, named(each))));
  const sentence = el("p", {});
  const target = () => liveBefore.find((each) => each.releaseId === select.value);
  const say = () => {
    const now = named({ version: liveVersion, releaseId: liveReleaseId });
    sentence.textContent = `V${named(target()).slice(1)} will be live again at once, and ${now} no longer. `
      + "Messages under way are finished by the version that has them. "
      + "A test that is under way goes on, and may go live after this.";
  };
  say();
  const question = [el("p", {}, el("label", { for: "target" }, "Back to "), select), sentence, nameField()];
  ask(`Roll ${name} back?`, question, "Roll back", async () => {
    const done = await api("POST", `algorithms/${name}/rollback`,
      { toReleaseId: target().releaseId, fromReleaseId: liveReleaseId });
    view.reload();
    tell(`${name} is rolled back to version ${done.version}.`);
  });
}

/** @type {(view: View, one: string, other: string) => Promise<void>} */
export async function comparison(view, one, other) {
  const [{ comparison: found }, ...both] = await Promise.all([
    api("GET", `releases/${one}/comparison?with=${other}`), api("GET", `releases/${one}`),
    api("GET", `releases/${other}`)]);
  if (!view.alive()) return;
  const name = both[0].algorithm ?? both[1].algorithm;
  const sentence = found ? found.sentence
    : "Their times can't be compared: one was not measured to its end, or they have no test case in common.";
  show(
    el("h1", {}, "Two releases of ", name ? el("a", { href: `#/algorithms/${name}` }, name) : "no algorithm"),
    card(null, el("p", {}, el("strong", {}, sentence)), found ? el("p", { class: "soft" },
      `Each at its own size, over ${found.cases.length} test cases that both passed; in brackets what is 90 % sure. `
      + "They were measured at different times.") : null),
    card("Side by side", sideBySide(both)), atEachSize(both), metadataChanges(both));
  main.focus({ preventScroll: true });
}

/** @type {(release: Release) => import("../api.d.ts").PowerValueResult[]} */
const valuesOf = (release) => release.summary?.powerValues ?? [];

/** @type {(both: Release[]) => any} */
function sideBySide(both) {
  const chosen = (/** @type {Release} */ release) => valuesOf(release).find((each) => each.memoryMb === release.memoryMb);
  /** @type {(name: string, shownOf: (release: Release) => any, figureOf?: (release: Release) => number | null) => any} */
  const row = (name, shownOf, figureOf = nothing) => {
    const [mine, theirs] = both.map(figureOf);
    return { cells: [name, ...both.map(shownOf), mine > 0 && theirs > 0 ? percent(mine / theirs) : "–"] };
  };
  /** @type {(name: string, figureOf: (release: Release) => number | null, digits?: number) => any} */
  const numbers = (name, figureOf, digits) => row(name, (each) => figure(figureOf(each), digits), figureOf);
  const passed = (/** @type {Release} */ { summary }) => (summary
    ? `${summary.cases.filter((each) => each.passed && !each.failed).length} of ${summary.cases.length}` : "–");
  return table("Side by side", ["", "First", "Second", "First to second"], [
    row("Release", (each) => releaseLink(each.releaseId)),
    row("Status", (each) => badge(each.status)),
    row("Uploaded", (each) => [when(each.createdAt), by(each.author)]),
    row("Package", (each) => (each.packageSizeBytes ? bytes(each.packageSizeBytes) : "–"),
      (each) => each.packageSizeBytes),
    numbers("Memory MB", (each) => each.memoryMb, 5),
    numbers("$ per million", (each) => each.costUsdPerMillion),
    numbers("Trimmed mean ms", (each) => chosen(each)?.trimmedMeanMs),
    numbers("p90 ms", (each) => chosen(each)?.p90Ms),
    numbers("Used MB", (each) => chosen(each)?.maxMemoryUsedMb, 5),
    row("Cases passed", passed),
    numbers("The test cost, $", (each) => each.summary?.testCostUsd)]);
}

/** @type {(both: Release[]) => any} */
function atEachSize(both) {
  const sizes = [...new Set(both.flatMap((each) => valuesOf(each).map((value) => value.memoryMb)))];
  if (!sizes.length) return null;
  const point = (/** @type {Release} */ release, /** @type {number} */ mb) => {
    const value = valuesOf(release).find((each) => each.memoryMb === mb);
    return value?.trimmedMeanMs ? `${figure(value.trimmedMeanMs)} ms, ${usd(value.costUsdPerMillion)}` : "–";
  };
  return card("At each memory size", table("At each memory size", ["Memory MB", "First", "Second"],
    sizes.sort((less, more) => less - more).map((mb) => ({ cells: [`${mb}`, ...both.map((each) => point(each, mb))] }))));
}

/** @type {(both: Release[]) => any} */
function metadataChanges(both) {
  const textOf = (/** @type {Release} */ release, /** @type {string} */ key) => JSON.stringify(release.metadata?.[key]);
  const keys = [...new Set(both.flatMap((each) => Object.keys(each.metadata ?? {})))]
    .filter((key) => textOf(both[0], key) !== textOf(both[1], key));
  if (!keys.length) return null;
  return card("What changed in metadata.json", table("Changes of metadata.json", ["Field", "First", "Second"],
    keys.map((key) => ({ cells: [key, ...both.map((each) => el("code", {}, textOf(each, key) ?? "–"))] }))));
}
