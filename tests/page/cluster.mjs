// A node of a cluster in the page: who is there, what they share, and what is away. CLUSTER is a mixpool with that feature,
// NATS_SERVER the NATS server; `.ci/page` has both.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";

import { expect, until, visit } from "./browser.mjs";
import { ROOT, Server, freePort } from "./server.mjs";

const PROGRAM = process.env.CLUSTER ?? path.join(ROOT, "target/cluster/mixpool");

/** A NATS server that is ended by `stop`, and starts again at its port. */
class Nats {
  static async begin() {
    const nats = new Nats();
    nats.folder = mkdtempSync(path.join(os.tmpdir(), "nats-"));
    nats.port = await freePort();
    nats.start();
    return nats;
  }

  start() {
    const flags = ["-js", "-sd", this.folder, "-a", "127.0.0.1", "-p", String(this.port)];
    this.child = spawn(process.env.NATS_SERVER ?? "nats-server", flags, { stdio: "ignore" });
    this.ended = new Promise((resolve) => this.child.once("exit", resolve));
  }

  async stop() {
    this.child.kill("SIGKILL");
    await this.ended;
  }

  async end() {
    await this.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export const a_node_shows_the_others_and_what_is_away = async () => {
  const nats = await Nats.begin();
  const node = (name, ...flags) => Server.start(
    ["--cluster", `nats://127.0.0.1:${nats.port}`, "--node", name, "--cluster-lead", "300ms", "--room", "conf,cluster=on",
      "--synthetic-room", "conf", "--streams-max", "16", ...flags],
    { program: PROGRAM },
  );
  try {
    const near = await node("near", "--synthetic", "2");
    const far = await node("far", "--synthetic", "3", "--synthetic-first", "11");
    const { page, check } = await visit(near.address);
    const card = page.getByRole("region", { name: "Cluster" });
    const row = (key, what) => card.locator("#cluster-list li").filter({ hasText: key }).filter({ hasText: what });
    const shows = async (key, what) => {
      const is = async () => (await row(key, what).count()) === 1;
      const list = async () => (await card.locator("#cluster-list li").allInnerTexts()).join("\n");
      await until(`${key}: ${what}`, is).catch(async (error) => { throw new Error(`${error.message}\n${await list()}`); });
    };
    const alarms = (key) => row(key, /./).locator(".alarm").count();

    await shows("NATS", "near is connected to");
    await shows("Up", /^Upfar, 3 streams in conf; its blocks come .* ms (earlier|later) than here; it needs .* of 300\.0 ms/);
    await shows("Room", /conf: of near, far; the same on all nodes since block \d+/);
    await shows("Clock", "in step with the other nodes; the rooms are 300.0 ms behind");
    await shows("Ledger", /samples offered on all nodes: .+ mixed/);
    expect(await alarms(/^(NATS|Up|Room)/) === 0, "no alarm");
    const others = card.locator("#cluster-streams-list li");
    await card.getByText("3 streams on other nodes").click();
    await until("the streams of the other", async () => (await others.count()) === 3);
    expect(/^far.* in conf, playing/.test(await others.first().textContent()), await others.first().textContent());
    await card.scrollIntoViewIfNeeded();
    await page.screenshot({ path: path.join(ROOT, "target/page/cluster.png") });

    await far.kill();
    await shows(/^(Down|Gone|Off|Present)/, /far.*; its last block was \d+$/);
    expect(await alarms(/^(Down|Gone)/) === 1, "a node that is away is an alarm");
    await nats.stop();
    await shows("NATS", "away: ");
    expect(await alarms(/^NATS/) === 1, "NATS that is away is an alarm");
    nats.start();
    await shows("NATS", "near is connected to");
    await check();
    await near.stop();
  } finally {
    await nats.end();
  }
  return "its connection, clock, nodes, rooms, streams and ledgers, and each that is away";
};
