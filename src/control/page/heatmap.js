// The rings of all slots, a cell each: its colour is how full the ring is, red is dropping now.

import { Surface, colour } from "./canvas.js";
import { decibels, percent } from "./format.js";
import { fillShare, levelDb } from "./model.js";
import { called } from "./name.js";

const GAP = 2;
const SIDE_MIN = 5;
const SIDE_MAX = 26;

/** Around all cells, for the mark of the one that is pointed at. */
const EDGE = 1;

const columnsOf = (side, width) => Math.max(1, Math.floor((width - 2 * EDGE + GAP) / (side + GAP)));
const heightOf = (slots, side, columns) => Math.ceil(slots / columns) * (side + GAP) - GAP + 2 * EDGE;

/** The largest square cells that all fit: their side and how many in a row. */
const layout = (slots, width, height) => {
  let side = SIDE_MAX;
  while (side > SIDE_MIN && heightOf(slots, side, columnsOf(side, width)) > height) side -= 0.5;
  return { side, columns: columnsOf(side, width) };
};

const rgb = (text) => {
  const number = Number.parseInt(text.slice(1), 16);
  return [number >> 16, (number >> 8) & 255, number & 255];
};

/** 256 colours along the ramp of the stylesheet. */
const ramp = () => {
  const stops = ["--fill-0", "--fill-1", "--fill-2", "--fill-3"].map((name) => rgb(colour(name)));
  return Array.from({ length: 256 }, (_, byte) => {
    const place = (byte / 255) * (stops.length - 1);
    const at = Math.min(stops.length - 2, Math.floor(place));
    const mixed = stops[at].map((from, part) => Math.round(from + (stops[at + 1][part] - from) * (place - at)));
    return `rgb(${mixed.join(" ")})`;
  });
};

const FREE = 256;
const RED = 257;

export class Heatmap {
  #canvas;
  #surface;
  #model = null;
  #tip = document.getElementById("tip");
  #colours = null;
  #shown = null;
  #grid = null;
  #pointed = -1;
  #cursor = 0;
  #marked = -1;
  #open;

  /** `open(stream)` is called for a cell that is chosen. */
  constructor(canvas, open) {
    this.#canvas = canvas;
    this.#open = open;
    this.#surface = new Surface(canvas, { onChange: () => { this.#colours = null; } });
    canvas.addEventListener("pointermove", (event) => this.#point(this.#slotAt(event)));
    canvas.addEventListener("pointerleave", () => this.#point(-1));
    canvas.addEventListener("click", (event) => this.#choose(this.#slotAt(event)));
    canvas.addEventListener("focus", () => this.#point(this.#cursor));
    canvas.addEventListener("blur", () => this.#point(-1));
    canvas.addEventListener("keydown", (event) => this.#key(event));
  }

  draw(model, now) {
    this.#model = model;
    if (!model.server) return;
    const { context: to, width, height } = this.#surface;
    const again = this.#colours === null || this.#shown?.length !== model.size;
    if (again) {
      this.#colours = [...ramp(), colour("--free"), colour("--drop")];
      this.#shown = new Uint16Array(model.size).fill(65535);
      this.#grid = layout(model.size, width, height);
      this.#marked = -1;
      this.#surface.clear();
      // The height that the smallest cells need. By the width alone: a box that grows by it asks for no more.
      const tall = heightOf(model.size, SIDE_MIN, columnsOf(SIDE_MIN, width));
      this.#canvas.parentElement.style.setProperty("--tall", `${tall}px`);
      // Where the cells are, for tests that read the picture.
      this.#canvas.dataset.side = this.#grid.side;
      this.#canvas.dataset.columns = this.#grid.columns;
      this.#canvas.setAttribute("aria-valuemax", Math.max(0, model.size - 1));
    }
    const { side } = this.#grid;
    if (this.#marked !== this.#pointed && this.#marked >= 0) this.#shown[this.#marked] = 65535;
    for (let slot = 0; slot < model.size; slot += 1) {
      const look = model.streams[slot] === null ? FREE : model.isRed(slot, now) ? RED : model.fill[slot];
      if (look === this.#shown[slot]) continue;
      this.#shown[slot] = look;
      const [x, y] = this.#place(slot);
      to.clearRect(x - GAP / 2, y - GAP / 2, side + GAP, side + GAP);
      to.fillStyle = this.#colours[look];
      to.beginPath();
      to.roundRect(x, y, side, side, Math.min(3, side / 4));
      to.fill();
      if (slot === this.#pointed) this.#marked = -1;
    }
    if (this.#pointed >= 0 && this.#marked !== this.#pointed) {
      const [x, y] = this.#place(this.#pointed);
      to.strokeStyle = colour("--text");
      to.lineWidth = 1.5;
      to.beginPath();
      to.roundRect(x, y, side, side, Math.min(3, side / 4));
      to.stroke();
    }
    this.#marked = this.#pointed;
    if (this.#pointed >= 0) this.#tell(this.#pointed, now);
  }

  #place(slot) {
    const { side, columns } = this.#grid;
    const row = Math.floor(slot / columns);
    return [(slot - row * columns) * (side + GAP) + EDGE, row * (side + GAP) + EDGE];
  }

  #slotAt(event) {
    if (!this.#grid) return -1;
    const box = this.#canvas.getBoundingClientRect();
    const pitch = this.#grid.side + GAP;
    const column = Math.floor((event.clientX - box.left - EDGE) / pitch);
    const row = Math.floor((event.clientY - box.top - EDGE) / pitch);
    const slot = row * this.#grid.columns + column;
    return column >= 0 && row >= 0 && column < this.#grid.columns && slot < this.#model.size ? slot : -1;
  }

  #point(slot) {
    this.#pointed = slot;
    this.#tip.hidden = slot < 0;
    if (slot >= 0 && this.#grid && this.#model.size > slot) {
      this.#canvas.setAttribute("aria-valuenow", slot);
      this.#canvas.setAttribute("aria-valuetext", this.#words(slot, performance.now()));
    }
  }

  #words(slot, now) {
    const stream = this.#model.streams[slot];
    if (!stream) return `slot ${slot}: free`;
    const fill = percent(fillShare(this.#model.fill[slot]));
    const level = decibels(levelDb(this.#model.level[slot]));
    const red = this.#model.isRed(slot, now) ? " · dropping now" : "";
    const talks = this.#model.isTalking(slot) ? " · talking" : "";
    return `${called(stream)} · ring ${fill} full · ${level} dB${talks}${red}`;
  }

  #tell(slot, now) {
    const text = this.#words(slot, now);
    if (this.#tip.textContent !== text) this.#tip.textContent = text;
    const [x, y] = this.#place(slot);
    const { side } = this.#grid;
    const left = Math.min(Math.max(0, x + side / 2 - this.#tip.offsetWidth / 2), this.#surface.width - this.#tip.offsetWidth);
    const above = y - this.#tip.offsetHeight - 6;
    this.#tip.style.transform = `translate(${left}px, ${above < -40 ? y + side + 6 : above}px)`;
  }

  #key(event) {
    const { columns } = this.#grid ?? { columns: 1 };
    const last = this.#model.size - 1;
    const moves = {
      ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns,
      Home: -this.#cursor, End: last - this.#cursor, PageDown: 5 * columns, PageUp: -5 * columns,
    };
    if (event.key in moves) {
      this.#cursor = Math.min(last, Math.max(0, this.#cursor + moves[event.key]));
      this.#point(this.#cursor);
    } else if (event.key === "Enter" || event.key === " ") {
      this.#choose(this.#cursor);
    } else {
      return;
    }
    event.preventDefault();
  }

  #choose(slot) {
    const stream = this.#model?.streams[slot];
    if (stream) {
      this.#cursor = slot;
      this.#open(stream);
    }
  }
}
