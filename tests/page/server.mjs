// A server under test: the command as a user starts it, on free ports, ended with the test.

import { spawn } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import net from "node:net";
import path from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const PROGRAM = process.env.MIXPOOL ?? path.join(ROOT, "target/release/mixpool");
/** No test takes longer; a server that is left alone ends by itself. */
const LIFE = "300s";

const running = new Set();

export class Server {
  /** Starts it; resolves when it serves. `address` is where the page is. */
  static async start(flags, { http = "127.0.0.1:0", program = PROGRAM } = {}) {
    const server = new Server();
    const all = ["serve", "--duration", LIFE, "--http", http, ...flags];
    server.child = spawn(program, all, { stdio: ["ignore", "ignore", "pipe"] });
    running.add(server);
    server.log = "";
    server.ended = new Promise((resolve) => server.child.once("exit", resolve));
    server.child.stderr.setEncoding("utf8").on("data", (text) => { server.log += text; });
    server.address = await server.#said(/dashboard and API at (http:\S+)/);
    return server;
  }

  /** The port on which it takes streams by `--tcp`. */
  async tcp() {
    return Number(await this.#said(/listening on tcp \S+:(\d+)/));
  }

  async rtp() {
    return Number(await this.#said(/listening on rtp \S+:(\d+)/));
  }

  async #said(pattern) {
    for (let tries = 0; tries < 400; tries += 1) {
      const found = this.log.match(pattern);
      if (found) return found[1];
      if (this.child.exitCode !== null) break;
      await sleep(50);
    }
    throw new Error(`the server did not say ${pattern}:\n${this.log}`);
  }

  /** Ends it as Ctrl-C would, with its recording finished. */
  async stop() {
    running.delete(this);
    this.child.kill("SIGINT");
    await this.ended;
  }

  /** Ends it as a crash would. */
  async kill() {
    running.delete(this);
    this.child.kill("SIGKILL");
    await this.ended;
  }

  static async stopAll() {
    await Promise.all([...running].map((server) => server.kill()));
  }
}

export const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** A free port of this machine, free a moment ago at least. */
export const freePort = () => new Promise((resolve, reject) => {
  const probe = net.createServer().once("error", reject).listen(0, "127.0.0.1", () => {
    const { port } = probe.address();
    probe.close(() => resolve(port));
  });
});

/** So many seconds of a tone, as bare samples of 8 kHz. */
export const tone = (hertz, seconds, amplitude = 8000) => {
  const samples = new Int16Array(seconds * 8000);
  for (let at = 0; at < samples.length; at += 1) {
    samples[at] = Math.round(amplitude * Math.sin((2 * Math.PI * hertz * at) / 8000));
  }
  return Buffer.from(samples.buffer);
};

/** A stream over TCP with a name. */
export const sender = async (port, id) => {
  const socket = net.connect(port, "127.0.0.1");
  socket.on("error", () => {});
  await new Promise((resolve, reject) => socket.once("connect", resolve).once("error", reject));
  socket.write(`MIXPOOL/1 id=${id} rate=8000 channels=1 format=s16le\n`);
  return socket;
};

/** The names of the recordings in a folder; a sidecar is beside each. */
export const recordingsIn = (folder) => readdirSync(folder).filter((name) => !name.endsWith(".json"));

/** The samples of a recording of ours. */
export const recorded = (file) => {
  const bytes = readFileSync(file);
  const at = bytes.indexOf("data", 12, "latin1") + 8;
  return new Int16Array(bytes.buffer.slice(bytes.byteOffset + at, bytes.byteOffset + bytes.length - ((bytes.length - at) % 2)));
};
