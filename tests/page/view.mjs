// What a thousand streams look like, and how they are got at.

import { mkdirSync, readFileSync, readdirSync, rmSync } from "node:fs";
import path from "node:path";

import { expect, knows, until, visit } from "./browser.mjs";
import { ROOT, Server, recorded, sleep } from "./server.mjs";

const shot = (page, name) => page.screenshot({ path: path.join(ROOT, "target/page", `${name}.png`) });

/** All that looks at a thousand streams shares one server: it takes a while to start, and a core to run. */
let thousand;
const server = () => (thousand ??= Server.start(["--synthetic", "1000"]));

const ids = (page) => page.locator("#rows .row:not([hidden]) .name").allTextContents();
const count = (page) => page.locator("#count").textContent();

export const a_thousand_streams_are_shown_by_a_few_rows = async () => {
  const { page, check } = await visit((await server()).address);
  await until("a thousand streams", async () => (await count(page)) === "1\u202f000");
  await until("figures", async () => (await page.locator("#h-streams").textContent()) === "1\u202f000");
  const rows = await page.locator("#rows .row").count();
  expect(rows > 5 && rows < 60, `${rows} rows exist`);
  expect((await page.locator("#grid").getAttribute("aria-rowcount")) === "1001", "the table says how long it is");
  // The last one is there to scroll to.
  await page.locator("#scroll").evaluate((scroll) => { scroll.scrollTop = scroll.scrollHeight; });
  await until("the last row", async () => (await ids(page)).includes("synthetic-1000"));
  const before = await knows(page, "({ model }) => model.updates");
  await sleep(3000);
  const updates = ((await knows(page, "({ model }) => model.updates")) - before) / 3;
  expect(updates > 5, `${updates} updates a second`);
  await check();
  return `${rows} rows, ${updates.toFixed(1)} updates a second`;
};

export const columns_sort_and_the_filter_finds = async () => {
  const { page, check } = await visit((await server()).address);
  await until("rows", async () => (await ids(page)).length > 5);
  expect((await ids(page))[0] === "synthetic-0001", "by id at first");
  const header = page.getByRole("columnheader", { name: "Stream" });
  await header.getByRole("button").click();
  await until("the other way round", async () => (await ids(page))[0] === "synthetic-1000");
  expect((await header.getAttribute("aria-sort")) === "descending", "said to screen readers");

  await page.getByRole("columnheader", { name: "Level" }).getByRole("button").click();
  const [first, others] = await knows(page, `({ model }) => {
    const row = document.querySelector("#rows .row:not([hidden]) .name").textContent;
    return [model.find(row).slot, [...model.level]];
  }`);
  // It moves between the sort and the look.
  const louder = others.filter((level) => level > others[first] + 12).length;
  expect(louder < 500, `${louder} of 1000 are much louder than the first`);

  await page.locator("#filter").fill("-077");
  await until("ten of them", async () => (await count(page)) === "10 of 1\u202f000");
  expect((await ids(page)).every((id) => id.includes("-077")), "and no other");
  await page.locator("#filter").fill("nobody");
  await until("a word about it", () => page.locator("#empty").isVisible());
  await page.locator("#filter").fill("");
  await until("all again", async () => (await count(page)) === "1\u202f000");
  await check();
  return "by id, by level; 10 of 1000 found";
};

export const a_row_opens_a_ledger_that_adds_up = async () => {
  const { page, check } = await visit((await server()).address);
  await page.getByRole("button", { name: "synthetic-0003", exact: true }).click();
  const foot = page.locator(".sum tfoot td");
  // A frame may be in flight while the ledger is read: most of the time none is.
  await until("a sum", async () => (await foot.nth(1).textContent()) === "adds up");
  const figures = await page.locator(".sum tbody td.number:not(.share)").allTextContents();
  const number = (text) => Number(text.replaceAll("\u202f", ""));
  const sum = figures.map(number).reduce((all, value) => all + value, 0);
  const offered = number(await foot.nth(0).textContent());
  expect(offered > 0 && sum === offered, `${sum} of ${offered}`);
  const words = await page.locator(".stack").getAttribute("aria-label");
  expect(/mixed 9\d\.?\d* %|mixed 100/.test(words) || /mixed/.test(words), words);
  await page.keyboard.press("Escape");
  await until("closed again", async () => !(await page.locator(".detail").isVisible()));
  await check();
  return `${offered} = ${figures.join(" + ")}`;
};

export const everything_is_reached_by_keyboard = async () => {
  const { page, check } = await visit((await server()).address);
  await page.keyboard.press("/");
  await page.keyboard.type("synthetic-050");
  await until("ten of them", async () => (await count(page)) === "10 of 1\u202f000");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("ArrowDown");
  const focused = () => page.evaluate(() => document.activeElement.closest(".row")?.dataset.id ?? document.activeElement.id);
  expect((await focused()) === "synthetic-0501", `the second row has the focus, not ${await focused()}`);
  await page.keyboard.press("Enter");
  await until("it opens", () => page.locator(".detail").isVisible());
  await page.keyboard.press("m");
  const mute = page.getByRole("button", { name: "Mute synthetic-0501" });
  await until("muted", async () => (await mute.getAttribute("aria-pressed")) === "true");
  await until("by the server", () => knows(page, '({ model }) => (model.flags[model.find("synthetic-0501").slot] & 1) === 1'));
  await page.keyboard.press("m");
  await page.keyboard.press("-");
  await page.keyboard.press("-");
  await until("2 dB less", () => knows(page, '({ model }) => Math.abs(model.gain_db[model.find("synthetic-0501").slot] + 2) < 0.01'));
  await page.keyboard.press("0");
  await until("as it was", () => knows(page, '({ model }) => model.gain_db[model.find("synthetic-0501").slot] === 0'));
  // Tab goes through the row's own controls and on, not through a thousand rows.
  const stops = [];
  for (let presses = 0; presses < 7; presses += 1) {
    await page.keyboard.press("Tab");
    stops.push(await page.evaluate(() => document.activeElement.getAttribute("aria-label") ?? (document.activeElement.textContent.slice(0, 40) || document.activeElement.id)));
  }
  expect(stops[0] === "Gain of synthetic-0501" && stops[1] === "Mute synthetic-0501", stops.join(", "));
  expect(stops.filter((stop) => /synthetic-0502/.test(stop)).length === 0, stops.join(", "));

  await page.locator("#heat").focus();
  await page.keyboard.press("Home");
  for (let presses = 0; presses < 4; presses += 1) await page.keyboard.press("ArrowRight");
  const words = await page.locator("#heat").getAttribute("aria-valuetext");
  expect(/^synthetic-0005 · ring .* full/.test(words), words);
  await page.keyboard.press("Enter");
  await until("its row", async () => (await focused()) === "synthetic-0005");
  await check();
  return stops.join(" → ");
};

export const every_control_has_a_name_for_screen_readers = async () => {
  const { page, check } = await visit((await server()).address);
  await until("rows", async () => (await ids(page)).length > 5);
  await page.getByRole("button", { name: "synthetic-0001", exact: true }).click();
  const tree = await page.locator("body").ariaSnapshot();
  for (const wanted of [
    'heading "mixpool" [level=1]', 'heading "The mix"', 'img "Level of the mix"', 'img /Waveform/', 'button "Listen"', 'slider "Volume of what I hear"',
    'slider "Ring fill by slot"', 'searchbox "Filter by id or source"', 'grid "Streams', 'columnheader "Drop rate"', 'row', 'slider "Gain of synthetic-0001"',
    'button "Mute synthetic-0001"', 'button "Solo synthetic-0001"', 'button "Listen to it alone"', 'button "Record the mix"',
  ]) {
    const [role, name] = wanted.split(/ (?=["/])/);
    const found = name?.startsWith("/") ? tree.includes(`${role} "${name.slice(1, -1)}`) : tree.includes(wanted);
    expect(found, `no ${wanted} in:\n${tree.slice(0, 6000)}`);
  }
  const nameless = await page.evaluate(() => [...document.querySelectorAll("button, input, canvas[role], a")]
    .filter((element) => element.checkVisibility())
    .filter((element) => !(element.getAttribute("aria-label") || element.textContent.trim() || element.labels?.length))
    .map((element) => element.outerHTML));
  expect(nameless.length === 0, nameless.join("\n"));
  // Meters are not read aloud; errors are.
  const live = await page.evaluate(() => [...document.querySelectorAll("[aria-live], [role=alert], [role=status]")].map((element) => element.id || element.tagName));
  expect(!live.includes("peak") && !live.includes("meter"), live.join());
  const [alerts] = await page.locator("#alerts").evaluateAll((all) => all.map((element) => element.getAttribute("role")));
  expect(alerts === "alert", "errors are announced");
  await check();
  return `${tree.split("\n").length} nodes, none of the controls without a name`;
};

export const it_fits_a_phone_and_any_colour = async () => {
  const { address } = await server();
  const widths = [];
  for (const [name, options] of [
    ["light", { colorScheme: "light" }],
    ["dark", { colorScheme: "dark" }],
    ["phone", { viewport: { width: 360, height: 740 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true }],
    ["tablet", { viewport: { width: 820, height: 1180 } }],
    ["calm", { reducedMotion: "reduce" }],
  ]) {
    const { page, check } = await visit(address, options);
    await until("rows", async () => (await ids(page)).length > 3);
    if (name === "dark") await page.getByRole("button", { name: "synthetic-0002", exact: true }).click();
    await sleep(1500);
    const [wide, room] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
    expect(wide <= room, `${name}: ${wide} of ${room} pixels`);
    await shot(page, name);
    if (name === "phone") {
      await page.locator("#streams").scrollIntoViewIfNeeded();
      await page.evaluate(() => document.getElementById("streams").scrollIntoView());
      await page.getByRole("button", { name: "synthetic-0002", exact: true }).click();
      await sleep(1500);
      const room = await page.evaluate(() => {
        const scroll = document.getElementById("scroll");
        return scroll.scrollWidth <= scroll.clientWidth;
      });
      expect(room, "the table needs no sideways scroll either");
      await shot(page, "phone-streams");
    }
    widths.push(`${name} ${wide}`);
    await check();
  }
  return widths.join(", ");
};

export const recordings_start_and_stop = async () => {
  const folder = path.join(ROOT, "target/page/recordings");
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const own = await Server.start(["--synthetic", "5", "--streams-max", "16", "--recordings", folder]);
  const { page, check } = await visit(own.address);
  await page.getByRole("button", { name: "Record the mix" }).click();
  const stop = page.getByRole("button", { name: /^Stop recording mix-/ });
  await until("it records", () => stop.isVisible());
  await sleep(1500);
  await stop.click();
  await until("it is done", async () => /done/.test(await page.locator("#recordings").textContent()));
  await check();
  await own.stop();
  const [file] = readdirSync(folder);
  const samples = recorded(path.join(folder, file));
  expect(samples.length > 8000 && samples.some((sample) => sample !== 0), `${samples.length} samples`);
  return `${file} of ${samples.length} samples`;
};

export const the_colours_are_switched_and_kept = async () => {
  const { page, check } = await visit((await server()).address, { colorScheme: "light" });
  const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await background();
  await page.getByRole("button", { name: /^Colours/ }).click();
  const dark = await background();
  expect(light !== dark, `${light}, ${dark}`);
  await page.reload();
  expect((await background()) === dark, "kept over a reload");
  await check();
  return `${light} → ${dark}`;
};

export const a_thousand_streams_are_drawn_smoothly = async () => {
  const { page, check } = await visit((await server()).address);
  await until("rows", async () => (await ids(page)).length > 5);
  const protocol = await page.context().newCDPSession(page);
  await protocol.send("Performance.enable");
  const spent = async () => {
    const { metrics } = await protocol.send("Performance.getMetrics");
    const of = (name) => metrics.find((metric) => metric.name === name).value;
    return of("ScriptDuration") + of("LayoutDuration") + of("RecalcStyleDuration");
  };
  // Left alone, and then with all of the table passing by.
  const before = await spent();
  await sleep(5000);
  const alone = ((await spent()) - before) / 5;
  const figures = await page.evaluate(async () => {
    const long = [];
    new PerformanceObserver((list) => long.push(...list.getEntries().map(({ duration }) => duration))).observe({ type: "longtask" });
    const scroll = document.getElementById("scroll");
    const frames = [];
    const begun = performance.now();
    await new Promise((resolve) => {
      const frame = (now) => {
        frames.push(now);
        scroll.scrollTop = ((now - begun) / 5000) * scroll.scrollHeight;
        if (now - begun < 5000) requestAnimationFrame(frame);
        else resolve();
      };
      requestAnimationFrame(frame);
    });
    const gaps = frames.slice(1).map((at, index) => at - frames[index]).sort((a, b) => a - b);
    return { rate: frames.length / 5, p95: gaps[Math.floor(gaps.length * 0.95)], long: long.length, longest: Math.max(0, ...long) };
  });
  const size = await page.evaluate(() => performance.getEntriesByType("resource").reduce((all, { decodedBodySize }) => all + decodedBodySize, 0));
  await check();
  return `script, style and layout take ${(alone * 100).toFixed(1)} % of a core; ${figures.rate.toFixed(0)} frames a second while scrolling, 95 % within ${figures.p95.toFixed(0)} ms, ${figures.long} long tasks, longest ${figures.longest.toFixed(0)} ms; files of ${(size / 1024).toFixed(0)} KiB`;
};

export const the_picture_of_the_readme_is_there = async () => {
  const picture = readFileSync(path.join(ROOT, "docs/dashboard.png"));
  expect(picture.length < 300 * 1024, `${picture.length} bytes`);
  expect(picture.subarray(1, 4).toString() === "PNG", "a PNG");
  return `${(picture.length / 1024).toFixed(0)} KiB`;
};
