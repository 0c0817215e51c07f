// Requests to the server, and the words about those that fail. An answer that is no success becomes an Error
// with the problem's words; a 401 asks for the token, once, and what was refused for the lack of it is tried
// again.

import { learnAccess, signIn } from "./session.js";

const TIMEOUT_MS = 10_000;
export const SILENT = "the server does not answer";

/** An answer other than a success, with its status. */
export class Problem extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

export const path = (...parts) => `api/v1/${parts.map(encodeURIComponent).join("/")}`;

/** The address of a WebSocket of this server. */
export const socket = (place, query) => {
  const url = new URL(place, document.baseURI);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  if (query) url.search = new URLSearchParams(query).toString();
  return url.href;
};

/** Why a WebSocket was refused: a browser does not say, but plain HTTP gets the same refusal. */
export const refusal = async (address) => {
  try {
    const answer = await fetch(address.replace(/^ws/, "http"), { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) });
    // 426: all was well but for the WebSocket that this is not.
    return answer.status === 426 ? "the connection failed" : (await problem(answer)).message;
  } catch {
    return SILENT;
  }
};

export const problem = async (answer) => {
  let text = `${answer.status} ${answer.statusText}`.trim();
  try {
    const { title, detail } = await answer.json();
    text = detail ?? title ?? text;
  } catch {
    // Not every refusal comes from mixpool itself: a proxy's may be no JSON.
  }
  return new Problem(answer.status, text);
};

/** One request; JSON in and out. Throws a Problem, or another Error if no answer comes in time. */
export const request = async (method, place, body) => {
  for (;;) {
    let answer;
    try {
      answer = await fetch(place, {
        method,
        headers: body === undefined ? {} : { "content-type": "application/json" },
        body: body === undefined ? undefined : JSON.stringify(body),
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
    } catch {
      throw new Error(SILENT);
    }
    if (answer.status === 401) {
      await signIn();
      continue;
    }
    // The token is another one's since this page asked.
    if (answer.status === 403) learnAccess();
    if (!answer.ok) throw await problem(answer);
    return answer.status === 204 ? null : answer.json();
  }
};

/** Says what went wrong, where screen readers announce it. The same words are shown once. */
export const alert = (text, { key = text, note = false, action } = {}) => {
  const list = document.getElementById("alerts");
  dismiss(key);
  const row = document.createElement("div");
  row.className = note ? "alert note" : "alert";
  row.dataset.key = key;
  const words = document.createElement("p");
  words.textContent = text;
  row.append(words);
  const button = (label, run) => {
    const made = document.createElement("button");
    made.type = "button";
    made.className = "quiet small";
    made.textContent = label;
    made.addEventListener("click", run);
    row.append(made);
  };
  if (action) button(action.label, action.run);
  button("Dismiss", () => remove(row));
  list.append(row);
  // The newest few are enough.
  while (list.children.length > 4) remove(list.firstChild);
  return words;
};

export const dismiss = (key) => {
  for (const row of document.getElementById("alerts").children) {
    if (row.dataset.key === key) return remove(row);
  }
};

/** Removes a row. If it had the focus, its neighbour or their place has it then, so that Tab goes on from there. */
const remove = (row) => {
  const held = row.contains(document.activeElement);
  const next = row.nextElementSibling ?? row.previousElementSibling;
  row.remove();
  if (held) (next?.querySelector("button:last-child") ?? document.getElementById("alerts")).focus({ preventScroll: true });
};
