// Sending a document through production: from an algorithm to those it forwards to, and what they answered.

import {
  api, bytes, button, card, dropZone, el, figure, fill, post, problem, releaseLink, saveAs, show, tell, wait,
} from "./core.js";

/** @import {Algorithm, MessageResult} from "../api.d.ts" */
/** @import {View} from "./app.js" */

const MAX_SHOWN_BYTES = 65536;
const [FIRST_MS, GROWTH, LAST_MS] = [300, 1.3, 1500];

/** @type {(view: View, wanted?: string) => Promise<void>} */
export async function send(view, wanted) {
  const live = (await api("GET", "algorithms")).algorithms.filter((each) => each.liveVersion);
  if (!view.alive()) return;
  if (live.length) showForm(view, live, wanted);
  else show(el("h1", {}, "Send a document"), card("Nothing is live yet",
    el("p", {}, "A document goes through an algorithm's live release, and on to those it forwards to."),
    el("p", {}, el("a", { href: "#/upload" }, "Upload a package"), " that passes its tests first.")));
}

/** @type {(view: View, live: Algorithm[], wanted?: string) => void} */
function showForm(view, live, wanted) {
  const byName = Object.fromEntries(live.map((each) => [each.name, each]));
  const [told, results] = [el("div", {}), el("div", {})];
  const route = el("fieldset", {});
  const choice = (/** @type {string} */ name) => {
    const known = name in byName;
    const box = el("input", { type: "checkbox", name: "to", value: name, checked: known, disabled: !known });
    return el("label", { class: "choice" }, box, ` ${name}${known ? "" : " (not live)"}`);
  };
  const choose = () => {
    const { next } = byName[select.value];
    const nowhere = el("span", { class: "soft" }, "Nowhere: it answers itself.");
    fill(route, el("legend", {}, "And on to"), next.length ? next.map(choice) : nowhere);
  };
  const select = el("select", { id: "algorithm", onchange: choose }, live.map((each) => (
    el("option", { value: each.name, selected: each.name === wanted }, `${each.name} (${each.type})`))));
  choose();
  /** @type {File | null} */
  let file = null; // what was dropped or picked, until the text is edited
  const text = el("textarea", {
    id: "document", rows: 12, spellcheck: "false", placeholder: "{ … }", oninput: () => { file = null; } });
  const kind = el("select", { id: "kind" },
    el("option", { value: "application/json" }, "JSON"), el("option", { value: "text/plain" }, "text"));
  const zone = dropZone("Drop a document here, or pick it:", "", async (taken) => {
    kind.value = taken.name.toLowerCase().endsWith(".json") ? "application/json" : "text/plain";
    text.value = await taken.slice(0, MAX_SHOWN_BYTES).text();
    tell(`${taken.name}, ${bytes(taken.size)}${taken.size > MAX_SHOWN_BYTES ? "; its beginning is shown" : ""}`);
    file = taken;
  });
  const go = el("button", {}, "Send");
  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault();
    [told, results].forEach((each) => each.replaceChildren());
    go.disabled = true;
    const sent = file ?? new File([text.value], kind.value === "text/plain" ? "document.txt" : "document.json");
    const to = [...route.querySelectorAll("input:checked")].map((each) => /** @type {HTMLInputElement} */ (each).value);
    try {
      if (route.querySelector("input") && !to.length) throw new Error("Choose at least one that it goes on to.");
      await check(sent, kind.value);
      await deliver(view, results, select.value, sent, kind.value, to);
    } catch (error) {
      if (error.code === 401) view.reload();
      told.replaceChildren(problem("It was not sent", error.message, error.hint));
    } finally { go.disabled = false; }
  };
  show(el("h1", {}, "Send a document"), el("form", { class: "card", onsubmit: submit },
    el("p", {}, el("label", { for: "algorithm" }, "Into "), select), route,
    el("p", {}, el("label", { for: "document" }, "Document "), el("label", { for: "kind" }, "as "), kind),
    text, zone, told, el("p", {}, go)), results);
}

// Says where a document is not JSON before it is sent: production would try it three times, and then keep it as failed.
/** @type {(file: File, contentType: string) => Promise<void>} */
async function check(file, contentType) {
  if (!file.size) throw new Error("The document is empty: paste one, or drop a file.");
  if (contentType !== "application/json") return;
  try { JSON.parse(await file.text()); } catch (error) {
    throw new Error(`This is not JSON: ${error.message}. Correct it, or send it as text.`);
  }
}

/** @type {(view: View, node: any, name: string, file: File, contentType: string, to: string[]) => Promise<void>} */
async function deliver(view, node, name, file, contentType, to) {
  const about = { fileName: file.name.slice(0, 255), contentType, ...(to.length ? { to } : {}) };
  const message = await api("POST", `algorithms/${name}/messages`, { ...about, sizeBytes: file.size });
  await post(message.upload, file);
  await api("POST", `algorithms/${name}/messages/${message.messageId}/submit`, about);
  const path = /** @type {const} */ (`algorithms/${name}/messages/${message.messageId}`);
  /** @type {Record<string, any>} */
  const cards = {};
  for (let pause = FIRST_MS; view.alive(); pause = Math.min(pause * GROWTH, LAST_MS)) {
    const found = await (to.length ? api("GET", `${path}?to=${to.join(",")}`) : api("GET", path));
    if (!view.alive()) return;
    for (const each of found.results) {
      if (!cards[each.algorithm]) node.append(cards[each.algorithm] = el("section", { class: "card" }));
      const shown = cards[each.algorithm];
      if (shown.dataset.status === each.status) continue;
      shown.dataset.status = each.status;
      fill(shown, el("h2", {}, each.algorithm), await resultOf(each, name));
      shown.scrollIntoView({ block: "nearest" });
    }
    if (found.ended) { tell(`The message is ${found.status}.`); return; }
    await wait(pause);
  }
}

/** @type {(result: MessageResult, name: string) => Promise<any>} */
async function resultOf(result, name) {
  const { algorithm, status, reason, releaseId, version } = result;
  if (status === "pending") return el("p", {}, "On its way…");
  if (status === "failed") {
    const where = reason?.startsWith(`${name} failed`) ? name : algorithm;
    return problem("It could not be handled", reason,
      el("p", {}, "It is kept with ", el("a", { href: `#/failures/${where}` }, "the failures"),
        ". Send it again from there when the algorithm is corrected."));
  }
  const blob = await (await fetch(result.url)).blob();
  const json = result.contentType === "application/json";
  const about = `${bytes(blob.size)} of ${json ? "JSON" : "text"}, by version ${version} of release `;
  const save = () => saveAs(blob, `${algorithm}.${json ? "json" : "txt"}`);
  return [
    el("p", { class: "soft" }, about, releaseId ? releaseLink(releaseId) : "–"),
    el("p", {}, button("Download", save, { class: "quiet" })),
    el("pre", { tabindex: 0, "aria-label": `Answer of ${algorithm}` }, await beginningOf(blob, json)),
    blob.size > MAX_SHOWN_BYTES ? el("p", { class: "soft" },
      `The first ${figure(MAX_SHOWN_BYTES / 1024)} KB are shown; the download has all of it.`) : null];
}

/** @type {(blob: Blob, json: boolean) => Promise<string>} */
async function beginningOf(blob, json) {
  const text = await blob.slice(0, MAX_SHOWN_BYTES).text();
  if (!json || blob.size > MAX_SHOWN_BYTES) return text;
  try { return JSON.stringify(JSON.parse(text), null, 2); } catch { return text; }
}
