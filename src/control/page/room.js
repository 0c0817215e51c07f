// The room that is chosen, above its streams: its level, its gain and limiter, and what is done with all of it.

import { chooseRoom, chosenRoom, onRoom } from "./address.js";
import { alert, dismiss, path, request } from "./api.js";
import { Bar } from "./bar.js";
import * as show from "./format.js";
import { showName } from "./name.js";
import { changes, refused } from "./session.js";
import { paintGain } from "./strip.js";

const element = (name) => document.getElementById(name);
/** A hand on a slider sends no more often than this. */
const SEND_MS = 80;
/** What was asked for is shown so long: the next slow columns include it. */
const TRUST_MS = 2200;

export class RoomBar {
  #model;
  #figures;
  #player;
  #bar = new Bar();
  #name = null;
  /** What was asked for here and is not heard back yet. */
  #asked = {};
  #unsent = {};
  #until = 0;
  #timer = null;
  #shown = "";

  /** `move(streams)` asks where to; `shown()` are the streams in the table. */
  constructor(model, figures, player, move, shown) {
    [this.#model, this.#figures, this.#player] = [model, figures, player];
    element("room-level").append(this.#bar.element);
    const slider = element("room-gain");
    slider.addEventListener("input", () => {
      paintGain(slider, element("room-gain-text"), Number(slider.value));
      this.#ask({ gain_db: Number(slider.value) });
    });
    slider.addEventListener("dblclick", () => this.#ask({ gain_db: 0 }));
    element("room-limiter").addEventListener("click", () => this.#ask({ limiter: !this.#of("limiter") }));
    element("room-listen").addEventListener("click", () => player.toggle({ room: this.#name }));
    element("room-move").addEventListener("click", () => move([...shown()]));
    element("room-close").addEventListener("click", () => this.#close());
    element("room-all").addEventListener("click", (event) => {
      event.preventDefault();
      chooseRoom(null);
      element("streams").focus({ preventScroll: true });
    });
    for (const name of ["room-gain", "room-limiter", "room-move", "room-close"]) changes(element(name));
    element("close-form").addEventListener("submit", (event) => {
      event.preventDefault();
      element("close").close();
      this.#delete(this.#closing, event.submitter.value);
    });
    element("close-cancel").addEventListener("click", () => element("close").close());
    onRoom(() => this.#choose());
    this.#choose();
  }

  #closing = null;

  #choose() {
    // The last word about the room before.
    if (Object.keys(this.#unsent).length > 0) this.#send(this.#name);
    this.#name = chosenRoom();
    [this.#asked, this.#unsent] = [{}, {}];
    clearTimeout(this.#timer);
    this.#timer = null;
    this.#bar.reset();
    this.#shown = "";
  }

  /** Once a frame. */
  draw(now) {
    const model = this.#model;
    if (!model.totals) return;
    const room = model.hasRooms && this.#name !== null ? model.findRoom(this.#name) : null;
    const settings = model.roomSlow.gain_db !== undefined;
    const shown = `${model.hasRooms} ${room?.place} ${settings}`;
    if (this.#shown !== shown) {
      this.#shown = shown;
      this.#head(room, settings);
    }
    if (!room) return;
    this.#bar.draw(model.roomLevel[room.place] ?? 0, now);
    if (Object.keys(this.#asked).length > 0 && now > this.#until && !this.#timer) this.#asked = {};
    const slider = element("room-gain");
    const gain = this.#of("gain_db") ?? 0;
    if (Number(slider.value) !== gain || element("room-gain-text").textContent === "") {
      slider.value = gain;
      paintGain(slider, element("room-gain-text"), gain);
    }
    this.#press("room-limiter", Boolean(this.#of("limiter")));
    this.#press("room-listen", this.#player.target?.room === this.#name);
  }

  /** The title of the streams, and the bar if there is the room. */
  #head(room, settings) {
    const chosen = this.#model.hasRooms && this.#name !== null;
    element("room-bar").hidden = !chosen;
    for (const part of element("room-bar").querySelectorAll("[data-room]")) part.hidden = !room;
    showName(element("in-room"), chosen ? this.#name : "");
    element("in-room").parentElement.hidden = !chosen;
    if (!room) return;
    const { name } = room;
    element("room-close").hidden = name === "main";
    element("room-limiter").hidden = element("room-gain").parentElement.hidden = !settings;
    element("room-gain").setAttribute("aria-label", `Gain of the room ${name}`);
    element("room-wav").href = `listen/rooms/${encodeURIComponent(name)}.wav`;
  }

  #press(id, on) {
    const button = element(id);
    if (button.getAttribute("aria-pressed") !== String(on)) button.setAttribute("aria-pressed", on);
  }

  #of(name) {
    const room = this.#model.findRoom(this.#name);
    return this.#asked[name] ?? (room && this.#model.roomSlow[name]?.[room.place]);
  }

  #ask(change) {
    if (refused()) return;
    Object.assign(this.#asked, change);
    Object.assign(this.#unsent, change);
    this.#until = performance.now() + TRUST_MS;
    this.#timer ??= setTimeout(() => this.#send(this.#name), 0);
  }

  /** One at a time, in order: the last word of a moved slider is the last that arrives. */
  async #send(name) {
    const change = this.#unsent;
    this.#unsent = {};
    try {
      await request("PATCH", path("rooms", name), change);
      dismiss("room");
      this.#until = performance.now() + TRUST_MS;
    } catch (failure) {
      if (name === this.#name) this.#asked = {};
      alert(`The room ${name} was not changed: ${failure.message}`, { key: "room" });
    }
    if (name !== this.#name) return;
    const again = Object.keys(this.#unsent).length > 0;
    this.#timer = again ? setTimeout(() => this.#send(name), SEND_MS) : null;
  }

  #close() {
    const room = this.#model.findRoom(this.#name);
    if (!room || refused()) return;
    const { streams } = this.#figures.of(room, performance.now());
    if (streams === 0) {
      this.#delete(room.name, "");
      return;
    }
    this.#closing = room.name;
    element("close-title").textContent = `Close ${room.name}`;
    element("close-text").textContent = `${show.counted(streams, "stream")} ${streams === 1 ? "is" : "are"} in this room.`;
    element("close").showModal();
  }

  async #delete(name, streams) {
    try {
      await request("DELETE", path("rooms", name) + (streams ? `?streams=${streams}` : ""));
      if (this.#name === name) {
        chooseRoom(null);
        element("streams").focus({ preventScroll: true });
      }
    } catch (failure) {
      alert(`The room ${name} was not closed: ${failure.message}`, { key: "room" });
    }
  }
}
