// The page's state: the server, its totals, and a column of figures for each slot of the pool.

/** A cell stays red for so long after its last drop, so that a single one is seen. */
export const RED_MS = 1200;
/** Minutes of history at a point a second. */
export const HISTORY_S = 300;
/** Seconds and columns of the waveform: 100 columns a second. */
export const WAVE_COLUMNS = 1024;

export const MUTED = 1;
export const SOLO = 2;
export const WAITING = 4;

const bytesOf = (text) => {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let at = 0; at < bytes.length; at += 1) bytes[at] = binary.charCodeAt(at);
  return bytes;
};

/** A level byte in dB of full scale: half decibels below 0, and 0 for silence. */
export const levelDb = (byte) => (byte === 0 ? -Infinity : (byte - 255) / 2);
/** A fill byte as a share of the ring: its square root, so that a few frames of a minute are seen. */
export const fillShare = (byte) => (byte / 255) ** 2;

/** Samples that the mix lacks, and all that were sent. */
export const missingOf = (ledger) => ({
  missing: ledger.lost_samples + ledger.dropped_full_samples + ledger.dropped_late_samples,
  sent: ledger.offered_samples + ledger.lost_samples,
});

/** Columns that come once a second, if they changed; -1 where a stream has no such figure. */
const SLOW = [
  "drop_rate", "missing_rate", "stalled_s", "concealed_samples", "jitter_ms", "drift_ppm", "ring_high_water_bytes", "gain_db", "flags",
];

/** Columns of the rooms that come once a second, if they changed. */
const SLOW_ROOM = ["gain_db", "limiter", "dropped_samples"];

export class Model {
  server = null;
  /** By place: `{ place, name }`, or null where there is no room. */
  rooms = [];
  /** Raised whenever a room opened or closed. */
  roomRoster = 0;
  /** By place: the level of each room's last block, and a column for each name of `SLOW_ROOM`. */
  roomLevel = new Uint8Array();
  roomSlow = {};
  /** By slot; null where there is no stream. */
  streams = [];
  /** Raised whenever a stream came or went. */
  roster = 0;
  /** Of the last message. */
  number = 0;
  /** Raised by each update, and by each update with slow columns. */
  updates = 0;
  slowUpdates = 0;
  totals = null;
  mix = null;
  /** Missing and sent samples of the last seconds: the missing rate now. Lost audio is missing, and dropped. */
  #recent = [];
  missingRateNow = 0;
  /** The missing rate of each of the last seconds. */
  missingHistory = new Float32Array(HISTORY_S);
  /** Smallest and largest sample of each 10 ms, a ring; `waveEnd` counts all columns ever. */
  waveMin = new Int16Array(WAVE_COLUMNS);
  waveMax = new Int16Array(WAVE_COLUMNS);
  waveEnd = 0;
  /** Seconds of history that were written. */
  historyEnd = 0;
  #roomsOpen = 0;

  get size() {
    return this.streams.length;
  }

  /** Whether there is another room than `main`. */
  get hasRooms() {
    return this.#roomsOpen > 1;
  }

  get roomsOpen() {
    return this.#roomsOpen;
  }

  roomOf(stream) {
    return this.rooms[stream.room] ?? null;
  }

  findRoom(name) {
    return this.rooms.find((room) => room?.name === name) ?? null;
  }

  /** Whether it talks, before gain and mute, by its room's rule. */
  isTalking(slot) {
    return ((this.talking[slot >> 3] >> (slot & 7)) & 1) === 1;
  }

  /** Everything from the start: the page opened, the server was restarted, or the page fell behind. */
  hello(data) {
    const same = this.server?.instance === data.server.instance && this.size === data.server.slots;
    const known = this.streams;
    this.server = data.server;
    if (!same) this.#allot(data.server.slots);
    this.streams = new Array(data.server.slots).fill(null);
    // Slots, numbers and ids agree from run to run; the streams are others.
    if (same) this.#pass(data.server.uptime_ms);
    for (const row of data.streams) this.#start(row, same ? known[row[0]] : null);
    const rooms = same ? this.rooms : [];
    this.rooms = [];
    this.roomSlow = {};
    this.#takeRooms({ rooms_opened: data.rooms, room_slow: data.room_slow }, rooms);
    this.#takeSlow(data.slow);
    this.number = data.number;
    this.#keepWave(data.wave, data.wave_at);
    this.#recent = [];
    this.roster += 1;
  }

  update(data, now) {
    // Older than what is known: from before a `hello` that came because this page fell behind.
    if (data.number <= this.number) return;
    this.number = data.number;
    for (const slot of data.ended ?? []) this.streams[slot] = null;
    // A stream that is there already has another label or room.
    for (const row of data.started ?? []) this.#start(row, this.streams[row[0]]);
    if (data.ended?.length || data.started?.length) this.roster += 1;
    this.#takeRooms(data);
    this.roomLevel = bytesOf(data.room_level);
    this.updates += 1;
    this.heardAt = now;
    this.totals = data;
    this.mix = data.mix;
    this.level = bytesOf(data.level);
    this.fill = bytesOf(data.fill);
    this.drops = bytesOf(data.drops);
    this.talking = bytesOf(data.talking);
    this.#keepWave(data.mix.wave, data.mix.wave_at);
    for (let slot = 0; slot < this.size; slot += 1) {
      this.peakLevel[slot] = Math.max(this.peakLevel[slot], this.level[slot]);
      this.peakFill[slot] = Math.max(this.peakFill[slot], this.fill[slot]);
      if (this.drops[slot] > 0) {
        this.redUntil[slot] = now + RED_MS;
        this.peakDrops[slot] = Math.max(this.peakDrops[slot], this.drops[slot]);
      }
    }
    this.#keepMissingRate(data.ledger, data.uptime_ms);
    if (data.slow) this.#keepSlow(data.slow);
  }

  isRed(slot, now) {
    return this.redUntil[slot] > now;
  }

  find(id) {
    return this.streams.find((stream) => stream?.id === id) ?? null;
  }

  ageMs(stream) {
    return (this.totals?.uptime_ms ?? this.server.uptime_ms) - stream.admitted_ms;
  }

  /** The mix's own clock, as it should be by now: samples per channel made since the start. */
  positionNow(now) {
    if (!this.totals) return 0;
    const since = Math.min(1000, now - this.heardAt);
    return this.totals.position_samples + (since * this.server.rate_hz) / 1000;
  }

  #allot(slots) {
    for (const name of SLOW) this[name] = new Float64Array(slots);
    this.level = new Uint8Array(slots);
    this.fill = new Uint8Array(slots);
    this.drops = new Uint8Array(slots);
    this.redUntil = new Float64Array(slots);
    this.talking = new Uint8Array(Math.ceil(slots / 8));
    // The largest of the running second, which the history then keeps.
    this.peakLevel = new Uint8Array(slots);
    this.peakFill = new Uint8Array(slots);
    this.peakDrops = new Uint8Array(slots);
    this.historyLevel = new Uint8Array(slots * HISTORY_S);
    this.historyFill = new Uint8Array(slots * HISTORY_S);
    this.historyDrops = new Uint8Array(slots * HISTORY_S);
    this.historyEnd = 0;
    this.missingHistory.fill(0);
    this.waveMin.fill(0);
    this.waveMax.fill(0);
    this.waveEnd = 0;
    // Those of another run say nothing of this one, and its uptime would be the age of its streams.
    this.totals = null;
  }

  /** A room that is known already stays the same object. */
  #takeRooms({ rooms_closed: closed = [], rooms_opened: opened = [], room_slow: slow = {} }, known = []) {
    for (const place of closed) this.rooms[place] = null;
    for (const [place, name] of opened) {
      this.rooms[place] = known[place]?.name === name ? known[place] : { place, name };
    }
    for (const name of SLOW_ROOM) if (slow[name]) this.roomSlow[name] = slow[name];
    if (closed.length + opened.length === 0) return;
    this.#roomsOpen = this.rooms.filter((room) => room).length;
    this.roomRoster += 1;
  }

  #start([slot, id, kind, source, admitted_ms, number, label, room], before) {
    if (before?.number === number && before.id === id) {
      [before.label, before.room] = [label, room];
      this.streams[slot] = before;
      return;
    }
    this.streams[slot] = { slot, id, label, kind, source, admitted_ms, number, room, begunAt: this.historyEnd };
    this.redUntil[slot] = 0;
    for (const kept of [this.historyLevel, this.historyFill, this.historyDrops]) {
      kept.fill(0, slot * HISTORY_S, (slot + 1) * HISTORY_S);
    }
  }

  /** Seconds in which this page heard nothing: its history has a gap, and is not pushed together. */
  #pass(uptime_ms) {
    const missed = this.totals ? Math.floor((uptime_ms - this.totals.uptime_ms) / 1000) : 0;
    for (let second = 0; second < Math.min(missed, HISTORY_S); second += 1) {
      const at = this.historyEnd % HISTORY_S;
      for (let slot = 0; slot < this.size; slot += 1) {
        const place = slot * HISTORY_S + at;
        this.historyLevel[place] = this.historyFill[place] = this.historyDrops[place] = 0;
      }
      this.missingHistory[at] = 0;
      this.historyEnd += 1;
    }
  }

  /** Columns from the one with this number on; before it there may be a gap. */
  #keepWave(text, from) {
    for (; this.waveEnd < from && from - this.waveEnd < WAVE_COLUMNS; this.waveEnd += 1) {
      this.waveMin[this.waveEnd % WAVE_COLUMNS] = 0;
      this.waveMax[this.waveEnd % WAVE_COLUMNS] = 0;
    }
    this.waveEnd = from;
    const samples = new Int16Array(bytesOf(text).buffer);
    for (let at = 0; at + 1 < samples.length; at += 2) {
      this.waveMin[this.waveEnd % WAVE_COLUMNS] = samples[at];
      this.waveMax[this.waveEnd % WAVE_COLUMNS] = samples[at + 1];
      this.waveEnd += 1;
    }
  }

  #keepMissingRate(ledger, at) {
    const { missing, sent } = missingOf(ledger);
    this.#recent.push({ at, missing, sent });
    while (this.#recent.length > 2 && at - this.#recent[1].at >= 1000) this.#recent.shift();
    const first = this.#recent[0];
    // Streams that end take nothing back, but the ledgers are read one after another, and a packet that comes
    // after all is no longer lost.
    const now = sent > first.sent ? (missing - first.missing) / (sent - first.sent) : 0;
    this.missingRateNow = Math.min(1, Math.max(0, now));
  }

  #takeSlow(slow) {
    for (const name of SLOW) {
      for (const [slot, value] of (slow[name] ?? []).entries()) this[name][slot] = value ?? -1;
    }
    this.slowUpdates += 1;
  }

  #keepSlow(slow) {
    this.#takeSlow(slow);
    const at = this.historyEnd % HISTORY_S;
    for (let slot = 0; slot < this.size; slot += 1) {
      const place = slot * HISTORY_S + at;
      this.historyLevel[place] = this.peakLevel[slot];
      this.historyFill[place] = this.peakFill[slot];
      this.historyDrops[place] = this.peakDrops[slot];
    }
    this.peakLevel.fill(0);
    this.peakFill.fill(0);
    this.peakDrops.fill(0);
    this.missingHistory[at] = this.missingRateNow;
    this.historyEnd += 1;
  }
}
