// What goes wrong, and how the page bears it.

import { writeFileSync } from "node:fs";
import path from "node:path";

import { expect, isRed, knows, until, visit } from "./browser.mjs";
import { ROOT, Server, freePort, sender, sleep, tone } from "./server.mjs";

/** What a browser says in its console when a server is gone. */
const GONE = /ERR_|WebSocket connection to|Failed to load resource/;

export const a_drop_turns_its_cell_red_and_no_other = async () => {
  const server = await Server.start(["--synthetic", "10", "--playout-delay", "500ms", "--tcp", "0", "--tcp-drop", "--latency-cap", "1s", "--streams-max", "64"]);
  const line = await sender(await server.tcp(), "burst");
  const { page, check } = await visit(server.address);
  const second = tone(440, 1);
  line.write(second.subarray(0, 3200));
  await until("the stream", async () => (await isRed(page, "burst")) === false);
  const total = () => page.locator("#h-drop-total").textContent();
  expect((await total()) === "none in total", await total());
  // Five seconds at once: all but a second of it lies beyond the cap.
  for (let at = 0; at < 5; at += 1) line.write(second);
  await until("red", () => isRed(page, "burst"));
  expect(await knows(page, "({ model }) => model.dropRateNow > 0"), "the rate, too");
  for (let number = 1; number <= 10; number += 1) {
    const id = `synthetic-${String(number).padStart(4, "0")}`;
    expect((await isRed(page, id)) === false, `${id} is red, too`);
  }
  await page.screenshot({ path: path.join(ROOT, "target/page/drop.png") });
  await until("the total, too", async () => /% in total/.test(await total()));
  const dropped = await total();
  await until("red no more", async () => (await isRed(page, "burst")) === false);
  await page.getByRole("button", { name: "burst", exact: true }).click();
  await until("its ledger says so", async () => {
    const row = page.locator(".sum tbody tr", { hasText: "discarded" });
    return Number((await row.locator("td").first().textContent()).replaceAll("\u202f", "")) > 20000;
  });
  await check();
  await server.stop();
  return `red while it drops; ${dropped}`;
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
  await page.keyboard.press("Escape");
  expect(await dialog.isVisible(), "Escape leaves nobody before an empty page");
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

export const a_refused_command_is_told = async () => {
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
