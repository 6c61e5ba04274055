// What rests in dead-letter queues: why, since when, and the document; sent through again, or deleted.

import { api, ask, bytes, button, card, el, first, main, problem, releaseLink, show, table, tell, when } from "./core.js";

const MAX_SHOWN_BYTES = 65536;
const UPLOADS = {
  path: "uploads/failures", title: () => "Uploads that could not be registered", content: "Event",
  all: (count) => `Register all ${count} again`, one: "Register again", oneOf: (id) => `Register upload ${id} again`,
  lost: "What it tells of may never be registered, and has to be uploaded again.",
  again: (count) => `${count} on the way to be registered again.`,
  none: "Every upload was registered, or is on its way.",
};
const ofAlgorithm = (name) => ({
  path: `algorithms/${name}/failures`, title: () => ["Failures of ", el("a", { href: `#/algorithms/${name}` }, name)],
  content: "Document", all: (count) => `Send all ${count} through again`, one: "Send through again",
  oneOf: (id) => `Send message ${id} through again`,
  lost: "Nobody will get an answer any more.",
  again: (count) => `${count} on the way again through ${name}.`,
  none: `All that was sent to ${name} was handled, or is on its way.`,
});

export const failures = (view, name) => (name ? resting(view, ofAlgorithm(name)) : overview(view));
export const uploads = (view) => resting(view, UPLOADS);

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
    ingest ? failedUploads(ingest.visible + ingest.inFlight) : null,
    rows.length ? card(null, table("Algorithms with failures", ["Algorithm", "Messages"], rows, [1]))
      : card(ingest ? "No documents rest here" : "Nothing rests here", el("p", {}, "A document that an algorithm could not "
        + "handle three times comes to rest here, with the reason. Mend the algorithm, and send it through again.")));
}

const failedUploads = (count) => problem(
  `${count} ${count === 1 ? "upload" : "uploads"} could not be registered`,
  "It is the platform's own fault and not a package's. Once the platform team has mended it, register again what rests.",
  el("p", {}, el("a", { href: "#/uploads" }, count === 1 ? "See it" : "See them")));

async function resting(view, place) {
  const { failures: found, total } = await api("GET", place.path);
  if (!view.alive()) return;
  const redrive = (ids) => act(view, place, "redrive", ids)
    .catch((error) => show(el("h1", {}, "That did not work"), problem("What was wrong", error.message, error.hint)));
  const remove = (ids, count) => ask(
    `Delete ${count === 1 ? "this message" : `all ${count} messages`}?`,
    el("p", {}, `${place.lost} This can't be undone.`),
    "Delete", () => act(view, place, "delete", ids));
  show(
    el("h1", {}, place.title()),
    found.length ? [
      el("p", { class: "actions" },
        button(place.all(total), () => redrive(null)),
        button("Delete all…", () => remove(null, total), { class: "quiet" })),
      total > found.length ? el("p", { class: "soft" }, `The first ${found.length} are shown.`) : null,
      found.map((each) => failureCard(place, each, redrive, remove))]
      : card("Nothing rests here", el("p", {}, place.none)));
}

async function act(view, place, verb, ids) {
  let done = 0;
  for (;;) {
    const answer = await api("POST", `${place.path}/${verb}`, ids ? { failureIds: ids } : {});
    const count = answer.redriven ?? answer.deleted;
    done += count;
    if (ids || !answer.left || !count) break; // one call does a part of a long queue
  }
  await resting(view, place);
  main.focus({ preventScroll: true });
  tell(verb === "redrive" ? place.again(done) : `${done} deleted.`);
}

function failureCard(place, failure, redrive, remove) {
  const { failureId, messageId, releaseId, reason, since, sizeBytes, contentType, to } = failure;
  const kind = contentType === "application/json" ? "JSON" : "text";
  const called = releaseId ?? messageId ?? failureId;
  return card(null,
    el("h2", {}, first(reason) || "No reason is known"),
    el("p", { class: "soft" }, "Since ", when(since), releaseId ? [", release ", releaseLink(releaseId)]
      : `, ${bytes(sizeBytes)} of ${kind}`, messageId ? `, message ${messageId}` : "", to ? `, for ${to.join(", ")}` : ""),
    content(place, failure),
    el("p", { class: "actions" },
      button(place.one, () => redrive([failureId]), { class: "quiet", "aria-label": place.oneOf(called) }),
      button("Delete…", () => remove([failureId], 1), { class: "quiet", "aria-label": `Delete message ${called}` })));
}

function content(place, failure) {
  const pre = el("pre", { tabindex: 0, "aria-label": place.content }, failure.document ?? "Loading…");
  const load = async () => {
    if (failure.document !== null && !failure.cut) return;
    if (failure.url) pre.textContent = await (await (await fetch(failure.url)).blob()).slice(0, MAX_SHOWN_BYTES).text();
    else pre.textContent = (await api("GET", `${place.path}/${failure.failureId}`)).document;
  };
  const toggled = (event) => {
    if (event.target.open) load().catch((error) => { pre.textContent = error.message; });
  };
  return el("details", { ontoggle: toggled }, el("summary", {}, place.content), pre);
}
