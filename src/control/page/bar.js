// A level as a bar and a figure: up at once, down slowly.

import { signed } from "./format.js";
import { levelDb } from "./model.js";

/** Figures change no more often than this: faster ones are not read. */
export const SHOW_MS = 300;
/** Its range in half decibels, as the byte has it, and how far it falls in a frame. */
const FLOOR = 135;
const RANGE = 120;
const FALL = 0.02;
/** Near full scale. */
const HOT = 249;

export const toggleClass = (element, name, on) => {
  if (element.classList.contains(name) !== on) element.classList.toggle(name, on);
};

export class Bar {
  element = document.createElement("div");
  #level;
  #text = document.createTextNode("");
  /** The level that bar and figure show, in half decibels as the byte has it. */
  #shown = 0;
  #shownAt = 0;

  constructor() {
    this.element.className = "bar";
    this.element.innerHTML = '<div class="rail"><span></span></div><output></output>';
    this.#level = this.element.querySelector("span");
    const figure = this.element.querySelector("output");
    // An output is announced as it changes, and this one always does.
    figure.setAttribute("aria-live", "off");
    figure.append(this.#text);
  }

  set silent(silent) {
    toggleClass(this.element, "silent", silent);
  }

  /** It shows another thing from now on. */
  reset() {
    this.#shown = 0;
    this.#shownAt = 0;
  }

  /** Once a frame. */
  draw(byte, now) {
    const fallen = this.#shown - FALL * RANGE;
    this.#shown = fallen > Math.max(byte, FLOOR) ? fallen : byte;
    const wide = Math.max(0, (this.#shown - FLOOR) / RANGE);
    this.#level.style.transform = `scaleX(${wide.toFixed(3)})`;
    toggleClass(this.element, "hot", byte >= HOT);
    if (now - this.#shownAt <= SHOW_MS) return;
    this.#shownAt = now;
    const text = this.#shown === 0 ? "–" : signed(Math.round(levelDb(this.#shown)), 0);
    if (this.#text.data !== text) this.#text.data = text;
  }
}
