// The figures of rooms that follow from their streams: how many there are, and those that talk and drop.

import { SHOW_MS } from "./bar.js";

/** Talkers that are named. */
const NAMED = 3;
const none = Object.freeze({ streams: 0, talking: 0, talkers: [], dropping: 0 });

export class RoomFigures {
  #model;
  #rooms = [];
  #roster = -1;
  #countedAt = -Infinity;

  constructor(model) {
    this.#model = model;
  }

  /** `streams`, `talking`, `talkers` (the first of them), `dropping`. */
  of(room, now) {
    if (this.#roster !== this.#model.roster || now - this.#countedAt > SHOW_MS) this.#count(now);
    return this.#rooms[room.place] ?? none;
  }

  #count(now) {
    const model = this.#model;
    [this.#roster, this.#countedAt] = [model.roster, now];
    this.#rooms = [];
    for (const stream of model.streams) {
      if (!stream) continue;
      const room = (this.#rooms[stream.room] ??= { streams: 0, talking: 0, talkers: [], dropping: 0 });
      room.streams += 1;
      if (model.isRed(stream.slot, now)) room.dropping += 1;
      if (!model.isTalking(stream.slot)) continue;
      room.talking += 1;
      if (room.talkers.length < NAMED) room.talkers.push(stream);
    }
  }
}
