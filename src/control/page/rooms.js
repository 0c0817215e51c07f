// The list of the rooms, there as soon as there is another than `main`. Only the rows on screen exist.

import { chosenRoom, onRoom, roomAddress } from "./address.js";
import { alert, path, request } from "./api.js";
import { Bar, SHOW_MS, toggleClass } from "./bar.js";
import * as show from "./format.js";
import { called, showName } from "./name.js";
import { changes, refused } from "./session.js";
import { Window, arrange } from "./window.js";

const element = (name) => document.getElementById(name);
const OVERSCAN = 4;
/** Rows that move by themselves do so no more often than this. */
const RESORT_MS = 1500;
const natural = new Intl.Collator("en", { numeric: true });

/** name, label, class, what it sorts by, first direction. The last is no figure. */
const COLUMNS = [
  ["name", "Room", "first", ({ name }) => name, 1],
  ["level", "Level", "", ({ level }) => level, -1],
  ["talking", "Talking", "col-talking", ({ talking }) => talking, -1],
  ["streams", "Streams", "number", ({ streams }) => streams, -1],
  ["dropped", "Dropped", "number", ({ dropping, dropped }) => dropping * 1e15 + dropped, -1],
  ["listen", "Listen", "number", null, 1],
];

class RoomRow {
  element = document.createElement("tr");
  item = null;
  #cells = {};
  #link = document.createElement("a");
  #bar = new Bar();
  #listen = document.createElement("button");
  #shownAt = 0;
  #texts = {};

  /** `on` has `listen(room)` and `focus(room)`. */
  constructor(on) {
    this.element.className = "row";
    this.element.setAttribute("role", "row");
    for (const [at, [name, , className]] of COLUMNS.entries()) {
      const cell = document.createElement("td");
      cell.className = className === "first" ? "" : className;
      cell.setAttribute("role", "cell");
      cell.setAttribute("aria-colindex", at + 1);
      this.#cells[name] = cell;
      this.element.append(cell);
    }
    this.#link.className = "room-link";
    this.#cells.name.append(this.#link);
    this.#cells.level.append(this.#bar.element);
    this.#listen.type = "button";
    this.#listen.className = "toggle hear";
    this.#listen.innerHTML = '<svg class="icon" viewBox="0 0 16 16" aria-hidden="true"><path d="M2 6v4h2.6L8 13V3L4.6 6ZM10.5 5.5a3.5 3.5 0 0 1 0 5M12.5 3.5a6.3 6.3 0 0 1 0 9"/></svg>';
    this.#listen.addEventListener("click", () => on.listen(this.item));
    this.#cells.listen.append(this.#listen);
    for (const name of ["talking", "streams", "dropped"]) {
      this.#texts[name] = document.createTextNode("");
      this.#cells[name].append(this.#texts[name]);
    }
    this.element.addEventListener("focusin", () => on.focus(this.item));
  }

  give(room) {
    this.item = room;
    this.element.hidden = room === null;
    if (room === null) return;
    this.#shownAt = 0;
    this.#bar.reset();
    this.element.dataset.room = room.name;
    showName(this.#link, room.name);
    this.#link.href = roomAddress(room.name);
    this.#link.title = room.name;
    this.#link.setAttribute("aria-label", room.name);
    this.#listen.title = "Listen (L)";
    this.#listen.setAttribute("aria-label", `Listen to the room ${room.name}`);
  }

  /** Only the current row is on the way of the Tab key. */
  set current(current) {
    for (const control of [this.#link, this.#listen]) control.tabIndex = current ? 0 : -1;
  }

  focus() {
    this.#link.focus({ preventScroll: true });
  }

  /** `figures` has what the columns sort by, and `talkers`. */
  draw(model, figures, player, now) {
    const room = this.item;
    this.#bar.draw(model.roomLevel[room.place] ?? 0, now);
    const heard = String(player.target?.room === room.name);
    if (this.#listen.getAttribute("aria-pressed") !== heard) this.#listen.setAttribute("aria-pressed", heard);
    const chosen = chosenRoom() === room.name;
    toggleClass(this.element, "open", chosen);
    if (chosen) this.#link.setAttribute("aria-current", "true");
    else this.#link.removeAttribute("aria-current");
    if (now - this.#shownAt <= SHOW_MS) return;
    this.#shownAt = now;
    const { talking, talkers, streams, dropping, dropped } = figures(room, now);
    const names = talkers.map(called).join(", ");
    const more = talking - talkers.length;
    const rate = model.server.rate_hz * model.server.channels;
    this.#say("talking", more > 0 ? `${talking}: ${names} …` : talking > 0 ? `${talking}: ${names}` : "–", talking === 0);
    this.#say("streams", show.count(streams), streams === 0);
    this.#say("dropped", dropping > 0 ? `${show.count(dropping)} now` : show.seconds(dropped, rate), dropping + dropped === 0);
    toggleClass(this.#cells.dropped, "bad", dropping > 0);
    this.#cells.talking.title = names;
    toggleClass(this.element, "dropping", dropping > 0);
    toggleClass(this.element, "talks", talking > 0);
  }

  #say(name, text, zero) {
    if (this.#texts[name].data !== text) this.#texts[name].data = text;
    toggleClass(this.#cells[name], "zero", zero);
  }
}

export class Rooms {
  #model;
  #figures;
  #player;
  #scroll = element("rooms-scroll");
  #body = element("rooms-rows");
  #head = element("rooms-head");
  #window;
  #order = [];
  #sort = { column: COLUMNS[0], direction: 1 };
  #filter = "";
  #current = null;
  #roster = -1;
  #streams = -1;
  #sortedAt = 0;
  #rowHeight = 38;
  #stale = true;
  #pointerInside = false;

  constructor(model, figures, player) {
    [this.#model, this.#figures, this.#player] = [model, figures, player];
    this.#window = new Window(this.#body, () => new RoomRow({
      listen: (room) => player.toggle({ room: room.name }),
      focus: (room) => {
        if (this.#current === room) return;
        this.#current = room;
        this.#stale = true;
      },
    }));
    this.#makeHead();
    const again = () => { this.#stale = true; };
    this.#scroll.addEventListener("scroll", again, { passive: true });
    new ResizeObserver(again).observe(this.#scroll);
    this.#body.addEventListener("pointerenter", () => { this.#pointerInside = true; });
    this.#body.addEventListener("pointerleave", () => { this.#pointerInside = false; });
    this.#body.addEventListener("keydown", (event) => this.#key(event));
    onRoom(again);
    const filter = element("rooms-filter");
    filter.addEventListener("input", () => {
      this.#filter = filter.value.trim().toLowerCase();
      this.#reorder();
    });
    filter.addEventListener("keydown", (event) => {
      if (event.key !== "ArrowDown" || this.#order.length === 0) return;
      event.preventDefault();
      this.#focus(this.#order[0]);
    });
    changes(element("room-new")).addEventListener("click", openRoom);
    element("room-new-form").addEventListener("submit", (event) => this.#open(event));
    element("room-new-cancel").addEventListener("click", () => element("room-dialog").close());
  }

  /** Once a frame. */
  draw(now) {
    const model = this.#model;
    if (!model.totals) return;
    if (this.#roster !== model.roomRoster) {
      this.#roster = model.roomRoster;
      this.#show();
      this.#reorder();
    } else if (this.#streams !== model.slowUpdates) {
      this.#streams = model.slowUpdates;
      // Under a pointer or the focus rows stay where they are.
      const held = this.#pointerInside || this.#body.contains(document.activeElement);
      if (!held && this.#sort.column[0] !== "name" && now - this.#sortedAt > RESORT_MS) this.#reorder();
    }
    if (!model.hasRooms) return;
    if (this.#stale) this.#place();
    for (const row of this.#window.rows) if (row.item) row.draw(model, (room) => this.#of(room, now), this.#player, now);
  }

  /** With `main` alone the page is as if there were no rooms. */
  #show() {
    const model = this.#model;
    const many = model.hasRooms;
    document.body.classList.toggle("many-rooms", many);
    element("rooms").hidden = !many;
    element("mix-title").textContent = many ? "The mix of main" : "The mix";
    const heard = this.#player.target?.room;
    if (heard !== undefined && !model.findRoom(heard)) {
      this.#player.stop();
      alert(`The room ${heard} has closed; there is nothing more to hear of it.`, { key: "listen", note: true });
    }
  }

  #of(room, now) {
    const { place, name } = room;
    const figures = this.#figures.of(room, now);
    return { name, level: this.#model.roomLevel[place] ?? 0, dropped: this.#model.roomSlow.dropped_samples?.[place] ?? 0, ...figures };
  }

  #makeHead() {
    for (const [at, column] of COLUMNS.entries()) {
      const [, label, className, key, first] = column;
      const cell = document.createElement("th");
      cell.className = className;
      cell.scope = "col";
      cell.role = "columnheader";
      cell.setAttribute("aria-colindex", at + 1);
      if (key) {
        const button = document.createElement("button");
        button.type = "button";
        button.textContent = label;
        button.addEventListener("click", () => {
          const same = this.#sort.column === column;
          this.#sort = { column, direction: same ? -this.#sort.direction : first };
          this.#markHead();
          this.#reorder();
        });
        cell.append(button);
      } else {
        cell.textContent = label;
      }
      this.#head.append(cell);
    }
    element("rooms-grid").setAttribute("aria-colcount", COLUMNS.length);
    this.#markHead();
  }

  #markHead() {
    for (const [at, column] of COLUMNS.entries()) {
      const direction = this.#sort.direction > 0 ? "ascending" : "descending";
      if (column[3]) this.#head.children[at].setAttribute("aria-sort", column === this.#sort.column ? direction : "none");
    }
  }

  #reorder() {
    const now = performance.now();
    this.#sortedAt = now;
    const { column: [, , , key], direction } = this.#sort;
    const all = this.#model.rooms.filter((room) => room);
    const keyed = all.filter(({ name }) => name.toLowerCase().includes(this.#filter))
      .map((room) => [key(this.#of(room, now)), room]);
    keyed.sort(([a, first], [b, second]) => {
      const by = typeof a === "string" ? natural.compare(a, b) : a - b;
      return direction * by || natural.compare(first.name, second.name);
    });
    const held = this.#window.rowAround(document.activeElement);
    const at = held ? this.#order.indexOf(held.item) : -1;
    const before = held?.item;
    this.#order = keyed.map(([, room]) => room);
    if (!this.#order.includes(this.#current)) this.#current = this.#order[0] ?? null;
    this.#stale = true;
    const [shown, count] = [this.#order.length, all.length];
    const text = shown === count ? show.count(count) : `${show.count(shown)} of ${show.count(count)}`;
    if (element("rooms-count").textContent !== text) element("rooms-count").textContent = text;
    element("rooms-empty").hidden = shown > 0;
    if (shown === 0) element("rooms-empty").textContent = `No room matches “${this.#filter}”.`;
    if (!before || this.#order.includes(before)) return;
    // The room with the focus has closed.
    const next = this.#order[Math.min(Math.max(0, at), shown - 1)];
    if (next && this.#model.hasRooms) this.#focus(next);
    else element("filter").focus({ preventScroll: true });
  }

  #place() {
    this.#stale = false;
    const probe = this.#window.rows[0]?.element.offsetHeight;
    if (probe) this.#rowHeight = probe;
    const height = this.#rowHeight;
    this.#body.style.height = `${this.#order.length * height}px`;
    element("rooms-grid").setAttribute("aria-rowcount", this.#order.length + 1);
    const first = Math.max(0, Math.floor(this.#scroll.scrollTop / height) - OVERSCAN);
    const last = Math.ceil((this.#scroll.scrollTop + this.#scroll.clientHeight) / height) + OVERSCAN;
    const shown = this.#window.assign(this.#order, first, last, (row, at) => {
      row.element.setAttribute("aria-rowindex", at + 2);
      row.element.style.transform = `translateY(${at * height}px)`;
      row.current = row.item === this.#current;
    });
    arrange(shown.map((row) => row.element));
  }

  #focus(room) {
    this.#current = room;
    const top = this.#order.indexOf(room) * this.#rowHeight;
    const view = this.#scroll.clientHeight - this.#head.offsetHeight;
    if (top < this.#scroll.scrollTop) this.#scroll.scrollTop = top;
    else if (top + this.#rowHeight > this.#scroll.scrollTop + view) this.#scroll.scrollTop = top + this.#rowHeight - view;
    this.#place();
    this.#window.rowOf(room)?.focus();
  }

  #key(event) {
    const row = this.#window.rowAround(event.target);
    if (!row?.item || event.ctrlKey || event.metaKey || event.altKey) return;
    const at = this.#order.indexOf(row.item);
    const page = Math.max(1, Math.floor(this.#scroll.clientHeight / this.#rowHeight) - 2);
    const moves = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -at, End: this.#order.length };
    if (event.key in moves) this.#focus(this.#order[Math.min(this.#order.length - 1, Math.max(0, at + moves[event.key]))]);
    else if (event.key.toLowerCase() === "l") this.#player.toggle({ room: row.item.name });
    else return;
    event.preventDefault();
  }

  async #open(event) {
    event.preventDefault();
    const field = element("room-new-name");
    element("room-new-error").textContent = "";
    try {
      await request("POST", path("rooms"), { name: field.value.trim() });
      element("room-dialog").close();
    } catch (failure) {
      element("room-new-error").textContent = `The room was not opened: ${failure.message}`;
      field.select();
    }
  }
}

/** Asks for the name of a room to be opened. */
export const openRoom = () => {
  if (refused()) return;
  element("room-new-name").value = "";
  element("room-new-error").textContent = "";
  element("room-dialog").showModal();
};
