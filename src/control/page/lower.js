// Recordings, which start and stop here, and the events that the feed brought.

import { chosenRoom, onRoom } from "./address.js";
import { alert, path, request } from "./api.js";
import * as show from "./format.js";
import { changes, mayChange, onAccess } from "./session.js";

const EVENTS_SHOWN = 100;
/** Kinds of event that are bad news. */
const ALARMS = new Set(["first_drop", "stream_burst_discarded", "stream_losing", "stream_stalled", "overload", "recording_error",
  "node_down", "node_refused", "cluster_alone", "room_differs"]);

const words = ({ event, name, detail }) => {
  if (event === "stream_started") return `${name} started, ${detail}`;
  if (event === "stream_ended") return `${name} ended: ${detail}`;
  if (event === "first_drop") return `${name} dropped its first ${detail}`;
  if (event === "stream_moved") return `${name} moves to the room ${detail}`;
  const clusters = {
    node_up: `node ${name} is taken in ${detail}`,
    node_down: `node ${name} is down: ${detail}`,
    node_left: `node ${name} has left`,
    node_refused: `node ${name} is refused: ${detail}`,
    cluster_joined: "this node has joined the cluster",
    cluster_alone: `this node is alone: ${detail}`,
    room_differs: `${name} differs ${detail}`,
    room_same: `${name} is the same ${detail}`,
  };
  if (clusters[event]) return clusters[event];
  return name ? `${name}: ${detail}` : detail;
};

const NO_FOLDER = "This server has no folder for recordings: start it with --recordings DIR.";

const row = (when, what, alarm = false) => {
  const item = document.createElement("li");
  item.append(document.createElement("span"), document.createElement("span"));
  fill(item, when, what, alarm);
  return item;
};

const fill = ({ children: [time, words] }, when, what, alarm) => {
  time.className = "when";
  words.className = alarm ? "what alarm" : "what";
  if (time.textContent !== when) time.textContent = when;
  if (words.textContent !== what) words.textContent = what;
};

const none = (text) => {
  const item = document.createElement("li");
  item.className = "none";
  item.textContent = text;
  return item;
};

export class Events {
  #list = document.getElementById("events");
  #latest = document.getElementById("latest");
  #jump = document.getElementById("events-jump");
  #last = -1;

  constructor() {
    this.#jump.addEventListener("click", (event) => {
      event.preventDefault();
      const title = document.getElementById("events-title");
      title.scrollIntoView({ block: "center" });
      title.focus({ preventScroll: true });
    });
    this.clear();
  }

  clear() {
    this.#last = -1;
    this.#list.replaceChildren(none("Nothing happened yet."));
    this.#show("Nothing happened yet.", false, 0);
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
    const event = fresh.at(-1);
    this.#show(`${show.age(event.at_s * 1000)} · ${words(event)}`, ALARMS.has(event.event), this.#list.children.length);
  }

  /** The latest event above the streams, where it is seen without scrolling. */
  #show(text, alarm, all) {
    this.#latest.textContent = text;
    this.#latest.title = text;
    this.#latest.classList.toggle("alarm", alarm);
    this.#jump.hidden = all === 0;
    this.#jump.textContent = all === 1 ? "1 event" : `All ${all} events`;
  }
}

/** A file's name that says when, in this browser's time, and of a room which, as far as a file can be called so. */
const nameNow = (room) => {
  const two = (value) => String(value).padStart(2, "0");
  const now = new Date();
  const day = `${now.getFullYear()}-${two(now.getMonth() + 1)}-${two(now.getDate())}`;
  const what = room === null ? "mix" : room.replace(/[^A-Za-z0-9-]/g, "_").slice(0, 64);
  return `${what}-${day}-${two(now.getHours())}${two(now.getMinutes())}${two(now.getSeconds())}.wav`;
};

export class Recordings {
  #model;
  #list = document.getElementById("recordings");
  #button = document.getElementById("record");
  #rule = document.getElementById("record-rule");
  #starting = false;
  /** By id. A row stays what it is while its text moves on, or a press on its button would be lost. */
  #rows = new Map();
  #none = none("Nothing is being recorded.");
  #asking = false;
  #again = false;

  constructor(model) {
    this.#model = model;
    this.#button.addEventListener("click", () => this.#start());
    const byRule = changes(this.#rule.querySelector("button"));
    byRule.addEventListener("click", () => this.#flipRule(byRule));
    onAccess(() => this.#arm());
    onRoom(() => this.#arm());
    this.refresh();
    setInterval(() => {
      if (!document.hidden && !this.#asking) this.refresh();
    }, 2000);
  }

  /** The room whose streams are shown is the one to record. */
  get #room() {
    return this.#model.hasRooms ? chosenRoom() : null;
  }

  /** The button is off where nothing can be recorded, and the list says why. */
  #arm() {
    const { records } = this.#model.server;
    this.#button.disabled = !records || !mayChange() || this.#starting;
    const text = this.#room === null ? "Record the mix" : "Record the room";
    if (this.#button.textContent !== text) this.#button.textContent = text;
    this.#button.title = records ? "" : NO_FOLDER;
    this.#none.textContent = records ? "Nothing is being recorded." : NO_FOLDER;
  }

  /** One request at a time; what is asked for meanwhile is asked once more. */
  async refresh() {
    this.#arm();
    this.#again = this.#asking;
    if (this.#asking) return;
    this.#asking = true;
    try {
      const [answer, { recording: rule }] = await Promise.all(
        [request("GET", path("recordings")), request("GET", path("rooms", this.#room ?? "main"))]);
      this.#tell(answer.recordings);
      this.#tellRule(rule);
    } catch {
      // The feed says it, if the server is gone.
    }
    this.#asking = false;
    if (this.#again) this.refresh();
  }

  /** What the config has recorded of the room, beside its mix from its opening on. */
  #tellRule(rule) {
    this.#rule.hidden = !rule;
    if (!rule) return;
    const { when, on, refused } = rule;
    const texts = { always: "Its streams are recorded.", occupied: "Recorded while it has streams." };
    const text = texts[when] ?? (on ? "Recorded by its rule." : "Its rule waits for a command.");
    this.#rule.querySelector("span").textContent = refused > 0 ? `${text} ${show.counted(refused, "recording")} refused.` : text;
    const button = this.#rule.querySelector("button");
    button.hidden = when !== "command";
    button.setAttribute("aria-pressed", String(on));
  }

  async #flipRule(button) {
    const method = button.getAttribute("aria-pressed") === "true" ? "DELETE" : "POST";
    try {
      await request(method, path("rooms", this.#room ?? "main", "recording"));
    } catch (failure) {
      alert(`The room's rule: ${failure.message}`, { key: "record" });
    }
    this.refresh();
  }

  #tell(recordings) {
    const running = ({ phase }) => ["recording", "paused", "disk_full"].includes(phase);
    // Those that run first, then the latest.
    const ordered = [...recordings].sort((a, b) => running(b) - running(a) || b.id - a.id);
    const before = this.#rows;
    this.#rows = new Map(ordered.map((recording) => {
      const key = `${this.#model.server.instance} ${recording.id}`;
      const item = before.get(key) ?? row("", "");
      before.delete(key);
      this.#fill(item, recording, running(recording));
      return [key, item];
    }));
    for (const item of before.values()) item.remove();
    const items = this.#rows.size > 0 ? [...this.#rows.values()] : [this.#none];
    if (this.#rows.size > 0) this.#none.remove();
    // Only what stands elsewhere is moved: an element that is moved loses the focus.
    for (const [at, item] of items.entries()) {
      if (this.#list.children[at] !== item) this.#list.insertBefore(item, this.#list.children[at] ?? null);
    }
  }

  #fill(item, recording, running) {
    const { name, phase, room = "main", stream, samples, lost_samples: lost, error, segment = 1 } = recording;
    const { rate_hz: rate, channels } = this.#model.server;
    const length = show.age((samples * 1000) / (rate * channels));
    const missing = lost > 0 ? `, ${show.counted(lost, "sample")} lost` : "";
    fill(item, running ? `● ${phase === "recording" ? "now" : phase.replace("_", " ")}` : phase, `${name}${stream || room !== "main" ? ` of ${stream ?? room}` : ""}, ${length}${segment > 1 ? ` in ${segment} files` : ""}${missing}${error ? `: ${error}` : ""}`, Boolean(error || lost));
    if (running) item.firstChild.className = "when alarm";
    const buttons = item.querySelectorAll("button");
    if (running && buttons.length === 0) item.append(...this.#steering(recording));
    if (running) {
      const pause = item.querySelector("[aria-pressed]");
      pause.setAttribute("aria-pressed", String(phase === "paused"));
    } else if (buttons.length > 0) {
      const held = item.contains(document.activeElement);
      for (const button of buttons) button.remove();
      if (held) this.#button.focus();
    }
    if (recording.file && !item.querySelector("a")) item.append(this.#link(recording));
  }

  #link({ name, file }) {
    const link = document.createElement("a");
    // Relative to the page, which a proxy may have elsewhere.
    link.href = file.replace(/^\//, "");
    link.download = name;
    link.textContent = "Download";
    link.setAttribute("aria-label", `Download ${name}`);
    return link;
  }

  /** The buttons of a recording that runs. */
  #steering({ id, name }) {
    const button = (text, label, press) => {
      const made = document.createElement("button");
      made.type = "button";
      made.className = "quiet small";
      made.textContent = text;
      made.setAttribute("aria-label", `${label} ${name}`);
      made.addEventListener("click", async () => {
        try {
          await press(made);
        } catch (failure) {
          alert(`${label} ${name}: ${failure.message}`, { key: "record" });
        }
        this.refresh();
      });
      return changes(made);
    };
    const its = (...more) => path("recordings", String(id), ...more);
    const pause = button("Pause", "Pause recording", (made) =>
      request("PATCH", its(), { paused: made.getAttribute("aria-pressed") !== "true" }));
    pause.setAttribute("aria-pressed", "false");
    return [
      pause,
      button("Mark", "Mark this moment in", async () => {
        const { index } = await request("POST", its("marks"), { name: new Date().toISOString() });
        alert(`${name} has a mark at sample ${index}.`, { key: "record", note: true });
      }),
      button("Stop", "Stop recording", () => request("DELETE", its())),
    ];
  }

  async #start() {
    this.#starting = true;
    this.#arm();
    try {
      const room = this.#room;
      await request("POST", path("recordings"), { name: nameNow(room), ...(room !== null && { room }) });
    } catch (failure) {
      alert(`The recording was not started: ${failure.message}`, { key: "record" });
    }
    this.#starting = false;
    this.refresh();
  }
}
