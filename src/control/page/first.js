// The page without streams: the addresses that take audio, and for each client a line to paste.

import { path, request, socket } from "./api.js";
import { tokenNeeded } from "./session.js";

const element = (name) => document.getElementById(name);
const ASK_MS = 3000;
const TOKEN = '-H "Authorization: Bearer $(cat token)" ';

const make = (name, className, text) => Object.assign(document.createElement(name), { className, textContent: text });
/** A host as an address has it, and as a program takes it alone. */
const bracketed = (host) => (host.includes(":") ? `[${host}]` : host);
const bare = (host) => host.replace(/^\[|\]$/g, "");
const address = (scheme, host, port) => `${scheme}:${"/".repeat(2)}${bracketed(host)}:${port}`;

/** The place of `tcp 127.0.0.1:9000`. A socket on all addresses is reached at the one that the page came from. */
const parts = ({ listener, kind }) => {
  const place = listener.slice(listener.indexOf(" ") + 1);
  const found = place.match(/^(.*):(\d+)$/);
  if (kind === "unix" || !found) return { kind, place };
  let host = bare(found[1]);
  if (host === "0.0.0.0" || host === "::") host = bare(location.hostname);
  return { kind, host, port: found[2], place: `${bracketed(host)}:${found[2]}` };
};

/** The name of each way in, its flag, and its clients: the lines of docs/operations.md, which tests hold. */
const WAYS = {
  rtp: ["RTP", "--rtp 5004", ({ host, port }) => [
    ["ffmpeg", `ffmpeg -re -i x.wav -ar 8000 -ac 1 -c:a pcm_mulaw -f rtp -rtpflags send_bye "${address("rtp", host, port)}?pkt_size=172"`],
    ["GStreamer", `gst-launch-1.0 filesrc location=x.wav ! decodebin ! audioconvert ! audioresample ! mulawenc ! rtppcmupay max-ptime=20000000 ! udpsink host=${host} port=${port}`],
  ]],
  audiosocket: ["AudioSocket", "--audiosocket 9092", ({ place }) => [
    ["Asterisk", `same => n,AudioSocket(\${UUID()},${place})`],
  ]],
  tcp: ["TCP", "--tcp 9000", ({ host, port }, { rate_hz: rate, channels }) => [
    ["nc", `nc -N ${host} ${port} < x.wav`],
    ["sox", `sox x.wav -t raw -r ${rate} -c ${channels} -e signed -b 16 -L - | nc -N ${host} ${port}`],
  ]],
  unix: ["Unix socket", "--unix mixpool.sock", ({ place }) => [["nc", `nc -N -U ${place} < x.wav`]]],
};

// By the page's own address, which a proxy may have changed.
const httpBody = () => {
  const place = new URL("ingest/desk-1", document.baseURI).href;
  const lines = [["curl", `curl ${tokenNeeded() ? TOKEN : ""}-T x.wav ${place}`]];
  if (!tokenNeeded()) lines.push(["ffmpeg", `ffmpeg -i x.wav -ac 1 -f wav -method POST ${place}`]);
  return ["HTTP body", place, lines];
};
const webSocket = () => {
  const place = socket("ws/ingest");
  return ["WebSocket", place, [["Asterisk", `uri = ${place}`]]];
};

export class First {
  #model;
  #askedAt = -Infinity;
  #shown = "";

  constructor(model) {
    this.#model = model;
  }

  /** Once a frame. */
  draw(now) {
    const { totals, streams } = this.#model;
    if (!totals) return;
    const none = streams.every((stream) => stream === null);
    if (element("first").hidden === none) {
      element("first").hidden = !none;
      element("grid").hidden = none;
      element("grid-help").hidden = none;
    }
    if (!none || document.hidden || now - this.#askedAt < ASK_MS) return;
    this.#askedAt = now;
    this.#ask();
  }

  async #ask() {
    try {
      const { ingest } = await request("GET", path("status"));
      const text = JSON.stringify([ingest.map(({ listener }) => listener), tokenNeeded(), this.#model.server.rate_hz]);
      if (text !== this.#shown) this.#show(ingest.map(parts));
      this.#shown = text;
    } catch {
      // The feed says it, if the server is gone.
    }
  }

  #show(listeners) {
    const known = listeners.filter(({ kind }) => kind in WAYS);
    const all = known.map((listener) => {
      const [name, , lines] = WAYS[listener.kind];
      return [name, listener.place, lines(listener, this.#model.server)];
    });
    element("ways").replaceChildren(...[httpBody(), ...all, webSocket()].map((way) => this.#way(...way)));
    const off = Object.entries(WAYS).filter(([kind]) => !known.some((listener) => listener.kind === kind));
    element("first-off").textContent = off.length > 0 ? `Off, and started by: ${off.map(([, [, flag]]) => flag).join(", ")}.` : "";
  }

  #way(name, place, lines) {
    const way = make("section", "way", "");
    const title = make("h4", "", `${name} `);
    title.append(make("code", "", place));
    way.append(title, ...lines.map(([client, text]) => {
      const line = make("div", "line", "");
      const code = make("code", "", text);
      code.tabIndex = 0;
      const button = make("button", "quiet small", "Copy");
      button.type = "button";
      button.setAttribute("aria-label", `Copy the ${name} line for ${client}`);
      button.addEventListener("click", () => this.#copy(code, button));
      line.append(make("span", "client", client), code, button);
      return line;
    }));
    return way;
  }

  async #copy(code, button) {
    try {
      await navigator.clipboard.writeText(code.textContent);
    } catch {
      // Without TLS a browser has no clipboard of this kind: the line is selected and copied as by hand.
      getSelection().selectAllChildren(code);
      document.execCommand("copy");
    }
    button.textContent = "Copied";
    element("copied").textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; element("copied").textContent = ""; }, 1500);
  }
}
