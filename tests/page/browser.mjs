// Pages under test, and what holds for each of them: no error in the console, nothing that the content
// security policy stopped, no request to another host.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";

import { ROOT, sleep } from "./server.mjs";

// Where `.ci/page` puts it: nothing of it lies beside the sources.
const { chromium } = createRequire(path.join(ROOT, "target/page/npm/"))("playwright-core");

/** Of files that the server does not have yet. */
const TYPES = { ".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml" };

let browser;
const FLAGS = [
  // Debian's package in a container has no sandbox of its own.
  "--no-sandbox",
  "--use-fake-device-for-media-stream",
  "--use-fake-ui-for-media-stream",
  // A page that was changed on its way has no address, and would then be kept from its own server.
  ...(process.env.PAGE ? ["--disable-features=LocalNetworkAccessChecks"] : []),
];

export const launch = async () => {
  browser ??= await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: FLAGS });
  return browser;
};

export const close = () => browser?.close();

/** A page at the address, and `check()`, which throws at what must not have happened. `forgive` are patterns
 * of console errors that the test provokes, and `init` runs in the page before its own scripts. */
export const visit = async (address, { forgive = [], wait = true, init, ...options } = {}) => {
  const context = await (await launch()).newContext({ viewport: { width: 1440, height: 900 }, ...options });
  const page = await context.newPage();
  const wrong = [];
  const host = new URL(address).host;
  page.on("console", (message) => {
    const text = `${message.text()} (${message.location().url})`;
    if (message.type() === "error" && !forgive.some((pattern) => pattern.test(text))) wrong.push(`console: ${text}`);
  });
  page.on("pageerror", (error) => wrong.push(`exception: ${error.stack}`));
  page.on("request", (request) => {
    if (new URL(request.url()).host !== host) wrong.push(`request to ${request.url()}`);
  });
  page.on("websocket", (socket) => {
    if (new URL(socket.url()).host !== host) wrong.push(`WebSocket to ${socket.url()}`);
  });
  await page.addInitScript(() => {
    globalThis.violations = [];
    addEventListener("securitypolicyviolation", (event) => globalThis.violations.push(`${event.violatedDirective} ${event.blockedURI}`));
  });
  if (init) await page.addInitScript(init);
  if (process.env.PAGE) {
    // The files as they are in this folder, with the server's own headers: to try a change without a build.
    await page.route(/\/[a-z-]+\.(js|css|svg)$|:\d+\/$/, async (route) => {
      const name = new URL(route.request().url()).pathname.slice(1) || "index.html";
      const response = await route.fetch().catch(() => null);
      if (!response) return route.abort();
      const headers = { ...response.headers(), "content-type": TYPES[path.extname(name)] };
      await route.fulfill({ response, status: 200, headers, body: readFileSync(path.join(process.env.PAGE, name)) });
    });
  }
  const answer = await page.goto(address);
  const policy = answer.headers()["content-security-policy"] ?? "";
  if (!/default-src 'self'/.test(policy) || /unsafe/.test(policy)) wrong.push(`content security policy: ${policy || "none"}`);
  if (wait) await page.waitForFunction(() => document.getElementById("connection-text").textContent === "Live");
  const check = async () => {
    const violations = await page.evaluate(() => globalThis.violations);
    wrong.push(...violations.map((text) => `content security policy: ${text}`));
    if (wrong.length > 0) throw new Error(wrong.join("\n"));
    await context.close();
  };
  return { page, check };
};

/** Waits until the function says yes. */
export const until = async (what, holds, seconds = 20) => {
  for (const end = Date.now() + seconds * 1000; Date.now() < end; await sleep(50)) {
    const held = await holds();
    if (held) return held;
  }
  throw new Error(`not within ${seconds} s: ${what}`);
};

/** Throws unless it holds. */
export const expect = (holds, what) => {
  if (!holds) throw new Error(what);
};

/** The page's own state, by the modules that it has loaded. */
export const knows = (page, ask, argument) => page.evaluate(
  `(async (argument) => { const { model, player } = await import("/app.js"); return (${ask})({ model, player }, argument); })(${JSON.stringify(argument ?? null)})`,
);

/** How loud the page sounds to itself: the root mean square of its analyser, and its loudest hertz. */
export const heard = (page) => knows(page, `({ player }) => {
  const { analyser } = player;
  const samples = new Float32Array(analyser.fftSize);
  analyser.getFloatTimeDomainData(samples);
  const bins = new Float32Array(analyser.frequencyBinCount);
  analyser.getFloatFrequencyData(bins);
  const loudest = bins.indexOf(Math.max(...bins));
  return {
    rms: Math.sqrt(samples.reduce((sum, value) => sum + value * value, 0) / samples.length),
    hertz: (loudest * player.context.sampleRate) / analyser.fftSize,
    behind: player.behindMs, skipped: player.skipped, dry: player.dry,
  };
}`);

/** Whether a stream's cell in the heat map is red: the colour in the middle of the cell itself. */
export const isRed = async (page, id) => {
  const slot = await knows(page, "({ model }, id) => model.find(id)?.slot ?? -1", id);
  if (slot < 0) return null;
  return page.evaluate((slot) => {
    const canvas = document.getElementById("heat");
    const [side, columns] = [Number(canvas.dataset.side), Number(canvas.dataset.columns)];
    const scale = canvas.width / canvas.clientWidth;
    const middle = (at) => Math.floor((at * (side + 2) + 1 + side / 2) * scale);
    const place = [middle(slot % columns), middle(Math.floor(slot / columns))];
    const [red, green, blue] = canvas.getContext("2d").getImageData(...place, 1, 1).data;
    const wanted = getComputedStyle(document.documentElement).getPropertyValue("--drop").trim();
    const shown = `#${[red, green, blue].map((part) => part.toString(16).padStart(2, "0")).join("")}`;
    return shown === wanted;
  }, slot);
};
