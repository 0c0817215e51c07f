// The keys that work wherever the focus is, but for a field of text: `?` shows all keys, `/` goes to the filter,
// `n` opens a room.

import { openRoom } from "./rooms.js";

const element = (name) => document.getElementById(name);
const TEXT = "textarea, input:not([type=range], [type=checkbox])";

element("keys-open").addEventListener("click", () => element("keys").showModal());
element("keys-close").addEventListener("click", () => element("keys").close());

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.target.closest?.(`${TEXT}, dialog`)) return;
  if (event.key === "?") element("keys").showModal();
  else if (event.key.toLowerCase() === "n" && !event.altKey) openRoom();
  else if (event.key === "/") element("filter").focus();
  else return;
  event.preventDefault();
});
