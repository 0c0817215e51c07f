// The microphone as a stream of the mix: an audio worklet into a WebSocket of bare 16-bit samples.

import { alert, dismiss, refusal, socket } from "./api.js";

/** Not sent yet: beyond it the network does not keep up, and old words help nobody. */
const BEHIND_S = 0.5;

const element = (name) => document.getElementById(name);

export class Talk {
  #player;
  #model;
  /** To hear the mix without the own stream, once the server has it. */
  #hear = false;
  #stream = null;
  #context = null;
  #socket = null;
  #id = null;
  #muted = false;
  #peak = 0;
  #shown = 0;

  constructor(player, model) {
    [this.#player, this.#model] = [player, model];
    const open = element("talk-open");
    open.addEventListener("click", () => {
      const hidden = !element("talk").hidden;
      element("talk").hidden = hidden;
      open.setAttribute("aria-expanded", !hidden);
      if (!hidden) element("talk-id").focus();
    });
    element("talk-id").value = `browser-${Math.random().toString(36).slice(2, 6)}`;
    element("talk-form").addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.#stream) this.stop();
      else this.#start();
    });
    element("talk-mute").addEventListener("click", () => {
      this.#muted = !this.#muted;
      element("talk-mute").setAttribute("aria-pressed", this.#muted);
      for (const track of this.#stream?.getAudioTracks() ?? []) track.enabled = !this.#muted;
    });
  }

  /** Once a frame. */
  draw() {
    if (!this.#stream && this.#shown === 0) return;
    if (this.#hear && this.#model.find(this.#id)) {
      this.#hear = false;
      this.#player.start({ stream: this.#id, mix: "minus" });
    }
    this.#shown = Math.max(this.#peak, this.#shown - 0.02);
    this.#peak = 0;
    element("talk-bar").style.transform = `scaleX(${Math.min(1, this.#shown).toFixed(3)})`;
  }

  async #start() {
    dismiss("talk");
    this.#id = element("talk-id").value.trim();
    if (this.#model.find(this.#id)) {
      this.#fail(`There is a stream called ${this.#id}: choose another name.`);
      return;
    }
    if (!navigator.mediaDevices) {
      this.#fail("Browsers give the microphone only to pages of this machine or over HTTPS. Open this page by 127.0.0.1, or put a TLS proxy before it.");
      return;
    }
    this.#say("Asking for the microphone…");
    try {
      this.#stream = await navigator.mediaDevices.getUserMedia({
        audio: { channelCount: 1, echoCancellation: true, noiseSuppression: true, autoGainControl: true },
      });
    } catch (failure) {
      const why = failure.name === "NotAllowedError" ? "the browser was not allowed to use it" : failure.message;
      this.#fail(`There is no microphone: ${why}.`);
      return;
    }
    this.#context = new AudioContext({ latencyHint: "interactive" });
    await this.#context.audioWorklet.addModule("talk-worklet.js");
    const { sampleRate } = this.#context;
    const address = socket("ws/ingest", { id: this.#id, rate: sampleRate, channels: 1 });
    const web = new WebSocket(address);
    this.#socket = web;
    let opened = false;
    web.onopen = () => {
      opened = true;
      this.#say(`On air as ${this.#id}.`);
      this.#hear = element("talk-hear").checked;
    };
    web.onclose = async ({ reason }) => {
      if (web !== this.#socket) return;
      this.stop();
      const why = reason || (opened ? "the connection was lost" : await refusal(address));
      this.#fail(`You are off air: ${why}.`);
    };
    const source = this.#context.createMediaStreamSource(this.#stream);
    const talker = new AudioWorkletNode(this.#context, "talker", { numberOfOutputs: 0, channelCount: 1, channelCountMode: "explicit" });
    talker.port.onmessage = ({ data: { samples, peak } }) => {
      this.#peak = Math.max(this.#peak, (peak / 32768) ** 0.5);
      if (web.readyState === WebSocket.OPEN && web.bufferedAmount < BEHIND_S * sampleRate * 2) web.send(samples);
    };
    source.connect(talker);
    element("talk-start").textContent = "Stop talking";
    element("talk-mute").disabled = false;
    element("talk-id").disabled = true;
  }

  stop() {
    const web = this.#socket;
    this.#socket = null;
    this.#hear = false;
    web?.close();
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#stream = null;
    this.#context?.close();
    this.#context = null;
    if (this.#player.target?.stream === this.#id) this.#player.stop();
    this.#muted = false;
    element("talk-mute").setAttribute("aria-pressed", false);
    element("talk-mute").disabled = true;
    element("talk-id").disabled = false;
    element("talk-start").textContent = "Start talking";
    this.#say("You are off air.");
  }

  #say(text) {
    element("talk-state").textContent = text;
  }

  #fail(text) {
    this.#say(text);
    alert(text, { key: "talk" });
  }
}
