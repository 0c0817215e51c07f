// The page put together: one feed, one model, and one loop that draws what changed.

import { alert, dismiss } from "./api.js";
import { Cluster } from "./cluster.js";
import { Detail } from "./detail.js";
import { Feed } from "./feed.js";
import { First } from "./first.js";
import { Health } from "./health.js";
import { Heatmap } from "./heatmap.js";
import { Player } from "./listen.js";
import "./keys.js";
import { Events, Recordings } from "./lower.js";
import { Meter, Wave } from "./meter.js";
import { Model } from "./model.js";
import { Move } from "./move.js";
import { RoomFigures } from "./room-figures.js";
import { RoomBar } from "./room.js";
import { Rooms } from "./rooms.js";
import { learnAccess } from "./session.js";
import { Strips } from "./strip.js";
import { Table } from "./table.js";
import { Talk } from "./talk.js";

const element = (name) => document.getElementById(name);
const set = (name, text) => {
  if (element(name).textContent !== text) element(name).textContent = text;
};

export const model = new Model();
export const player = new Player(model);
const strips = new Strips(model);
const roomFigures = new RoomFigures(model);
const menu = new Move(model, roomFigures);
const move = (streams) => menu.ask(streams);
const detail = new Detail(model, strips, player, move);
const table = new Table(model, strips, detail, move);
const rooms = new Rooms(model, roomFigures, player);
const roomBar = new RoomBar(model, roomFigures, player, move, () => table.shown);
const heatmap = new Heatmap(element("heat"), (stream) => table.reveal(stream));
const meter = new Meter(element("meter"));
const wave = new Wave(element("wave"));
const first = new First(model);
const health = new Health();
const events = new Events();
const cluster = new Cluster();
const talk = new Talk(player, model);
let recordings = null;

const connection = (state, text) => {
  document.body.classList.toggle("connecting", state === "connecting");
  document.body.classList.toggle("lost", state === "lost");
  set("connection-text", text);
};

let retryAt = 0;
let version = null;

export const feed = new Feed({
  hello(data) {
    const again = model.server !== null;
    const restarted = again && model.server.instance !== data.server.instance;
    model.hello(data);
    if (!again || restarted) {
      cluster.hello(data.server.cluster);
      health.forget();
      events.clear();
      learnAccess();
    }
    events.add(data.events);
    version ??= data.server.version;
    if (version !== data.server.version) {
      alert(`The server is now mixpool ${data.server.version}; this page is of ${version}.`, {
        key: "version", note: true, action: { label: "Reload", run: () => location.reload() },
      });
    }
    dismiss("connection");
    connection("live", "Live");
    set("footer-text", `mixpool ${data.server.version}`);
    document.title = "mixpool";
    recordings ??= new Recordings(model);
  },
  update(data) {
    model.update(data, performance.now());
    if (data.events) events.add(data.events);
  },
  lost(why, at) {
    retryAt = at;
    connection("lost", "Reconnecting");
    document.title = "(lost) mixpool";
    if (!document.querySelector('[data-key="connection"]')) {
      alert(`The connection to the server is lost: ${why}. What stands here is what was last heard.`, {
        key: "connection", action: { label: "Try now", run: () => feed.retry() },
      });
    }
  },
  retry() {
    connection("lost", "Trying");
  },
});

element("listen").addEventListener("click", () => {
  // This button ends a stream's own sound, too.
  if (player.target) player.stop();
  else player.start({});
});
const volume = element("volume");
const turn = () => {
  volume.style.setProperty("--at", `${volume.value}%`);
  player.volume = volume.value / 100;
};
volume.addEventListener("input", turn);
turn();

/** The mix or stream that is heard, and how far behind it is. The delay moves too much to be shown at each frame. */
let shownAt = 0;
const showListening = (now) => {
  if (now - shownAt < 400) return;
  shownAt = now;
  const { target, state, behindMs } = player;
  element("listen").classList.toggle("on", target !== null);
  set("listen-text", target ? "Stop" : "Listen");
  const what = target?.room !== undefined ? `the room ${target.room}`
    : !target || target.stream === undefined ? "the mix"
    : target.mix ? `the mix without ${target.stream}` : `${target.stream} alone`;
  const behind = behindMs === null ? "" : ` · ${Math.max(0, Math.round(behindMs / 5) * 5)} ms behind`;
  if (!target) set("listen-state", "Live, in this browser.");
  else if (state === "connecting") set("listen-state", `Connecting to ${what}…`);
  else {
    // Only the name is announced; the delay is for the eye.
    const place = element("listen-state");
    if (place.dataset.what !== what) {
      place.dataset.what = what;
      place.textContent = `Hearing ${what}`;
      place.append(Object.assign(document.createElement("span"), { ariaHidden: "true" }));
    }
    place.lastElementChild.textContent = behind;
    return;
  }
  delete element("listen-state").dataset.what;
};

const frame = (now) => {
  meter.draw(model, now);
  wave.draw(model, now);
  heatmap.draw(model, now);
  health.draw(model, now);
  rooms.draw(now);
  roomBar.draw(now);
  table.draw(now);
  first.draw(now);
  detail.draw(now);
  talk.draw();
  showListening(now);
  if (document.body.classList.contains("lost")) {
    const left = Math.ceil((retryAt - now) / 1000);
    set("connection-text", left > 0 ? `Again in ${left} s` : "Trying");
  }
  requestAnimationFrame(frame);
};

requestAnimationFrame(frame);
feed.run();
