// Recordings, which start and stop here, and the events that the feed brought.

import { alert, path, request } from "./api.js";
import * as show from "./format.js";

const EVENTS_SHOWN = 100;
/** Kinds of event that are bad news. */
const ALARMS = new Set(["first_drop", "overload", "recording_error"]);

const words = ({ event, name, detail }) => {
  if (event === "stream_started") return `${name} started, ${detail}`;
  if (event === "stream_ended") return `${name} ended: ${detail}`;
  if (event === "first_drop") return `${name} dropped its first ${detail}`;
  return name ? `${name}: ${detail}` : detail;
};

const row = (when, what, alarm = false) => {
  const item = document.createElement("li");
  const [time, words] = [document.createElement("span"), document.createElement("span")];
  time.className = "when";
  time.textContent = when;
  words.className = alarm ? "what alarm" : "what";
  words.textContent = what;
  item.append(time, words);
  return item;
};

const none = (text) => {
  const item = document.createElement("li");
  item.className = "none";
  item.textContent = text;
  return item;
};

export class Events {
  #list = document.getElementById("events");
  #last = -1;

  constructor() {
    this.clear();
  }

  clear() {
    this.#last = -1;
    this.#list.replaceChildren(none("Nothing happened yet."));
  }

  /** Each event is `{ id, at_s, event, name, detail }`, the oldest first. */
  add(events) {
    const fresh = events.filter(({ id }) => id > this.#last).slice(-EVENTS_SHOWN);
    if (fresh.length === 0) return;
    if (this.#last < 0) this.#list.replaceChildren();
    this.#last = fresh.at(-1).id;
    const rows = fresh.map((event) => row(show.age(event.at_s * 1000), words(event), ALARMS.has(event.event)));
    this.#list.prepend(...rows.reverse());
    while (this.#list.children.length > EVENTS_SHOWN) this.#list.lastElementChild.remove();
  }
}

/** A name that says when, in this browser's time. */
const nameNow = () => {
  const two = (value) => String(value).padStart(2, "0");
  const now = new Date();
  const day = `${now.getFullYear()}-${two(now.getMonth() + 1)}-${two(now.getDate())}`;
  return `mix-${day}-${two(now.getHours())}${two(now.getMinutes())}${two(now.getSeconds())}.wav`;
};

export class Recordings {
  #model;
  #list = document.getElementById("recordings");
  #button = document.getElementById("record");
  #known = "";

  constructor(model) {
    this.#model = model;
    this.#button.addEventListener("click", () => this.#start());
    this.refresh();
    setInterval(() => {
      if (!document.hidden) this.refresh();
    }, 2000);
  }

  async refresh() {
    try {
      const answer = await request("GET", path("recordings"));
      this.#tell(answer.recordings);
    } catch {
      // The feed says it, if the server is gone.
    }
  }

  #tell(recordings) {
    const known = JSON.stringify(recordings);
    if (known === this.#known) return;
    this.#known = known;
    if (recordings.length === 0) {
      this.#list.replaceChildren(none("Nothing is being recorded."));
      return;
    }
    const running = ({ phase }) => phase === "recording";
    // Those that run first, then the latest.
    const ordered = [...recordings].sort((a, b) => running(b) - running(a) || b.id - a.id);
    // A button that has the focus keeps it.
    const focused = document.activeElement?.dataset?.recording;
    this.#list.replaceChildren(...ordered.map((recording) => this.#row(recording, running(recording))));
    if (focused) [...this.#list.querySelectorAll("button")].find(({ dataset }) => dataset.recording === focused)?.focus();
  }

  #row(recording, running) {
    const { name, phase, samples, lost_samples: lost, error } = recording;
    const { rate_hz: rate, channels } = this.#model.server;
    const length = show.age((samples * 1000) / (rate * channels));
    const missing = lost > 0 ? `, ${show.count(lost)} samples lost` : "";
    const item = row(running ? "● now" : phase, `${name}, ${length}${missing}${error ? `: ${error}` : ""}`, Boolean(error || lost));
    if (running) {
      item.firstChild.className = "when alarm";
      const stop = document.createElement("button");
      stop.type = "button";
      stop.className = "quiet small";
      stop.textContent = "Stop";
      stop.dataset.recording = recording.id;
      stop.setAttribute("aria-label", `Stop recording ${name}`);
      stop.addEventListener("click", () => this.#stop(recording));
      item.append(stop);
    }
    return item;
  }

  async #start() {
    this.#button.disabled = true;
    try {
      await request("POST", path("recordings"), { name: nameNow() });
    } catch (failure) {
      alert(`The recording was not started: ${failure.message}`, { key: "record" });
    }
    this.#button.disabled = false;
    this.refresh();
  }

  async #stop({ id, name }) {
    try {
      await request("DELETE", path("recordings", String(id)));
    } catch (failure) {
      alert(`${name} was not stopped: ${failure.message}`, { key: "record" });
    }
    this.refresh();
  }
}
