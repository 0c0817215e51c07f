// Rooms in the page: the list, the streams of one, the ways from room to room, and the sound of each.

import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";

import { expect, heard, knows, until, visit } from "./browser.mjs";
import { ROOT, Server, recorded, recordingsIn, sender, sleep, tone } from "./server.mjs";

const shot = (page, name, options) => page.screenshot({ path: path.join(ROOT, "target/page", `${name}.png`), ...options });

/** A request to the API; the page is not asked. */
const api = async ({ address }, method, place, body) => {
  const answer = await fetch(new URL(`api/v1/${place}`, address), {
    method, headers: body ? { "content-type": "application/json" } : {}, body: body && JSON.stringify(body),
  });
  if (!answer.ok) throw new Error(`${method} ${place}: ${answer.status} ${await answer.text()}`);
  return answer.status === 204 ? null : answer.json();
};
const open = (server, name) => api(server, "POST", "rooms", { name });
const move = (server, name, id) => api(server, "PUT", `rooms/${encodeURIComponent(name)}/streams/${encodeURIComponent(id)}`);
const streamNo = (number) => `synthetic-${String(number).padStart(4, "0")}`;

const roomOf = async (server, id) => (await api(server, "GET", `streams/${encodeURIComponent(id)}`)).room;
const ids = (page) => page.locator("#rows .row:not([hidden]) .name").allTextContents();
const count = (page) => page.locator("#count").textContent();
const listed = (page) => page.locator("#rooms-rows .row:not([hidden])").evaluateAll((rows) => rows.map((row) => row.dataset.room));
const link = (page, name) => page.locator("#rooms-rows").getByRole("link", { name, exact: true });

export const one_room_looks_as_if_there_were_no_rooms = async () => {
  const server = await Server.start(["--synthetic", "5", "--streams-max", "16"]);
  const { page, check } = await visit(`${server.address}#room=main`);
  await until("rows", async () => (await ids(page)).length === 5);
  const looks = () => page.evaluate(() => ({
    titles: [...document.querySelectorAll("h2")].filter((title) => title.checkVisibility()).map((title) => title.innerText),
    columns: [...document.getElementById("head").cells].filter((cell) => cell.checkVisibility()).map((cell) => cell.innerText),
    bar: document.getElementById("room-bar").checkVisibility(),
  }));
  const before = JSON.stringify(await looks());
  for (const word of [/room/i, /of main/]) expect(!word.test(before.replace('"bar"', "")), before);
  await page.keyboard.press("n");
  await page.locator("#room-new-name").fill("sales");
  await page.keyboard.press("Enter");
  await until("a list of two", async () => JSON.stringify(await listed(page)) === '["main","sales"]');
  await until("the mix has a name", async () => (await page.locator("#mix-title").textContent()) === "The mix of main");
  expect(await page.getByRole("columnheader", { name: "Room" }).first().isVisible(), "the streams have a column of rooms");
  await api(server, "DELETE", "rooms/sales");
  await until("as before", async () => JSON.stringify(await looks()) === before);
  await check();
  await server.stop();
  return before;
};

export const a_room_has_an_address_and_shows_its_streams_alone = async () => {
  const server = await Server.start(["--synthetic", "6", "--streams-max", "16"]);
  for (const name of ["sales", "support"]) await open(server, name);
  for (const number of [2, 4]) await move(server, "sales", streamNo(number));
  const { page, check } = await visit(server.address);
  await until("six streams", async () => (await count(page)) === "6");
  await link(page, "sales").click();
  const inside = async () => JSON.stringify(await ids(page)) === JSON.stringify([2, 4].map(streamNo));
  await until("its streams", inside);
  expect(/Streams in\s*sales/.test(await page.locator("#streams-title").innerText()), await page.locator("#streams-title").innerText());
  expect((await count(page)) === "2", await count(page));
  expect(page.url().endsWith("#room=sales"), page.url());
  await page.reload();
  await until("its streams after a reload", inside);
  // A stream that leaves it leaves the table, and one that enters is there.
  await move(server, "main", streamNo(4));
  await move(server, "sales", streamNo(5));
  await until("those that are in it now", async () => JSON.stringify(await ids(page)) === JSON.stringify([2, 5].map(streamNo)));
  await page.goBack();
  await until("all streams again", async () => (await count(page)) === "6");
  await page.goForward();
  await until("its streams again", async () => (await count(page)) === "2");
  // A place on the page keeps the room.
  await page.locator(".skip").focus();
  await page.keyboard.press("Enter");
  await until("the address", async () => page.url().endsWith("#room=sales"));
  await page.getByRole("link", { name: "All rooms" }).click();
  await until("all streams", async () => (await count(page)) === "6");
  await page.locator('.row[data-id="synthetic-0002"]').getByRole("link", { name: "sales" }).click();
  await until("by a stream's own room", async () => (await count(page)) === "2");
  // The heat map leads to a stream, whatever the room.
  await page.locator("#heat").focus();
  await page.keyboard.press("Home");
  await page.keyboard.press("Enter");
  await until("its row", async () => (await page.evaluate(() => document.activeElement.closest(".row")?.dataset.id)) === streamNo(1));

  await page.evaluate(() => { location.hash = "#room=gone"; });
  await until("words about a room that is not there", async () => /no room gone/.test(await page.locator("#empty").textContent()));
  await check();
  await server.stop();
  return "by its link, by a reload, back and forth, by a stream's link";
};

export const streams_move_by_the_menu = async () => {
  const server = await Server.start(["--synthetic", "5", "--streams-max", "16"]);
  const { page, check } = await visit(server.address, { forgive: [/ERR_FAILED/] });
  await until("rows", async () => (await ids(page)).length === 5);
  const options = () => page.locator("#move-list .move-name").allTextContents();
  // From a page of one room: a new name opens a room.
  await page.getByRole("button", { name: streamNo(1), exact: true }).click();
  await page.getByRole("button", { name: "Move…" }).click();
  await page.getByRole("combobox", { name: "To the room" }).fill("sales");
  expect((await page.locator("#move-list").innerText()).includes("opens this room"), "it says so");
  await page.keyboard.press("Enter");
  await until("it is there", async () => (await roomOf(server, streamNo(1))) === "sales");
  await until("its row says so", async () => (await page.locator(`.row[data-id="${streamNo(1)}"] .col-room`).innerText()) === "sales");
  for (const name of ["sales-2", "support"]) await open(server, name);
  await until("four rooms", async () => (await listed(page)).length === 4);

  // By key, and by arrows in the menu.
  await page.getByRole("button", { name: streamNo(2), exact: true }).focus();
  await page.keyboard.press("r");
  expect(JSON.stringify(await options()) === '["sales","sales-2","support"]', `${await options()}`);
  await page.keyboard.type("SALES");
  expect(JSON.stringify(await options()) === '["sales","sales-2","SALES"]', `${await options()}`);
  await page.keyboard.press("ArrowDown");
  expect((await page.locator("#move-list [aria-selected=true]").innerText()).startsWith("sales-2"), "the second is chosen");
  await page.keyboard.press("Enter");
  await until("it is there", async () => (await roomOf(server, streamNo(2))) === "sales-2");
  await until("the focus is back at the row", () => page.evaluate((id) => document.activeElement.closest(".row")?.dataset.id === id, streamNo(2)));

  // All that are shown, at once; and a menu that is left does nothing.
  await link(page, "main").click();
  await until("three", async () => (await count(page)) === "3");
  await page.locator("#filter").fill("000");
  await page.getByRole("button", { name: "Move these streams…" }).click();
  expect((await page.locator("#move-title").textContent()) === "Move 3 streams", await page.locator("#move-title").textContent());
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: "Move these streams…" }).click();
  await page.getByRole("option", { name: /support/ }).click();
  await until("three there", async () => (await api(server, "GET", "rooms/support")).streams === 3);
  await until("none here", async () => /No stream is in this room/.test(await page.locator("#empty").textContent()));
  // What fails is said where it was asked for.
  await link(page, "support").click();
  await page.getByRole("button", { name: streamNo(3), exact: true }).focus();
  await page.keyboard.press("r");
  await page.route("**/rooms/sales/streams/*", (route) => route.abort());
  await page.keyboard.type("sales");
  await page.keyboard.press("Enter");
  await until("an error", async () => /was not moved: the server does not answer/.test(await page.locator("#move-error").textContent()));
  await page.keyboard.press("Escape");
  await check();
  await server.stop();
  return "into a new room, by key and arrows, three at once";
};

export const two_hundred_rooms_are_shown_by_a_few_rows = async () => {
  const server = await Server.start(["--synthetic", "1000", "--rooms-max", "256", "--waveform", "silence"]);
  for (let number = 1; number < 200; number += 1) await open(server, `room-${number}`);
  for (let number = 1; number <= 200; number += 1) await move(server, `room-${number % 40 || 40}`, streamNo(number));
  // How long each frame of the page's own loop takes.
  const init = () => {
    const ask = requestAnimationFrame;
    globalThis.frames_ms = [];
    globalThis.requestAnimationFrame = (draw) => ask((now) => {
      const begun = performance.now();
      draw(now);
      globalThis.frames_ms.push(performance.now() - begun);
    });
  };
  const { page, check } = await visit(server.address, { init });
  await until("200 rooms", async () => (await page.locator("#rooms-count").textContent()) === "200");
  const rows = await page.locator("#rooms-rows .row").count();
  expect(rows > 5 && rows < 40, `${rows} rows exist`);
  expect((await page.locator("#rooms-grid").getAttribute("aria-rowcount")) === "201", "the table says how long it is");
  await page.locator("#rooms-scroll").evaluate((scroll) => { scroll.scrollTop = scroll.scrollHeight; });
  await until("the last one", async () => (await listed(page)).includes("room-199"));
  await page.getByRole("columnheader", { name: "Streams" }).last().getByRole("button").click();
  await page.locator("#rooms-scroll").evaluate((scroll) => { scroll.scrollTop = 0; });
  await until("main has most of the streams", async () => (await listed(page))[0] === "main");
  expect(/^room-\d+$/.test((await listed(page))[1]), `${await listed(page)}`);
  await page.locator("#rooms-filter").fill("-19");
  await until("eleven found", async () => (await page.locator("#rooms-count").textContent()) === "11 of 200");
  await page.locator("#rooms-filter").fill("");
  await page.mouse.move(5, 5);

  // Two times of it are at most as long as a screen has for a frame, on any machine that is not busy otherwise.
  let [middle, updates, taken] = [Infinity, 0, Infinity];
  for (let tries = 0; tries < 3 && (middle > 8 || updates <= 8); tries += 1) {
    const before = await knows(page, `({ model }) => {
      globalThis.frames_ms.length = 0;
      globalThis.taken_ms = [];
      const update = model.constructor.prototype.update;
      model.update = (...all) => {
        const begun = performance.now();
        update.apply(model, all);
        globalThis.taken_ms.push(performance.now() - begun);
      };
      return [model.updates, performance.now()];
    }`);
    for (let step = 0; step < 10; step += 1) {
      await page.locator("#rooms-scroll").evaluate((scroll, step) => { scroll.scrollTop = step * 300; }, step);
      await sleep(200);
    }
    const after = await knows(page, `({ model }) => {
      const middle = (all) => all.sort((a, b) => a - b)[all.length >> 1];
      return [model.updates, performance.now(), middle(globalThis.frames_ms), middle(globalThis.taken_ms)];
    }`);
    updates = Math.max(updates, ((after[0] - before[0]) * 1000) / (after[1] - before[1]));
    [middle, taken] = [Math.min(middle, after[2]), Math.min(taken, after[3])];
  }
  expect(middle <= 8, `${middle.toFixed(1)} ms for a frame`);
  expect(updates > 8, `${updates} updates a second`);
  await shot(page, "rooms-200");
  await check();
  await server.stop();
  return `${rows} rows; ${updates.toFixed(1)} updates a second, each taken in ${taken.toFixed(2)} ms and a frame in ${middle.toFixed(2)} ms in the median`;
};

/** Each is tried as an address, and the first few by all ways. */
const HOSTILE = [
  "<img/src=x/onerror=alert(1)>", "%2F", "a/../b#?&=;", "\"quoted\"'and'`back`", "100%", "%zz", "#a", "?b=c", "/", "\\n", "javascript:alert(1)",
  "room=x#room=y", "x".repeat(128),
];
const ALL_WAYS = 2;

export const hostile_names_of_rooms_are_text_and_parts_of_addresses = async () => {
  const server = await Server.start(["--synthetic", "2", "--streams-max", "16"]);
  const { page, check } = await visit(server.address);
  await until("rows", async () => (await ids(page)).length === 2);
  const title = async (name) => (await page.locator("#in-room").textContent()) === name;
  for (const [at, name] of HOSTILE.entries()) {
    if (at < ALL_WAYS) {
      await page.getByRole("button", { name: streamNo(1), exact: true }).focus();
      await page.keyboard.press("r");
      await page.locator("#move-room").fill(name);
      await page.keyboard.press("Enter");
    } else {
      await open(server, name);
      await move(server, name, streamNo(1));
    }
    await until(`a stream in ${name}`, async () => (await roomOf(server, streamNo(1))) === name);
    await until(`its row: ${name}`, async () => (await listed(page)).includes(name));
    await page.locator(`#rooms-rows .row:not([hidden]) a[href="#room=${encodeURIComponent(name)}"]`).click();
    await until(`its streams: ${name}`, async () => (await title(name)) && (await count(page)) === "1");
    if (at >= ALL_WAYS) continue;
    await page.reload();
    await until(`its streams after a reload: ${name}`, async () => (await title(name)) && JSON.stringify(await ids(page)) === JSON.stringify([streamNo(1)]));
    await move(server, "main", streamNo(1));
    await until("none", async () => /No stream is in/.test(await page.locator("#empty").textContent()));
    await page.getByRole("button", { name: "Close the room" }).click();
    await until(`closed: ${name}`, async () => (await api(server, "GET", "rooms")).rooms.every((room) => room.name !== name));
    await until("all streams", async () => (await ids(page)).length === 2);
  }
  const markup = await page.evaluate(() => document.querySelectorAll("main img, main script, .room-link *:not(span)").length);
  expect(markup === 0, `${markup} elements`);
  // Names that no room can have are not offered.
  await page.getByRole("link", { name: "All rooms" }).click();
  await page.getByRole("button", { name: streamNo(1), exact: true }).focus();
  await page.keyboard.press("r");
  for (const name of ["a b", "..", "ü"]) {
    await page.locator("#move-room").fill(name);
    expect(!(await page.locator("#move-list").innerText()).includes("opens this room"), `${name} is offered`);
  }
  await page.keyboard.press("Escape");
  await check();
  await server.stop();
  return `${HOSTILE.length} names`;
};

export const rooms_are_for_keyboards_screen_readers_and_phones = async () => {
  const server = await Server.start(["--synthetic", "9", "--streams-max", "16"]);
  for (const name of ["sales", "support-line-of-the-second-floor-north"]) await open(server, name);
  for (const number of [2, 4, 6]) await move(server, "sales", streamNo(number));
  const { page, check } = await visit(server.address);
  await until("three rooms", async () => (await listed(page)).length === 3);
  const focused = () => page.evaluate(() => document.activeElement.closest(".row")?.dataset.room ?? document.activeElement.id);
  await page.locator("#rooms-filter").focus();
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("ArrowDown");
  expect((await focused()) === "sales", `${await focused()} has the focus`);
  await page.keyboard.press("End");
  expect(/^support/.test(await focused()), `${await focused()} has the focus`);
  await page.keyboard.press("ArrowUp");
  await page.keyboard.press("Enter");
  await until("its streams", async () => (await count(page)) === "3" && (await page.locator("#in-room").textContent()) === "sales");
  expect((await focused()) === "sales", "the focus stays");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Tab");
  expect(!["main", "sales", "support-line-of-the-second-floor-north"].includes(await focused()), "Tab leaves the list after one row");
  const tree = await page.locator("main").ariaSnapshot();
  for (const wanted of [
    'heading "Rooms"', 'heading "Streams in sales"', 'table "Rooms 3"', 'link "sales"', 'button "Listen to the room sales"',
    'searchbox "Filter rooms by name"', 'group "The room"', 'button "Listen to this room"', 'button "Close the room"', 'link "All rooms"',
  ]) expect(tree.includes(wanted), `no ${wanted} in:\n${tree.slice(0, 5000)}`);
  await check();
  for (const [name, options] of [
    ["rooms-light", {}],
    ["rooms-dark", { colorScheme: "dark" }],
    ["rooms-phone", { viewport: { width: 360, height: 740 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true }],
    ["rooms-zoomed", { viewport: { width: 320, height: 256 }, deviceScaleFactor: 4 }],
  ]) {
    const { page: other, check: checkOther } = await visit(`${server.address}#room=sales`, options);
    await until("rows", async () => (await ids(other)).length === 3);
    const { wide, room, small } = await other.evaluate(() => {
      const targets = [...document.querySelectorAll("#rooms a, #rooms button, #rooms input, #streams a, #streams button, #streams input")].filter((target) => target.checkVisibility());
      return {
        wide: document.documentElement.scrollWidth, room: document.documentElement.clientWidth,
        small: targets.filter((target) => { const box = target.getBoundingClientRect(); return Math.min(box.width, box.height) < 24; }).map((target) => target.outerHTML),
      };
    });
    expect(wide <= room, `${name}: ${wide} of ${room} pixels`);
    expect(small.length === 0, `${name}: ${small.join("\n")}`);
    await other.evaluate(() => document.getElementById("rooms").scrollIntoView());
    await sleep(700);
    await shot(other, name);
    await checkOther();
  }
  await server.stop();
  return "arrows, Enter and Tab; light, dark, 360 and 320 pixels";
};

export const a_token_for_reading_is_not_offered_changes_of_rooms = async () => {
  const file = path.join(ROOT, "target/page/rooms-tokens.txt");
  const [owner, guest] = ["correct-horse-battery-staple-7", "may-only-look-at-the-rooms-7"];
  writeFileSync(file, `${owner}\n`, { mode: 0o600 });
  writeFileSync(`${file}.read`, `${guest}\n`, { mode: 0o600 });
  const server = await Server.start(["--synthetic", "3", "--streams-max", "16", "--token-file", file, "--read-token-file", `${file}.read`]);
  const headers = { authorization: `Bearer ${owner}`, "content-type": "application/json" };
  const made = await fetch(new URL("api/v1/rooms", server.address), { method: "POST", headers, body: '{"name": "sales"}' });
  expect(made.ok, `${made.status}`);
  const { page, check } = await visit(`${server.address}#room=sales`, { wait: false, forgive: [/401/] });
  await page.getByLabel("Token", { exact: true }).fill(guest);
  await page.keyboard.press("Enter");
  await until("two rooms", async () => (await listed(page)).length === 2);
  await until("looking only", () => page.locator("#looking").isVisible());
  for (const id of ["room-new", "room-move", "room-close"]) expect(await page.locator(`#${id}`).isDisabled(), `${id} is off`);
  expect(await page.locator("#room-listen").isEnabled(), "listening is for all");
  await page.keyboard.press("n");
  expect(!(await page.locator("#room-dialog").isVisible()), "nor by key");
  await page.getByRole("link", { name: "All rooms" }).click();
  await page.getByRole("button", { name: streamNo(1), exact: true }).focus();
  await page.keyboard.press("r");
  expect(!(await page.locator("#move").isVisible()), "nor by the key of a row");
  await check();
  await server.stop();
  return "off: open, move, close; on: listen";
};

export const a_room_is_heard_by_itself = async () => {
  const server = await Server.start(["--streams-max", "16", "--tcp", "0"]);
  const [low, high] = [await sender(await server.tcp(), "low"), await sender(await server.tcp(), "high")];
  low.write(tone(500, 60, 8000));
  high.write(tone(1500, 60, 4000));
  const name = "high/%2F";
  await open(server, name);
  await until("both", async () => (await api(server, "GET", "streams")).total === 2);
  await move(server, name, "high");
  const { page, check } = await visit(server.address, { forgive: [/404/] });
  await until("its streams", async () => (await listed(page)).length === 2);
  const sounds = (hertz) => until(`${hertz} Hz`, async () => {
    const now = await heard(page).catch(() => null);
    return now && Math.abs(now.hertz - hertz) < 10 && now.rms > 0.05 && now;
  });
  await page.getByRole("button", { name: `Listen to the room ${name}` }).click();
  const there = await sounds(1500);
  await until("its name", async () => (await page.locator("#listen-state").textContent()).startsWith(`Hearing the room ${name}`));
  await page.getByRole("button", { name: "Listen to the room main" }).click();
  await sounds(500);
  // The other stream is not in it: less than a thousandth of this one.
  const apart = () => knows(page, `({ player }) => {
    const bins = new Float32Array(player.analyser.frequencyBinCount);
    player.analyser.getFloatFrequencyData(bins);
    const at = (hertz) => bins[Math.round((hertz * player.analyser.fftSize) / player.context.sampleRate)];
    return at(1500) - at(500);
  }`);
  let other;
  // The analyser forgets slowly.
  await until("nothing of the other", async () => (other = await apart()) < -60);
  await link(page, name).click();
  await page.getByRole("button", { name: "Listen to this room" }).click();
  await sounds(1500);
  await move(server, "main", "high");
  // With streams in it the page would ask what becomes of them.
  await until("an empty room", async () => (await ids(page)).length === 0);
  await page.getByRole("button", { name: "Close the room" }).click();
  await until("a word about it", () => page.getByText(`The room ${name} has closed`).isVisible());
  expect((await knows(page, "({ player }) => player.state")) === "idle", "it is no longer heard");
  await check();
  await server.stop();
  return `${there.hertz.toFixed(0)} Hz in the one, 500 Hz in the other, which is ${other.toFixed(0)} dB away`;
};

export const gain_limiter_solo_and_mute_act_within_a_room = async () => {
  const server = await Server.start(["--synthetic", "4", "--streams-max", "16"]);
  await open(server, "sales");
  for (const number of [1, 2]) await move(server, "sales", streamNo(number));
  const { page, check } = await visit(`${server.address}#room=sales`);
  await until("its streams", async () => (await count(page)) === "2");
  const sales = () => api(server, "GET", "rooms/sales");
  const slider = page.getByRole("slider", { name: "Gain of the room sales" });
  const { x, y, width, height } = await slider.boundingBox();
  await page.mouse.click(x + width / 4, y + height / 2);
  const pointed = Number(await slider.inputValue());
  expect(pointed > -32 && pointed < -20, `${pointed} dB at a quarter`);
  await until("the pointer", async () => (await sales()).gain_db === pointed);
  await page.keyboard.press("ArrowRight");
  await until("an arrow", async () => (await sales()).gain_db === pointed + 0.5);
  await page.getByRole("button", { name: "Limiter" }).click();
  await until("no limiter", async () => (await sales()).limiter === false);
  expect((await api(server, "GET", "rooms/main")).gain_db === 0, "another room stays as it is");
  // Set elsewhere, shown here.
  await api(server, "PATCH", "rooms/sales", { gain_db: -3, limiter: true });
  await until("heard of", async () => (await slider.inputValue()) === "-3" && (await page.getByRole("button", { name: "Limiter" }).getAttribute("aria-pressed")) === "true");

  const stream = (number) => api(server, "GET", `streams/${streamNo(number)}`);
  for (const number of [1, 3]) await api(server, "PATCH", `streams/${streamNo(number)}`, { solo: true });
  for (const number of [2, 4]) await api(server, "PATCH", `streams/${streamNo(number)}`, { muted: true });
  const bar = page.locator("#switched");
  await until("those of the room", async () => /^1 stream is solo: the others are silent\.[^]*1 stream is muted\./.test(await bar.innerText()));
  await page.getByRole("button", { name: "Clear solo" }).click();
  await page.getByRole("button", { name: "Unmute all" }).click();
  await until("cleared", async () => !(await stream(1)).solo && !(await stream(2)).muted);
  expect((await stream(3)).solo && (await stream(4)).muted, "in this room alone");
  await until("no bar", async () => !(await bar.isVisible()));

  await page.getByRole("button", { name: "Close the room" }).click();
  await page.getByRole("button", { name: "Move the streams to main" }).click();
  await until("closed", async () => (await api(server, "GET", "rooms")).rooms.length === 1);
  await until("both in main", async () => (await roomOf(server, streamNo(1))) === "main" && (await roomOf(server, streamNo(2))) === "main");
  await until("all streams", async () => (await count(page)) === "4");
  await check();
  await server.stop();
  return `${pointed} dB by pointer; solo and mute of one room cleared; closed with two streams in it`;
};

export const a_room_that_is_shown_is_talked_into_and_recorded = async () => {
  const folder = path.join(ROOT, "target/page/room-recordings");
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const rule = `desk,record_streams=${folder}/rule-{stream}-{utc}.wav,record_when=command`;
  const server = await Server.start(["--streams-max", "16", "--synthetic", "3", "--recordings", folder, "--room", rule]);
  await open(server, "sales/1");
  const { page, check } = await visit(`${server.address}#room=${encodeURIComponent("sales/1")}`);
  expect(!(await page.locator("#record-rule").isVisible()), "a room without a rule shows none");
  await page.getByRole("button", { name: "Record the room" }).click();
  const stop = page.getByRole("button", { name: /^Stop recording sales_1-/ });
  await until("it records", () => stop.isVisible());
  await page.locator("#talk-open").click();
  expect((await page.locator("#talk-title").textContent()) === "Talk into the room sales/1", "it says where to");
  await page.locator("#talk-id").fill("my-voice");
  await page.getByRole("button", { name: "Start talking" }).click();
  await until("it is in the room", async () => (await roomOf(server, "my-voice").catch(() => null)) === "sales/1");
  await until("a level", () => knows(page, '({ model }) => model.find("my-voice") && model.peakLevel[model.find("my-voice").slot] > 200'));
  await sleep(1200);
  await page.getByRole("button", { name: "Stop talking" }).click();
  await stop.click();
  await until("it is done", async () => /done.*of sales\/1/.test(await page.locator("#recordings").innerText().then((text) => text.replaceAll("\n", " "))));
  // A room's rule: each of its streams, by a command.
  await api(server, "PUT", `rooms/desk/streams/${streamNo(1)}`);
  await page.evaluate(() => { location.hash = "#room=desk"; });
  const byRule = page.getByRole("button", { name: "Record by rule" });
  await until("the rule", () => byRule.isVisible());
  await byRule.click();
  await until("it is on", async () => (await byRule.getAttribute("aria-pressed")) === "true");
  await until("its stream is recorded", async () => /rule-.*\.wav of /.test(await page.locator("#recordings").innerText()));
  await byRule.click();
  await until("it is off", async () => (await byRule.getAttribute("aria-pressed")) === "false");
  await check();
  await server.stop();
  const file = recordingsIn(folder).find((name) => name.startsWith("sales_1-"));
  const loudest = recorded(path.join(folder, file)).reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
  expect(loudest > 1000, `${loudest} at most in the recording`);
  return `${file} has beeps of ${loudest}`;
};
