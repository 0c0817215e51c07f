// The level of the mix, a bar a channel with its peak held, and the waveform of the last seconds.

import { Surface, calm, colour } from "./canvas.js";
import { decibels } from "./format.js";
import { WAVE_COLUMNS } from "./model.js";

const FLOOR_DB = -60;
const HOLD_MS = 1600;
/** Bars rise at once and fall by so many dB a second; a held peak, once let go, faster. */
const FALL_DB = 26;
const LET_GO_DB = 40;
const COLUMNS_A_SECOND = 100;
const SHOWN_S = 10;

const toDb = (magnitude) => (magnitude > 0 ? 20 * Math.log10(magnitude / 32768) : -Infinity);
const share = (db) => Math.min(1, Math.max(0, (db - FLOOR_DB) / -FLOOR_DB));

export class Meter {
  #surface;
  #figure = document.getElementById("peak");
  #channels = [];
  #drawn = 0;
  #figureAt = 0;

  constructor(canvas) {
    this.#surface = new Surface(canvas);
  }

  draw(model, now) {
    const passed = Math.min(0.1, (now - this.#drawn) / 1000);
    this.#drawn = now;
    if (!model.mix) return;
    const silent = now - model.heardAt > 1000;
    // A server that was restarted may have fewer.
    this.#channels.length = Math.min(this.#channels.length, model.mix.peak.length);
    while (this.#channels.length < model.mix.peak.length) {
      this.#channels.push({ peak: -Infinity, rms: -Infinity, held: -Infinity, heldAt: 0 });
    }
    for (const [at, channel] of this.#channels.entries()) {
      const peak = silent ? -Infinity : toDb(model.mix.peak[at]);
      const rms = silent ? -Infinity : toDb(model.mix.rms[at]);
      const fall = calm.matches ? Infinity : FALL_DB * passed;
      channel.peak = Math.max(peak, channel.peak - fall);
      // The mean square moves as it is, only smoothed.
      const ease = calm.matches ? 1 : Math.min(1, passed * 14);
      const from = Math.max(channel.rms, FLOOR_DB);
      channel.rms = from + (Math.max(rms, FLOOR_DB) - from) * ease;
      if (peak >= channel.held) [channel.held, channel.heldAt] = [peak, now];
      else if (now - channel.heldAt > HOLD_MS) channel.held = Math.max(peak, channel.held - LET_GO_DB * passed);
      // Below the scale no bar is drawn, so the figure is that of now.
      if (channel.held < FLOOR_DB) channel.held = peak;
    }
    this.#paint();
    if (now - this.#figureAt > 250) {
      this.#figureAt = now;
      const text = decibels(Math.max(...this.#channels.map(({ held }) => held)));
      if (this.#figure.textContent !== text) this.#figure.textContent = text;
    }
  }

  #paint() {
    const { context: to, width, height } = this.#surface;
    this.#surface.clear();
    const scaleHeight = 18;
    const gap = 4;
    const all = height - scaleHeight;
    const bar = (all - gap * (this.#channels.length - 1)) / this.#channels.length;
    const [low, mid, high, rail] = ["--low", "--mid", "--high", "--rail"].map(colour);
    const paint = to.createLinearGradient(0, 0, width, 0);
    paint.addColorStop(0, low);
    paint.addColorStop(share(-16), low);
    paint.addColorStop(share(-8), mid);
    paint.addColorStop(share(-3), high);
    paint.addColorStop(1, high);
    // Segments of 1 dB, or of 2 where that would be dust.
    const step = (width / -FLOOR_DB) * (width < 420 ? 2 : 1);
    for (const [at, channel] of this.#channels.entries()) {
      const top = at * (bar + gap);
      to.fillStyle = rail;
      for (let x = 0; x < width - 1; x += step) to.fillRect(x, top, step - 2, bar);
      to.fillStyle = paint;
      const peakEnd = share(channel.peak) * width;
      const rmsEnd = share(channel.rms) * width;
      for (let x = 0; x < peakEnd; x += step) {
        to.globalAlpha = x < rmsEnd ? 1 : 0.5;
        to.fillRect(x, top, Math.min(step - 2, peakEnd - x), bar);
      }
      to.globalAlpha = 1;
      if (channel.held > FLOOR_DB) {
        to.fillRect(Math.min(width - 3, share(channel.held) * width - 1.5), top - 1, 3, bar + 2);
      }
    }
    to.fillStyle = colour("--faint");
    to.font = "11px Inter, system-ui, sans-serif";
    to.textBaseline = "bottom";
    for (const db of width < 420 ? [-48, -36, -24, -12, 0] : [-54, -48, -42, -36, -30, -24, -18, -12, -6, 0]) {
      const x = share(db) * width;
      to.textAlign = db === 0 ? "right" : "center";
      to.fillText(db === 0 ? "0" : `−${-db}`, x, height);
    }
  }
}

export class Wave {
  #surface;
  #rate = COLUMNS_A_SECOND;
  #shown = 0;
  #drawn = 0;
  #ends = -1;

  constructor(canvas) {
    this.#surface = new Surface(canvas);
  }

  draw(model, now) {
    const passed = Math.min(1, (now - this.#drawn) / 1000);
    this.#drawn = now;
    const end = model.waveEnd;
    if (calm.matches) {
      this.#shown = end;
    } else {
      // Glides a little behind what has come, so that it moves evenly between updates. A page that slept
      // jumps.
      const behind = end - this.#shown;
      if (behind > 60 || behind < 0) this.#shown = Math.max(0, end - 12);
      else this.#shown = Math.min(end, this.#shown + this.#rate * passed * (1 + (behind - 12) / 60));
    }
    if (this.#shown === this.#ends && !this.#surface.stale) return;
    this.#ends = this.#shown;
    this.#surface.stale = false;
    this.#paint(model);
  }

  #paint(model) {
    const { context: to, width, height } = this.#surface;
    this.#surface.clear();
    const bottom = height - 18;
    const middle = bottom / 2;
    const columns = Math.min(SHOWN_S * COLUMNS_A_SECOND, WAVE_COLUMNS - 20);
    const pitch = width / columns;
    to.font = "11px Inter, system-ui, sans-serif";
    to.textBaseline = "bottom";
    for (let second = 0; second <= SHOWN_S; second += width < 420 ? 5 : 2) {
      const x = width - (second / SHOWN_S) * width;
      to.fillStyle = colour("--rail");
      to.fillRect(Math.min(width - 1, Math.round(x)), 0, 1, bottom);
      to.fillStyle = colour("--faint");
      to.textAlign = second === 0 ? "right" : second === SHOWN_S ? "left" : "center";
      to.fillText(second === 0 ? "now" : `−${second} s`, x, height);
    }
    to.fillStyle = colour("--rail");
    to.fillRect(0, middle - 0.5, width, 1);
    // Amplitude by a root: speech at -30 dB is a line otherwise.
    const y = (sample) => Math.sign(sample) * Math.abs(sample / 32768) ** 0.65 * (middle - 2);
    const path = new Path2D();
    const over = new Path2D();
    const whole = Math.floor(this.#shown);
    const slide = (this.#shown - whole) * pitch;
    // One bar a pixel or two: narrower ones would only blur.
    const per = Math.max(1, Math.ceil(1.6 / pitch));
    for (let column = whole - (whole % per); column > whole - columns - per && column > 0; column -= per) {
      let [min, max] = [0, 0];
      for (let at = column; at < column + per && at < whole; at += 1) {
        min = Math.min(min, model.waveMin[at % WAVE_COLUMNS]);
        max = Math.max(max, model.waveMax[at % WAVE_COLUMNS]);
      }
      const x = width - (whole - column) * pitch - slide;
      const top = middle - y(max);
      const tall = Math.max(1, y(max) - y(min));
      (max >= 32767 || min <= -32768 ? over : path).rect(x, top, Math.max(1, per * pitch - 0.6), tall);
    }
    to.fillStyle = colour("--wave");
    to.fill(path);
    to.fillStyle = colour("--high");
    to.fill(over);
  }
}
