// The microphone as a stream of the mix: an audio worklet into a WebSocket of bare 16-bit samples.

import { chosenRoom, onRoom } from "./address.js";
import { alert, dismiss, refusal, socket } from "./api.js";
import { changes, mayChange, onAccess, refused } from "./session.js";

/** Not sent yet: beyond it the network does not keep up, and old words are no help. */
const BEHIND_S = 0.5;

const element = (name) => document.getElementById(name);

/** The microphone's light goes out with its last track. */
const release = ({ stream, context, socket: web }) => {
  for (const track of stream?.getTracks() ?? []) track.stop();
  if (context && context.state !== "closed") context.close();
  web?.close();
};

export class Talk {
  #player;
  #model;
  /** To hear the mix without the own stream, once the server has it. */
  #hear = false;
  /** From the click on: name, microphone, audio context and socket, as far as there are any yet. */
  #call = null;
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
      this.#entitle();
      if (!hidden) element("talk-id").focus();
    });
    onRoom(() => this.#entitle());
    element("talk-id").value = `browser-${Math.random().toString(36).slice(2, 6)}`;
    element("talk-form").addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.#call) this.stop();
      else this.#start();
    });
    changes(open);
    onAccess(() => {
      if (mayChange()) return;
      if (this.#call) this.stop();
      element("talk").hidden = true;
      open.setAttribute("aria-expanded", false);
    });
    element("talk-mute").addEventListener("click", () => {
      this.#muted = !this.#muted;
      element("talk-mute").setAttribute("aria-pressed", this.#muted);
      for (const track of this.#call?.stream?.getAudioTracks() ?? []) track.enabled = !this.#muted;
    });
  }

  /** The room whose streams are shown is the one to talk into. */
  get #room() {
    return this.#model.hasRooms ? chosenRoom() : null;
  }

  #entitle() {
    if (!this.#call) element("talk-title").textContent = this.#room === null ? "Talk into the mix" : `Talk into the room ${this.#room}`;
  }

  /** Once a frame. */
  draw() {
    if (!this.#call && this.#shown === 0) return;
    if (this.#hear && this.#model.find(this.#call.id)) {
      this.#hear = false;
      this.#player.start({ stream: this.#call.id, mix: "minus" });
    }
    this.#shown = Math.max(this.#peak, this.#shown - 0.02);
    this.#peak = 0;
    element("talk-bar").style.transform = `scaleX(${Math.min(1, this.#shown).toFixed(3)})`;
  }

  async #start() {
    if (refused()) return;
    dismiss("talk");
    const id = element("talk-id").value.trim();
    if (this.#model.find(id)) {
      this.#fail(`There is a stream called ${id}: choose another name.`);
      return;
    }
    if (!navigator.mediaDevices) {
      this.#fail("Browsers give the microphone only to pages of this machine or over HTTPS. Open this page by 127.0.0.1, or put a TLS proxy before it.");
      return;
    }
    // Before anything is waited for: what ends it meanwhile ends all of it, and nothing begins twice.
    const call = { id, room: this.#room, stream: null, context: null, socket: null };
    this.#call = call;
    this.#show("Cancel");
    this.#say("Asking for the microphone…");
    try {
      await this.#open(call);
    } catch (failure) {
      // Ended here while it was opened: it has been said.
      if (this.#call !== call) return;
      this.stop();
      this.#fail(`You are not on air: ${failure.message}.`);
    }
  }

  /** Opens the microphone and the way to the server. What was opened when it fails is in `call`. */
  async #open(call) {
    const still = () => {
      if (this.#call === call) return;
      release(call);
      throw new Error("ended while it began");
    };
    try {
      call.stream = await navigator.mediaDevices.getUserMedia({
        audio: { channelCount: 1, echoCancellation: true, noiseSuppression: true, autoGainControl: true },
      });
    } catch (failure) {
      const why = failure.name === "NotAllowedError" ? "the browser was not allowed to use it" : failure.message;
      throw new Error(`there is no microphone, ${why}`);
    }
    still();
    call.context = new AudioContext({ latencyHint: "interactive" });
    await call.context.audioWorklet.addModule("talk-worklet.js");
    still();
    const { sampleRate } = call.context;
    const source = call.context.createMediaStreamSource(call.stream);
    const talker = new AudioWorkletNode(call.context, "talker", { numberOfOutputs: 0, channelCount: 1, channelCountMode: "explicit" });
    const address = socket("ws/ingest", { id: call.id, rate: sampleRate, channels: 1, ...(call.room !== null && { room: call.room }) });
    const web = new WebSocket(address);
    call.socket = web;
    let opened = false;
    web.onopen = () => {
      if (this.#call !== call) return;
      opened = true;
      this.#say(`On air as ${call.id}.`);
      this.#hear = element("talk-hear").checked;
    };
    web.onclose = async ({ reason }) => {
      if (this.#call !== call) return;
      this.stop();
      const why = reason || (opened ? "the connection was lost" : await refusal(address));
      if (!this.#call) this.#fail(`You are off air: ${why}.`);
    };
    talker.port.onmessage = ({ data: { samples, peak } }) => {
      this.#peak = Math.max(this.#peak, (peak / 32768) ** 0.5);
      if (web.readyState === WebSocket.OPEN && web.bufferedAmount < BEHIND_S * sampleRate * 2) web.send(samples);
    };
    source.connect(talker);
    this.#show("Stop talking");
    element("talk-mute").disabled = false;
  }

  stop() {
    const call = this.#call;
    this.#call = null;
    this.#hear = false;
    if (call) release(call);
    if (call && this.#player.target?.stream === call.id) this.#player.stop();
    this.#muted = false;
    element("talk-mute").setAttribute("aria-pressed", false);
    element("talk-mute").disabled = true;
    this.#show("Start talking");
    this.#say("You are off air.");
    this.#entitle();
  }

  #show(label) {
    element("talk-start").textContent = label;
    element("talk-id").disabled = this.#call !== null;
  }

  #say(text) {
    element("talk-state").textContent = text;
  }

  #fail(text) {
    this.#say(text);
    alert(text, { key: "talk" });
  }
}
