// One algorithm: what is live, its queues, its history with who and when, two releases beside each other, and the way back.

import { trendOf } from "./algorithms.js";
import { api, ask, badge, bytes, button, card, el, facts, figure, first, main, nameField, percent, releaseLink, show, table, tell, usd, wait, when } from "./core.js";

const [PAGE, QUEUES_MS] = [50, 2000];

export async function algorithm(view, name) {
  const [found, page] = await Promise.all([api("GET", `algorithms/${name}`), api("GET", `algorithms/${name}/releases?limit=${PAGE}`)]);
  if (!view.alive()) return;
  const queues = el("div", {}, el("p", {}, "…"));
  show(el("h1", {}, name, " ", el("span", { class: "soft count" }, found.type)),
    card("Live", found.liveVersion ? facts(
      ["Release", releaseLink(found.liveReleaseId)], ["Version", found.liveVersion], ["Memory", `${found.memoryMb} MB`], ["Cost", `${usd(found.costUsdPerMillion)} per million invocations`],
      trendOf(found.trend) ? ["Trend", trendOf(found.trend)] : null, found.next.length ? ["Forwards to", found.next.map((each) => [el("a", { href: `#/algorithms/${each}` }, each), " "])] : null)
      : el("p", {}, "Nothing is live yet: a release has to pass its test first."),
    el("p", { class: "actions" }, found.liveVersion ? el("a", { class: "button", href: `#/send/${name}` }, "Send a document") : null,
      found.liveBefore.length ? button("Roll back…", () => rollBack(view, found), { class: "quiet" }) : null)),
    card("Queues", queues), history(name, page));
  while (view.alive()) {
    if (!document.hidden) await api("GET", `algorithms/${name}/queues`).then((depths) => drawQueues(queues, name, depths), () => null);
    await wait(QUEUES_MS);
  }
}

function drawQueues(node, name, { input, deadLetters }) {
  const failed = deadLetters ? deadLetters.visible + deadLetters.inFlight : 0;
  const text = input ? `${input.visible} waiting, ${input.inFlight} being handled. ` : "They are made with the first release that passes its checks.";
  if (node.dataset.shown === `${text}${failed}`) return;
  node.dataset.shown = `${text}${failed}`;
  node.replaceChildren(el("p", {}, text, input ? (failed ? el("a", { href: `#/failures/${name}` }, `${failed} could not be handled`) : "None could not be handled.") : null));
}

function history(name, page) {
  const chosen = new Set();
  const compare = button("Compare two", () => { location.hash = `#/compare/${[...chosen].sort().reverse().join("/")}`; }, { class: "quiet", disabled: true });
  const pick = (id) => el("input", { type: "checkbox", "aria-label": `Compare release ${id}`, onchange: (event) => {
    if (event.target.checked) chosen.add(id); else chosen.delete(id);
    compare.disabled = chosen.size !== 2;
  } });
  const rows = (releases) => table("Releases", ["Release", "Compare", "Status", "Uploaded", "By", "Memory MB", "$ per million", "Last change", "What was wrong"], releases.map((each) => ({
    chosen: each.status === "LIVE", cells: [releaseLink(each.releaseId), pick(each.releaseId), badge(each.status), when(each.createdAt), each.author,
      figure(each.memoryMb, 5), figure(each.costUsdPerMillion), [when(each.updatedAt), each.changedBy ? ` by ${each.changedBy}` : ""],
      ["FAILED", "REJECTED"].includes(each.status) ? el("span", { class: "cut", title: each.reason }, first(each.reason)) : null] })), [5, 6]);
  const list = rows(page.releases);
  let { cursor } = page;
  const more = button(`The next ${PAGE}`, async () => {
    more.disabled = true;
    const next = await api("GET", `algorithms/${name}/releases?limit=${PAGE}&cursor=${cursor}`);
    list.querySelector("tbody").append(...rows(next.releases).querySelectorAll("tbody tr"));
    cursor = next.cursor;
    more.disabled = false;
    more.hidden = !cursor;
    tell(`${list.querySelectorAll("tbody tr").length} releases are shown`);
  }, { class: "quiet", hidden: !cursor });
  return card("Releases", el("p", { class: "actions" }, compare, el("span", { class: "soft" }, " Tick two releases to see them beside each other.")), list, more);
}

function rollBack(view, found) {
  const select = el("select", { id: "target", onchange: () => say() }, found.liveBefore.map((each) => el("option", { value: each.releaseId }, `version ${each.version}, release ${each.releaseId}`)));
  const sentence = el("p", {});
  const target = () => found.liveBefore.find((each) => each.releaseId === select.value);
  const say = () => { sentence.textContent = `Version ${target().version} of release ${target().releaseId} will be live again at once, and version ${found.liveVersion} of release ${found.liveReleaseId} no longer. Messages under way are finished by the version that has them. A test that is under way goes on, and may go live after this.`; };
  say();
  ask(`Roll ${found.name} back?`, [el("p", {}, el("label", { for: "target" }, "Back to "), select), sentence, nameField()], "Roll back", async () => {
    const done = await api("POST", `algorithms/${found.name}/rollback`, { toReleaseId: target().releaseId });
    view.reload();
    tell(`${found.name} is rolled back to version ${done.version}.`);
  });
}

export async function comparison(view, one, other) {
  const [{ releases: [newer, older], comparison: found }, ...both] = await Promise.all([
    api("GET", `releases/${one}/comparison?with=${other}`), api("GET", `releases/${one}`), api("GET", `releases/${other}`)]);
  if (!view.alive()) return;
  const ratio = (key) => (newer[key] && older[key] ? percent(newer[key] / older[key]) : "–");
  const at = (release) => release.summary?.powerValues.find((each) => each.memoryMb === release.memoryMb);
  const [mine, theirs] = both.map(at);
  const passed = (release) => (release.summary ? `${release.summary.cases.filter((each) => each.passed && !each.failed).length} of ${release.summary.cases.length}` : "–");
  const row = (name, value, change = "–") => ({ cells: [name, value(both[0], mine), value(both[1], theirs), change] });
  const sizes = [...new Set(both.flatMap((each) => (each.summary?.powerValues ?? []).map((value) => value.memoryMb)))].sort((a, b) => a - b);
  const keys = [...new Set(both.flatMap((each) => Object.keys(each.metadata ?? {})))].filter((key) => JSON.stringify(both[0].metadata?.[key]) !== JSON.stringify(both[1].metadata?.[key]));
  const point = (release, mb) => { const value = release.summary?.powerValues.find((each) => each.memoryMb === mb); return value?.meanMs ? `${figure(value.meanMs)} ms, ${usd(value.costUsdPerMillion)}` : "–"; };
  show(el("h1", {}, "Two releases of ", el("a", { href: `#/algorithms/${newer.algorithm}` }, newer.algorithm ?? "no algorithm")),
    card(null, el("p", {}, el("strong", {}, found ? `${found.sentence.replace("It is", "The first is")}` : "They can't be compared by their times: one was not measured to its end, or they have no test case in common.")),
      found ? el("p", { class: "soft" }, `Each at its own size, over ${found.cases.length} test cases that both passed; in brackets what is 90 % sure. They were measured at different times.`) : null),
    card("Side by side", table("Side by side", ["", "First", "Second", "First to second"], [
      row("Release", (each) => releaseLink(each.releaseId)), row("Status", (each) => badge(each.status)), row("Uploaded", (each) => when(each.createdAt)), row("By", (each) => each.author),
      row("Package", (each) => (each.packageSizeBytes ? bytes(each.packageSizeBytes) : "–"), ratio("packageSizeBytes")),
      row("Memory MB", (each) => figure(each.memoryMb, 5), ratio("memoryMb")), row("$ per million", (each) => figure(each.costUsdPerMillion), ratio("costUsdPerMillion")),
      row("Mean ms", (each, value) => figure(value?.meanMs), mine?.meanMs && theirs?.meanMs ? percent(mine.meanMs / theirs.meanMs) : "–"), row("p90 ms", (each, value) => figure(value?.p90Ms)),
      row("Used MB", (each, value) => figure(value?.maxMemoryUsedMb, 5)), row("Cases passed", passed), row("The test cost", (each) => usd(each.summary?.testCostUsd))])),
    sizes.length ? card("At each memory size", table("At each memory size", ["Memory MB", "First", "Second"], sizes.map((mb) => ({ cells: [`${mb}`, point(both[0], mb), point(both[1], mb)] })))) : null,
    keys.length ? card("What changed in metadata.json", table("Changes of metadata.json", ["Field", "First", "Second"], keys.map((key) => ({ cells: [key, ...both.map((each) => el("code", {}, JSON.stringify(each.metadata?.[key]) ?? "–"))] })))) : null);
  main.focus({ preventScroll: true });
}
