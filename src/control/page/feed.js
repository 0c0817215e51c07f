// The one stream of updates from the server, and the way back to it after it was lost.
//
// `fetch` and not `EventSource`: that does not say why it failed, and a missing token must be distinguished from a
// server that is gone.

import { Problem, SILENT, problem } from "./api.js";
import { signIn } from "./session.js";

// The server sends ten a second; a connection that says nothing for so long is dead.
const SILENCE_MS = 4000;
/** A page that is hidden for so long lets go of its connection: HTTP/1.1 gives a browser six to a host. */
const AWAY_MS = 30_000;
const RETRY_MS = [250, 500, 1000, 2000, 4000];

/** The events of a server-sent stream: calls `each(name, data)`. Ends when the stream does. */
const read = async (stream, each, heard) => {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    heard();
    rest += value;
    for (let end = rest.indexOf("\n\n"); end >= 0; end = rest.indexOf("\n\n")) {
      let [name, data] = ["message", ""];
      for (const line of rest.slice(0, end).split("\n")) {
        if (line.startsWith("event: ")) name = line.slice(7);
        else if (line.startsWith("data: ")) data += line.slice(6);
      }
      rest = rest.slice(end + 2);
      if (data) each(name, JSON.parse(data));
    }
  }
};

/** Keeps the feed open. `on` has `hello(data)`, `update(data)`, `lost(why, retryAt)` and `retry()`. */
export class Feed {
  #on;
  #attempt = 0;
  #wake = null;
  #abort = null;
  #away = null;
  #resting = false;

  constructor(on) {
    this.#on = on;
    addEventListener("online", () => {
      if (!this.#resting) this.retry();
    });
    document.addEventListener("visibilitychange", () => this.#look());
    this.#look();
  }

  #look() {
    clearTimeout(this.#away);
    if (document.hidden) {
      this.#away = setTimeout(() => {
        this.#resting = true;
        this.#abort?.abort();
      }, AWAY_MS);
    } else {
      this.#resting = false;
      this.retry();
    }
  }

  /** Tries again at once, if it waits to. */
  retry() {
    this.#wake?.();
  }

  async run() {
    for (;;) {
      if (this.#resting) await new Promise((resolve) => { this.#wake = resolve; });
      let why;
      try {
        await this.#connect();
        why = "the server closed the connection";
      } catch (failure) {
        if (failure instanceof Problem && failure.status === 401) {
          await signIn();
          continue;
        }
        why = failure instanceof Problem ? failure.message : SILENT;
      }
      if (this.#resting) continue;
      // Spread, so that the pages of a restarted server do not all come at once.
      const pause = RETRY_MS[Math.min(this.#attempt, RETRY_MS.length - 1)] * (0.75 + Math.random() / 2);
      this.#attempt += 1;
      this.#on.lost(why, performance.now() + pause);
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, pause);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.#wake = null;
      this.#on.retry();
    }
  }

  async #connect() {
    const abort = new AbortController();
    this.#abort = abort;
    let timer;
    const heard = () => {
      clearTimeout(timer);
      timer = setTimeout(() => abort.abort(), SILENCE_MS);
    };
    heard();
    try {
      const answer = await fetch("api/v1/live", { signal: abort.signal, cache: "no-store" });
      if (!answer.ok) throw await problem(answer);
      await read(answer.body, (name, data) => {
        if (name === "hello") {
          this.#attempt = 0;
          this.#on.hello(data);
        } else if (name === "update") {
          this.#on.update(data);
        }
      }, heard);
    } finally {
      clearTimeout(timer);
      abort.abort();
    }
  }
}
