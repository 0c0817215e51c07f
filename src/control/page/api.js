// Requests to the server. An answer that is no success becomes an Error with the problem's words; a 401
// asks for the token, once, and what was refused for the lack of it is tried again.

/** An answer other than a success, with its status. */
export class Problem extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

const dialog = () => document.getElementById("session");
let asking = null;

export const path = (...parts) => `api/v1/${parts.map(encodeURIComponent).join("/")}`;

/** The address of a WebSocket of this server. */
export const socket = (place, query) => {
  const url = new URL(place, document.baseURI);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  url.search = new URLSearchParams(query).toString();
  return url.href;
};

/** Why a WebSocket was refused: a browser does not say, but plain HTTP gets the same refusal. */
export const refusal = async (address) => {
  try {
    const answer = await fetch(address.replace(/^ws/, "http"), { cache: "no-store" });
    // 426: all was well but for the WebSocket that this is not.
    return answer.status === 426 ? "the connection failed" : (await problem(answer)).message;
  } catch {
    return "the server does not answer";
  }
};

/** Opens the form for the token, if it is not open yet. Resolves once the server took one. */
export const signIn = () => {
  asking ??= new Promise((resolve) => {
    const form = document.getElementById("session-form");
    const error = document.getElementById("session-error");
    const field = document.getElementById("token");
    const submit = async (event) => {
      event.preventDefault();
      error.textContent = "";
      try {
        const answer = await fetch(path("session"), {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify({ token: field.value.trim() }),
        });
        if (!answer.ok) throw await problem(answer);
      } catch (failure) {
        error.textContent = failure.status === 401 || failure.status === 403
          ? "The server does not know this token."
          : `The server did not answer: ${failure.message}`;
        field.select();
        return;
      }
      field.value = "";
      form.removeEventListener("submit", submit);
      dialog().close();
      asking = null;
      resolve();
    };
    form.addEventListener("submit", submit);
    dialog().showModal();
    field.focus();
  });
  return asking;
};

// Escape would leave a page that shows nothing and says nothing.
dialog().addEventListener("cancel", (event) => event.preventDefault());

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

/** One request; JSON in and out. Throws a Problem, or a TypeError if nobody answers. */
export const request = async (method, place, body) => {
  for (;;) {
    const answer = await fetch(place, {
      method,
      headers: body === undefined ? {} : { "content-type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    if (answer.status === 401) {
      await signIn();
      continue;
    }
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
  button("Dismiss", () => row.remove());
  list.append(row);
  // The newest few are enough.
  while (list.children.length > 4) list.firstChild.remove();
  return words;
};

export const dismiss = (key) => {
  for (const row of document.getElementById("alerts").children) {
    if (row.dataset.key === key) return row.remove();
  }
};
