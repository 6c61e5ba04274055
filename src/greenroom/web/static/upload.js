// Uploading a package: checked here for what can be, sent straight to S3, and then its release's page.

import { api, bytes, dropZone, el, foreign, nameField, post, problem, show } from "./core.js";
import { wrongWith } from "./zip.js";

/** @type {(view: import("./app.js").View) => void} */
export function upload(view) {
  const bar = el("progress", { max: 1, value: 0, "aria-label": "Upload" });
  const line = el("p", { class: "bar", hidden: true }, bar, el("span", {}));
  const told = el("div", {});
  const take = async (/** @type {File} */ file) => {
    told.replaceChildren();
    try {
      const wrong = await wrongWith(file);
      if (wrong) {
        told.replaceChildren(problem("It was not uploaded", el("p", {}, foreign(file.name), `: ${wrong}`)));
        return;
      }
      line.hidden = false;
      line.lastChild.replaceChildren(" ", foreign(file.name), `, ${bytes(file.size)}`);
      const release = await api("POST", "releases", { fileName: file.name.slice(0, 255), sizeBytes: file.size });
      await post(release.upload, file, (share) => { bar.value = share; });
      if (view.alive()) location.hash = `#/releases/${release.releaseId}`;
    } catch (error) {
      line.hidden = true;
      told.replaceChildren(problem("It was not uploaded", error.message, error.hint));
    }
  };
  const zone = dropZone("Drop a package here, or pick it:", ".zip,application/zip", take);
  zone.append(line);
  show(el("h1", {}, "Upload a package"), told, zone, nameField(),
    el("p", { class: "soft" }, "A package is a ZIP with metadata.json at its top, the code, and tests/<case>/input.* with "
      + "tests/<case>/expected.*. It is tested next to the live version, and goes live if it passes. The test does not "
      + "change what is live now."));
}
