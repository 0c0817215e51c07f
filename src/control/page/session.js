// The viewer's rights: the form for a token, and whether this browser may change things or only look.

import { SILENT, alert, dismiss, path, problem } from "./api.js";

const element = (name) => document.getElementById(name);
const [dialog, form, field] = ["session", "session-form", "token"].map(element);
const TIMEOUT_MS = 10_000;

/** The reason that the form is open: `required` until the server took a token, and the promise of one. */
let asking = null;

/** Opens the form for a token, if it is not open yet. Resolves once the server took one; to false if it was
 * not required and is cancelled. */
export const signIn = ({ required = true } = {}) => {
  if (!asking) {
    asking = { required, ...Promise.withResolvers() };
    element("session-error").textContent = "";
    dialog.showModal();
    field.focus();
  }
  asking.required ||= required;
  element("session-title").textContent = asking.required ? "This server asks for a token" : "Sign in with another token";
  element("session-cancel").hidden = asking.required;
  return asking.promise;
};

const finish = (signedIn) => {
  const { resolve } = asking;
  asking = null;
  field.value = "";
  dialog.close();
  resolve(signedIn);
};

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const error = element("session-error");
  error.textContent = "";
  try {
    const answer = await fetch(path("session"), {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ token: field.value.trim() }),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    if (!answer.ok) throw await problem(answer);
    tell(await answer.json());
  } catch (failure) {
    error.textContent = failure.status === 401 || failure.status === 403
      ? "The server does not know this token."
      : `You are not signed in: ${failure.status ? failure.message : SILENT}.`;
    field.select();
    return;
  }
  if (asking) finish(true);
});
element("session-cancel").addEventListener("click", () => finish(false));
// Escape must not leave a page that shows nothing and says nothing. A browser lets a page keep it from closing
// only once, and then closes it all the same.
dialog.addEventListener("cancel", (event) => {
  if (asking?.required) event.preventDefault();
});
dialog.addEventListener("close", () => {
  // Opened again meanwhile.
  if (dialog.open) return;
  if (asking?.required) {
    dialog.showModal();
    field.focus();
  } else if (asking) {
    finish(false);
  }
});

// The rights

let changing = true;
let needsToken = false;
const listeners = [];

/** Whether the server wants a token for anything. */
export const tokenNeeded = () => needsToken;

/** Whether this browser may change things. */
export const mayChange = () => changing;

/** Calls back whenever that is another. */
export const onAccess = (listener) => listeners.push(listener);

/** A control that changes something: off while this browser may only look. */
export const changes = (control) => {
  control.dataset.changes = "";
  control.disabled = !changing;
  return control;
};

/** Says that it may not be, if so; for what has no control that could be off, such as a key. */
export const refused = () => {
  if (!changing) {
    alert("You are looking only: this token is not for changes.", {
      key: "looking", note: true, action: { label: "Sign in", run: () => signIn({ required: false }) },
    });
  }
  return !changing;
};

const tell = ({ access, token_needed: needed }) => {
  needsToken = needed;
  const may = access !== "read";
  if (may) dismiss("looking");
  element("looking").hidden = may;
  if (may === changing) return;
  changing = may;
  for (const control of document.querySelectorAll("[data-changes]")) control.disabled = !may;
  for (const listener of listeners) listener();
};

element("looking").addEventListener("click", () => signIn({ required: false }));

/** Asks what this browser may do. */
export const learnAccess = async () => {
  try {
    const answer = await fetch(path("session"), { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) });
    if (answer.ok) tell(await answer.json());
  } catch {
    // The feed says it, if the server is gone, and asks again when it is back.
  }
};
