// The README's picture: a thousand streams, two of them over the network, and what the page makes of them.
//
//     node tests/page/picture.mjs       writes docs/dashboard.png; on an idle machine, or the figures are sad

import path from "node:path";

import { close, visit } from "./browser.mjs";
import { ROOT, Server, sender, sleep, tone } from "./server.mjs";

// With room for a machine that has a browser to run, too.
const server = await Server.start(["--synthetic", "996", "--playout-delay", "400ms", "--tcp", "0", "--recordings", path.join(ROOT, "target/page")]);
for (const [id, hertz] of [["desk-1", 330], ["desk-2", 470]]) {
  const line = await sender(await server.tcp(), id);
  // As fast as it plays, as a desk would.
  const sound = tone(hertz, 60, 700);
  let at = 0;
  setInterval(() => line.write(sound.subarray(at, at += 1600)), 100).unref();
}
const { page, check } = await visit(server.address, { viewport: { width: 1360, height: 850 } });
await sleep(14_000);
await page.getByRole("button", { name: "Mute synthetic-0003" }).click();
await page.getByRole("button", { name: "desk-2", exact: true }).click();
await sleep(2500);
await page.evaluate(() => document.activeElement.blur());
await page.mouse.move(5, 5);
await page.screenshot({ path: path.join(ROOT, "docs/dashboard.png") });
await check();
await close();
await server.stop();
