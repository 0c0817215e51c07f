// The menu of rooms to which streams move: typed at, it shows the rooms that match, and offers to open one that is not
// there yet.

import { alert, path, request } from "./api.js";
import * as show from "./format.js";
import { called } from "./name.js";
import { refused } from "./session.js";

const element = (name) => document.getElementById(name);
/** Rooms in the menu; the others are found by typing. */
const SHOWN = 50;
/** A name that a room can have. */
const NAME = /^(?!\.{1,2}$)[!-~]{1,128}$/;
const natural = new Intl.Collator("en", { numeric: true });

export class Move {
  #model;
  #figures;
  #streams = [];
  /** Names in the menu, and whether the room must be opened. */
  #options = [];
  #at = 0;
  #moving = false;

  constructor(model, figures) {
    [this.#model, this.#figures] = [model, figures];
    const field = element("move-room");
    field.addEventListener("input", () => this.#fill());
    field.addEventListener("keydown", (event) => {
      const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (!by || this.#options.length === 0) return;
      event.preventDefault();
      this.#choose((this.#at + by + this.#options.length) % this.#options.length);
    });
    element("move-list").addEventListener("click", (event) => {
      const option = event.target.closest("[role=option]");
      if (!option) return;
      this.#choose(Number(option.dataset.at));
      this.#go();
    });
    element("move-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#go();
    });
    element("move-cancel").addEventListener("click", () => element("move").close());
  }

  /** Asks to which room these streams are to move. */
  ask(streams) {
    if (refused() || streams.length === 0 || this.#moving) return;
    this.#streams = streams;
    const title = streams.length === 1 ? called(streams[0]) : show.counted(streams.length, "stream");
    element("move-title").textContent = `Move ${title}`;
    element("move-error").textContent = "";
    element("move-room").value = "";
    this.#fill();
    element("move").showModal();
    element("move-room").focus();
  }

  #fill() {
    const model = this.#model;
    const text = element("move-room").value.trim();
    // The room where they all are is no choice.
    const here = this.#streams.every(({ room }) => room === this.#streams[0].room) ? model.roomOf(this.#streams[0]) : null;
    const rooms = model.rooms.filter((room) => room && room !== here && room.name.toLowerCase().includes(text.toLowerCase()));
    rooms.sort((a, b) => (b.name === text) - (a.name === text) || natural.compare(a.name, b.name));
    const now = performance.now();
    this.#options = rooms.slice(0, SHOWN).map((room) => ({ name: room.name, note: show.counted(this.#figures.of(room, now).streams, "stream") }));
    const more = rooms.length - this.#options.length;
    const fresh = NAME.test(text) && !model.findRoom(text);
    if (fresh && model.roomsOpen < model.server.rooms_max) this.#options.push({ name: text, note: "opens this room", opens: true });
    element("move-list").replaceChildren(...this.#options.map(({ name, note }, at) => {
      const option = document.createElement("li");
      option.setAttribute("role", "option");
      option.id = `move-option-${at}`;
      option.dataset.at = at;
      const [label, side] = [document.createElement("span"), document.createElement("span")];
      [label.className, side.className] = ["move-name", "soft"];
      [label.textContent, side.textContent] = [name, note];
      option.append(label, side);
      return option;
    }));
    let hint = "";
    if (more > 0) hint = `${show.count(more)} more: type a part of the name.`;
    else if (this.#options.length === 0) hint = text === "" ? "Type a name to open a room." : "No room can be called so, or all rooms are in use, or they are in it.";
    else if (!model.hasRooms) hint = "Type another name to open a room.";
    element("move-hint").textContent = hint;
    this.#choose(0);
  }

  #choose(at) {
    this.#at = at;
    for (const [index, option] of [...element("move-list").children].entries()) {
      option.setAttribute("aria-selected", index === at);
      if (index === at) option.scrollIntoView({ block: "nearest" });
    }
    const field = element("move-room");
    if (this.#options.length > 0) field.setAttribute("aria-activedescendant", `move-option-${at}`);
    else field.removeAttribute("aria-activedescendant");
    element("move-go").disabled = this.#options.length === 0;
  }

  async #go() {
    const option = this.#options[this.#at];
    if (!option || this.#moving) return;
    const { name, opens } = option;
    this.#moving = true;
    element("move-error").textContent = "";
    try {
      if (opens) await request("POST", path("rooms"), { name });
      await this.#move(name, element("move-fade").checked);
      element("move").close();
    } catch (failure) {
      // The menu may have been left meanwhile.
      if (element("move").open) element("move-error").textContent = failure.message;
      else alert(failure.message, { key: "move" });
    } finally {
      this.#moving = false;
    }
  }

  /** One after another. Those that end meanwhile are left out. */
  async #move(room, fade) {
    for (const [done, stream] of this.#streams.entries()) {
      try {
        await request("PUT", path("rooms", room, "streams", stream.id), { fade });
      } catch (failure) {
        if (this.#streams.length > 1 && (failure.status === 404 || failure.status === 409) && this.#model.streams[stream.slot] !== stream) continue;
        const which = this.#streams.length > 1 ? `${show.count(done)} of ${show.count(this.#streams.length)} streams were moved, ${stream.id} was not` : `${stream.id} was not moved`;
        throw new Error(`${which}: ${failure.message}`);
      }
    }
  }
}
