// What can be checked of a package before it is uploaded, in the platform's own words: its size, that it is a ZIP, that
// metadata.json is at its top. The platform checks these again, and everything else.

export const MAX_ZIP_BYTES = 52428800; // as greenroom.package.archive has it
const MAX_COMMENT_BYTES = 65535;
const END_BYTES = 22;
const ENTRY_BYTES = 46;

const grouped = (/** @type {number} */ value) => value.toLocaleString("en-US");

// A name as the platform writes it in a message: ASCII, the rest as escapes.
const plain = (/** @type {string} */ name) => [...name].map((char) => {
  const code = char.codePointAt(0) ?? 0;
  if (code >= 0x20 && code < 0x7f) return char;
  const [letter, digits] = code < 0x100 ? ["x", 2] : code < 0x10000 ? ["u", 4] : ["U", 8];
  return `\\${letter}${code.toString(16).padStart(Number(digits), "0")}`;
}).join("");

// What was wrong with a file, or null. The format: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT, 4.3.
/** @type {(file: File) => Promise<string | null>} */
export async function wrongWith(file) {
  if (file.size > MAX_ZIP_BYTES) {
    const sizes = `has ${grouped(file.size)} bytes; at most ${grouped(MAX_ZIP_BYTES)} are allowed`;
    return `ZIP: ${sizes}. Leave out what the algorithm does not need.`;
  }
  const tail = new DataView(await file.slice(Math.max(0, file.size - END_BYTES - MAX_COMMENT_BYTES)).arrayBuffer());
  let end = tail.byteLength - END_BYTES;
  while (end >= 0 && tail.getUint32(end, true) !== 0x06054b50) end--;
  if (end < 0) return "ZIP: is not a ZIP, or only a part of one. Build it with `greenroom pack`.";
  const after = tail.byteLength - end - END_BYTES;
  if (after) {
    return after === tail.getUint16(end + 20, true)
      ? "ZIP: has a comment, in which another directory could be. Build it with `greenroom pack`."
      : "ZIP: is not a ZIP, or only a part of one. Build it with `greenroom pack`.";
  }
  const count = tail.getUint16(end + 10, true);
  const [length, offset] = [tail.getUint32(end + 12, true), tail.getUint32(end + 16, true)];
  const directory = new DataView(await file.slice(offset, offset + length).arrayBuffer());
  const names = [];
  for (let entry = 0, at = 0; entry < count && at + ENTRY_BYTES <= directory.byteLength; entry++) {
    const [name, extra, remark] = [28, 30, 32].map((field) => directory.getUint16(at + field, true));
    if (at + ENTRY_BYTES + name > directory.byteLength) break;
    names.push(new TextDecoder().decode(new Uint8Array(directory.buffer, at + ENTRY_BYTES, name)));
    at += ENTRY_BYTES + name + extra + remark;
  }
  if (names.includes("metadata.json")) return null;
  const deeper = names.filter((name) => name.endsWith("/metadata.json")).sort()[0];
  const hint = deeper ? `; it is at ${plain(deeper)}: zip the content of the folder, not the folder` : "";
  return `metadata.json: is not at the top of the ZIP${hint}. \`greenroom init\` writes an algorithm with a metadata.json.`;
}
