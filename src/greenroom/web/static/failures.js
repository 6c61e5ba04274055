// What rests in dead-letter queues: why, since when, and the document; sent through again, or deleted.

import { api, ask, bytes, button, card, el, first, main, problem, show, table, tell, when } from "./core.js";

const MAX_SHOWN_BYTES = 65536;

export async function failures(view, name) {
  if (name) await ofAlgorithm(view, name);
  else await overview(view);
}

async function overview(view) {
  show(el("h1", {}, "Failures"), el("p", { class: "soft" }, "Looking into all queues…"));
  const { platform, queues } = await api("GET", "status");
  if (!view.alive()) return;
  const start = `${platform.prefix}-alg-`;
  const full = queues.filter((each) => each.name.endsWith("-dlq") && each.visible + each.inFlight > 0);
  const ingest = full.find((each) => !each.name.startsWith(start));
  const rows = full.filter((each) => each !== ingest).map((each) => {
    const name = each.name.slice(start.length, -"-dlq".length);
    return { cells: [el("a", { href: `#/failures/${name}` }, name), `${each.visible + each.inFlight}`] };
  });
  show(
    el("h1", {}, "Failures"),
    ingest ? problem("Uploads rest that the platform could not register",
      `${ingest.visible} in ${ingest.name}. This is not the packages' fault: tell the platform team.`) : null,
    rows.length ? card(null, table("Algorithms with failures", ["Algorithm", "Messages"], rows, [1]))
      : card("Nothing rests here", el("p", {}, "A document that an algorithm could not handle three times comes to "
        + "rest here, with the reason. Mend the algorithm, and send it through again.")));
}

async function ofAlgorithm(view, name) {
  const { failures: found, total } = await api("GET", `algorithms/${name}/failures`);
  if (!view.alive()) return;
  const redrive = (ids) => act(view, name, "redrive", ids)
    .catch((error) => show(el("h1", {}, "That did not work"), problem("What was wrong", error.message, error.hint)));
  const remove = (ids, count) => ask(
    `Delete ${count === 1 ? "this message" : `all ${count} messages`}?`,
    el("p", {}, `Nobody will get an answer to ${count === 1 ? "it" : "them"} any more. This can't be undone.`),
    "Delete", () => act(view, name, "delete", ids));
  show(
    el("h1", {}, "Failures of ", el("a", { href: `#/algorithms/${name}` }, name)),
    found.length ? [
      el("p", { class: "actions" },
        button(`Send all ${total} through again`, () => redrive(null)),
        button("Delete all…", () => remove(null, total), { class: "quiet" })),
      total > found.length ? el("p", { class: "soft" }, `The first ${found.length} are shown.`) : null,
      found.map((each) => failureCard(name, each, redrive, remove))]
      : card("Nothing rests here", el("p", {}, `All that was sent to ${name} was handled, or is on its way.`)));
}

async function act(view, name, verb, ids) {
  let done = 0;
  for (;;) {
    const answer = await api("POST", `algorithms/${name}/failures/${verb}`, ids ? { failureIds: ids } : {});
    const count = answer.redriven ?? answer.deleted;
    done += count;
    if (ids || !answer.left || !count) break; // one call does a part of a long queue
  }
  await ofAlgorithm(view, name);
  main.focus({ preventScroll: true });
  tell(verb === "redrive" ? `${done} on the way again through ${name}.` : `${done} deleted.`);
}

function failureCard(name, failure, redrive, remove) {
  const { failureId, messageId, reason, since, sizeBytes, contentType, to } = failure;
  const kind = contentType === "application/json" ? "JSON" : "text";
  const called = messageId ?? failureId;
  return card(null,
    el("h2", {}, first(reason) || "No reason is known"),
    el("p", { class: "soft" }, "Since ", when(since), `, ${bytes(sizeBytes)} of ${kind}`,
      messageId ? `, message ${messageId}` : "", to ? `, for ${to.join(", ")}` : ""),
    content(name, failure),
    el("p", { class: "actions" },
      button("Send through again", () => redrive([failureId]),
        { class: "quiet", "aria-label": `Send message ${called} through again` }),
      button("Delete…", () => remove([failureId], 1), { class: "quiet", "aria-label": `Delete message ${called}` })));
}

function content(name, failure) {
  const pre = el("pre", { tabindex: 0, "aria-label": "Document" }, failure.document ?? "Loading…");
  const load = async () => {
    if (failure.document !== null && !failure.cut) return;
    if (failure.url) pre.textContent = await (await (await fetch(failure.url)).blob()).slice(0, MAX_SHOWN_BYTES).text();
    else pre.textContent = (await api("GET", `algorithms/${name}/failures/${failure.failureId}`)).document;
  };
  const toggled = (event) => {
    if (event.target.open) load().catch((error) => { pre.textContent = error.message; });
  };
  return el("details", { ontoggle: toggled }, el("summary", {}, "Document"), pre);
}
