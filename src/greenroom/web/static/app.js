// The page: sign in, upload, watch a release, roll back. It talks to the HTTP API that the command line uses, and shows
// everything it is told as text, never as markup.

const main = document.getElementById("main");
const status = document.getElementById("status");
const TOKEN = "greenroom-token";
const ENDED = new Set(["LIVE", "RETIRED", "ROLLED_BACK", "REJECTED", "FAILED", "SUPERSEDED"]);
const WAY = ["UPLOADING", "REGISTERED", "PROVISIONING", "PROVISIONED", "TESTING", "LIVE"];
let shown = 0; // counts views, so that a poll of one that is gone shows nothing

function el(tag, attributes = {}, ...children) {
  const ns = ["svg", "path", "line", "circle", "text", "title", "g"].includes(tag) && attributes.svg;
  const node = ns ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "svg") continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

class ApiError extends Error {
  constructor(code, message, hint) { super(message); this.code = code; this.hint = hint; }
}

async function api(method, path, body) {
  let answer;
  try {
    answer = await fetch(path, {
      method,
      headers: { authorization: `Bearer ${sessionStorage.getItem(TOKEN)}`, ...(body ? { "content-type": "application/json" } : {}) },
      body: body ? JSON.stringify(body) : undefined,
    });
  } catch {
    throw new ApiError(0, "The platform can't be reached.", "Is it running? This page tries again by itself where it polls.");
  }
  const found = await answer.json().catch(() => null);
  if (answer.ok) return found;
  throw new ApiError(answer.status, found?.error?.message ?? `HTTP ${answer.status}`, found?.error?.hint ?? "");
}

const show = (...nodes) => main.replaceChildren(...nodes.flat().filter(Boolean));
const when = (iso) => (iso ? new Date(iso).toLocaleString() : "");
const figure = (value, digits = 3) => (value === null || value === undefined ? "–" : Number(value.toPrecision(digits)).toLocaleString());
const badge = (value) => el("span", { class: `badge ${value}` }, value);
const problem = (title, ...lines) => el("section", { class: "card problem", role: "alert" }, el("h2", {}, title), lines.filter(Boolean).map((line) => el("p", {}, line)));

function table(heads, rows, numbers = []) {
  const cell = (tag, content, index) => el(tag, { class: numbers.includes(index) ? "number" : null, scope: tag === "th" ? "col" : null }, content ?? "–");
  return el("div", { class: "wide" }, el("table", {},
    el("thead", {}, el("tr", {}, heads.map((head, index) => cell("th", head, index)))),
    el("tbody", {}, rows.map((row) => el("tr", { class: row.chosen ? "chosen" : null }, row.cells.map((content, index) => cell("td", content, index)))))));
}

function signIn(message) {
  const input = el("input", { type: "password", id: "token", autocomplete: "off", required: "" });
  show(el("h1", {}, "Sign in"), message ? problem(message) : null, el("form", { class: "card", onsubmit: (event) => {
    event.preventDefault();
    sessionStorage.setItem(TOKEN, input.value.trim());
    route();
  } }, el("label", { for: "token" }, "Token "), input, " ", el("button", {}, "Sign in"),
  el("p", { class: "soft" }, "greenroom up and greenroom env print it. It is kept for this browser session only.")));
  input.focus();
}

async function algorithms() {
  const found = (await api("GET", "algorithms")).algorithms;
  if (!found.length) {
    show(el("h1", {}, "Algorithms"), el("div", { class: "card" }, el("p", {}, "There is none yet."),
      el("p", {}, "An algorithm is a ZIP with its code, its tests and a metadata.json. ", el("code", {}, "greenroom init my-algorithm"), " makes one, ", el("code", {}, "greenroom pack"), " zips it."),
      el("p", {}, el("a", { href: "#/upload" }, "Upload one"))));
    return;
  }
  show(el("h1", {}, "Algorithms"), el("div", { class: "card" }, table(
    ["Name", "Type", "Newest release", "Live version", "Memory MB", "$ per million", "Changed"],
    found.map((each) => ({ cells: [
      el("a", { href: `#/algorithms/${each.name}` }, each.name), each.type,
      el("a", { href: `#/releases/${each.latestReleaseId}` }, badge(each.latestStatus)),
      each.liveVersion, figure(each.memoryMb, 5), figure(each.costUsdPerMillion), when(each.updatedAt)] })), [4, 5])));
}

async function algorithm(name) {
  const [found, { releases }] = await Promise.all([api("GET", `algorithms/${name}`), api("GET", `algorithms/${name}/releases?limit=50`)]);
  const before = found.liveBefore?.[0];
  show(el("h1", {}, name), el("div", { class: "card" },
    el("p", {}, found.liveVersion ? `Version ${found.liveVersion} is live at ${found.memoryMb} MB.` : "Nothing is live yet."),
    found.next.length ? el("p", {}, `Forwards to ${found.next.join(", ")}.`) : null,
    before ? el("button", { class: "quiet", onclick: () => rollBack(found, before) }, "Roll back…") : null),
  el("h2", {}, "Releases"), el("div", { class: "card" }, table(["Release", "Status", "Memory MB", "$ per million", "Uploaded"],
    releases.map((each) => ({ chosen: each.releaseId === found.liveReleaseId, cells: [
      el("a", { href: `#/releases/${each.releaseId}` }, each.releaseId), badge(each.status),
      figure(each.memoryMb, 5), figure(each.costUsdPerMillion), when(each.createdAt)] })), [2, 3])));
}

function rollBack(found, before) {
  const dialog = el("dialog", { "aria-labelledby": "ask" }, el("h2", { id: "ask" }, `Roll ${found.name} back?`),
    el("p", {}, `Version ${before.version} of release ${before.releaseId} will be live again at once, and version ${found.liveVersion} no longer. Messages under way are finished by the version that has them.`),
    el("button", { onclick: async () => {
      dialog.close();
      try {
        await api("POST", `algorithms/${found.name}/rollback`, { toReleaseId: before.releaseId });
        await route();
        status.textContent = `${found.name} is rolled back to version ${before.version}.`;
      } catch (error) { main.prepend(problem("It was not rolled back", error.message, error.hint)); }
    } }, "Roll back"), " ", el("button", { class: "quiet", onclick: () => dialog.close() }, "Cancel"));
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

function upload() {
  const bar = el("progress", { max: 1, value: 0, hidden: "" });
  const told = el("div", {});
  const input = el("input", { type: "file", accept: ".zip,application/zip", id: "file", onchange: () => input.files[0] && send(input.files[0]) });
  const send = async (file) => {
    told.replaceChildren();
    try {
      const head = new Uint8Array(await file.slice(0, 4).arrayBuffer());
      if (head[0] !== 0x50 || head[1] !== 0x4b) throw new ApiError(0, `${file.name} is no ZIP.`, "Build it with greenroom pack.");
      const release = await api("POST", "releases", { fileName: file.name.slice(0, 255), sizeBytes: file.size });
      const form = new FormData();
      for (const [name, value] of Object.entries(release.upload.fields)) form.append(name, value);
      form.append("file", file);
      bar.hidden = false;
      await new Promise((resolve, reject) => {
        const request = new XMLHttpRequest();
        request.upload.onprogress = (event) => { bar.value = event.loaded / event.total; };
        request.onload = () => (request.status < 300 ? resolve() : reject(new ApiError(request.status, "S3 refused the upload.", request.responseText.slice(0, 500))));
        request.onerror = () => reject(new ApiError(0, "The upload broke off.", "Try again."));
        request.open("POST", release.upload.url);
        request.send(form);
      });
      location.hash = `#/releases/${release.releaseId}`;
    } catch (error) {
      bar.hidden = true;
      told.replaceChildren(problem("It was not uploaded", error.message, error.hint));
    }
  };
  const drop = el("div", { class: "drop card",
    ondragover: (event) => { event.preventDefault(); drop.classList.add("over"); },
    ondragleave: () => drop.classList.remove("over"),
    ondrop: (event) => { event.preventDefault(); drop.classList.remove("over"); if (event.dataTransfer.files[0]) send(event.dataTransfer.files[0]); },
  }, el("p", {}, el("label", { for: "file" }, "Drop a package here, or pick it: "), input), bar);
  show(el("h1", {}, "Upload a package"), told, drop, el("p", { class: "soft" },
    "A ZIP with metadata.json at its top, the code, and tests/<case>/input.*. It is tested beside the live version and goes live if it passes."));
}

function plot(values) {
  const points = values.filter((each) => each.status === "ok" && each.meanMs && each.costUsdPerMillion);
  if (points.length < 2) return null;
  const [width, height, pad] = [640, 220, 34];
  const x = (mb) => pad + ((Math.log2(mb) - Math.log2(points[0].memoryMb)) / (Math.log2(points.at(-1).memoryMb) - Math.log2(points[0].memoryMb))) * (width - 2 * pad);
  const line = (key, name) => {
    const top = Math.max(...points.map((each) => each[key]));
    const y = (value) => height - pad - (value / top) * (height - 2 * pad);
    return el("g", { svg: 1, class: name }, el("path", { svg: 1, d: points.map((each, index) => `${index ? "L" : "M"}${x(each.memoryMb)},${y(each[key])}`).join("") }),
      points.map((each) => el("circle", { svg: 1, cx: x(each.memoryMb), cy: y(each[key]), r: 4, tabindex: 0 },
        el("title", { svg: 1 }, `${each.memoryMb} MB: ${name} ${figure(each[key])} ${name === "cost" ? "$ per million" : "ms"}`))));
  };
  return el("svg", { svg: 1, class: "plot", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "Cost and duration by memory; the table has the figures" },
    el("line", { svg: 1, class: "axis", x1: pad, y1: height - pad, x2: width - pad, y2: height - pad }),
    points.map((each) => el("text", { svg: 1, x: x(each.memoryMb), y: height - pad + 16, "text-anchor": "middle" }, `${each.memoryMb} MB`)),
    line("costUsdPerMillion", "cost"), line("meanMs", "duration"),
    el("text", { svg: 1, x: pad, y: 14 }, "● cost (green) and ● duration (blue), each from zero to its highest"));
}

const difference = (text) => el("pre", {}, text.split("\n").map((line) => el("span", { class: /^\+(?!\+\+)/.test(line) ? "added" : /^-(?!--)/.test(line) ? "removed" : null }, `${line}\n`)));

function releaseView(release) {
  const at = Object.fromEntries(release.history.map((change) => [change.status, change.at]));
  const failed = ["FAILED", "REJECTED"].includes(release.status);
  const summary = release.summary;
  return [
    el("h1", {}, release.algorithm ? el("a", { href: `#/algorithms/${release.algorithm}` }, release.algorithm) : release.fileName, " ", badge(release.status)),
    failed ? problem("What was wrong", (release.reason ?? "").split("\n")[0]) : release.reason ? el("p", { class: "soft" }, release.reason) : null,
    (summary?.cases ?? []).filter((each) => each.difference || each.error).map((each) => el("section", { class: "card problem" },
      el("h2", {}, `Case ${each.case}${each.memoryMb ? ` at ${each.memoryMb} MB` : ""}`), each.error && !each.difference ? el("p", {}, each.error) : null,
      each.difference ? difference(each.difference) : null,
      each.log ? el("details", {}, el("summary", {}, "Log"), el("pre", {}, each.log)) : null)),
    el("section", { class: "card" }, el("p", { class: "soft" }, `Release ${release.releaseId}, ${release.fileName}`),
      el("ol", { class: "stages" }, [...WAY.filter((name) => at[name] || !ENDED.has(release.status)), ...Object.keys(at).filter((name) => !WAY.includes(name))].map((name) =>
        el("li", { class: at[name] ? null : "soft" }, name.toLowerCase().replace("_", " "), at[name] ? el("span", { class: "soft" }, ` ${new Date(at[name]).toLocaleTimeString()}`) : " …")))),
    release.progress.length && !summary ? el("section", { class: "card" }, el("h2", {}, "Being tested"), release.progress.map((each) =>
      el("p", {}, `${each.memoryMb} MB: ${each.done} of ${each.total}${each.failed ? `, ${each.failed} failed` : ""}`, el("progress", { max: each.total || 1, value: each.done })))) : null,
    summary ? el("section", { class: "card" }, el("h2", {}, "The test"), el("p", {}, summary.sentence.split("\n")[0]), plot(summary.powerValues), table(
      ["Memory MB", "Result", "Mean ms", "Min ms", "Max ms", "Used MB", "$ per million"],
      summary.powerValues.map((each) => ({ chosen: each.memoryMb === summary.chosenMemoryMb, cells: [
        `${each.memoryMb}${each.memoryMb === summary.chosenMemoryMb ? " ← chosen" : ""}`, each.status === "ok" ? "ok" : `${each.status}: ${(each.reason ?? "").split("\n")[0]}`,
        figure(each.meanMs), figure(each.minMs), figure(each.maxMs), figure(each.maxMemoryUsedMb, 5), figure(each.costUsdPerMillion)] })), [2, 3, 4, 5, 6]),
      el("p", { class: "soft" }, `The test cost $${figure(summary.testCostUsd)}.`)) : null,
  ].flat();
}

async function release(id, view) {
  let delay = 300;
  let last = "";
  while (view === shown) {
    try {
      const found = await api("GET", `releases/${id}`);
      if (view !== shown) return;
      const text = JSON.stringify(found);
      if (text !== last) { show(releaseView(found)); last = text; delay = 300; } else delay = Math.min(2000, delay * 1.3);
      if (ENDED.has(found.status)) { status.textContent = `The release is ${found.status}.`; return; }
    } catch (error) {
      if (error.code && error.code < 500) throw error;
      status.textContent = error.message;
      delay = 2000;
    }
    await new Promise((resolve) => setTimeout(resolve, delay));
  }
}

async function route() {
  const view = ++shown;
  const [, place, name] = location.hash.split("/");
  if (!sessionStorage.getItem(TOKEN)) return signIn();
  status.textContent = "";
  try {
    if (place === "upload") upload();
    else if (place === "releases" && name) await release(encodeURIComponent(name), view);
    else if (place === "algorithms" && name) await algorithm(encodeURIComponent(name));
    else await algorithms();
    main.focus({ preventScroll: true });
  } catch (error) {
    if (view !== shown) return;
    if (error.code === 401) { sessionStorage.removeItem(TOKEN); signIn("The token is wrong."); }
    else show(problem("That did not work", error.message, error.hint));
  }
}

// The link that `greenroom up` prints signs in: the token leaves the address at once.
const given = /^#token=([\w-]+)$/.exec(location.hash);
if (given) {
  sessionStorage.setItem(TOKEN, given[1]);
  history.replaceState(null, "", location.pathname + location.search);
}
addEventListener("hashchange", route);
route();
