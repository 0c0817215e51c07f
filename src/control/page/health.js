// Health at a glance: streams, missing audio, late ticks, and the tick's time against its budget.

import { Surface, colour } from "./canvas.js";
import * as show from "./format.js";
import { HISTORY_S, missingOf } from "./model.js";

const element = (name) => document.getElementById(name);
const set = (name, text) => {
  const target = element(name);
  if (target.textContent !== text) target.textContent = text;
};
/** Lights stay on so long after the last reason. */
const LIGHT_MS = 2500;
const SPARK_S = 60;
/** Late ticks are shown of so long, so that the tile recovers. */
const LATE_MS = 60_000;

export class Health {
  #spark = new Surface(element("missing-spark"));
  #seen = -1;
  #slow = -1;
  #shownAt = 0;
  #clipped = null;
  #limited = null;
  #clipUntil = 0;
  #limitUntil = 0;
  /** Ticks at about each second of the last minute, the oldest first. */
  #minute = [];

  constructor() {
    element("clip-light").addEventListener("click", () => { this.#clipUntil = 0; });
  }

  /** A server that was restarted counts from nothing. */
  forget() {
    this.#clipped = null;
    this.#limited = null;
    this.#minute = [];
  }

  draw(model, now) {
    const { totals, server } = model;
    if (!totals) return;
    if (this.#seen !== model.updates) {
      this.#seen = model.updates;
      if (this.#clipped !== null && totals.clipped_samples > this.#clipped) this.#clipUntil = now + 2 * LIGHT_MS;
      if (this.#limited !== null && totals.limited_samples > this.#limited) this.#limitUntil = now + LIGHT_MS;
      [this.#clipped, this.#limited] = [totals.clipped_samples, totals.limited_samples];
    }
    this.#light("clip-light", "clip", now < this.#clipUntil);
    this.#light("limit-light", "limit", now < this.#limitUntil);
    // Figures that change ten times a second are not read.
    if (now - this.#shownAt > 300) {
      this.#shownAt = now;
      this.#show(model);
    }
    if (this.#slow !== model.slowUpdates || this.#spark.stale) {
      this.#slow = model.slowUpdates;
      this.#spark.stale = false;
      this.#drawSpark(model);
    }
    set("facts", `${(server.rate_hz / 1000).toFixed(server.rate_hz % 1000 ? 1 : 0)} kHz, ${server.channels === 1 ? "mono" : server.channels === 2 ? "stereo" : `${server.channels} channels`} · ticks of ${show.nanoseconds(server.tick_ns)} · up ${show.age(totals.uptime_ms)}`);
  }

  #light(name, word, on) {
    const light = element(name);
    if (light.classList.contains("on") === on) return;
    light.classList.toggle("on", on);
    light.setAttribute("aria-label", on ? `${word}: on` : `${word}: off`);
  }

  #show(model) {
    const { totals, server } = model;
    const { ledger } = totals;
    const { missing, sent } = missingOf(ledger);
    set("h-streams", show.count(totals.streams));
    set("h-slots", `of ${show.counted(server.slots, "slot")}`);
    set("h-missing-now", show.percent(model.missingRateNow));
    set("h-missing-total", missing > 0 ? `${show.percent(missing / sent)} in total` : "none in total");
    const terms = ["lost", "dropped_full", "dropped_late", "discarded"].map((term) => `${term} ${show.count(ledger[`${term}_samples`])}`);
    element("t-missing").title = `Samples since the start: ${terms.join(", ")}. Discarded ones are not missing.`;
    element("t-missing").classList.toggle("bad", model.missingRateNow > 0);
    const { late, ticks } = this.#lastMinute(totals);
    set("h-late", show.count(late));
    set("h-ticks", `of ${show.counted(ticks, "tick")}`);
    element("t-late").title = `Since the start ${show.count(totals.late_ticks)} of ${show.counted(totals.ticks, "tick")} began after the next was due`;
    element("t-late").classList.toggle("warn", late > 0);
    const { p50_ns: p50, p99_ns: p99, max_ns: max } = totals.tick_time;
    set("h-tick", show.nanoseconds(p99));
    set("h-budget", `of ${show.nanoseconds(server.tick_ns)}, max ${show.nanoseconds(max)}`);
    element("t-tick").title = `Median ${show.nanoseconds(p50)}, 99 % ${show.nanoseconds(p99)}, longest ${show.nanoseconds(max)}, since the start; the mark is the longest`;
    const share = (value) => Math.min(1, value / server.tick_ns);
    element("b-p99").style.transform = `scaleX(${Math.max(0.01, share(p99)).toFixed(3)})`;
    element("b-max").style.left = `calc(${(share(max) * 100).toFixed(1)}% - 2px)`;
    element("t-tick").classList.toggle("warn", p99 > server.tick_ns / 2);
  }

  #lastMinute({ uptime_ms: at, late_ticks: late, ticks }) {
    const minute = this.#minute;
    // A page that slept saw nothing of its last minute.
    if (at - minute.at(-1)?.at > LATE_MS) minute.length = 0;
    // A page opened later knows only what it has seen.
    if (minute.length === 0) minute.push(at < LATE_MS ? { at: 0, late: 0, ticks: 0 } : { at, late, ticks });
    if (at - minute.at(-1).at >= 1000) minute.push({ at, late, ticks });
    while (minute.length > 1 && at - minute[1].at >= LATE_MS) minute.shift();
    return { late: late - minute[0].late, ticks: ticks - minute[0].ticks };
  }

  #drawSpark(model) {
    const { context: to, width, height } = this.#spark;
    this.#spark.clear();
    const points = Math.min(SPARK_S, model.historyEnd);
    const values = Array.from({ length: points }, (_, back) => model.missingHistory[(model.historyEnd - 1 - back) % HISTORY_S]);
    const most = Math.max(0.001, ...values);
    const pitch = width / SPARK_S;
    to.fillStyle = colour("--drop");
    for (const [back, value] of values.entries()) {
      if (value === 0) continue;
      const tall = Math.max(2, (value / most) * (height - 4));
      to.globalAlpha = 0.25 + 0.6 * (1 - back / SPARK_S);
      to.fillRect(width - (back + 1) * pitch, height - tall, Math.max(1, pitch - 1), tall);
    }
    to.globalAlpha = 1;
  }
}
