// One row of the table on screen: its controls and figures, for whichever stream it is given.

import { roomAddress } from "./address.js";
import { Bar, toggleClass } from "./bar.js";
import * as show from "./format.js";
import { MUTED, SOLO, WAITING } from "./model.js";
import { called, showName } from "./name.js";
import { changes } from "./session.js";
import { GAIN_MAX, GAIN_MIN, paintGain } from "./strip.js";

const make = (name, className, attributes = {}) => {
  const made = document.createElement(name);
  if (className) made.className = className;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
};
const set = (node, text) => {
  if (node.data !== text) node.data = text;
};

export class Row {
  element = make("tr", "row", { role: "row" });
  stream = null;
  gain = make("input", "", { type: "range", min: GAIN_MIN, max: GAIN_MAX, step: "0.5" });
  #strips;
  #cells = {};
  #texts = {};
  #opener = make("button", "open-button", { type: "button", "aria-expanded": "false" });
  #name;
  #id;
  #label;
  #source = make("span");
  #room = make("a");
  #roomShown;
  #bar = new Bar();
  #gainText = make("output");
  #mute = make("button", "toggle mute", { type: "button", "aria-pressed": "false" });
  #solo = make("button", "toggle solo", { type: "button", "aria-pressed": "false" });
  /** The updates of the model and the requests made here that are shown. */
  #slow = -1;
  #change = -1;

  /** `columns` are names and classes; `on` has `open(row)` and `focus(row)`. */
  constructor(columns, strips, on) {
    this.#strips = strips;
    for (const [at, [name, className]] of columns.entries()) {
      // Columns that a narrow page hides are counted, too.
      const cell = make("td", className === "first" ? "" : className, { role: "cell", "aria-colindex": at + 1 });
      this.element.append(cell);
      this.#cells[name] = cell;
      if (className.includes("number")) {
        this.#texts[name] = document.createTextNode("");
        cell.append(this.#texts[name]);
      }
    }
    this.#cells.room.append(this.#room);
    this.#cells.source.classList.add("source");
    this.#cells.source.append(this.#source);

    this.#opener.innerHTML = '<svg class="turn" viewBox="0 0 18 18" aria-hidden="true"><path d="m7 5 4 4-4 4"/></svg><span class="name"></span><span class="name-id"></span>';
    [this.#name, this.#id] = [".name", ".name-id"].map((part) => this.#opener.querySelector(part));
    this.#opener.addEventListener("click", () => on.open(this));
    this.#cells.id.append(this.#opener);

    this.#cells.level.append(this.#bar.element);

    const gain = make("div", "gain");
    this.#gainText.setAttribute("aria-live", "off");
    gain.append(this.gain, this.#gainText);
    this.#cells.gain.append(gain);
    this.gain.addEventListener("input", () => {
      paintGain(this.gain, this.#gainText, Number(this.gain.value));
      strips.gain(this.stream, Number(this.gain.value));
    });
    this.gain.addEventListener("dblclick", () => strips.gain(this.stream, 0));

    const controls = make("div", "controls");
    this.#mute.textContent = "M";
    this.#solo.textContent = "S";
    controls.append(this.#mute, this.#solo);
    this.#cells.controls.append(controls);
    for (const control of [this.gain, this.#mute, this.#solo]) changes(control);
    this.#mute.addEventListener("click", () => strips.flip(this.stream, MUTED));
    this.#solo.addEventListener("click", () => strips.flip(this.stream, SOLO));
    this.element.addEventListener("focusin", () => on.focus(this));
  }

  get item() {
    return this.stream;
  }

  /** Another stream, or none. */
  give(stream) {
    this.stream = stream;
    this.element.hidden = stream === null;
    if (stream === null) return;
    this.#slow = -1;
    this.#bar.reset();
    this.element.dataset.id = stream.id;
    showName(this.#source, stream.source);
    this.#cells.source.title = stream.source;
    this.#cells.source.setAttribute("aria-label", stream.source);
    this.#mute.title = "Mute (M)";
    this.#solo.title = "Solo (S)";
    this.#call();
  }

  /** The label before the id, if there is one: it may change while the stream runs. */
  #call() {
    const { id, label } = this.stream;
    const text = called(this.stream);
    this.#label = label;
    showName(this.#name, label ?? id);
    this.#id.hidden = !label;
    if (label) showName(this.#id, id);
    this.#opener.title = text;
    this.#opener.setAttribute("aria-label", text);
    this.gain.setAttribute("aria-label", `Gain of ${text}`);
    this.#mute.setAttribute("aria-label", `Mute ${text}`);
    this.#solo.setAttribute("aria-label", `Solo ${text}`);
  }

  /** Only the current row is on the way of the Tab key. */
  set current(current) {
    for (const control of [this.#opener, this.#room, this.gain, this.#mute, this.#solo]) control.tabIndex = current ? 0 : -1;
  }

  set open(open) {
    this.#opener.setAttribute("aria-expanded", open);
    toggleClass(this.element, "open", open);
  }

  focus() {
    this.#opener.focus({ preventScroll: true });
  }

  /** Levels at each frame, text only as it changes. */
  draw(model, now) {
    const { slot } = this.stream;
    if (this.#label !== this.stream.label) this.#call();
    const room = model.roomOf(this.stream);
    if (this.#roomShown !== room) this.#showRoom(room);
    this.#bar.draw(model.level[slot], now);
    toggleClass(this.element, "dropping", model.isRed(slot, now));
    this.#showTalking(model.isTalking(slot));
    const strip = this.#strips.of(this.stream);
    if (this.#slow === model.slowUpdates && this.#change === this.#strips.change) return;
    [this.#slow, this.#change] = [model.slowUpdates, this.#strips.change];
    this.#showStrip(strip);
    this.#showFigures(model, slot);
  }

  #showRoom(room) {
    this.#roomShown = room;
    showName(this.#room, room?.name ?? "");
    this.#room.href = room ? roomAddress(room.name) : "";
  }

  /** Lit for eyes, a description for screen readers. */
  #showTalking(talks) {
    if (this.element.classList.contains("talks") === talks) return;
    this.element.classList.toggle("talks", talks);
    if (talks) this.#opener.setAttribute("aria-description", "talking");
    else this.#opener.removeAttribute("aria-description");
  }

  #showStrip({ gain, flags }) {
    const muted = (flags & MUTED) !== 0;
    const solo = (flags & SOLO) !== 0;
    this.#mute.setAttribute("aria-pressed", muted);
    this.#solo.setAttribute("aria-pressed", solo);
    this.#bar.silent = muted || (this.#strips.anySolo(this.stream) && !solo);
    this.gain.value = gain;
    paintGain(this.gain, this.#gainText, gain);
  }

  #showFigures(model, slot) {
    const rate = model.server.rate_hz * model.server.channels;
    const network = model.jitter_ms[slot] >= 0;
    const figure = (name, value, text, alarm = false) => {
      set(this.#texts[name], text);
      toggleClass(this.#cells[name], "zero", !value);
      toggleClass(this.#cells[name], "bad", alarm);
    };
    // Lost on the way, or dropped. A stream that stands still loses all, though no number says so yet.
    const missing = model.missing_rate[slot];
    const stalled = model.stalled_s[slot];
    figure("missing", missing + stalled, stalled ? `silent ${show.age(stalled * 1000)}` : show.percent(missing), stalled > 0 || missing > 0.001);
    figure("concealed", model.concealed_samples[slot], show.seconds(model.concealed_samples[slot], rate));
    figure("jitter", network, network ? `${model.jitter_ms[slot].toFixed(1)} ms` : "–");
    figure("drift", network, network ? `${show.signed(model.drift_ppm[slot], 0)} ppm` : "–");
    figure("ring", model.ring_high_water_bytes[slot], show.bytes(model.ring_high_water_bytes[slot]));
    figure("age", 1, model.flags[slot] & WAITING ? "waiting" : show.age(model.ageMs(this.stream)));
  }
}
