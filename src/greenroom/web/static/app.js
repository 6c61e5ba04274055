// The page: signing in, and which view an address means. It talks to the HTTP API that the command line uses, and shows
// everything in the answers as text, never as markup.

import { algorithms } from "./algorithms.js";
import { api, el, main, problem, session, show, tell } from "./core.js";

/** @typedef {{alive: () => boolean, reload: () => void}} View */

const nav = document.querySelector("nav");
/** @type {Record<string, () => Promise<(view: View, ...names: string[]) => void | Promise<void>>>} */
const VIEWS = {
  "": () => Promise.resolve(algorithms),
  algorithms: async () => (await import("./algorithm.js")).algorithm,
  compare: async () => (await import("./algorithm.js")).comparison,
  releases: async () => (await import("./release.js")).release,
  upload: async () => (await import("./upload.js")).upload,
  send: async () => (await import("./send.js")).send,
  failures: async () => (await import("./failures.js")).failures,
  uploads: async () => (await import("./failures.js")).uploads,
};
/** @type {Record<string, string>} */
const TITLES = {
  "": "Algorithms", releases: "Release", compare: "Comparison", upload: "Upload", send: "Send", failures: "Failures",
  uploads: "Failed uploads" };
/** @type {Record<string, string>} */
const PART_OF = { algorithms: "", uploads: "failures" }; // which link leads to a view that has none
/** @type {string | undefined} */
let refused; // why the link did not sign in
let shown = 0; // counts views, so that a poll of an earlier one shows nothing

/** @type {(message?: string) => void} */
function signIn(message) {
  nav.hidden = true;
  const input = el("input", { type: "password", id: "token", autocomplete: "off", required: true });
  const hint = "greenroom env prints the token of a platform on this machine; the platform team has that of any other.";
  show(el("h1", {}, "Sign in"), message ? problem(message, hint) : null,
    el("form", { class: "card", onsubmit: (event) => {
      event.preventDefault();
      session.token = input.value.trim();
      route();
    } }, el("label", { for: "token" }, "Token "), input, " ", el("button", {}, "Sign in"),
    el("p", { class: "soft" },
      "It is kept for this browser session only. The link that greenroom page prints signs in by itself.")));
  input.focus();
}

async function route() {
  const view = ++shown;
  document.querySelectorAll("dialog").forEach((each) => each.close());
  if (!session.token) { signIn(refused); return; }
  nav.hidden = false;
  const [, place = "", ...names] = location.hash.split("/");
  const known = place in VIEWS ? place : "";
  tell("");
  document.title = `${names[0] && known === "algorithms" ? names[0] : TITLES[known] ?? "Algorithm"} – Greenroom`;
  for (const link of nav.children) {
    if (link.getAttribute("href") === `#/${PART_OF[known] ?? known}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  try {
    const draw = await VIEWS[known]();
    if (view !== shown) return;
    const alive = () => view === shown;
    main.focus({ preventScroll: true });
    await draw({ alive, reload: route }, ...names.map(encodeURIComponent));
  } catch (error) {
    if (view !== shown) return;
    if (error.code === 401) { session.token = null; signIn("The token is wrong."); }
    else show(el("h1", {}, "That did not work"), problem("What was wrong", error.message, error.hint));
  }
}

// The link that `greenroom up` and `greenroom page` print signs in, once: its code leaves the address at once.
const given = /^#code=([\w-]+)$/.exec(location.hash);
if (given) {
  history.replaceState(null, "", location.pathname + location.search);
  try {
    session.token = (await api("POST", "sign-ins", { code: given[1] })).token;
  } catch (error) {
    if (!session.token) refused = error.message;
  }
}
document.querySelector(".skip").addEventListener("click", (event) => { event.preventDefault(); main.focus(); });
addEventListener("hashchange", () => { scrollTo(0, 0); route(); });
route();
