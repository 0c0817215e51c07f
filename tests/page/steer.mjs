// Controls of the page, and the effect that each has on the server.

import { expect, knows, until, visit } from "./browser.mjs";
import { Server, freePort, sender, sleep, tone } from "./server.mjs";

const ROOM = ["--streams-max", "16"];

/** A stream, as the API has it; the page is not asked. */
const stream = async ({ address }, id) => (await fetch(new URL(`api/v1/streams/${id}`, address))).json();

const turn = ({ address }, id, gain_db) => fetch(new URL(`api/v1/streams/${id}`, address), {
  method: "PATCH", headers: { "content-type": "application/json" }, body: JSON.stringify({ gain_db }),
});

const focused = (page) => page.evaluate(() => document.activeElement.closest(".row")?.dataset.id ?? (document.activeElement.id || document.activeElement.tagName));

export const a_gain_is_turned_by_pointer_and_by_keys = async () => {
  const server = await Server.start(["--synthetic", "3", ...ROOM]);
  const { page, check } = await visit(server.address);
  const asked = [];
  page.on("request", (request) => { if (request.method() === "PATCH") asked.push(request.postData()); });
  const gain = async () => (await stream(server, "synthetic-0002")).gain_db;
  const slider = page.getByRole("slider", { name: "Gain of synthetic-0002" });
  const { x, y, width, height } = await slider.boundingBox();
  await page.mouse.click(x + width / 4, y + height / 2);
  const pointed = Number(await slider.inputValue());
  expect(pointed > -32 && pointed < -20, `${pointed} dB at a quarter`);
  await until("the pointer", async () => (await gain()) === pointed);
  await page.keyboard.press("ArrowRight");
  await until("an arrow", async () => (await gain()) === pointed + 0.5);

  // Beyond the slider's ends keys go on from what is in force, and never the other way.
  const figure = page.locator('.row[data-id="synthetic-0002"] .gain output');
  const keys = async (from, shown, key, to) => {
    expect((await turn(server, "synthetic-0002", from)).ok, `${from} dB is taken`);
    await until(shown, async () => (await figure.textContent()) === shown);
    const before = asked.length;
    await page.getByRole("button", { name: "synthetic-0002", exact: true }).focus();
    await page.keyboard.press(key);
    if (to === undefined) await sleep(700);
    else await until(`${to} dB`, async () => Math.abs((await gain()) - to) < 0.01);
    expect(asked.length - before === (to === undefined ? 0 : 1), `${key} at ${shown}: ${asked.slice(before)}`);
  };
  await keys(-60, "−60.0", "-", -61);
  await keys(-60, "−60.0", "+", -59);
  await keys(24, "+24.0", "+");
  await keys(-96, "−96.0", "-");
  await check();
  await server.stop();
  return `${pointed} dB by pointer; from -60 dB down to -61, and no further than the ends`;
};

export const solo_silences_the_others = async () => {
  const server = await Server.start(["--synthetic", "3", "--waveform", "white", ...ROOM]);
  const { page, check } = await visit(server.address);
  await page.getByRole("button", { name: "Solo synthetic-0001" }).click();
  await until("the others are muted", async () => (await stream(server, "synthetic-0002")).muted_samples > 8000);
  const [before, solo] = [await stream(server, "synthetic-0003"), await stream(server, "synthetic-0001")];
  expect(solo.muted_samples === 0, `${solo.muted_samples} samples of the one that is heard`);
  await until("more and more", async () => (await stream(server, "synthetic-0003")).muted_samples > before.muted_samples + 4000);
  const grey = () => page.locator(".row:not([hidden]) .bar.silent").count();
  await until("grey bars", async () => (await grey()) === 2);
  await page.getByRole("button", { name: "Solo synthetic-0001" }).click();
  await until("all are heard", async () => (await grey()) === 0);
  await until("by the server, too", async () => {
    const { muted_samples } = await stream(server, "synthetic-0002");
    await sleep(400);
    return (await stream(server, "synthetic-0002")).muted_samples === muted_samples;
  });
  await check();
  await server.stop();
  return `${before.muted_samples} samples of another were muted meanwhile, none of its own`;
};

/** Bars of the meter: what is drawn above each other at its left end, over the scale. */
const bars = (page) => page.evaluate(() => {
  const canvas = document.getElementById("meter");
  const scale = canvas.height / canvas.clientHeight;
  const column = canvas.getContext("2d").getImageData(Math.round(2 * scale), 0, 1, Math.floor((canvas.clientHeight - 19) * scale)).data;
  let [count, inside] = [0, false];
  for (let at = 3; at < column.length; at += 4) {
    if (column[at] > 128 && !inside) count += 1;
    inside = column[at] > 128;
  }
  return count;
});

export const the_meter_has_a_bar_a_channel = async () => {
  const http = `127.0.0.1:${await freePort()}`;
  const stereo = await Server.start(["--synthetic", "3", "--channels", "2", ...ROOM], { http });
  const { page, check } = await visit(stereo.address, { forgive: [/ERR_/] });
  await until("two bars", async () => (await bars(page)) === 2);
  expect(/stereo/.test(await page.locator("#facts").textContent()), "and says so");
  await stereo.kill();
  const mono = await Server.start(["--synthetic", "3", ...ROOM], { http });
  await until("one bar", async () => (await bars(page)) === 1);
  await check();
  await mono.stop();
  return "two of a stereo mix, one after a restart as mono";
};

export const samples_cut_off_light_a_lamp = async () => {
  const on = (page, name) => page.locator(`#${name}`).evaluate((light) => light.classList.contains("on"));
  for (const limiter of ["off", "on"]) {
    const server = await Server.start(["--limiter", limiter, "--tcp", "0", ...ROOM]);
    const { page, check } = await visit(server.address);
    const [own, other] = limiter === "off" ? ["clip-light", "limit-light"] : ["limit-light", "clip-light"];
    expect(!(await on(page, own)), "dark at first");
    for (const id of ["one", "two"]) (await sender(await server.tcp(), id)).write(tone(440, 2, 32_000));
    await until("light", () => on(page, own));
    expect(!(await on(page, other)), `${other} stays dark`);
    if (limiter === "off") {
      const clipped = () => knows(page, "({ model }) => model.totals.clipped_samples");
      await until("the tone's end", async () => {
        const before = await clipped();
        await sleep(500);
        return (await clipped()) === before;
      });
      expect(await on(page, "clip-light"), "it stays for a while");
      await page.locator("#clip-light").click();
      await until("reset", async () => !(await on(page, "clip-light")), 1);
    }
    await check();
    await server.stop();
  }
  return "clip without a limiter, limit with it; a click resets";
};

export const the_focus_stays_in_the_table = async () => {
  const server = await Server.start(["--tcp", "0", ...ROOM]);
  for (const id of ["a", "b", "c"]) (await sender(await server.tcp(), id)).write(tone(440, 60));
  const { page, check } = await visit(server.address);
  const row = (id) => page.getByRole("button", { name: id, exact: true });
  const gone = (id) => until(`${id} is gone`, () => knows(page, "({ model }, id) => model.find(id) === null", id));
  await row("c").waitFor();
  const events = () => page.locator("#events").textContent();
  await until("a start", async () => /c started, tcp /.test(await events()));
  // Escape closes from inside what was opened, too.
  await row("a").click();
  await page.getByRole("button", { name: "Listen to it alone" }).focus();
  await page.keyboard.press("Escape");
  await until("closed", async () => !(await page.locator(".detail").isVisible()));
  expect((await focused(page)) === "a", `${await focused(page)} has the focus after Escape`);

  // A stream that is ended here leaves its place to the next one.
  await row("b").click();
  const end = page.locator(".end");
  await end.click();
  await end.click();
  await gone("b");
  await until("an end", async () => /b ended: /.test(await events()));
  await until("the next one", async () => (await focused(page)) === "c");
  for (const [id, next] of [["c", "a"], ["a", "filter"]]) {
    await fetch(new URL(`api/v1/streams/${id}`, server.address), { method: "DELETE" });
    await gone(id);
    await until(next, async () => (await focused(page)) === next);
  }
  await check();
  await server.stop();
  return "to the row that follows, and at last to the filter";
};

export const a_solo_out_of_sight_is_seen_and_cleared = async () => {
  const server = await Server.start(["--synthetic", "12", ...ROOM]);
  const { page, check } = await visit(server.address);
  const set = (id, body) => fetch(new URL(`api/v1/streams/${id}`, server.address), {
    method: "PATCH", headers: { "content-type": "application/json" }, body: JSON.stringify(body),
  });
  const bar = page.locator("#switched");
  expect(!(await bar.isVisible()), "nothing is switched at first");
  const chip = (name) => page.locator(`.chip[data-show="${name}"]`).textContent();
  await set("synthetic-0012", { solo: true });
  for (const id of ["synthetic-0003", "synthetic-0004"]) await set(id, { muted: true });
  // The filter hides no count.
  await page.locator("#filter").fill("synthetic-0001");
  await until("the bar", async () => /1 stream is solo: the others are silent\./.test(await bar.innerText()) && /2 streams are muted\./.test(await bar.innerText()));
  expect((await chip("solo")) === "Solo 1" && (await chip("muted")) === "Muted 2", `${await chip("solo")}, ${await chip("muted")}`);
  await page.getByRole("button", { name: "Clear solo" }).click();
  expect((await focused(page)) === "filter", `${await focused(page)} has the focus`);
  await until("no solo", async () => !(await stream(server, "synthetic-0012")).solo);
  await until("mute alone is left", async () => !/solo/.test(await bar.innerText()));
  expect((await stream(server, "synthetic-0003")).muted, "mute stays");
  await page.getByRole("button", { name: "Unmute all" }).click();
  await until("no mute", async () => !(await stream(server, "synthetic-0003")).muted && !(await stream(server, "synthetic-0004")).muted);
  await until("no bar", async () => !(await bar.isVisible()));
  await sleep(2500);
  expect(!(await bar.isVisible()), "the bar does not come back");
  expect((await chip("solo")) === "Solo" && (await chip("muted")) === "Muted", "the chips are as before");
  await check();
  await server.stop();
  return "1 solo and 2 muted are shown beyond the filter; two clicks cleared them";
};

export const the_details_show_each_term_of_the_table = async () => {
  const server = await Server.start(["--tcp", "0", ...ROOM]);
  (await sender(await server.tcp(), "a")).write(tone(440, 60));
  const { page, check } = await visit(server.address);
  await page.locator('.row[data-id="a"] .open-button').click();
  const { ledger, network } = await (await fetch(new URL("api/v1/terms", server.address))).json();
  const shown = () => page.evaluate(() => [
    ...[...document.querySelectorAll(".sum th")].map((cell) => `${cell.textContent.split(" ")[0]}_samples`),
    ...[...document.querySelectorAll(".figures > div")].map((box) => box.title),
  ]);
  // What there is none of, as a far end that reports, is null and has no place.
  const stream = await (await fetch(new URL("api/v1/streams/a", server.address))).json();
  const terms = [...ledger, ...network].filter(({ key }) => (stream[key] ?? stream.network?.[key] ?? null) !== null);
  expect(terms.length > 25, `${terms.length} terms`);
  const absent = async () => {
    const there = await shown();
    return terms.filter(({ key, help }) => !there.includes(key) && !there.includes(help)).map(({ key }) => key);
  };
  let left = [];
  await until("each term", async () => (left = await absent()).length === 0).catch((failure) => {
    throw new Error(`${failure.message}: the details lack ${left.join(", ")}`);
  });
  await check();
  await server.stop();
  return `${terms.length} terms`;
};

export const names_show_both_ends_and_labels_are_shown_as_they_are = async () => {
  const server = await Server.start(["--tcp", "0", ...ROOM]);
  const common = "conference-room-with-a-very-long-name-on-the-second-floor-";
  for (const id of [`${common}north`, `${common}south`]) (await sender(await server.tcp(), id)).write(tone(440, 60));
  const { page, check } = await visit(server.address);
  const row = (id) => page.locator(`.row[data-id="${id}"]`);
  for (const width of [1440, 820, 360]) {
    await page.setViewportSize({ width, height: 900 });
    for (const end of ["north", "south"]) {
      const name = row(`${common}${end}`).locator(".name");
      await name.waitFor();
      const seen = await name.evaluate((element) => {
        const [box, last, first] = [element.closest("td"), element.querySelector(".cut-end"), element.querySelector(".cut-start")]
          .map((part) => part.getBoundingClientRect());
        return { inside: last.right <= box.right + 1 && last.width > 20, first: first.width };
      });
      expect(seen.inside && seen.first > 10, `${end} at ${width} pixels: ${JSON.stringify(seen)}`);
      expect((await name.textContent()) === `${common}${end}`, "the whole name is there");
    }
  }
  await page.setViewportSize({ width: 1440, height: 900 });

  const label = (id, text) => fetch(new URL(`api/v1/streams/${id}`, server.address), {
    method: "PATCH", headers: { "content-type": "application/json" }, body: JSON.stringify({ label: text }),
  });
  const north = row(`${common}north`);
  await north.locator(".open-button").click();
  for (const text of ["Bühne <b onclick=alert(1)>links</b> & \"rechts\"", "מיקרופון ראשי של הבמה הגדולה", "👩\u200d🚒 受付"]) {
    expect((await label(`${common}north`, text)).ok, `${text} is taken`);
    await until(text, async () => (await north.locator(".name").textContent()) === text);
    expect((await north.locator(".name-id").textContent()) === `${common}north`, "the id stands behind it");
    expect((await north.locator("b").count()) === 0, "a label is text");
    await until("the details", async () => (await page.locator(".figures").textContent()).includes(text));
  }
  // It is the same stream: it stays open, and its level moves on.
  expect(await page.locator(".detail").isVisible(), "it stays open");
  await page.locator("#filter").fill("受付");
  await until("found by its label", async () => (await page.locator("#count").textContent()) === "1 of 2");
  await page.locator("#filter").fill("");
  expect((await label(`${common}north`, null)).ok, "a label is taken away");
  await until("the id alone", async () => (await north.locator(".name").textContent()) === `${common}north`);
  await check();
  await server.stop();
  return "both ends of names at 360, 820 and 1440 pixels; labels of three scripts";
};
