// What rests in dead-letter queues: why, since when, and the document; sent through again, or deleted.

import { api, ask, bytes, button, card, el, first, main, problem, show, table, tell, when } from "./core.js";

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
  const ofAlgorithms = full.filter((each) => each.name.startsWith(start)).map((each) => [each.name.slice(start.length, -"-dlq".length), each.visible + each.inFlight]);
  const ingest = full.find((each) => !each.name.startsWith(start));
  show(el("h1", {}, "Failures"),
    ingest ? problem("Uploads rest that the platform could not register", `${ingest.visible} in ${ingest.name}. This is not the packages' fault: tell the platform team.`) : null,
    ofAlgorithms.length ? card(null, table("Algorithms with failures", ["Algorithm", "Messages"], ofAlgorithms.map(([each, count]) => ({ cells: [el("a", { href: `#/failures/${each}` }, each), `${count}`] })), [1]))
      : card("Nothing rests here", el("p", {}, "A document that an algorithm could not handle three times comes to rest here, with the reason. Mend the algorithm, and send it through again.")));
}

async function ofAlgorithm(view, name) {
  const { failures: found, total } = await api("GET", `algorithms/${name}/failures`);
  if (!view.alive()) return;
  const act = (verb, ids) => async () => {
    let done = 0;
    for (;;) {
      const answer = await api("POST", `algorithms/${name}/failures/${verb}`, ids ? { failureIds: ids } : {});
      const count = answer.redriven ?? answer.deleted;
      done += count;
      if (ids || !answer.left || !count) break;
    }
    await ofAlgorithm(view, name);
    main.focus({ preventScroll: true });
    tell(verb === "redrive" ? `${done} on the way again through ${name}.` : `${done} deleted.`);
  };
  const failed = (action) => action().catch((error) => show(el("h1", {}, "That did not work"), problem("What was wrong", error.message, error.hint)));
  const remove = (ids, count) => ask(`Delete ${count === 1 ? "this message" : `all ${count} messages`}?`, el("p", {}, `Nobody will get an answer to ${count === 1 ? "it" : "them"} any more. This can't be undone.`), "Delete", act("delete", ids));
  show(el("h1", {}, "Failures of ", el("a", { href: `#/algorithms/${name}` }, name)),
    found.length ? [
      el("p", { class: "actions" }, button(`Send all ${total} through again`, () => failed(act("redrive"))), " ", button("Delete all…", () => remove(null, total), { class: "quiet" })),
      total > found.length ? el("p", { class: "soft" }, `The first ${found.length} are shown.`) : null,
      found.map((each) => card(null, el("h2", {}, first(each.reason) || "No reason is known"),
        el("p", { class: "soft" }, "Since ", when(each.since), `, ${bytes(each.sizeBytes)} of ${each.contentType === "application/json" ? "JSON" : "text"}${each.messageId ? `, message ${each.messageId}` : ""}${each.to ? `, for ${each.to.join(", ")}` : ""}`),
        content(name, each),
        el("p", { class: "actions" }, button("Send through again", () => failed(act("redrive", [each.failureId])), { class: "quiet", "aria-label": `Send message ${each.messageId ?? each.failureId} through again` }), " ",
          button("Delete…", () => remove([each.failureId], 1), { class: "quiet", "aria-label": `Delete message ${each.messageId ?? each.failureId}` }))))]
      : card("Nothing rests here", el("p", {}, `All that was sent to ${name} was handled, or is on its way.`)));
}

const MAX_SHOWN_BYTES = 65536;

function content(name, failure) {
  const pre = el("pre", { tabindex: 0, "aria-label": "Document" }, failure.document ?? "Loading…");
  const whole = async () => {
    if (failure.document !== null && !failure.cut) return;
    pre.textContent = failure.url ? await (await fetch(failure.url)).blob().then((blob) => blob.slice(0, MAX_SHOWN_BYTES).text())
      : (await api("GET", `algorithms/${name}/failures/${failure.failureId}`)).document;
  };
  return el("details", { ontoggle: (event) => event.target.open && whole().catch((error) => { pre.textContent = error.message; }) }, el("summary", {}, "Document"), pre);
}
