// Failures, and how the page behaves.

import dgram from "node:dgram";
import { writeFileSync } from "node:fs";
import path from "node:path";

import { expect, isRed, knows, until, visit } from "./browser.mjs";
import { ROOT, Server, freePort, sender, sleep, tone } from "./server.mjs";

/** The errors in a browser's console when a server is gone. */
const GONE = /ERR_|WebSocket connection to|Failed to load resource/;

/** Sends packets of a tone by RTP, 20 ms each, from a socket of its own; `skips(number)` are not sent. */
const call = async (port, skips) => {
  const socket = dgram.createSocket("udp4");
  const samples = tone(440, 0.02);
  const packet = (number) => {
    const bytes = Buffer.alloc(12 + samples.length);
    bytes[0] = 0x80;
    bytes[1] = 96;
    bytes.writeUInt16BE(number & 0xffff, 2);
    bytes.writeUInt32BE(number * 160, 4);
    bytes.writeUInt32BE(0x1234, 8);
    Buffer.from(samples).swap16().copy(bytes, 12);
    return bytes;
  };
  const send = (number) => socket.send(packet(number), port, "127.0.0.1");
  let number = 1;
  const timer = setInterval(() => {
    if (!skips(number)) send(number);
    number += 1;
  }, 20);
  return { send, sent: () => number - 1, hush: () => clearInterval(timer), close: () => { clearInterval(timer); socket.close(); } };
};

export const missing_audio_is_seen_and_drops_turn_their_cell_red = async () => {
  const server = await Server.start(["--synthetic", "10", "--playout-delay", "500ms", "--rtp", "127.0.0.1:0,96=L16/8000", "--streams-max", "64"]);
  const { page, check } = await visit(server.address);
  const total = () => page.locator("#h-missing-total").textContent();
  expect((await total()) === "none in total", await total());
  let lossy = false;
  const phone = await call(await server.rtp(), (number) => lossy && number % 5 === 0);
  const id = await until("the stream", () => knows(page, "({ model }) => model.streams.find((stream) => stream?.source.startsWith('rtp'))?.id"));
  expect((await isRed(page, id)) === false, "nothing is dropped yet");
  lossy = true;
  await until("what is missing", async () => /% in total/.test(await total()));
  const cell = page.locator(`.row[data-id="${id}"] .bad`);
  await until("its row says so, too", async () => / %$/.test((await cell.allTextContents()).join()));
  for (const width of [1600, 900, 420]) {
    await page.setViewportSize({ width, height: 900 });
    expect(await cell.first().isVisible(), `its row says so at a width of ${width}`);
  }
  await page.setViewportSize({ width: 1600, height: 900 });
  await page.screenshot({ path: path.join(ROOT, "target/page/missing.png") });
  // Packets that come 600 ms late, after their playout, are dropped.
  await until("red", async () => {
    const late = Math.floor(phone.sent() / 5) * 5 - 30;
    if (late > 0) phone.send(late);
    return isRed(page, id);
  });
  for (let number = 1; number <= 10; number += 1) {
    const other = `synthetic-${String(number).padStart(4, "0")}`;
    expect((await isRed(page, other)) === false, `${other} is red, too`);
  }
  const missing = await total();
  phone.hush();
  await until("red no more", async () => (await isRed(page, id)) === false);
  await until("silence", async () => /^silent /.test((await cell.allTextContents()).join()));
  await check();
  phone.close();
  await server.stop();
  return missing;
};

export const a_killed_and_restarted_server_is_found_again = async () => {
  const http = `127.0.0.1:${await freePort()}`;
  const flags = ["--synthetic", "20", "--streams-max", "64"];
  const first = await Server.start(flags, { http });
  const { page, check } = await visit(first.address, { forgive: [GONE] });
  await page.getByRole("button", { name: "Listen", exact: true }).click();
  await until("sound", async () => (await knows(page, "({ player }) => player.state")) === "playing", 15);
  await first.kill();
  await until("it says so", () => page.getByRole("alert").getByText("is lost").isVisible());
  expect(await page.evaluate(() => document.body.classList.contains("lost")), "and looks so");
  await page.screenshot({ path: path.join(ROOT, "target/page/lost.png") });
  await sleep(2000);
  const instance = await knows(page, "({ model }) => model.server.instance");
  const second = await Server.start(["--synthetic", "30", "--streams-max", "64"], { http });
  const begun = Date.now();
  await until("live again", async () => (await page.locator("#connection-text").textContent()) === "Live", 15);
  const took = Date.now() - begun;
  expect((await knows(page, "({ model }) => model.server.instance")) !== instance, "another run of the server");
  await until("its thirty streams", async () => (await page.locator("#count").textContent()) === "30");
  expect(!(await page.getByText("is lost").isVisible()), "the alert is gone");
  await until("sound again", async () => (await knows(page, "({ player }) => player.state")) === "playing", 15);
  await check();
  await second.stop();
  return `live ${took} ms after the server was back`;
};

export const a_stalled_connection_is_noticed = async () => {
  const server = await Server.start(["--synthetic", "5", "--streams-max", "16"]);
  const { page, check } = await visit(server.address, { forgive: [GONE] });
  // The connection stays, and says nothing any more.
  server.child.kill("SIGSTOP");
  await until("noticed", () => page.evaluate(() => document.body.classList.contains("lost")), 10);
  server.child.kill("SIGCONT");
  await until("live again", async () => (await page.locator("#connection-text").textContent()) === "Live", 20);
  await check();
  await server.stop();
  return "noticed, and mended";
};

export const a_token_is_asked_for_once = async () => {
  const file = path.join(ROOT, "target/page/token.txt");
  writeFileSync(file, "correct-horse-battery-staple-9\n", { mode: 0o600 });
  const server = await Server.start(["--synthetic", "5", "--streams-max", "16", "--token-file", file]);
  const { page, check } = await visit(server.address, { wait: false, forgive: [/401/] });
  const dialog = page.getByRole("dialog", { name: "This server asks for a token" });
  await until("the form", () => dialog.isVisible());
  // Chromium lets a page keep a dialog open once, and closes it at the second press.
  for (let presses = 1; presses <= 3; presses += 1) {
    await page.keyboard.press("Escape");
    await sleep(200);
    expect(await dialog.isVisible(), `Escape, pressed ${presses} times, leaves an empty page`);
  }
  await page.locator("#token").fill("wrong");
  await page.keyboard.press("Enter");
  await until("a word about it", async () => /does not know/.test(await page.locator("#session-error").textContent()));
  await page.screenshot({ path: path.join(ROOT, "target/page/token.png") });
  await page.locator("#token").fill("correct-horse-battery-staple-9");
  await page.keyboard.press("Enter");
  await until("live", async () => (await page.locator("#connection-text").textContent()) === "Live");
  expect(!(await dialog.isVisible()), "the form is gone");
  const [cookie] = await page.context().cookies();
  expect(cookie.httpOnly && cookie.sameSite === "Strict", JSON.stringify({ ...cookie, value: "" }));
  const kept = await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, document.getElementById("token").value]));
  expect(!kept.includes("horse"), "the page keeps no token");
  await page.getByRole("button", { name: "Mute synthetic-0001" }).click();
  await until("changes, too", () => knows(page, '({ model }) => (model.flags[model.find("synthetic-0001").slot] & 1) === 1'));
  await page.reload();
  await until("not asked again", async () => (await page.locator("#connection-text").textContent()) === "Live");
  await check();
  await server.stop();
  return "asked, refused, taken, kept in a cookie that scripts cannot read";
};

export const a_read_only_viewer_sees_so_and_may_sign_in_again = async () => {
  const [change, read] = ["change", "read"].map((name) => path.join(ROOT, `target/page/${name}.txt`));
  writeFileSync(change, "correct-horse-battery-staple-9\n", { mode: 0o600 });
  writeFileSync(read, "incorrect-mule-battery-staple-7\n", { mode: 0o600 });
  const server = await Server.start(["--synthetic", "5", "--streams-max", "16", "--token-file", change, "--read-token-file", read, "--recordings", path.dirname(change)]);
  const { page, check } = await visit(server.address, { wait: false, forgive: [/401/] });
  const changes = [];
  page.on("request", (request) => { if (!["GET", "POST"].includes(request.method())) changes.push(request.url()); });
  const dialog = page.locator("#session");
  const signIn = async (token) => {
    await page.locator("#token").fill(token);
    await page.keyboard.press("Enter");
    await until("the form is gone", async () => !(await dialog.isVisible()));
  };
  await until("the form", () => dialog.isVisible());
  expect(!(await page.getByRole("button", { name: "Cancel" }).isVisible()), "without a token there is nothing to see");
  await signIn("incorrect-mule-battery-staple-7");
  const looking = page.getByRole("button", { name: "Looking only · Sign in" });
  await until("it says so", () => looking.isVisible());
  await page.getByRole("button", { name: "synthetic-0001", exact: true }).click();
  const off = ["Mute synthetic-0001", "Solo synthetic-0001", "End the stream", "Record the mix", "Talk into the mix"]
    .map((name) => page.getByRole("button", { name }).first());
  off.push(page.locator('.row[data-id="synthetic-0001"] input'));
  for (const control of off) expect(await control.isDisabled(), `${await control.innerHTML()} is off`);
  expect(await page.getByRole("button", { name: "Listen", exact: true }).isEnabled(), "listening changes nothing");
  await page.getByRole("button", { name: "synthetic-0001", exact: true }).focus();
  await page.keyboard.press("m");
  await until("a key, too", () => page.getByRole("alert").getByText("looking only").isVisible());
  await page.screenshot({ path: path.join(ROOT, "target/page/looking.png") });
  await page.setViewportSize({ width: 360, height: 740 });
  const wide = await page.evaluate(() => document.documentElement.scrollWidth);
  expect(wide <= 360 && (await page.getByRole("button", { name: "Sign in", exact: true }).first().isVisible()), `${wide} pixels of a phone`);
  await page.setViewportSize({ width: 1440, height: 900 });
  for (const leave of [() => page.keyboard.press("Escape"), () => page.getByRole("button", { name: "Cancel" }).click()]) {
    await looking.click();
    await until("the form again", () => dialog.isVisible());
    await leave();
    await until("which may be left", async () => !(await dialog.isVisible()));
  }
  await page.getByRole("button", { name: "Dismiss" }).click();
  expect((await page.evaluate(() => document.activeElement.id)) === "alerts", "the focus stays where the alert was");
  await looking.click();
  await signIn("correct-horse-battery-staple-9");
  for (const control of off) await until("it is on", () => control.isEnabled());
  expect(!(await looking.isVisible()), "no longer looking only");
  expect(changes.length === 0, `nothing was asked for: ${changes}`);
  await page.getByRole("button", { name: "Mute synthetic-0001" }).click();
  await until("changes", () => knows(page, '({ model }) => (model.flags[model.find("synthetic-0001").slot] & 1) === 1'));
  await check();
  await server.stop();
  return `${off.length} controls off, then on`;
};

export const a_restarted_server_has_other_streams = async () => {
  const http = `127.0.0.1:${await freePort()}`;
  const flags = ["--tcp", "0", "--streams-max", "16"];
  const start = async () => {
    const server = await Server.start(flags, { http });
    (await sender(await server.tcp(), "desk")).write(tone(440, 60));
    // Slot, number and name are those of the run before; the port is another.
    return [server, `tcp 127.0.0.1:${await server.tcp()}`];
  };
  const [first, before] = await start();
  const { page, check } = await visit(first.address, { forgive: [GONE] });
  const row = page.locator('.row[data-id="desk"]:not([hidden])');
  await until("its source", async () => (await row.locator(".source").textContent()) === before);
  await sleep(4000);
  await row.locator(".open-button").click();
  const offered = async () => Number((await page.locator(".sum tfoot td").first().textContent()).replaceAll("\u202f", "").replace("…", "") || 0);
  await until("its ledger", async () => (await offered()) > 30_000);
  await first.kill();
  const [second, after] = await start();
  await until("another source", async () => (await row.locator(".source").textContent()) === after);
  const age = await knows(page, '({ model }) => model.ageMs(model.find("desk"))');
  expect(age >= 0 && age < 4000, `${age} ms old`);
  // Its history is its own: what the page kept of the other one is gone.
  expect(await knows(page, '({ model }) => model.historyEnd - model.find("desk").begunAt < 4'), "a history of its own");
  await until("its own ledger", async () => (await offered()) > 0);
  await check();
  await second.stop();
  return `${before}, then ${after}, ${age} ms old`;
};

export const a_hidden_page_lets_go_of_its_connection = async () => {
  const server = await Server.start(["--synthetic", "5", "--streams-max", "16"]);
  const { page, check } = await visit(server.address, { forgive: [GONE] });
  const see = (hidden) => page.evaluate((hidden) => {
    // Half a minute passes at once.
    globalThis.realTimeout ??= setTimeout;
    globalThis.setTimeout = (run, time, ...rest) => realTimeout(run, time === 30_000 ? 100 : time, ...rest);
    Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
    document.dispatchEvent(new Event("visibilitychange"));
  }, hidden);
  const feeds = [];
  page.on("request", (request) => { if (request.url().endsWith("/live")) feeds.push(request.url()); });
  const dropped = page.waitForEvent("requestfailed", { predicate: (request) => request.url().endsWith("/live"), timeout: 10_000 });
  await see(true);
  await dropped;
  await sleep(1500);
  expect(feeds.length === 0, "and does not come back while it is hidden");
  const updates = await knows(page, "({ model }) => model.updates");
  await see(false);
  await until("updates again", async () => (await knows(page, "({ model }) => model.updates")) > updates + 3);
  expect((await page.locator("#alerts").textContent()) === "", "nothing is lost, and nothing is said");
  await check();
  await server.stop();
  return "let go while hidden, taken up when seen";
};

export const listening_begun_while_the_server_is_away_is_heard_later = async () => {
  const http = `127.0.0.1:${await freePort()}`;
  const flags = ["--synthetic", "5", "--streams-max", "16"];
  const first = await Server.start(flags, { http });
  const { page, check } = await visit(first.address, { forgive: [GONE, /AbortError/] });
  await first.kill();
  await until("it says so", () => page.getByRole("alert").getByText("is lost").isVisible());
  await page.getByRole("button", { name: "Listen", exact: true }).click();
  await sleep(1500);
  const second = await Server.start(flags, { http });
  await until("sound", async () => (await knows(page, "({ player }) => player.state")) === "playing");
  await check();
  await second.stop();
  return "heard without another click";
};

export const talking_begins_once_and_ends_whole = async () => {
  const server = await Server.start(["--streams-max", "16"]);
  const { page, check } = await visit(server.address);
  // The browser takes a second to ask.
  await page.evaluate(() => {
    globalThis.microphones = [];
    const real = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    navigator.mediaDevices.getUserMedia = async (wanted) => {
      await new Promise((resolve) => { setTimeout(resolve, 1000); });
      const stream = await real(wanted);
      microphones.push(stream);
      return stream;
    };
  });
  const open = () => page.evaluate(() => microphones.filter((stream) => stream.getTracks().some(({ readyState }) => readyState === "live")).length);
  const asked = () => page.evaluate(() => microphones.length);
  const said = () => page.locator("#talk-state").textContent();
  const submit = () => page.evaluate(() => document.getElementById("talk-form").requestSubmit());
  await page.getByRole("button", { name: /^Talk(?!ing)/ }).click();
  // Pressed again while the browser asks: it is called off, and the microphone that comes late is closed.
  await submit();
  await submit();
  await until("the late microphone", async () => (await asked()) === 1);
  await until("is closed", async () => (await open()) === 0);
  expect(/off air/.test(await said()), await said());
  // The player of the microphone does not come: nothing stays open.
  await page.evaluate(() => {
    const { addModule } = AudioWorklet.prototype;
    AudioWorklet.prototype.addModule = async function once() {
      AudioWorklet.prototype.addModule = addModule;
      throw new Error("the player does not come");
    };
  });
  await submit();
  await until("it says so", async () => /not on air: the player does not come/.test(await said()));
  expect((await asked()) === 2 && (await open()) === 0, "the microphone is closed");
  await submit();
  await until("on air", async () => /On air/.test(await said()));
  expect((await asked()) === 3 && (await open()) === 1, "one microphone");
  await until("one stream", () => knows(page, "({ model }) => model.streams.filter((stream) => stream).length === 1"));
  await submit();
  await until("off air", async () => /off air/.test(await said()) && (await open()) === 0);
  await until("and gone", () => knows(page, "({ model }) => model.streams.every((stream) => stream === null)"));
  await check();
  await server.stop();
  return "three beginnings, one microphone at a time, none left open";
};

export const a_refused_command_is_shown = async () => {
  const server = await Server.start(["--synthetic", "5", "--streams-max", "16"]);
  const { page, check } = await visit(server.address, { forgive: [/404/] });
  await page.route("**/api/v1/streams/synthetic-0001", (route) => route.fulfill({
    status: 404, contentType: "application/problem+json",
    body: JSON.stringify({ type: "about:blank", title: "Not Found", status: 404, detail: "no stream is called so" }),
  }));
  const mute = page.getByRole("button", { name: "Mute synthetic-0001" });
  await mute.click();
  await until("it is said", () => page.getByRole("alert").getByText("no stream is called so").isVisible());
  await until("and it is as it was", async () => (await mute.getAttribute("aria-pressed")) === "false");
  await check();
  await server.stop();
  return "said, and undone";
};
