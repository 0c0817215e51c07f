// The page to a newcomer: without streams, its keys, the size of its targets, and trouble in sight.

import { execFile } from "node:child_process";
import path from "node:path";
import { promisify } from "node:util";

import { expect, knows, until, visit } from "./browser.mjs";
import { ROOT, Server } from "./server.mjs";

const run = promisify(execFile);
const FEW = ["--synthetic", "20", "--streams-max", "32"];
const unix = path.join(ROOT, "target/page/mixpool.sock");
const EMPTY = ["--rtp", "127.0.0.1:0", "--tcp", "0.0.0.0:0", "--audiosocket", "127.0.0.1:0", "--unix", unix, "--allow", "127.0.0.0/8"];

const focused = (page) => page.evaluate(() => document.activeElement.id || document.activeElement.getAttribute("aria-label"));

export const the_empty_page_has_a_line_to_paste_for_each_client = async () => {
  const own = await Server.start(EMPTY);
  for (const [name, options] of [
    ["empty", {}],
    ["empty-dark", { colorScheme: "dark" }],
    ["empty-phone", { viewport: { width: 360, height: 740 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true }],
    // 1280 pixels at 400 %.
    ["empty-zoomed", { viewport: { width: 320, height: 256 }, deviceScaleFactor: 4 }],
  ]) {
    const { page, check } = await visit(own.address, options);
    await until("lines to paste", async () => (await page.locator(".line").count()) >= 8);
    const [wide, room] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
    expect(wide <= room, `${name}: ${wide} of ${room} pixels`);
    await page.screenshot({ path: path.join(ROOT, "target/page", `${name}.png`), fullPage: true });
    await check();
  }
  const { page, check } = await visit(own.address, { permissions: ["clipboard-read", "clipboard-write"] });
  await until("lines to paste", async () => (await page.locator(".line").count()) >= 8);
  const lines = (await page.locator(".line code").allTextContents()).join("\n");
  const audiosocket = own.log.match(/listening on audiosocket (\S+)/)[1];
  for (const wanted of [
    `-T x.wav ${own.address}ingest/desk-1`, `rtp://127.0.0.1:${await own.rtp()}?`, `port=${await own.rtp()}`, `AudioSocket(\${UUID()},${audiosocket})`,
    `nc -N 127.0.0.1 ${await own.tcp()} <`, "-r 8000 -c 1 ", `nc -N -U ${unix} <`, `uri = ${own.address.replace("http", "ws")}ws/ingest`,
  ]) expect(lines.includes(wanted), `no ${wanted} in:\n${lines}`);
  const copy = page.getByRole("button", { name: "Copy the HTTP body line for curl" });
  await copy.click();
  await until("it says so", async () => (await copy.textContent()) === "Copied");
  const copied = await page.evaluate(() => navigator.clipboard.readText());
  expect(lines.startsWith(copied), copied);
  // The line does as it says, and the page becomes one of streams.
  await run("sh", ["-c", copied.replace("x.wav", path.join(ROOT, "testdata/speech-count-8000-mono-s16.wav"))]);
  await check();
  await own.stop();
  return lines.split("\n").length + " lines";
};

export const question_mark_shows_the_keys_and_escape_returns = async () => {
  const own = await Server.start(FEW);
  const { page, check } = await visit(own.address);
  await page.locator("#volume").focus();
  await page.keyboard.press("?");
  await until("the keys", () => page.locator("#keys").isVisible());
  expect((await focused(page)) === "keys-close", `${await focused(page)} has the focus`);
  await page.screenshot({ path: path.join(ROOT, "target/page/keys.png") });
  await page.keyboard.press("Escape");
  await until("no keys", async () => !(await page.locator("#keys").isVisible()));
  expect((await focused(page)) === "volume", `${await focused(page)} has the focus`);
  await page.keyboard.press("/");
  expect((await focused(page)) === "filter", `${await focused(page)} has the focus`);
  await page.keyboard.type("?/");
  expect((await page.locator("#filter").inputValue()) === "?/", "a field takes both as text");
  await check();
  await own.stop();
  return "from a slider, and back";
};

export const every_target_has_24_pixels = async () => {
  const own = await Server.start(FEW);
  let least = Infinity;
  for (const [name, options] of [["desktop", {}], ["phone", { viewport: { width: 360, height: 740 } }]]) {
    const { page, check } = await visit(own.address, options);
    await page.getByRole("button", { name: "synthetic-0001", exact: true }).click();
    await page.locator("#talk-open").click();
    // WCAG 2.2, 2.5.8. A label is a part of its field's target.
    const small = await page.evaluate(() => [...document.querySelectorAll("a, button, input, [role=slider]")]
      .filter((target) => target.checkVisibility() && !target.classList.contains("skip"))
      .map((target) => {
        const { width, height } = (target.closest("label") ?? target).getBoundingClientRect();
        return { size: Math.min(width, height), name: target.id || target.getAttribute("aria-label") || target.textContent };
      }));
    for (const { size, name: target } of small) {
      expect(size >= 24, `${name}: ${target} has ${size} pixels`);
      least = Math.min(least, size);
    }
    await check();
  }
  await own.stop();
  return `${least} pixels at least`;
};

export const the_latest_event_is_in_sight_and_leads_to_all = async () => {
  const own = await Server.start(FEW);
  for (const [width, height] of [[1440, 900], [1280, 720], [1920, 1080]]) {
    const { page, check } = await visit(own.address, { viewport: { width, height } });
    await until("an event", async () => /synthetic|ticks? in/.test(await page.locator("#latest").textContent()));
    const { bottom } = await page.locator("#latest").evaluate((latest) => latest.getBoundingClientRect().toJSON());
    expect(bottom <= height, `it ends at ${bottom} of ${height}`);
    await page.locator("#events-jump").click();
    expect((await focused(page)) === "events-title", `${await focused(page)} has the focus`);
    await check();
  }
  await own.stop();
  return "at three sizes";
};

export const late_ticks_are_those_of_the_last_minute = async () => {
  const own = await Server.start(FEW);
  const { page, check } = await visit(own.address);
  await until("figures", () => knows(page, "({ model }) => model.totals !== null"));
  const shown = await knows(page, `async ({ model }) => {
    const { Health } = await import("/health.js");
    const health = new Health();
    const at = (uptime_ms, late_ticks, ticks) => {
      const totals = { ...model.totals, uptime_ms, late_ticks, ticks };
      health.draw({ ...model, totals, server: model.server, missingHistory: model.missingHistory }, uptime_ms);
      return ["h-late", "h-ticks"].map((id) => document.getElementById(id).textContent).join(" ");
    };
    return [at(400, 1, 1), at(2000, 5, 100), at(61000, 5, 3050), at(63000, 5, 3150), at(65000, 6, 3250)];
  }`);
  const wanted = ["1 of 1 tick", "5 of 100 ticks", "5 of 3\u202f050 ticks", "0 of 3\u202f050 ticks", "1 of 3\u202f150 ticks"];
  expect(JSON.stringify(shown) === JSON.stringify(wanted), `${shown}, not ${wanted}`);
  await check();
  await own.stop();
  return shown.join(", ");
};

export const a_level_and_its_bar_agree = async () => {
  const own = await Server.start(FEW);
  const { page, check } = await visit(own.address);
  await until("rows", async () => (await page.locator("#rows .row:not([hidden])").count()) > 5);
  const apart = await page.evaluate(() => new Promise((resolve) => {
    const apart = [];
    const watch = new MutationObserver((changes) => {
      for (const { target } of changes) {
        const bar = target.parentElement.closest(".bar");
        const scale = Number(bar.querySelector(".rail span").style.transform.match(/[\d.]+/)[0]);
        const db = Number(target.data.replace("−", "-"));
        if (Number.isFinite(db)) apart.push(Math.abs(scale * 60 - 60 - Math.max(-60, db)));
      }
      if (apart.length >= 60) resolve(Math.max(...apart));
    });
    watch.observe(document.getElementById("rows"), { characterData: true, subtree: true });
    // Of the figures that change, those of levels alone.
    for (const text of document.querySelectorAll("#rows .number, #rows .gain")) text.remove();
  }));
  expect(apart <= 0.6, `${apart} dB apart`);
  await check();
  await own.stop();
  return `${apart.toFixed(2)} dB apart at most`;
};
