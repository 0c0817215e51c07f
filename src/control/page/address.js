// The room of which the streams are shown. The page's address has it, so that a reload stays there and the browser's
// own buttons go back and forth: `#room=NAME`, and `#rooms` for all of them.

const ROOM = "#room=";
const ALL = "#rooms";
const listeners = [];

/** The address of a room's streams. */
export const roomAddress = (name) => ROOM + encodeURIComponent(name);

const named = () => {
  const { hash } = location;
  if (hash === "" || hash === ALL) return null;
  if (!hash.startsWith(ROOM)) return undefined;
  try {
    return decodeURIComponent(hash.slice(ROOM.length)) || null;
  } catch {
    // Typed by hand: no room is called so.
    return hash.slice(ROOM.length);
  }
};

let chosen = named() ?? null;

/** The name of the room, whether there is one or not; null is all rooms. */
export const chosenRoom = () => chosen;

/** Calls back whenever that is another. */
export const onRoom = (listener) => listeners.push(listener);

const set = (name) => {
  if (chosen === name) return;
  chosen = name;
  for (const listener of listeners) listener();
};

export const chooseRoom = (name) => {
  if (chosen !== name) history.pushState(null, "", name === null ? ALL : roomAddress(name));
  set(name);
};

// A link into a room, or the browser's buttons.
addEventListener("hashchange", () => {
  const name = named();
  if (name !== undefined) set(name);
  // A place of this page: its address stays that of the room.
  else if (chosen !== null) history.replaceState(null, "", roomAddress(chosen));
});
addEventListener("popstate", () => {
  const name = named();
  if (name !== undefined) set(name);
});
