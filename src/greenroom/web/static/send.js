// Sending a document through production: from an algorithm to those it forwards to, and what they answered.

import { api, bytes, card, dropZone, el, figure, fill, main, post, problem, releaseLink, saveAs, show, tell, wait } from "./core.js";

const MAX_SHOWN_BYTES = 65536;
const [FIRST_MS, GROWTH, LAST_MS] = [300, 1.3, 1500];

export async function send(view, wanted) {
  const live = (await api("GET", "algorithms")).algorithms.filter((each) => each.liveVersion);
  if (!view.alive()) return;
  if (!live.length) {
    show(el("h1", {}, "Send a document"), card("Nothing is live yet", el("p", {}, "A document goes through an algorithm's live release, and on to those it forwards to."), el("p", {}, el("a", { href: "#/upload" }, "Upload a package"), " that passes its tests first.")));
    return;
  }
  const byName = Object.fromEntries(live.map((each) => [each.name, each]));
  const [route, told, results] = [el("fieldset", {}), el("div", {}), el("div", {})];
  const choose = () => {
    const { next } = byName[select.value];
    fill(route, el("legend", {}, "And on to"), next.length
      ? next.map((name) => el("label", { class: "choice" }, el("input", { type: "checkbox", name: "to", value: name, checked: name in byName, disabled: !(name in byName) }), ` ${name}${name in byName ? "" : " (not live)"}`))
      : el("span", { class: "soft" }, "Nowhere: it answers itself."));
  };
  const select = el("select", { id: "algorithm", onchange: choose }, live.map((each) => el("option", { value: each.name, selected: each.name === wanted }, `${each.name} (${each.type})`)));
  choose();
  let file = null; // what was dropped or picked, until the text is edited
  const text = el("textarea", { id: "document", rows: 12, spellcheck: "false", placeholder: "{ … }", oninput: () => { file = null; } });
  const kind = el("select", { id: "kind" }, el("option", { value: "application/json" }, "JSON"), el("option", { value: "text/plain" }, "text"));
  const zone = dropZone("Drop a document here, or pick it:", "", async (taken) => {
    kind.value = taken.name.toLowerCase().endsWith(".json") ? "application/json" : "text/plain";
    text.value = await taken.slice(0, MAX_SHOWN_BYTES).text();
    tell(`${taken.name}, ${bytes(taken.size)}${taken.size > MAX_SHOWN_BYTES ? "; its beginning is shown" : ""}`);
    file = taken;
  });
  const go = el("button", {}, "Send");
  show(el("h1", {}, "Send a document"), el("form", { class: "card", onsubmit: async (event) => {
    event.preventDefault();
    [told, results].forEach((each) => each.replaceChildren());
    go.disabled = true;
    const sent = file ?? new File([text.value], kind.value === "text/plain" ? "document.txt" : "document.json");
    const to = [...route.querySelectorAll("input:checked")].map((each) => each.value);
    try {
      check(sent, kind.value === "application/json" ? await sent.text() : null, route, to);
      await deliver(view, results, select.value, sent, kind.value, to);
    } catch (error) {
      if (error.code === 401) view.reload();
      told.replaceChildren(problem("It was not sent", error.message, error.hint));
    } finally { go.disabled = false; }
  } }, el("p", {}, el("label", { for: "algorithm" }, "Into "), select), route,
  el("p", {}, el("label", { for: "document" }, "Document "), el("label", { for: "kind" }, "as "), kind), text, zone, told, el("p", {}, go)), results);
}

// Says where a document is no JSON, before production has to find out: three times, and then in a dead letter.
function check(file, json, route, to) {
  if (!file.size) throw new Error("The document is empty: paste one, or drop a file.");
  if (route.querySelector("input") && !to.length) throw new Error("Choose at least one algorithm that it goes on to.");
  if (json === null) return;
  try { JSON.parse(json); } catch (error) { throw new Error(`This is not JSON: ${error.message}. Correct it, or send it as text.`); }
}

async function deliver(view, node, name, file, contentType, to) {
  const about = { fileName: file.name.slice(0, 255), contentType, ...(to.length ? { to } : {}) };
  const message = await api("POST", `algorithms/${name}/messages`, { ...about, sizeBytes: file.size });
  await post(message.upload, file);
  await api("POST", `algorithms/${name}/messages/${message.messageId}/submit`, about);
  const cards = {};
  const query = to.length ? `?to=${to.join(",")}` : "";
  for (let pause = FIRST_MS; view.alive(); pause = Math.min(pause * GROWTH, LAST_MS)) {
    const found = await api("GET", `algorithms/${name}/messages/${message.messageId}${query}`);
    if (!view.alive()) return;
    for (const each of found.results) {
      if (!cards[each.algorithm]) { cards[each.algorithm] = el("section", { class: "card result" }); node.append(cards[each.algorithm]); }
      if (cards[each.algorithm].dataset.status === each.status) continue;
      cards[each.algorithm].dataset.status = each.status;
      await draw(cards[each.algorithm], each, name);
    }
    if (found.status !== "pending") { tell(`The message is ${found.status}.`); return; }
    await wait(pause);
  }
}

async function draw(node, result, name) {
  const head = el("h2", {}, result.algorithm);
  if (result.status === "pending") fill(node, head, el("p", {}, "On its way…"));
  else if (result.status === "failed") fill(node, head, problem("It could not be handled", result.reason, el("p", {}, "It rests among ", el("a", { href: `#/failures/${result.reason?.startsWith(`${name} failed`) ? name : result.algorithm}` }, "the failures"), ", and can be sent again from there once the algorithm is mended.")));
  else {
    const blob = await (await fetch(result.url)).blob();
    const suffix = result.contentType === "application/json" ? "json" : "txt";
    fill(node, head, el("p", { class: "soft" }, `${bytes(blob.size)} of ${suffix === "json" ? "JSON" : "text"}, by version ${result.version} of release `, result.releaseId ? releaseLink(result.releaseId) : "–"),
      el("p", {}, el("button", { type: "button", class: "quiet", onclick: () => saveAs(blob, `${result.algorithm}.${suffix}`) }, "Download")),
      el("pre", { tabindex: 0, "aria-label": `Answer of ${result.algorithm}` }, await shownOf(blob, suffix)),
      blob.size > MAX_SHOWN_BYTES ? el("p", { class: "soft" }, `The first ${figure(MAX_SHOWN_BYTES / 1024)} KB are shown; the download has all of it.`) : null);
  }
  main.querySelector(".result:last-child")?.scrollIntoView({ block: "nearest" });
}

async function shownOf(blob, suffix) {
  const text = await blob.slice(0, MAX_SHOWN_BYTES).text();
  if (suffix !== "json" || blob.size > MAX_SHOWN_BYTES) return text;
  try { return JSON.stringify(JSON.parse(text), null, 2); } catch { return text; }
}
