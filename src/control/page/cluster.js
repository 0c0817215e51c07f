// The cluster, if the server is a node of one: its connection and clock, the other nodes, the rooms that they share, and
// the streams of the others.

import { path, request } from "./api.js";
import * as show from "./format.js";

const PERIOD_MS = 1000;
const STREAMS_SHOWN = 200;
/** States of a node in which its streams are not heard. */
const AWAY = new Set(["down", "off", "gone"]);
const CLOCKS = { idle: "no other node shares a room", listening: "listening to the other nodes", aligned: "in step with the other nodes" };

const ms = (value) => (value === null ? "–" : `${value.toFixed(1)} ms`);

const row = (key, text, alarm) => {
  const item = document.createElement("li");
  const [when, what] = [document.createElement("span"), document.createElement("span")];
  when.className = "when";
  what.className = alarm ? "what alarm" : "what";
  when.textContent = key;
  what.textContent = text;
  item.append(when, what);
  return item;
};

const nodeText = ({ name, streams, rooms, ahead_ms: ahead, lead_used_p50_ms: half, lead_used_p99_ms: most, last_block: last, state }, lead) => {
  const inRooms = rooms.map((room) => room.name).join(", ");
  const has = streams === null ? "" : `, ${show.counted(streams, "stream")}${inRooms ? ` in ${inRooms}` : ""}`;
  if (state === "down" || state === "gone") return `${name}${has}; its last block was ${last}`;
  const comes = ahead === null ? "" : `; its blocks come ${ms(Math.abs(ahead))} ${ahead < 0 ? "later" : "earlier"} than here`;
  const needs = most === null ? "" : `; it needs ${ms(most)} of ${ms(lead)}, half of the time ${ms(half)}`;
  return `${name}${has}${comes}${needs}`;
};

const ledgerText = ({ offered, mixed, muted, dropped_full: full, dropped_late: late, discarded, in_ring: waiting }, moving) => {
  const terms = [["mixed", mixed], ["muted", muted], ["dropped, ring full", full], ["dropped late", late], ["discarded", discarded],
    ["in rings", waiting], ["in flight", moving]];
  const some = terms.filter(([, count]) => count !== 0).map(([what, count]) => `${show.count(count)} ${what}`);
  return `${show.counted(offered, "sample")} offered on all nodes: ${some.join(", ") || "none"}`;
};

const roomText = ({ name, standing, shared, made_of: nodes, same_since: since, differing_blocks: differing, links }) => {
  const missing = links.reduce((sum, { late, lost, refused }) => sum + late + lost + refused, 0);
  const lacks = missing > 0 ? `, ${show.counted(missing, "sample")} of other nodes missing` : "";
  const counted = differing > 0 ? `, ${show.counted(differing, "block")} differed` : "";
  if (standing === "differs") return `${name}: of this node alone, as others have other settings`;
  if (!shared) return `${name}: on this node alone`;
  const same = since === null ? "differs between nodes" : `the same on all nodes since block ${since}`;
  return `${name}: of ${nodes.join(", ") || "none yet"}; ${same}${counted}${lacks}`;
};

export class Cluster {
  #card = document.getElementById("cluster");
  #list = document.getElementById("cluster-list");
  #streams = document.getElementById("cluster-streams");
  #title = document.getElementById("cluster-streams-title");
  #rows = document.getElementById("cluster-streams-list");
  #timer = null;

  /** The server is a node, or is none. */
  hello(isNode) {
    this.#card.hidden = !isNode;
    clearInterval(this.#timer);
    if (!isNode) return;
    this.#timer = setInterval(() => {
      if (!document.hidden) this.#refresh();
    }, PERIOD_MS);
    this.#refresh();
  }

  async #refresh() {
    try {
      const [cluster, { nodes }] = await Promise.all([request("GET", path("cluster")), request("GET", path("cluster", "streams"))]);
      this.#show(cluster);
      this.#showStreams(nodes);
    } catch {
      // The feed says it, if the server is gone.
    }
  }

  #show({ node, lead_ms: lead, nats, clock, nodes, rooms, ledger, in_flight: moving }) {
    const rows = [
      row("NATS", nats.connected ? `${node} is connected to ${nats.server}` : `away: ${nats.error ?? "connecting"}`, !nats.connected),
      row("Clock", clock.reason ? `alone: ${clock.reason}` : `${CLOCKS[clock.alignment]}; the rooms are ${ms(lead)} behind`, clock.alignment === "alone"),
    ];
    if (!clock.synchronised || clock.unsynchronised.length > 0) {
      const others = clock.unsynchronised.join(", ");
      rows.push(row("Clock", `${clock.synchronised ? "synchronised" : "not synchronised"}${others ? `; not joined: ${others}` : ""}`, others !== ""));
    }
    rows.push(row("Ledger", ledgerText(ledger, moving)));
    for (const other of nodes) {
      if (other.state !== "self") rows.push(row(show.term(other.state), nodeText(other, lead), AWAY.has(other.state)));
    }
    for (const room of rooms) {
      rows.push(row("Room", roomText(room), room.standing === "differs" || (room.shared && room.same_since === null)));
    }
    this.#list.replaceChildren(...rows);
  }

  #showStreams(nodes) {
    const all = nodes.flatMap(({ node, streams }) => streams.map((stream) => ({ node, ...stream })));
    const more = nodes.reduce((sum, node) => sum + node.more, 0);
    this.#streams.hidden = all.length === 0;
    this.#title.textContent = `${show.counted(all.length + more, "stream")} on other nodes`;
    if (!this.#streams.open) return;
    const shown = all.slice(0, STREAMS_SHOWN).map(({ node, id, label, room, state }) => row(node, `${label ?? id} in ${room}, ${state}`));
    const left = all.length + more - shown.length;
    if (left > 0) shown.push(row("", `and ${left} more`));
    this.#rows.replaceChildren(...shown);
  }
}
