// What all views share: nodes that hold text and never markup, the HTTP API, figures and times, tables and dialogs.

export const main = document.getElementById("main");
const told = document.getElementById("status");
const SVG = "http://www.w3.org/2000/svg";
const [TOKEN, AUTHOR] = ["greenroom-token", "greenroom-author"];

// Types are for `make page`, which holds every field of an answer that is read here against ../api.d.ts.

/** @typedef {{[name: string]: string | number | boolean | null | undefined | ((event: any) => void)}} Attributes */

/** @type {(node: any, attributes: Attributes, children: any[]) => any} */
const make = (node, attributes, children) => {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  return fill(node, ...children);
};
/** @type {(node: any, ...children: any[]) => any} */
export function fill(node, ...children) {
  node.replaceChildren(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}
/** @type {(tag: string, attributes?: Attributes, ...children: any[]) => any} */
export const el = (tag, attributes = {}, ...children) => make(document.createElement(tag), attributes, children);
/** @type {(tag: string, attributes?: Attributes, ...children: any[]) => any} */
export const svg = (tag, attributes = {}, ...children) => make(document.createElementNS(SVG, tag), attributes, children);

/** @type {(...nodes: any[]) => any} */
export const show = (...nodes) => fill(main, ...nodes);
let told_at = 0;
/** @type {(text: string) => void} */
export function tell(text) {
  told.textContent = text;
  clearTimeout(told_at);
  told_at = setTimeout(() => { told.textContent = ""; }, 8000);
}
/** @type {(ms: number) => Promise<void>} */
export const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// The session and the name that goes into the history.

export const session = {
  get token() { return sessionStorage.getItem(TOKEN); },
  set token(value) { if (value) sessionStorage.setItem(TOKEN, value); else sessionStorage.removeItem(TOKEN); },
  get author() { return localStorage.getItem(AUTHOR) ?? ""; },
  set author(value) { localStorage.setItem(AUTHOR, value.trim().slice(0, 80)); },
};

export function nameField() {
  const input = el("input", {
    type: "text", id: "author", autocomplete: "name", maxlength: 80, oninput: () => { session.author = input.value; } });
  input.value = session.author;
  return el("p", {}, el("label", { for: "author" }, "Your name, for the history "), input);
}

// The HTTP API, and S3 by the forms that it gives out.

export class ApiError extends Error {
  /** @param {number} code @param {string} message @param {string} hint */
  constructor(code, message, hint = "") { super(message); this.code = code; this.hint = hint; }
}

/**
 * @template {"GET" | "POST"} M
 * @template {string} P
 * @param {M} method
 * @param {P} path
 * @param {object | null} body
 * @returns {Promise<import("../api.d.ts").Answer<M, P>>}
 */
export async function api(method, path, body = null) {
  /** @type {Record<string, string>} */
  const headers = { authorization: `Bearer ${session.token}` };
  if (session.author) headers["x-greenroom-author"] = encodeURIComponent(session.author);
  if (body) headers["content-type"] = "application/json";
  let answer;
  try {
    answer = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
  } catch {
    throw new ApiError(0, "The platform can't be reached.", "Is it running? Try again.");
  }
  const found = await answer.json().catch(() => /** @type {any} */ (null));
  if (answer.ok && found) return found;
  /** @type {import("../api.d.ts").Problem | undefined} */
  const error = found?.error;
  throw new ApiError(answer.status, error?.message ?? found?.message ?? `HTTP ${answer.status}`, error?.hint);
}

/** @type {(form: import("../api.d.ts").UploadForm, file: Blob, onProgress?: (share: number) => void) => Promise<void>} */
export function post(form, file, onProgress) {
  const data = new FormData();
  for (const [name, value] of Object.entries(form.fields)) data.append(name, value);
  data.append("file", file);
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.upload.onprogress = (event) => onProgress?.(event.loaded / event.total);
    request.onload = () => (request.status < 300 ? resolve()
      : reject(new ApiError(request.status, "S3 refused the upload.", /<Message>([^<]*)/.exec(request.responseText)?.[1])));
    request.onerror = () => reject(new ApiError(0, "The upload broke off.", "Try again."));
    request.open("POST", form.url);
    request.send(data);
  });
}

// Figures, times, sizes.

/** @type {Record<string, any>} */
const formats = {}; // making one takes longer than using it a hundred times
/** @type {(kind: any, options: object) => any} */
const format = (kind, style) => (formats[JSON.stringify(style)] ??= new kind(undefined, style));
/** @type {(value: number | null | undefined, digits?: number) => string} */
export const figure = (value, digits = 3) => (value === null || value === undefined ? "–"
  : format(Intl.NumberFormat, { maximumSignificantDigits: Math.max(digits, 5) }).format(Number(value.toPrecision(digits))));
/** @type {(value: number | null | undefined) => string} */
export const usd = (value) => (value === null || value === undefined ? "–" : `$${figure(value)}`);
/** @type {(value: number) => string} */
export const bytes = (value) => (value < 1024 ? `${value} B`
  : value < 1048576 ? `${figure(value / 1024)} KB` : `${figure(value / 1048576)} MB`);
/** @type {(ratio: number) => string} */
export const percent = (ratio) => (ratio === 1 ? "the same"
  : `${ratio > 1 ? "+" : "−"}${figure(Math.abs(ratio - 1) * 100, 2)} %`);
/** @type {(iso: string | null | undefined, style?: Intl.DateTimeFormatOptions) => Node | string} */
/** @type {(iso: string | null, options?: object) => any} */
export const when = (iso, style = { dateStyle: "medium", timeStyle: "short" }) => (iso
  ? el("time", { datetime: iso, title: format(Intl.DateTimeFormat, { dateStyle: "full", timeStyle: "long" }).format(new Date(iso)) },
    format(Intl.DateTimeFormat, style).format(new Date(iso))) : "–");
/** @type {(text: string | null | undefined) => string} */
export const first = (text) => (text ?? "").split("\n", 1)[0];

// Parts of views.

/** @type {(value: string | null) => any} */
export const badge = (value) => el("span", { class: `badge ${value}` }, value);
/** @type {(title: any, ...children: any[]) => any} */
export const card = (title, ...children) => el("section", { class: "card" }, title ? el("h2", {}, title) : null, ...children);
/** @type {(title: string, ...lines: any[]) => any} */
export const problem = (title, ...lines) => el("section", { class: "card problem", role: "alert" },
  el("h2", {}, title),
  lines.flat().filter(Boolean).map((line) => (line instanceof Node ? line : el("p", {}, line))));
// A name that somebody else has chosen, whose direction of writing does not reach what is around it.
/** @type {(text: string) => any} */
export const foreign = (text) => el("bdi", {}, text);
/** @type {(...pairs: (any[] | null)[]) => any} */
export const facts = (...pairs) => el("dl", {}, pairs.filter(Boolean).map(([name, value]) => (
  [el("dt", {}, name), el("dd", {}, value)])));
/** @type {(text: string, onclick: () => void, attributes?: Attributes) => any} */
export const button = (text, onclick, attributes = {}) => (
  el("button", { type: "button", onclick, ...attributes }, text));
/** @type {(id: string) => any} */
export const releaseLink = (id) => el("a", { href: `#/releases/${id}` }, el("code", {}, id));

// Without a mouse one scrolls with the keys, which needs the focus.
/** @type {(title: string, ...children: any[]) => any} */
export function scrolling(title, ...children) {
  const box = el("div", { class: "wide", role: "region", "aria-label": title }, ...children);
  requestAnimationFrame(() => { if (box.scrollWidth > box.clientWidth) box.tabIndex = 0; });
  return box;
}

/** @typedef {{cells: any[], chosen?: boolean, name?: string}} Row */
/** @type {(title: string, heads: string[], rows: Row[], numbers?: number[]) => any} */
export function table(title, heads, rows, numbers = []) {
  /** @type {(tag: string, contents: any[]) => any} */
  const cells = (tag, contents) => contents.map((content, index) => el(index ? tag : "th", {
    class: numbers.includes(index) ? "number" : null, scope: tag === "th" ? "col" : index ? null : "row",
  }, content ?? "–"));
  return scrolling(title, el("table", {},
    el("thead", {}, el("tr", {}, cells("th", heads))),
    el("tbody", {}, rows.map((row) => (
      el("tr", { class: row.chosen ? "chosen" : null, "data-name": row.name }, cells("td", row.cells)))))));
}

/** @type {(title: string, content: any, verb: string, act: () => Promise<void>) => void} */
export function ask(title, content, verb, act) {
  const go = button(verb, async () => {
    go.disabled = true;
    try { await act(); dialog.close(); } catch (error) {
      dialog.querySelector(".problem")?.remove();
      go.before(problem("It was not done", error.message, error.hint));
      go.disabled = false;
    }
  });
  const dialog = el("dialog", { "aria-labelledby": "ask", onclose: () => dialog.remove() },
    el("h2", { id: "ask" }, title), content, go, " ", button("Cancel", () => dialog.close(), { class: "quiet" }));
  document.body.append(dialog);
  dialog.showModal();
}

/** @type {(label: string, accept: string, take: (file: File) => void) => any} */
export function dropZone(label, accept, take) {
  const picked = () => input.files[0] && take(input.files[0]);
  const input = el("input", { type: "file", accept, id: "file", onchange: picked });
  const zone = el("div", { class: "drop card",
    ondragover: (event) => { event.preventDefault(); zone.classList.add("over"); },
    ondragleave: () => zone.classList.remove("over"),
    ondrop: (event) => {
      event.preventDefault();
      zone.classList.remove("over");
      if (event.dataTransfer.files[0]) take(event.dataTransfer.files[0]);
    } }, el("p", {}, el("label", { for: "file" }, label), " ", input));
  return zone;
}

/** @type {(blob: Blob, name: string) => void} */
export function saveAs(blob, name) {
  const url = URL.createObjectURL(blob);
  el("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

// Sections that are drawn again only when what they show has changed. What has the focus keeps it, and what is open
// stays open, if it carries the same data-key.
/** @type {(count: number) => {nodes: any[], draw: <T>(index: number, data: T, render: (data: T) => any) => void}} */
export function sections(count) {
  const nodes = Array.from({ length: count }, () => el("div"));
  /** @type {string[]} */
  const drawn = [];
  return { nodes, draw(index, data, render) {
    const text = JSON.stringify(data) ?? "";
    if (drawn[index] === text) return;
    drawn[index] = text;
    const node = nodes[index];
    const focused = node.contains(document.activeElement) ? document.activeElement.getAttribute("data-key") : null;
    const open = [...node.querySelectorAll("details[open][data-key]")].map((each) => each.dataset.key);
    fill(node, render(data));
    for (const each of node.querySelectorAll("[data-key]")) {
      if (each.dataset.key === focused) each.focus({ preventScroll: true });
      if (open.includes(each.dataset.key)) each.open = true;
    }
  } };
}
