// The table of the streams. Only the rows on screen exist: some thirty rows of DOM, given another stream
// as the table scrolls, whether there are ten streams or ten thousand.

import { chooseRoom, chosenRoom, onRoom } from "./address.js";
import * as show from "./format.js";
import { MUTED, SOLO } from "./model.js";
import { Row } from "./row.js";
import { changes } from "./session.js";
import { Window, arrange } from "./window.js";

/** name, label, class, what it sorts by, first direction. */
const COLUMNS = [
  ["id", "Stream", "first", (model, stream) => stream.id, 1],
  ["room", "Room", "col-room", (model, stream) => model.roomOf(stream)?.name ?? "", 1],
  ["source", "Source", "col-source", (model, stream) => stream.source, 1],
  ["level", "Level", "", (model, { slot }) => model.level[slot], -1],
  ["gain", "Gain", "col-gain", (model, { slot }) => model.gain_db[slot], -1],
  ["controls", "Mute, solo", "", (model, { slot }) => model.flags[slot] & (MUTED | SOLO), -1],
  ["missing", "Missing", "number", (model, { slot }) => model.missing_rate[slot] + model.stalled_s[slot], -1],
  ["concealed", "Concealed", "number col-concealed", (model, { slot }) => model.concealed_samples[slot], -1],
  ["jitter", "Jitter", "number col-jitter", (model, { slot }) => model.jitter_ms[slot], -1],
  ["drift", "Drift", "number col-drift", (model, { slot }) => Math.abs(model.drift_ppm[slot]), -1],
  ["ring", "Ring high", "number col-ring", (model, { slot }) => model.ring_high_water_bytes[slot], -1],
  ["age", "Age", "number col-age", (model, stream) => -stream.number, -1],
];
const SHORT = { controls: "M / S" };
const OVERSCAN = 4;
/** Rows that move by themselves do so no more often than this. */
const RESORT_MS = 1500;
const natural = new Intl.Collator("en", { numeric: true });

export class Table {
  #model;
  #strips;
  #detail;
  #scroll = document.getElementById("scroll");
  #body = document.getElementById("rows");
  #head = document.getElementById("head");
  #grid = document.getElementById("grid");
  #empty = document.getElementById("empty");
  #count = document.getElementById("count");
  #order = [];
  #sort = { column: COLUMNS[0], direction: 1 };
  #filter = "";
  #show = "all";
  #window;
  #open = null;
  #current = null;
  #sortedAt = 0;
  #roster = -1;
  #roomRoster = -1;
  #slow = -1;
  #rowHeight = 38;
  #pointerInside = false;
  #stale = true;
  /** The counts that the bar and the chips show. */
  #switched = "";
  #move;

  /** `detail` shows what a row opens: `element`, `show(stream)`, `hide()`, `listen(stream)`; `move(streams)` asks where
   * to. */
  constructor(model, strips, detail, move) {
    [this.#model, this.#strips, this.#detail, this.#move] = [model, strips, detail, move];
    this.#window = new Window(this.#body, () => this.#makeRow());
    this.#makeHead();
    onRoom(() => {
      if (this.#open && !this.#inRoom(this.#open)) this.#setOpen(null);
      this.#switched = "";
      this.#scroll.scrollTop = 0;
      this.#reorder();
    });
    const again = () => { this.#stale = true; };
    this.#scroll.addEventListener("scroll", again, { passive: true });
    new ResizeObserver(again).observe(this.#scroll);
    new ResizeObserver(again).observe(detail.element);
    this.#body.addEventListener("pointerenter", () => { this.#pointerInside = true; });
    this.#body.addEventListener("pointerleave", () => { this.#pointerInside = false; });
    this.#body.addEventListener("keydown", (event) => this.#key(event));
    const filter = document.getElementById("filter");
    filter.addEventListener("input", () => {
      this.#filter = filter.value.trim().toLowerCase();
      this.#reorder();
    });
    filter.addEventListener("keydown", (event) => {
      if (event.key === "ArrowDown" && this.#order.length > 0) {
        event.preventDefault();
        this.#focus(this.#order[0]);
      }
    });
    for (const chip of document.querySelectorAll(".chip")) {
      chip.addEventListener("click", () => {
        this.#show = chip.dataset.show;
        for (const other of document.querySelectorAll(".chip")) other.setAttribute("aria-pressed", other === chip);
        this.#reorder();
      });
    }
    for (const [id, flag] of [["clear-solo", SOLO], ["clear-mute", MUTED]]) {
      changes(document.getElementById(id)).addEventListener("click", () => this.#clear(flag));
    }
  }

  /** The streams that are shown, by the room and the filter that are chosen. */
  get shown() {
    return this.#order;
  }

  /** Brings a stream's row to view and opens it, also if the filter hides it. */
  reveal(stream) {
    if (!this.#inRoom(stream)) chooseRoom(null);
    if (!this.#order.includes(stream)) {
      document.getElementById("filter").value = "";
      this.#filter = "";
      document.querySelector('.chip[data-show="all"]').click();
    }
    this.#setOpen(stream);
    document.getElementById("streams").scrollIntoView({ block: "nearest" });
    this.#focus(stream);
  }

  /** Once a frame. */
  draw(now) {
    const model = this.#model;
    if (!model.totals) return;
    if (this.#roster !== model.roster || this.#roomRoster !== model.roomRoster) {
      [this.#roster, this.#roomRoster] = [model.roster, model.roomRoster];
      const held = this.#held();
      if (this.#open && model.streams[this.#open.slot] !== this.#open) this.#setOpen(model.find(this.#open.id));
      this.#reorder(held);
    } else if (this.#slow !== model.slowUpdates) {
      this.#slow = model.slowUpdates;
      // Under a pointer or a hand on a slider rows stay where they are.
      const held = this.#pointerInside || this.#body.contains(document.activeElement);
      if (!held && now - this.#sortedAt > RESORT_MS) this.#reorder();
    }
    if (this.#stale) this.#place();
    this.#showSwitched(now);
    for (const row of this.#window.rows) if (row.stream) row.draw(model, now);
  }

  /** Whether it is in the room that is chosen, if one is. */
  #inRoom(stream) {
    const name = chosenRoom();
    return name === null || !this.#model.hasRooms || this.#model.roomOf(stream)?.name === name;
  }

  #clear(flag) {
    this.#strips.clear(flag, this.#model.hasRooms ? chosenRoom() : null);
    // The button goes with what it cleared: the focus stays near.
    document.getElementById("filter").focus({ preventScroll: true });
  }

  /** Streams that are solo, muted or drop, though their rows may be out of sight. */
  #showSwitched(now) {
    const model = this.#model;
    const room = model.hasRooms ? chosenRoom() : null;
    const { solo, muted } = room === null ? this.#strips.counts() : this.#strips.countsIn(model.findRoom(room));
    const inRoom = model.streams.filter((stream) => stream && this.#inRoom(stream));
    const dropping = inRoom.filter(({ slot }) => model.isRed(slot, now)).length;
    const talking = inRoom.filter(({ slot }) => model.isTalking(slot)).length;
    const shown = `${solo} ${muted} ${dropping} ${talking} ${model.hasRooms}`;
    if (shown === this.#switched) return;
    this.#switched = shown;
    const streams = (count) => `${show.count(count)} ${count === 1 ? "stream is" : "streams are"}`;
    const bar = document.getElementById("switched");
    const say = (id, count, text) => {
      const line = document.getElementById(id);
      line.hidden = count === 0;
      if (count > 0) line.firstElementChild.textContent = text;
    };
    say("switched-solo", solo, `${streams(solo)} solo: the others ${model.hasRooms && room === null ? "of their rooms " : ""}are silent.`);
    say("switched-muted", muted, `${streams(muted)} muted.`);
    bar.hidden = solo + muted === 0;
    for (const [name, count] of Object.entries({ talking, dropping, muted, solo })) {
      document.querySelector(`.chip[data-show="${name}"] .chip-count`).textContent = count > 0 ? ` ${show.count(count)}` : "";
    }
  }

  #makeHead() {
    for (const [at, column] of COLUMNS.entries()) {
      const [name, label, className, , first] = column;
      const cell = document.createElement("th");
      cell.className = className;
      cell.scope = "col";
      cell.role = "columnheader";
      cell.setAttribute("aria-colindex", at + 1);
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = SHORT[name] ?? label;
      if (SHORT[name]) button.setAttribute("aria-label", label);
      button.addEventListener("click", () => {
        const same = this.#sort.column === column;
        this.#sort = { column, direction: same ? -this.#sort.direction : first };
        this.#markHead();
        this.#reorder();
      });
      cell.append(button);
      this.#head.append(cell);
    }
    this.#grid.setAttribute("aria-colcount", COLUMNS.length);
    this.#detail.element.firstElementChild.setAttribute("aria-colspan", COLUMNS.length);
    this.#markHead();
  }

  #markHead() {
    for (const [at, column] of COLUMNS.entries()) {
      const direction = this.#sort.direction > 0 ? "ascending" : "descending";
      this.#head.children[at].setAttribute("aria-sort", column === this.#sort.column ? direction : "none");
    }
  }

  /** The stream with the row that has the focus, and its place. The details of a row are a part of it. */
  #held() {
    const focused = document.activeElement;
    const row = this.#window.rowAround(focused);
    const stream = row ? row.stream : this.#detail.element.contains(focused) ? this.#open : null;
    return stream && { stream, at: this.#order.indexOf(stream) };
  }

  #reorder(held = this.#held()) {
    const model = this.#model;
    const now = performance.now();
    this.#sortedAt = now;
    const { column: [name, , , key], direction } = this.#sort;
    const all = model.streams.filter((stream) => stream !== null && this.#inRoom(stream));
    const wanted = all.filter((stream) => {
      const flags = model.flags[stream.slot];
      if (this.#show === "dropping" && !model.isRed(stream.slot, now)) return false;
      if (this.#show === "talking" && !model.isTalking(stream.slot)) return false;
      if (this.#show === "muted" && !(flags & MUTED)) return false;
      if (this.#show === "solo" && !(flags & SOLO)) return false;
      if (!this.#filter) return true;
      return [stream.id, stream.source, stream.label ?? ""].some((text) => text.toLowerCase().includes(this.#filter));
    });
    const text = ["id", "room", "source"].includes(name);
    const keyed = wanted.map((stream) => [key(model, stream), stream]);
    keyed.sort(([a, first], [b, second]) => {
      const by = text ? natural.compare(a, b) : a - b;
      return direction * by || natural.compare(first.id, second.id);
    });
    this.#order = keyed.map(([, stream]) => stream);
    if (!this.#order.includes(this.#current)) this.#current = this.#order[0] ?? null;
    this.#stale = true;
    this.#showCount(all.length);
    if (held && !this.#order.includes(held.stream)) this.#hand(held);
  }

  /** The row with the focus is gone: its stream of another run has it, or the row where it was, or the filter. */
  #hand({ stream, at }) {
    const same = this.#model.find(stream.id);
    const next = this.#order.includes(same) ? same : this.#order[Math.min(Math.max(0, at), this.#order.length - 1)];
    if (next) this.#focus(next);
    else document.getElementById("filter").focus();
  }

  #showCount(all) {
    const shown = this.#order.length;
    const text = shown === all ? show.count(all) : `${show.count(shown)} of ${show.count(all)}`;
    if (this.#count.textContent !== text) this.#count.textContent = text;
    const room = this.#model.hasRooms ? chosenRoom() : null;
    this.#empty.hidden = shown > 0 || (all === 0 && room === null);
    if (this.#empty.hidden) return;
    if (all === 0) {
      this.#empty.textContent = this.#model.findRoom(room) ? "No stream is in this room." : `There is no room ${room}.`;
      return;
    }
    const none = { talking: "No stream talks.", dropping: "No stream drops now. Good.", muted: "No stream is muted.", solo: "No stream is solo." };
    this.#empty.textContent = this.#filter ? `No stream matches “${this.#filter}”.` : none[this.#show];
  }

  /** Assigns each row on screen its stream and its place. */
  #place() {
    this.#stale = false;
    const probe = this.#window.rows[0]?.element.offsetHeight;
    if (probe) this.#rowHeight = probe;
    const height = this.#rowHeight;
    const openAt = this.#open ? this.#order.indexOf(this.#open) : -1;
    const detailHeight = openAt >= 0 ? this.#detail.element.offsetHeight : 0;
    const total = this.#order.length * height + detailHeight;
    this.#body.style.height = `${total}px`;
    this.#grid.setAttribute("aria-rowcount", this.#order.length + (openAt >= 0 ? 2 : 1));
    const from = Math.max(0, this.#scroll.scrollTop - (openAt >= 0 ? detailHeight : 0));
    const first = Math.max(0, Math.floor(from / height) - OVERSCAN);
    const last = Math.ceil((this.#scroll.scrollTop + this.#scroll.clientHeight) / height) + OVERSCAN;
    const shown = this.#window.assign(this.#order, first, last, (row, at, fresh) => {
      if (fresh) row.open = row.stream === this.#open;
      const below = openAt >= 0 && at > openAt;
      row.element.setAttribute("aria-rowindex", at + (below ? 3 : 2));
      row.element.style.transform = `translateY(${at * height + (below ? detailHeight : 0)}px)`;
      row.current = row.stream === this.#current;
    });
    this.#detail.element.hidden = openAt < 0;
    if (openAt >= 0) {
      this.#detail.element.setAttribute("aria-rowindex", openAt + 3);
      this.#detail.element.style.transform = `translateY(${(openAt + 1) * height}px)`;
    }
    arrange(shown.flatMap((row) => (row.stream === this.#open ? [row.element, this.#detail.element] : [row.element])));
  }

  #makeRow() {
    return new Row(COLUMNS.map(([name, , className]) => [name, className]), this.#strips, {
      open: ({ stream }) => this.#setOpen(this.#open === stream ? null : stream),
      focus: ({ stream }) => {
        if (this.#current !== stream) {
          this.#current = stream;
          this.#stale = true;
        }
      },
    });
  }

  #setOpen(stream) {
    const before = this.#detail.element.contains(document.activeElement) ? this.#open : null;
    this.#open = stream ?? null;
    if (stream) this.#detail.show(stream);
    else this.#detail.hide();
    for (const row of this.#window.rows) row.open = row.stream !== null && row.stream === this.#open;
    this.#stale = true;
    // The focus was in what is closed.
    if (before && !stream && this.#order.includes(before)) this.#focus(before);
  }

  #focus(stream) {
    this.#current = stream;
    const at = this.#order.indexOf(stream);
    const openAt = this.#open ? this.#order.indexOf(this.#open) : -1;
    const height = this.#rowHeight;
    const top = at * height + (openAt >= 0 && at > openAt ? this.#detail.element.offsetHeight : 0);
    const tall = at === openAt ? height + Math.min(this.#detail.element.offsetHeight, this.#scroll.clientHeight - 3 * height) : height;
    const view = this.#scroll.clientHeight - this.#head.offsetHeight;
    if (top < this.#scroll.scrollTop) this.#scroll.scrollTop = top;
    else if (top + tall > this.#scroll.scrollTop + view) this.#scroll.scrollTop = top + tall - view;
    this.#place();
    this.#window.rowOf(stream)?.focus();
  }

  #key(event) {
    if (event.key === "Escape" && this.#open) {
      this.#setOpen(null);
      event.preventDefault();
      return;
    }
    const row = this.#window.rowAround(event.target);
    if (!row?.stream || event.ctrlKey || event.metaKey || event.altKey) return;
    const onSlider = event.target === row.gain;
    const at = this.#order.indexOf(row.stream);
    const page = Math.max(1, Math.floor(this.#scroll.clientHeight / this.#rowHeight) - 2);
    const moves = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -at, End: this.#order.length };
    if (event.key in moves && !onSlider) {
      this.#focus(this.#order[Math.min(this.#order.length - 1, Math.max(0, at + moves[event.key]))]);
    } else {
      const acts = {
        m: () => this.#strips.flip(row.stream, MUTED),
        s: () => this.#strips.flip(row.stream, SOLO),
        l: () => this.#detail.listen(row.stream),
        r: () => this.#move([row.stream]),
        "+": () => this.#strips.step(row.stream, 1),
        "=": () => this.#strips.step(row.stream, 1),
        "-": () => this.#strips.step(row.stream, -1),
        0: () => this.#strips.gain(row.stream, 0),
      };
      const act = acts[event.key.toLowerCase()];
      if (!act) return;
      act();
    }
    event.preventDefault();
  }
}
