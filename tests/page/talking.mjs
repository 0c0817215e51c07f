// Talkers in the page: lit, named, and found by keyboard and screen reader.

import path from "node:path";

import { expect, until, visit } from "./browser.mjs";
import { ROOT, Server, sender, tone } from "./server.mjs";

const ids = (page) => page.locator("#rows .row:not([hidden]) .name").allTextContents();

export const talkers_are_lit_named_and_found_by_key = async () => {
  const server = await Server.start(["--streams-max", "16", "--tcp", "0", "--room", "sales,talking_threshold=-20"]);
  const api = async (method, place, body) => {
    const answer = await fetch(new URL(`api/v1/${place}`, server.address), {
      method, headers: body ? { "content-type": "application/json" } : {}, body: body && JSON.stringify(body),
    });
    if (!answer.ok) throw new Error(`${method} ${place}: ${answer.status} ${await answer.text()}`);
    return answer.json();
  };
  // -12 and -50 dB of full scale.
  const [loud, soft] = [await sender(await server.tcp(), "loud"), await sender(await server.tcp(), "soft")];
  loud.write(tone(500, 60, 8000));
  soft.write(tone(700, 60, 100));
  await until("both", async () => (await api("GET", "streams")).total === 2);
  await api("PUT", "rooms/sales/streams/loud");
  await api("PATCH", "streams/loud", { muted: true });

  const { page, check } = await visit(server.address);
  const button = (name) => page.getByRole("button", { name, exact: true });
  const talks = async (name) => (await button(name).getAttribute("aria-description")) === "talking";
  const lit = (name) => page.locator(`#rows .row[data-id="${name}"]`).evaluate((row) => row.classList.contains("talks"));
  await until("one talks", async () => (await talks("loud")) && (await lit("loud")));
  expect(!(await talks("soft")) && !(await lit("soft")), "the other does not");
  const room = (name) => page.locator(`#rooms-rows .row[data-room="${name}"]`);
  await until("its room names it", async () => /1: loud/.test(await room("sales").innerText()));
  expect(!/soft/.test(await room("main").innerText()), await room("main").innerText());

  const chip = page.locator('.chip[data-show="talking"]');
  await until("a count", async () => (await chip.textContent()) === "Talking 1");
  await chip.focus();
  await page.keyboard.press("Enter");
  await until("the talker alone", async () => JSON.stringify(await ids(page)) === '["loud"]');
  await api("PATCH", "rooms/main", { talking_threshold_dbfs: -60 });
  await until("both", async () => (await ids(page)).length === 2 && (await chip.textContent()) === "Talking 2");
  await page.locator("#heat").focus();
  await page.keyboard.press("Home");
  expect(/ · talking/.test(await page.locator("#heat").getAttribute("aria-valuetext")), "the heat map says so");
  await page.screenshot({ path: path.join(ROOT, "target/page/talking.png") });
  for (const name of ["main", "sales"]) await api("PATCH", `rooms/${name}`, { talking_threshold_dbfs: 0, talking_hold_ms: 0 });
  await until("none", async () => /No stream talks/.test(await page.locator("#empty").textContent()));
  await page.getByRole("button", { name: "All", exact: true }).click();
  expect(!(await talks("loud")) && !(await lit("soft")), "none is lit");
  await check();
  await server.stop();
  return "by colour, by description, by the chip and in the list of the rooms";
};
