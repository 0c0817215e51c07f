// The sound: in the recording, and in the page.

import path from "node:path";

import { expect, heard, knows, until, visit } from "./browser.mjs";
import { ROOT, Server, recorded, sender, sleep, tone } from "./server.mjs";

const file = (name) => path.join(ROOT, "target/page", name);

const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

export const a_mute_is_heard_in_the_mix = async () => {
  const mix = file("mute.wav");
  const server = await Server.start(["--synthetic", "1000", "--waveform", "silence", "--streams-max", "1001", "--tcp", "0", "--overwrite", "--record", mix]);
  const line = await sender(await server.tcp(), "desk-1");
  line.write(tone(440, 60));
  const { page, check } = await visit(server.address);
  await page.locator("#filter").fill("desk-1");
  const mute = page.getByRole("button", { name: "Mute desk-1" });
  await until("the stream", () => mute.isVisible());
  await sleep(2000);
  await mute.click();
  await until("muted", () => knows(page, '({ model }) => (model.flags[model.find("desk-1").slot] & 1) === 1'));
  await sleep(2000);
  await mute.click();
  await until("heard again", () => knows(page, '({ model }) => (model.flags[model.find("desk-1").slot] & 1) === 0'));
  await sleep(1000);
  await check();
  await server.stop();

  const samples = recorded(mix);
  const sounds = samples.findIndex((sample) => Math.abs(sample) > 6000);
  expect(sounds >= 0, "nothing was heard before");
  let [silence, longest, end] = [0, 0, 0];
  for (let at = sounds; at < samples.length; at += 1) {
    silence = samples[at] === 0 ? silence + 1 : 0;
    if (silence > longest) [longest, end] = [silence, at];
  }
  const after = samples.subarray(end + 400, end + 6400).reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
  expect(longest > 1.8 * 8000, `silent for ${longest} samples`);
  expect(after > 7000, `${after} at most after it`);
  // No step is larger than the tone's own: 440 Hz at 8000 moves by 2760 a sample.
  let step = 0;
  for (let at = sounds + 1; at < end + 6400; at += 1) step = Math.max(step, Math.abs(samples[at] - samples[at - 1]));
  expect(step < 2900, `a click of ${step}`);
  return `exact silence for ${(longest / 8000).toFixed(2)} s between tones, no step above ${step}`;
};

export const listening_yields_sound_close_behind_the_mix = async () => {
  const server = await Server.start(["--synthetic", "1000", "--waveform", "silence", "--streams-max", "1002", "--tcp", "0"]);
  const [low, high] = [await sender(await server.tcp(), "low"), await sender(await server.tcp(), "high")];
  low.write(tone(500, 60, 8000));
  high.write(tone(1500, 60, 4000));
  const { page, check } = await visit(server.address, { forgive: [] });
  await page.getByRole("button", { name: "Listen", exact: true }).click();
  await until("sound", async () => (await knows(page, "({ player }) => player.state")) === "playing" && (await heard(page)).rms > 0.05, 15);
  await sleep(2500);
  const mix = await heard(page);
  expect(Math.abs(mix.hertz - 500) < 10, `${mix.hertz} Hz is the loudest of the mix`);
  const delays = [];
  for (let look = 0; look < 20; look += 1) {
    delays.push((await heard(page)).behind);
    await sleep(100);
  }
  const middle = median(delays.filter((delay) => delay !== null));
  expect(middle > 0 && middle < 200, `${delays.map((delay) => delay?.toFixed(0)).join()} ms behind`);
  await page.locator("#filter").fill("high");
  await page.getByRole("button", { name: "high", exact: true }).click();
  await page.getByRole("button", { name: "Listen to it alone" }).click();
  await until("the stream alone", async () => Math.abs((await heard(page)).hertz - 1500) < 10);
  const says = (words) => until(words, async () => (await page.locator("#listen-state").textContent()).startsWith(words));
  await says("Hearing high alone");
  await page.getByRole("button", { name: "Listen to the mix without it" }).click();
  await until("the mix without it", async () => {
    const { hertz, rms } = await heard(page);
    return Math.abs(hertz - 500) < 10 && rms > 0.1;
  });
  await says("Hearing the mix without high");
  await page.getByRole("button", { name: "Stop", exact: true }).click();
  await until("silence", async () => (await knows(page, "({ player }) => player.state")) === "idle");
  await check();
  await server.stop();
  return `${mix.hertz.toFixed(0)} Hz at ${(20 * Math.log10(mix.rms)).toFixed(1)} dB, ${middle.toFixed(0)} ms behind the mix in the median, ran dry ${mix.dry} times`;
};

export const a_click_is_heard_soon_after_it_was_mixed = async () => {
  const PLAYOUT_MS = 200;
  const server = await Server.start(["--streams-max", "16", "--playout-delay", `${PLAYOUT_MS}ms`]);
  const { page, check } = await visit(server.address);
  await page.getByRole("button", { name: "Listen", exact: true }).click();
  await until("it plays", async () => (await knows(page, "({ player }) => player.state")) === "playing", 15);
  // By the clock of the page alone: from when a click is due, sent at its time and played so much later, to
  // when the page's own analyser has it. What the page says of its delay is not asked.
  const delays = await knows(page, `async ({ player }) => {
    const [rate, frame] = [8000, 160];
    const address = new URL("ws/ingest?id=clicks&rate=8000&channels=1", location.href.replace("http", "ws"));
    const web = new WebSocket(address);
    await new Promise((resolve, reject) => { web.onopen = resolve; web.onerror = reject; });
    const begun = performance.now();
    const due = (at) => begun + (at * 1000) / rate;
    const clicks = Array.from({ length: 9 }, (_, at) => 16_000 + at * 4800);
    const last = clicks.at(-1) + 8000;
    let sent = 0;
    const heard = [];
    const samples = new Float32Array(player.analyser.fftSize);
    await new Promise((resolve) => {
      const step = setInterval(() => {
        for (; due(sent) <= performance.now(); sent += frame) {
          const block = new Int16Array(frame);
          if (clicks.includes(sent)) block.fill(20_000, 0, 80);
          web.send(block);
        }
        player.analyser.getFloatTimeDomainData(samples);
        const now = performance.now();
        const first = samples.findIndex((value) => value > 0.3);
        const at = now - ((samples.length - first) * 1000) / player.context.sampleRate;
        // The analyser keeps a click for a quarter of a second: it is counted once.
        if (first >= 0 && !(at - heard.at(-1) < 400)) heard.push(at);
        if (sent > last) resolve(clearInterval(step));
      }, 4);
    });
    web.close();
    return clicks.map((at) => Math.min(...heard.map((time) => time - due(at) - ${PLAYOUT_MS}).filter((delay) => delay > -100 && delay < 500)));
  }`);
  const known = delays.filter(Number.isFinite);
  expect(known.length >= 6, `${known.length} of ${delays.length} clicks were heard`);
  expect(median(known) > 0 && median(known) < 200, `${known.map((delay) => delay.toFixed(0)).join()} ms behind`);
  await check();
  await server.stop();
  return `${median(known).toFixed(0)} ms behind the mix in the median of ${known.length} clicks, ${Math.min(...known).toFixed(0)} to ${Math.max(...known).toFixed(0)}`;
};

export const a_rate_that_the_browser_refuses_is_converted = async () => {
  const server = await Server.start(["--tcp", "0"]);
  const line = await sender(await server.tcp(), "tone");
  line.write(tone(1000, 60));
  const { page, check } = await visit(server.address);
  await page.evaluate(() => {
    const Real = AudioContext;
    globalThis.AudioContext = class extends Real {
      constructor(options) {
        if (options.sampleRate !== undefined) throw new DOMException("no such rate", "NotSupportedError");
        super(options);
      }
    };
  });
  await page.getByRole("button", { name: "Listen", exact: true }).click();
  await until("sound", async () => (await knows(page, "({ player }) => player.state")) === "playing" && (await heard(page)).rms > 0.05, 15);
  await sleep(1000);
  const { hertz, rms } = await heard(page);
  const rate = await knows(page, "({ player }) => player.context.sampleRate");
  expect(rate > 8000, `the context has ${rate} Hz`);
  expect(Math.abs(hertz - 1000) < 30, `${hertz} Hz`);
  expect(Math.abs(rms - 8000 / 32768 / Math.SQRT2) < 0.02, `as loud as it is: ${rms}`);
  await check();
  await server.stop();
  return `1000 Hz of 8 kHz is ${hertz.toFixed(0)} Hz at ${rate} Hz`;
};

export const a_microphone_is_heard_in_the_mix = async () => {
  const mix = file("talk.wav");
  const server = await Server.start(["--overwrite", "--record", mix, "--streams-max", "16"]);
  const { page, check } = await visit(server.address);
  await page.getByRole("button", { name: /^Talk(?!ing)/ }).click();
  await page.locator("#talk-id").fill("my voice");
  await page.getByRole("button", { name: "Start talking" }).click();
  expect(await page.locator("#talk-id:invalid").isVisible(), "names have no spaces");
  await page.locator("#talk-id").fill("my-voice");
  await page.getByRole("button", { name: "Start talking" }).click();
  await until("on air", async () => /On air/.test(await page.locator("#talk-state").textContent()));
  await until("a row", () => page.getByRole("button", { name: "my-voice", exact: true }).isVisible());
  // The browser's false microphone beeps once a second.
  await until("a level", () => knows(page, '({ model }) => model.find("my-voice") && model.peakLevel[model.find("my-voice").slot] > 200'), 15);
  await until("the mix without me", async () => (await knows(page, "({ player }) => player.target?.mix")) === "minus");
  await sleep(3000);
  await page.getByRole("button", { name: "Stop talking" }).click();
  await until("gone", async () => (await knows(page, '({ model }) => model.find("my-voice")')) === null, 15);
  await check();
  await server.stop();
  const loudest = recorded(mix).reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
  expect(loudest > 1000, `${loudest} at most in the recording`);
  return `beeps of ${loudest} in the recording`;
};
