// The messages in dead-letter queues: why and since when each is there, and its document. They are sent again or deleted.

import { api, ask, bytes, button, card, el, first, main, problem, releaseLink, show, table, tell, when } from "./core.js";

/** @import {Failure, Queue} from "../api.d.ts" */
/** @import {View} from "./app.js" */
/**
 * Whose dead-letter queue is shown, and how it is spoken of.
 * @typedef {{
 *   path: "uploads/failures" | `algorithms/${string}/failures`, title: () => any, content: string,
 *   all: (count: number) => string, one: string, oneOf: (id: string) => string, lost: string,
 *   again: (count: number) => string, none: string,
 * }} Place
 */

const MAX_SHOWN_BYTES = 65536;
/** @type {Place} */
const UPLOADS = {
  path: "uploads/failures", title: () => "Uploads that could not be registered", content: "Event",
  all: (count) => `Register all ${count} again`, one: "Register again", oneOf: (id) => `Register upload ${id} again`,
  lost: "The package may never be registered, and then it has to be uploaded again.",
  again: (count) => `${count} on the way to be registered again.`,
  none: "Every upload was registered, or is on its way.",
};
/** @type {(name: string) => Place} */
const ofAlgorithm = (name) => ({
  path: `algorithms/${name}/failures`, title: () => ["Failures of ", el("a", { href: `#/algorithms/${name}` }, name)],
  content: "Document", all: (count) => `Send all ${count} through again`, one: "Send through again",
  oneOf: (id) => `Send message ${id} through again`,
  lost: "Its sender will get no answer.",
  again: (count) => `${count} on the way again through ${name}.`,
  none: `All that was sent to ${name} was handled, or is on its way.`,
});

/** @type {(view: View, name?: string) => Promise<void>} */
export const failures = (view, name) => (name ? messages(view, ofAlgorithm(name)) : overview(view));
/** @type {(view: View) => Promise<void>} */
export const uploads = (view) => messages(view, UPLOADS);

/** @type {(view: View) => Promise<void>} */
async function overview(view) {
  show(el("h1", {}, "Failures"), el("p", { class: "soft" }, "Looking into all queues…"));
  const { queues } = await api("GET", "status");
  if (!view.alive()) return;
  const full = queues.filter((each) => each.kind !== "input" && countOf(each) > 0);
  const failed = full.find((each) => each.kind === "failedUploads");
  const rows = full.filter((each) => each.kind === "deadLetters").map((each) => (
    { cells: [el("a", { href: `#/failures/${each.algorithm}` }, each.algorithm), `${countOf(each)}`] }));
  show(
    el("h1", {}, "Failures"),
    failed ? failedUploads(countOf(failed)) : null,
    rows.length ? card(null, table("Algorithms with failures", ["Algorithm", "Messages"], rows, [1]))
      : card(failed ? "No document has failed" : "Nothing has failed", el("p", {}, "A document that an algorithm could not "
        + "handle three times is shown here, with the reason. Correct the algorithm, and send the document again.")));
}

/** @type {(queue: Queue) => number} */
const countOf = ({ visible, inFlight }) => visible + inFlight;

/** @type {(count: number) => any} */
const failedUploads = (count) => problem(
  `${count} ${count === 1 ? "upload" : "uploads"} could not be registered`,
  "The fault is the platform's, not a package's. When the platform team has fixed it, register the uploads again.",
  el("p", {}, el("a", { href: "#/uploads" }, count === 1 ? "See it" : "See them")));

/** @type {(view: View, place: Place) => Promise<void>} */
async function messages(view, place) {
  const { failures: found, total } = await api("GET", place.path);
  if (!view.alive()) return;
  const redrive = (/** @type {string[] | null} */ ids) => act(view, place, "redrive", ids)
    .catch((error) => show(el("h1", {}, "That did not work"), problem("What was wrong", error.message, error.hint)));
  const remove = (/** @type {string[] | null} */ ids, /** @type {number} */ count) => ask(
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
      : card("Nothing has failed", el("p", {}, place.none)));
}

/** @type {(view: View, place: Place, verb: "redrive" | "delete", ids: string[] | null) => Promise<void>} */
async function act(view, place, verb, ids) {
  let done = 0;
  for (;;) {
    const body = ids ? { failureIds: ids } : {};
    const [count, left] = verb === "redrive" ? await redriven(place, body) : await deleted(place, body);
    done += count;
    if (ids || !left || !count) break; // one call does a part of a long queue
  }
  await messages(view, place);
  main.focus({ preventScroll: true });
  tell(verb === "redrive" ? place.again(done) : `${done} deleted.`);
}

/** @type {(place: Place, body: object) => Promise<number[]>} */
async function redriven(place, body) {
  const answer = await api("POST", `${place.path}/redrive`, body);
  return [answer.redriven, answer.left];
}

/** @type {(place: Place, body: object) => Promise<number[]>} */
async function deleted(place, body) {
  const answer = await api("POST", `${place.path}/delete`, body);
  return [answer.deleted, answer.left];
}

/** @typedef {(ids: string[], count?: number) => void} Act */
/** @type {(place: Place, failure: Failure, redrive: Act, remove: Act) => any} */
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

/** @type {(place: Place, failure: Failure) => any} */
function content(place, failure) {
  const pre = el("pre", { tabindex: 0, "aria-label": place.content }, failure.document ?? "Loading…");
  const load = async () => {
    if (failure.document !== null && !failure.cut) return;
    if (failure.url) pre.textContent = await (await (await fetch(failure.url)).blob()).slice(0, MAX_SHOWN_BYTES).text();
    else pre.textContent = (await api("GET", `${place.path}/${failure.failureId}`)).document;
  };
  const toggled = (/** @type {any} */ event) => {
    if (event.target.open) load().catch((error) => { pre.textContent = error.message; });
  };
  return el("details", { ontoggle: toggled }, el("summary", {}, place.content), pre);
}
