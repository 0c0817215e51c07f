// Hears the mix, a stream alone, or the mix without one: a WebSocket into an audio worklet. One at a time.

import { alert, dismiss, path, request, socket } from "./api.js";

const RETRY_MS = [250, 500, 1000, 2000, 4000];

export class Player {
  /** The sound that is heard: `{}` is the mix, `{ room }` that of another room; null is nothing. */
  target = null;
  /** Its samples, for a meter. */
  analyser = null;
  /** `connecting`, `playing`, `waiting`, `idle`. */
  state = "idle";
  /** How far the ear is behind the mix; null if that is not known. */
  behindMs = null;
  context = null;
  #model;
  #gain = null;
  #socket = null;
  #node = null;
  #attempt = 0;
  #timer = null;
  #volume = 0.8;
  /** Place in the mix of the first sample of this connection. */
  #origin = 0;
  #run = 0;
  #loaded = null;

  constructor(model) {
    this.#model = model;
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden && this.#timer) this.#connect();
    });
  }

  set volume(value) {
    this.#volume = value;
    // A fader's law: half way down is about 12 dB less.
    this.#gain?.gain.setTargetAtTime(value ** 2, this.context.currentTime, 0.02);
  }

  toggle(target) {
    const same = this.target && target.stream === this.target.stream && target.mix === this.target.mix && target.room === this.target.room;
    if (same) this.stop();
    else this.start(target);
  }

  start(target) {
    this.#drop();
    this.target = target;
    this.#attempt = 0;
    // Here, in the click: later a browser would not let it sound.
    this.#prepare(this.#model.server?.rate_hz ?? 8000);
    this.#connect();
  }

  stop() {
    this.target = null;
    this.state = "idle";
    this.#drop();
    this.context?.suspend();
    dismiss("listen");
  }

  #prepare(rate) {
    if (this.rate !== rate) this.#close();
    if (!this.context) {
      this.rate = rate;
      try {
        this.context = new AudioContext({ sampleRate: rate, latencyHint: "interactive" });
      } catch {
        // The browser does not take this rate: the worklet converts.
        this.context = new AudioContext({ latencyHint: "interactive" });
      }
      this.#loaded = this.context.audioWorklet.addModule("listen-worklet.js").then(() => true, () => false);
      this.#gain = new GainNode(this.context, { gain: this.#volume ** 2 });
      this.analyser = new AnalyserNode(this.context, { fftSize: 2048 });
      this.analyser.connect(this.#gain).connect(this.context.destination);
    }
    this.context.resume();
  }

  #close() {
    this.context?.close();
    this.context = this.#gain = this.analyser = null;
  }

  #connect() {
    clearTimeout(this.#timer);
    this.#timer = null;
    this.state = "connecting";
    this.behindMs = null;
    const run = ++this.#run;
    const web = new WebSocket(socket("ws/listen", this.target));
    web.binaryType = "arraybuffer";
    this.#socket = web;
    let greeted = false;
    const early = [];
    web.onmessage = ({ data }) => {
      if (run !== this.#run) return;
      if (!greeted) {
        greeted = true;
        this.#begin(JSON.parse(data), run, early);
      } else if (this.#node) {
        this.#take(data);
      } else {
        early.push(data);
      }
    };
    web.onclose = ({ reason }) => {
      if (run === this.#run && this.target) this.#again(reason);
    };
  }

  async #begin({ rate_hz, channels, at }, run, early) {
    this.#prepare(rate_hz);
    const loaded = await this.#loaded;
    if (run !== this.#run) return;
    if (!loaded) {
      // The server was away when this context asked for its module; it never asks again, another does.
      this.#close();
      this.#again("the player was not loaded");
      return;
    }
    this.#origin = at;
    this.#sent = 0;
    this.#channels = channels;
    this.#node = new AudioWorkletNode(this.context, "listener", {
      numberOfInputs: 0,
      outputChannelCount: [channels],
      processorOptions: { rate: rate_hz, channels },
    });
    this.#node.connect(this.analyser);
    this.#node.port.onmessage = ({ data }) => {
      if (run !== this.#run) return;
      this.state = data.playing ? "playing" : "waiting";
      this.skipped = data.skipped;
      this.dry = data.dry;
      const output = (this.context.outputLatency || this.context.baseLatency || 0) * rate_hz;
      const heard = this.#origin + data.played - output;
      this.behindMs = data.playing ? ((this.#model.positionNow(performance.now()) - heard) * 1000) / rate_hz : null;
    };
    for (const data of early) this.#take(data);
    this.#attempt = 0;
    dismiss("listen");
  }

  #sent = 0;
  #channels = 1;

  #take(data) {
    if (typeof data === "string") {
      // Samples were skipped: what follows begins here.
      const { at } = JSON.parse(data);
      if (at !== undefined) this.#origin = at - this.#sent;
      return;
    }
    this.#sent += data.byteLength / 2 / this.#channels;
    this.#node.port.postMessage(data, [data]);
  }

  async #again(reason) {
    this.#drop();
    this.state = "connecting";
    const run = this.#run;
    // A browser does not say why a WebSocket was refused; the API does.
    const { stream, room } = this.target;
    try {
      const place = stream !== undefined ? path("streams", stream) : room !== undefined ? path("rooms", room) : path("status");
      await request("GET", place);
    } catch (failure) {
      if (run !== this.#run || !this.target) return;
      if (failure.status === 404) {
        this.stop();
        const gone = stream !== undefined ? `${stream} has ended` : `The room ${room} has closed`;
        alert(`${gone}; there is nothing more to hear of it.`, { key: "listen", note: true });
        return;
      }
    }
    if (run !== this.#run || !this.target) return;
    if (reason && this.#attempt > 0) alert(`Listening was interrupted: ${reason}`, { key: "listen" });
    const pause = RETRY_MS[Math.min(this.#attempt, RETRY_MS.length - 1)];
    this.#attempt += 1;
    this.#timer = setTimeout(() => this.#connect(), pause);
  }

  #drop() {
    this.#run += 1;
    clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#socket) this.#socket.onclose = null;
    this.#socket?.close();
    this.#socket = null;
    this.#node?.disconnect();
    this.#node?.port.close();
    this.#node = null;
    this.behindMs = null;
  }
}
