// A thousand streams in the page, and the ways to each.

import { mkdirSync, readFileSync, readdirSync, rmSync } from "node:fs";
import path from "node:path";

import { expect, knows, until, visit } from "./browser.mjs";
import { ROOT, Server, recorded, recordingsIn, sleep } from "./server.mjs";

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
  // Ten come a second. The best of three: what else the machine does is no fault of the page.
  let updates = 0;
  for (let tries = 0; tries < 3 && updates <= 8; tries += 1) {
    const before = await knows(page, "({ model }) => [model.updates, performance.now()]");
    await sleep(3000);
    const after = await knows(page, "({ model }) => [model.updates, performance.now()]");
    updates = Math.max(updates, ((after[0] - before[0]) * 1000) / (after[1] - before[1]));
  }
  expect(updates > 8, `${updates} updates a second`);
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
  await page.locator("#filter").fill("nothing");
  await until("a word about it", () => page.locator("#empty").isVisible());
  await page.locator("#filter").fill("");
  await until("all again", async () => (await count(page)) === "1\u202f000");
  await check();
  return "by id, by level; 10 of 1000 found";
};

export const a_row_opens_a_ledger_that_adds_up = async () => {
  const { page, check } = await visit((await server()).address);
  await page.getByRole("button", { name: "synthetic-0003", exact: true }).click();
  const read = () => page.evaluate(() => {
    const number = (text) => Number(text.replaceAll("\u202f", "").replace(" in flight", ""));
    const [offered, rest] = [...document.querySelectorAll(".sum tfoot td")].map(({ textContent }) => textContent);
    const terms = [...document.querySelectorAll(".sum tbody td.number:not(.share)")].map(({ textContent }) => number(textContent));
    return { offered: number(offered), terms, flying: rest === "adds up" ? 0 : number(rest) };
  });
  // Frames may be in flight while the ledger is read, more of them where this machine holds the server up; that of a
  // stream at rest adds up, as another test has it.
  const gap = ({ offered, terms }) => Math.abs(offered - terms.reduce((all, value) => all + value, 0));
  let ledger;
  await until("a ledger that adds up", async () => {
    ledger = await read();
    return ledger.offered > 0 && gap(ledger) === ledger.flying && ledger.flying <= 1600;
  });
  const { offered, terms, flying } = ledger;
  // Bar and rows agree, and the parts of the bar are as wide.
  const shown = await page.evaluate(() => [...document.querySelectorAll(".sum tbody tr")].map((row, at) => ({
    term: row.cells[0].textContent.split(" ")[0],
    share: row.cells[2].textContent,
    words: document.querySelector(".stack").getAttribute("aria-label"),
    wide: document.querySelectorAll(".stack span")[at].offsetWidth / document.querySelector(".stack").offsetWidth,
  })));
  for (const { term, share, words, wide } of shown) {
    expect(words.includes(`${term} ${share}`), `${term} ${share}: ${words}`);
    expect(Math.abs(wide - Number.parseFloat(share.replace("<", "")) / 100) < 0.05, `${term} ${share}: ${wide} of the bar`);
  }
  const mixed = Number.parseFloat(shown[0].share);
  expect(shown[0].term === "mixed" && mixed > 50, JSON.stringify(shown[0]));
  await page.keyboard.press("Escape");
  await until("closed again", async () => !(await page.locator(".detail").isVisible()));
  await check();
  return `${offered} = ${terms.join(" + ")}${flying > 0 ? `, ${flying} in flight` : ""}`;
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
    'slider "Ring fill by slot"', 'searchbox "Filter by id, label or source"', 'table "Streams', 'columnheader "Missing"', 'row "synthetic-0001', 'row "Details of synthetic-0001"', 'cell "synthetic-0001"', 'slider "Gain of synthetic-0001"',
    'button "Mute synthetic-0001"', 'button "Solo synthetic-0001"', 'button "Listen to it alone"', 'button "Record the mix"',
  ]) {
    const [role, name] = wanted.split(/ (?=["/])/);
    const found = name?.startsWith("/") ? tree.includes(`${role} "${name.slice(1, -1)}`) : tree.includes(wanted);
    expect(found, `no ${wanted} in:\n${tree.slice(0, 6000)}`);
  }
  // A narrow page hides columns, and says which the others are.
  await page.setViewportSize({ width: 400, height: 800 });
  const shown = await page.evaluate(() => [...document.querySelector("#rows .row:not([hidden])").cells]
    .filter((cell) => cell.checkVisibility()).map((cell) => cell.ariaColIndex).join());
  expect(shown === "1,4,6,7", `columns ${shown} of ${await page.locator("#grid").getAttribute("aria-colcount")}`);
  await page.setViewportSize({ width: 1440, height: 900 });
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
  // Its row stays what it is while the text moves on: neither a press nor the focus is lost.
  const text = await page.locator("#recordings").textContent();
  await stop.evaluate((button) => { button.focus(); globalThis.pressed = button; });
  await until("the length moves on", async () => (await page.locator("#recordings").textContent()) !== text);
  expect(await stop.evaluate((button) => button === globalThis.pressed && button === document.activeElement), "the same button");
  const pause = page.getByRole("button", { name: /^Pause recording mix-/ });
  await pause.click();
  await until("it is paused", async () => /paused/.test(await page.locator("#recordings").textContent()));
  expect(await pause.getAttribute("aria-pressed") === "true", "the button is pressed");
  await pause.click();
  await until("it records again", async () => /now/.test(await page.locator("#recordings").textContent()));
  await page.getByRole("button", { name: /^Mark this moment in mix-/ }).click();
  await until("the mark is told", async () => /has a mark at sample \d+/.test(await page.locator("body").textContent()));
  await sleep(1200);
  await stop.click();
  await until("it is done", async () => /done/.test(await page.locator("#recordings").textContent()));
  const sidecar = readdirSync(folder).find((name) => name.endsWith(".json"));
  const { marks, gaps } = JSON.parse(readFileSync(path.join(folder, sidecar), "utf8"));
  expect(marks.length === 1 && gaps.length === 1 && gaps[0].why === "paused", JSON.stringify({ marks, gaps }));
  const link = page.getByRole("link", { name: /^Download mix-/ });
  await until("a link", () => link.isVisible());
  const [download] = await Promise.all([page.waitForEvent("download"), link.click()]);
  const got = readFileSync(await download.path());
  const [file] = recordingsIn(folder);
  expect(got.equals(readFileSync(path.join(folder, file))), "what is downloaded is the file");
  expect(download.suggestedFilename() === file, download.suggestedFilename());
  // A stream alone, from its row.
  await page.getByRole("button", { name: "synthetic-0002", exact: true }).click();
  await page.getByRole("button", { name: "Record it" }).click();
  const stopIt = page.getByRole("button", { name: /^Stop recording synthetic-0002-/ });
  await until("it is recorded alone", () => stopIt.isVisible());
  await sleep(1200);
  await stopIt.click();
  await until("it is whole", async () => (await page.locator("#recordings").textContent()).split("done").length === 3);
  const alone = recorded(path.join(folder, recordingsIn(folder).find((name) => name.startsWith("synthetic-0002-"))));
  expect(alone.length > 4000 && alone.some((sample) => sample !== 0), `${alone.length} samples of it alone`);
  await check();
  await own.stop();
  const samples = recorded(path.join(folder, file));
  expect(samples.length > 8000 && samples.some((sample) => sample !== 0), `${samples.length} samples`);
  return `${file} of ${samples.length} samples`;
};

export const without_a_folder_the_record_button_is_off_and_says_why = async () => {
  const own = await Server.start(["--synthetic", "2", "--streams-max", "16"]);
  const { page, check } = await visit(own.address);
  const button = page.getByRole("button", { name: "Record the mix" });
  await until("it is off", () => button.isDisabled());
  const why = await page.locator("#recordings").textContent();
  expect(/--recordings DIR/.test(why) && (await button.getAttribute("title")) === why, why);
  await check();
  await own.stop();
  return why;
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
  // A browser that keeps nothing: the choice lasts as long as the page, and goes round.
  const { page: bare, check: checkBare } = await visit((await server()).address, { colorScheme: "light", init: () => {
    Object.defineProperty(globalThis, "localStorage", { get: () => { throw new DOMException("no storage", "SecurityError"); } });
  } });
  const themes = [];
  for (let clicks = 0; clicks < 4; clicks += 1) {
    themes.push(await bare.evaluate(() => document.documentElement.dataset.theme));
    await bare.getByRole("button", { name: /^Colours/ }).click();
  }
  expect(themes.join() === "light,dark,light,light", themes.join());
  // Chosen is dark by now, and then light; after that the system decides again, as it changes.
  await bare.getByRole("button", { name: /^Colours/ }).click();
  await bare.getByRole("button", { name: /^Colours/ }).click();
  const system = await bare.getByRole("button", { name: "Colours: as the system" }).count();
  expect(system === 1, "back to the system's");
  for (const colorScheme of ["dark", "light"]) {
    await bare.emulateMedia({ colorScheme });
    await until(`${colorScheme}, as the system`, async () => (await bare.evaluate(() => document.documentElement.dataset.theme)) === colorScheme);
  }
  await checkBare();
  return `${light} → ${dark}`;
};

/** Frames while all of the table passes by within five seconds. */
const scrolled = (page) => page.evaluate(async () => {
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
  return { frames: frames.length, p95: gaps[Math.floor(gaps.length * 0.95)], long: long.length, longest: Math.max(0, ...long) };
});

export const a_thousand_streams_are_drawn_smoothly = async () => {
  const { page, check } = await visit((await server()).address);
  await until("rows", async () => (await ids(page)).length > 5);
  const protocol = await page.context().newCDPSession(page);
  // Of the thread's own time: what else the machine does is no fault of the page.
  await protocol.send("Performance.enable", { timeDomain: "threadTicks" });
  const spent = async () => {
    const { metrics } = await protocol.send("Performance.getMetrics");
    const of = (name) => metrics.find((metric) => metric.name === name).value;
    return of("ScriptDuration") + of("LayoutDuration") + of("RecalcStyleDuration");
  };
  // Left alone, and then scrolled. The best of three.
  let [alone, frame_ms, figures] = [Infinity, Infinity, null];
  for (let tries = 0; tries < 3 && (alone > 0.6 || frame_ms > 1000 / 15); tries += 1) {
    const [before, begun] = [await spent(), Date.now()];
    await sleep(5000);
    const between = await spent();
    alone = Math.min(alone, (between - before) / ((Date.now() - begun) / 1000));
    figures = await scrolled(page);
    frame_ms = Math.min(frame_ms, (((await spent()) - between) * 1000) / figures.frames);
  }
  expect(alone > 0 && alone < 0.6, `drawing takes ${(alone * 100).toFixed(0)} % of a core`);
  expect(frame_ms > 0 && frame_ms < 1000 / 15, `a frame takes ${frame_ms.toFixed(0)} ms while scrolling`);
  const size = await page.evaluate(() => performance.getEntriesByType("resource").reduce((all, { decodedBodySize }) => all + decodedBodySize, 0));
  await check();
  return `script, style and layout take ${(alone * 100).toFixed(1)} % of a core; ${frame_ms.toFixed(1)} ms a frame while scrolling, ${(figures.frames / 5).toFixed(0)} of them a second, 95 % within ${figures.p95.toFixed(0)} ms, ${figures.long} long tasks, longest ${figures.longest.toFixed(0)} ms; files of ${(size / 1024).toFixed(0)} KiB`;
};

export const text_stands_out_from_what_lies_behind_it = async () => {
  const least = [];
  for (const colorScheme of ["light", "dark"]) {
    const { page, check } = await visit((await server()).address, { colorScheme });
    const pairs = await page.evaluate(() => {
      const styles = getComputedStyle(document.documentElement);
      const light = (name) => {
        const hex = name.startsWith("#") ? name : styles.getPropertyValue(`--${name}`).trim();
        const [red, green, blue] = [1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16) / 255)
          .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
      };
      // WCAG 2.2, 1.4.3 and 1.4.11.
      const contrast = (a, b) => {
        const [dark, bright] = [light(a), light(b)].sort((first, second) => first - second);
        return (bright + 0.05) / (dark + 0.05);
      };
      const texts = [
        ...["text", "soft", "faint"].flatMap((text) => ["page", "card", "sunk"].map((behind) => [text, behind])),
        ["on-accent", "accent"], ["accent-strong", "accent-soft"], ["accent", "card"], ["warn", "card"], ["bad", "card"], ["bad", "bad-soft"],
        ["text", "bad-soft"], ["text", "accent-soft"], ["#0e1316", "muted"], ["#1c1402", "mid"],
      ];
      return [...texts.map(([text, behind]) => [text, behind, contrast(text, behind), 4.5]), ["field", "card", contrast("field", "card"), 3]];
    });
    for (const [text, behind, contrast, wanted] of pairs) expect(contrast >= wanted, `${colorScheme}: ${text} on ${behind} is ${contrast.toFixed(2)}`);
    least.push(Math.min(...pairs.slice(0, -1).map(([, , contrast]) => contrast)).toFixed(2));
    await check();
  }
  return `${least.join(" and ")} at least, light and dark`;
};

export const health_and_sound_are_seen_at_a_glance = async () => {
  const { page, check } = await visit((await server()).address);
  const text = (name) => page.locator(`#${name}`).textContent();
  await until("figures", async () => /^\d/.test(await text("h-late")));
  const shown = {};
  for (const [name, pattern] of Object.entries({
    "h-late": /^[\d\u202f]+$/, "h-ticks": /^of [\d\u202f]+ ticks?$/, "h-tick": /^[\d.]+ (ns|µs|ms|s)$/, "h-budget": /^of 20 ms, max [\d.]+ (ns|µs|ms|s)$/,
    "h-slots": /^of 1\u202f000 slots$/, "h-missing-now": / %$/, facts: /8 kHz, mono · ticks of 20 ms · up \d/,
  })) {
    shown[name] = await text(name);
    expect(pattern.test(shown[name]), `${name}: ${shown[name]}`);
  }
  // Those of the last minute, of all that the server has counted.
  const status = await (await fetch(new URL("api/v1/status", (await server()).address))).json();
  const ticks = Number(shown["h-ticks"].replaceAll(/\D/g, ""));
  expect(ticks > 0 && ticks <= Math.min(status.ticks, 3200), `${ticks} of ${status.ticks} ticks`);

  await until("a waveform that moves", () => page.evaluate(() => {
    const canvas = document.getElementById("wave");
    // Half its height away from the middle line there is only sound.
    const wave = getComputedStyle(document.documentElement).getPropertyValue("--wave").trim();
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    let drawn = 0;
    for (let at = 0; at < data.length; at += 4) {
      if (`#${[0, 1, 2].map((part) => data[at + part].toString(16).padStart(2, "0")).join("")}` === wave) drawn += 1;
    }
    return drawn > canvas.width;
  }));

  // The stream under the pointer is named, and its cell is whole.
  const heat = page.locator("#heat");
  const { x, y, width } = await heat.boundingBox();
  const [side, columns] = await heat.evaluate(({ dataset }) => [Number(dataset.side), Number(dataset.columns)]);
  expect(2 + columns * (side + 2) - 2 <= width, `${columns} cells of ${side} in ${width}`);
  for (const [column, row] of [[0, 0], [columns - 1, 0], [3, 2]]) {
    await page.mouse.move(x + 1 + column * (side + 2) + side / 2, y + 1 + row * (side + 2) + side / 2);
    const id = await knows(page, "({ model }, slot) => model.streams[slot].id", row * columns + column);
    await until(`${id} is named`, async () => (await page.locator("#tip").isVisible()) && (await text("tip")).startsWith(`${id} · ring `));
  }
  await page.mouse.move(x - 30, y);
  await until("no tip", async () => !(await page.locator("#tip").isVisible()));
  await check();
  return `${shown["h-late"]} late ${shown["h-ticks"]}, ${shown["h-tick"]} ${shown["h-budget"]}`;
};

export const the_picture_of_the_readme_is_there = async () => {
  const picture = readFileSync(path.join(ROOT, "docs/dashboard.png"));
  expect(picture.length < 300 * 1024, `${picture.length} bytes`);
  expect(picture.subarray(1, 4).toString() === "PNG", "a PNG");
  expect(/!\[[^\]]+\]\(docs\/dashboard\.png\)/.test(readFileSync(path.join(ROOT, "README.md"), "utf8")), "the README shows it, with words");
  return `${(picture.length / 1024).toFixed(0)} KiB`;
};
