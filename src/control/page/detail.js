// The details that a row opens: the ledger as a bar that adds up, the last minutes, and the stream's own buttons.

import { alert, path, request } from "./api.js";
import { Surface, colour } from "./canvas.js";
import * as show from "./format.js";
import { HISTORY_S, SOLO, levelDb } from "./model.js";
import { changes } from "./session.js";
import { GAIN_MAX, GAIN_MIN, paintGain } from "./strip.js";

/** The right side of the equation, in its order, and what each term means. */
export const TERMS = [
  ["mixed", "added to the mix"],
  ["muted", "silenced by command"],
  ["dropped_full", "the ring was full"],
  ["dropped_late", "came after their playout"],
  ["discarded", "dropped on purpose"],
  ["in_ring", "waiting"],
];
const ASK_MS = 1000;

const TEMPLATE = `
  <td role="cell" aria-colindex="1"><div class="opened">
    <div class="actions">
      <div class="gain narrow-gain"><input type="range" min="${GAIN_MIN}" max="${GAIN_MAX}" step="0.5"><output></output></div>
      <button type="button" class="quiet small alone" aria-pressed="false">Listen to it alone</button>
      <button type="button" class="quiet small without" aria-pressed="false">Listen to the mix without it</button>
      <button type="button" class="quiet small record">Record it</button>
      <button type="button" class="quiet small move">Move…</button>
      <button type="button" class="quiet small solo narrow-only" aria-pressed="false">Solo</button>
      <button type="button" class="quiet small danger end">End the stream</button>
    </div>
    <section aria-label="Ledger"><h3>Where its samples went</h3>
      <div class="stack" role="img"></div>
      <table class="sum"><tbody></tbody><tfoot><tr><th scope="row"><span class="mark"></span>offered</th><td class="number"></td><td class="number share"></td></tr></tfoot></table>
    </section>
    <section class="history"><h3>Its last minutes</h3><canvas role="img"></canvas>
      <dl class="figures"></dl>
    </section>
  </div></td>`;

export class Detail {
  element = document.createElement("tr");
  #model;
  #strips;
  #player;
  #stream = null;
  #askedAt = -Infinity;
  #asking = false;
  /** Raised by each stream that is shown: an answer about the one before is no longer wanted. */
  #run = 0;
  #known = false;
  #surface = null;
  #drawnAt = -1;
  #figures = new Map();
  /** The server's table of figures, once it was read. */
  #terms = null;
  #ending = null;

  constructor(model, strips, player, move) {
    [this.#model, this.#strips, this.#player] = [model, strips, player];
    this.element.className = "detail";
    this.element.setAttribute("role", "row");
    this.element.hidden = true;
    this.element.innerHTML = TEMPLATE;
    document.getElementById("rows").append(this.element);
    const find = (selector) => this.element.querySelector(selector);
    for (const [term, meaning] of TERMS) {
      const part = document.createElement("span");
      part.className = `c-${term}`;
      part.title = `${term}: ${meaning}`;
      find(".stack").append(part);
      const row = find(".sum tbody").insertRow();
      row.innerHTML = `<th scope="row"><span class="mark c-${term}"></span>${term} <span class="hint">${meaning}</span></th><td class="number"></td><td class="number share"></td>`;
    }
    find(".alone").addEventListener("click", () => this.listen(this.#stream));
    find(".without").addEventListener("click", () => this.#player.toggle({ stream: this.#stream.id, mix: "minus" }));
    find(".end").addEventListener("click", () => this.#end());
    find(".move").addEventListener("click", () => move([this.#stream]));
    find(".solo").addEventListener("click", () => this.#strips.flip(this.#stream, SOLO));
    find(".record").addEventListener("click", () => this.#record());
    for (const selector of [".end", ".record", ".move", ".solo", ".gain input"]) changes(find(selector));
    const slider = find(".gain input");
    slider.addEventListener("input", () => {
      paintGain(slider, find(".gain output"), Number(slider.value));
      this.#strips.gain(this.#stream, Number(slider.value));
    });
  }

  listen(stream) {
    this.#player.toggle({ stream: stream.id });
  }

  show(stream) {
    if (this.#stream === stream) return;
    this.#stream = stream;
    this.#run += 1;
    this.#asking = false;
    this.#askedAt = -Infinity;
    this.#drawnAt = -1;
    this.#unsure();
    this.#blank("…");
    this.element.setAttribute("aria-label", `Details of ${stream.id}`);
    this.element.querySelector(".gain input").setAttribute("aria-label", `Gain of ${stream.id}`);
    this.element.querySelector(".record").hidden = !this.#model.server.records;
  }

  hide() {
    this.#stream = null;
    this.#run += 1;
    this.#asking = false;
  }

  /** Once a frame. */
  draw(now) {
    if (!this.#stream || this.element.hidden) return;
    this.#surface ??= new Surface(this.element.querySelector("canvas"));
    if (now - this.#askedAt > ASK_MS && !this.#asking) this.#ask(now);
    if (this.#drawnAt !== this.#model.slowUpdates || this.#surface.stale) {
      this.#drawnAt = this.#model.slowUpdates;
      this.#surface.stale = false;
      this.#drawHistory();
    }
    const { gain, flags } = this.#strips.of(this.#stream);
    const slider = this.element.querySelector(".gain input");
    if (document.activeElement !== slider && Number(slider.value) !== gain) {
      slider.value = gain;
      paintGain(slider, this.element.querySelector(".gain output"), gain);
    }
    this.#press(".solo", (flags & SOLO) !== 0);
    const { target } = this.#player;
    const mine = target?.stream === this.#stream.id;
    this.#press(".alone", mine && target.mix === undefined);
    this.#press(".without", mine && target.mix === "minus");
  }

  #press(selector, on) {
    const button = this.element.querySelector(selector);
    if (button.getAttribute("aria-pressed") !== String(on)) button.setAttribute("aria-pressed", on);
  }

  async #ask(now) {
    const run = this.#run;
    this.#askedAt = now;
    this.#asking = true;
    let answer = null;
    try {
      this.#terms ??= await request("GET", path("terms"));
      if (run !== this.#run) return;
      answer = await request("GET", path("streams", this.#stream.id));
    } catch {
      // The feed says it, if the server is gone; a stream that ended leaves the table.
    }
    if (run !== this.#run) return;
    this.#asking = false;
    // Figures from before it failed are of this stream, and stay.
    if (answer) this.#tell(answer);
    else if (!this.#known) this.#blank("not known");
  }

  /** No figures, and why. */
  #blank(word) {
    this.#known = false;
    for (const part of this.element.querySelectorAll(".stack span")) part.style.display = "none";
    for (const cell of this.element.querySelectorAll(".sum td")) cell.textContent = "";
    this.element.querySelector(".sum tfoot td").textContent = word;
    this.element.querySelector(".stack").setAttribute("aria-label", "The ledger is not known");
    const list = this.element.querySelector(".figures");
    list.replaceChildren();
    delete list.dataset.names;
  }

  #tell(answer) {
    this.#known = true;
    const values = TERMS.map(([term]) => answer[`${term}_samples`]);
    const offered = answer.offered_samples;
    const sum = values.reduce((all, value) => all + value, 0);
    const parts = this.element.querySelectorAll(".stack span");
    const rows = this.element.querySelectorAll(".sum tbody tr");
    const share = (value) => (offered > 0 ? show.percent(value / offered) : "–");
    for (const [at, value] of values.entries()) {
      // A term that is there is seen, however small.
      parts[at].style.flex = value > 0 ? `${value / sum} 1 3px` : "0 0 0";
      parts[at].style.display = value > 0 ? "" : "none";
      rows[at].cells[1].textContent = show.count(value);
      rows[at].cells[2].textContent = share(value);
    }
    const foot = this.element.querySelector(".sum tfoot tr");
    foot.cells[1].textContent = show.count(offered);
    // While the ledger is read frames are on their way from one term to another.
    foot.cells[2].textContent = sum === offered ? "adds up" : `${show.count(Math.abs(sum - offered))} in flight`;
    const words = TERMS.map(([term], at) => `${term} ${share(values[at])}`).join(", ");
    this.element.querySelector(".stack").setAttribute("aria-label", `Of ${show.counted(offered, "sample")} offered: ${words}`);
    this.#showFigures(answer);
  }

  #showFigures(answer) {
    const facts = [
      ["Id", this.#stream.id],
      ...(this.#stream.label ? [["Label", this.#stream.label]] : []),
      ...(this.#model.hasRooms ? [["Room", this.#model.roomOf(this.#stream)?.name ?? ""]] : []),
      ["Source", this.#stream.source],
      ["Age", show.age(this.#model.ageMs(this.#stream))],
    ].map(([name, text]) => [name, text, ""]);
    const { ledger, network } = this.#terms;
    const known = new Set(["offered", ...TERMS.map(([term]) => term)].map((term) => `${term}_samples`));
    const figures = (terms, values) => terms
      .filter(({ key }) => !known.has(key) && (values?.[key] ?? null) !== null)
      .map(({ key, unit, help }) => {
        known.add(key);
        return [show.term(key), show.figure(values[key], unit), help];
      });
    const all = [...facts, ...figures(ledger, answer), ...figures(network, answer.network)];
    const list = this.element.querySelector(".figures");
    const names = all.map(([name]) => name).join();
    if (list.dataset.names !== names) {
      list.dataset.names = names;
      this.#figures.clear();
      list.replaceChildren(...all.map(([name, , help]) => {
        const box = document.createElement("div");
        box.title = help;
        const [term, value] = [document.createElement("dt"), document.createElement("dd")];
        term.textContent = name;
        box.append(term, value);
        this.#figures.set(name, value);
        return box;
      }));
    }
    for (const [name, text] of all) this.#figures.get(name).textContent = text;
  }

  #drawHistory() {
    const model = this.#model;
    const { slot, begunAt } = this.#stream;
    const { context: to, width, height } = this.#surface;
    this.#surface.clear();
    const bottom = height - 18;
    const points = Math.min(HISTORY_S, model.historyEnd - begunAt);
    // As much as there is, in whole minutes.
    const minutes = Math.max(1, Math.ceil(points / 60));
    const x = (back) => width - (back / (60 * minutes)) * width;
    to.font = "11px Inter, system-ui, sans-serif";
    to.textBaseline = "bottom";
    for (let minute = 0; minute <= minutes; minute += 1) {
      const at = x(minute * 60);
      to.fillStyle = colour("--line");
      to.fillRect(Math.min(width - 1, Math.round(at)), 0, 1, bottom);
      to.fillStyle = colour("--faint");
      to.textAlign = minute === 0 ? "right" : minute === minutes ? "left" : "center";
      to.fillText(minute === 0 ? "now" : `−${minute} min`, at, height);
    }
    let loudest = 0;
    let dropping = 0;
    const level = new Path2D();
    const drops = new Path2D();
    const fill = new Path2D();
    const pitch = width / (60 * minutes);
    for (let back = 0; back < points; back += 1) {
      const at = slot * HISTORY_S + ((model.historyEnd - 1 - back) % HISTORY_S);
      const loud = Math.max(0, (model.historyLevel[at] - 135) / 120) * (bottom - 4);
      loudest = Math.max(loudest, model.historyLevel[at]);
      const left = x(back + 1);
      level.rect(left, bottom - loud, Math.max(1, pitch - 0.5), loud);
      if (model.historyDrops[at] > 0) {
        dropping += 1;
        drops.rect(left, 0, Math.max(2, pitch), bottom);
      }
      const y = bottom - (model.historyFill[at] / 255) * (bottom - 4) - 1;
      if (back === 0) fill.moveTo(width, y);
      fill.lineTo(left, y);
    }
    to.globalAlpha = 0.28;
    to.fillStyle = colour("--drop");
    to.fill(drops);
    to.globalAlpha = 0.85;
    to.fillStyle = colour("--wave");
    to.fill(level);
    to.globalAlpha = 1;
    to.strokeStyle = colour("--mid");
    to.lineWidth = 1.5;
    to.stroke(fill);
    this.#surface.canvas.setAttribute("aria-label",
      `Level and ring fill of the last ${show.age(points * 1000)}: loudest ${show.decibels(levelDb(loudest))} dB, ${show.counted(dropping, "second")} with drops`);
  }

  /** As it came in: a file of its own, until the stream ends or the recording is stopped. */
  async #record() {
    const { id } = this.#stream;
    try {
      const { name } = await request("POST", path("recordings"), { name: "{stream}-{utc}.wav", stream: id });
      alert(`${id} is recorded to ${name}.`, { key: "record", note: true });
    } catch (failure) {
      alert(`${id} is not recorded: ${failure.message}`, { key: "record" });
    }
  }

  #unsure() {
    clearTimeout(this.#ending);
    this.#ending = null;
    this.element.querySelector(".end").textContent = "End the stream";
  }

  /** Only the second click within four seconds ends it. */
  async #end() {
    const stream = this.#stream;
    if (!this.#ending) {
      this.element.querySelector(".end").textContent = "Really end it?";
      this.#ending = setTimeout(() => this.#unsure(), 4000);
      return;
    }
    this.#unsure();
    try {
      await request("DELETE", path("streams", stream.id));
    } catch (failure) {
      alert(`${stream.id} was not ended: ${failure.message}`);
    }
  }
}
