// Gain, mute and solo of the streams: what was last heard of them, over which stands what was asked for here
// and not yet heard back.

import { alert, dismiss, path, request } from "./api.js";
import { signed } from "./format.js";
import { MUTED, SOLO } from "./model.js";
import { refused } from "./session.js";

/** The ends of the sliders: the part of all gains that hands use. */
export const GAIN_MIN = -40;
export const GAIN_MAX = 12;
/** The range that the server takes; below it is only silence. */
const ASKED_MIN = -96;
const ASKED_MAX = 24;
/** A hand on a slider sends no more often than this. */
const SEND_MS = 80;
/** A request is shown so long: the next slow columns include it. */
const TRUST_MS = 2200;

/** Shows a gain: the slider's filled part, the figure, and what a screen reader says. */
export const paintGain = (slider, output, db) => {
  const at = ((Math.min(GAIN_MAX, Math.max(GAIN_MIN, db)) - GAIN_MIN) / (GAIN_MAX - GAIN_MIN)) * 100;
  slider.style.setProperty("--at", `${at}%`);
  const text = `${db > 0 ? "+" : ""}${signed(db, 1)}`;
  output.textContent = text;
  slider.setAttribute("aria-valuetext", `${text} dB`);
};

export class Strips {
  #model;
  #asked = new Map();
  /** Rises with each thing that was asked here, or no longer is. */
  change = 0;
  #counted = { slow: -1, change: -1, roster: -1 };

  constructor(model) {
    this.#model = model;
  }

  /** `gain` in dB, and `flags`. */
  of(stream) {
    const heard = { gain: this.#model.gain_db[stream.slot], flags: this.#model.flags[stream.slot] };
    const asked = this.#asked.get(stream);
    if (!asked) return heard;
    if (performance.now() > asked.until && !asked.timer && !asked.sending) {
      this.#asked.delete(stream);
      this.change += 1;
      return heard;
    }
    return { gain: asked.wanted.gain_db ?? heard.gain, flags: (heard.flags & ~asked.mask) | asked.flags };
  }

  /** How many streams are `muted` and how many `solo`, in sight or not. */
  counts() {
    return this.#count().all;
  }

  /** Those in a room. */
  countsIn(room) {
    return this.#count().rooms.get(room?.place) ?? { muted: 0, solo: 0 };
  }

  /** Whether a stream is solo in the room of this one. */
  anySolo(stream) {
    return (this.#count().rooms.get(stream.room)?.solo ?? 0) > 0;
  }

  #count() {
    const known = this.#counted;
    const { slowUpdates: slow, roster, streams } = this.#model;
    if (known.slow === slow && known.roster === roster && known.change === this.change) return known;
    const [all, rooms] = [{ muted: 0, solo: 0 }, new Map()];
    for (const stream of streams) {
      const flags = stream ? this.of(stream).flags & (MUTED | SOLO) : 0;
      if (flags === 0) continue;
      if (!rooms.has(stream.room)) rooms.set(stream.room, { muted: 0, solo: 0 });
      for (const counted of [all, rooms.get(stream.room)]) {
        if (flags & MUTED) counted.muted += 1;
        if (flags & SOLO) counted.solo += 1;
      }
    }
    this.#counted = { slow, roster, change: this.change, all, rooms };
    return this.#counted;
  }

  /** Turns a switch off by one request, for all streams or those of the room of this name. */
  async clear(flag, room) {
    if (refused()) return;
    const name = flag === MUTED ? "mute" : "solo";
    const model = this.#model;
    const cleared = model.streams.filter((stream) => stream && this.of(stream).flags & flag && (room === null || model.roomOf(stream)?.name === room));
    for (const stream of cleared) {
      const asked = this.#note(stream, flag, false);
      for (const change of [asked.wanted, asked.unsent]) delete change[flag === MUTED ? "muted" : "solo"];
    }
    try {
      await request("DELETE", room === null ? path(name) : path("rooms", room, name));
      dismiss(`clear ${name}`);
    } catch (failure) {
      for (const stream of cleared) this.#asked.delete(stream);
      this.change += 1;
      alert(`The ${name} of ${room === null ? "all streams" : `the streams in ${room}`} was not cleared: ${failure.message}`, { key: `clear ${name}` });
    }
  }

  gain(stream, db) {
    this.#ask(stream, { gain_db: db });
  }

  /** So many dB up or down from what is in force, which may lie beyond the slider's ends. */
  step(stream, by) {
    const { gain } = this.of(stream);
    const wanted = Math.min(ASKED_MAX, Math.max(ASKED_MIN, gain + by));
    // From silence, or at an end, a key could move it the other way.
    if ((wanted - gain) * by > 0) this.gain(stream, wanted);
  }

  flip(stream, flag) {
    const on = (this.of(stream).flags & flag) === 0;
    this.#ask(stream, flag === MUTED ? { muted: on } : { solo: on }, flag, on);
  }

  #ask(stream, change, flag = 0, on = false) {
    if (refused()) return;
    const asked = this.#note(stream, flag, on);
    Object.assign(asked.wanted, change);
    Object.assign(asked.unsent, change);
    asked.timer ??= setTimeout(() => this.#send(stream, asked), asked.sending ? SEND_MS : 0);
  }

  /** The switch of a stream stands as it is asked for here, until the server is heard of it. */
  #note(stream, flag, on) {
    const asked = this.#asked.get(stream) ?? { wanted: {}, unsent: {}, mask: 0, flags: 0 };
    asked.mask |= flag;
    asked.flags = (asked.flags & ~flag) | (on ? flag : 0);
    asked.until = performance.now() + TRUST_MS;
    this.change += 1;
    this.#asked.set(stream, asked);
    return asked;
  }

  async #send(stream, asked) {
    asked.timer = null;
    if (asked.sending) {
      // One at a time, in order: the last word of a moved slider is the last that arrives.
      asked.timer = setTimeout(() => this.#send(stream, asked), SEND_MS);
      return;
    }
    const change = asked.unsent;
    asked.unsent = {};
    asked.sending = true;
    try {
      await request("PATCH", path("streams", stream.id), change);
      dismiss(`strip ${stream.id}`);
      asked.until = performance.now() + TRUST_MS;
    } catch (failure) {
      this.#asked.delete(stream);
      this.change += 1;
      alert(`${stream.id} was not changed: ${failure.message}`, { key: `strip ${stream.id}` });
    } finally {
      asked.sending = false;
    }
  }
}
