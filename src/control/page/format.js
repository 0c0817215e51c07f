// Figures as people read them. A minus is a real minus, and digits are grouped by thin spaces.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const GROUP = "\u202f";

export const count = (value) => whole.format(value).replaceAll(",", GROUP);

/** `1 tick`, `2 ticks`. */
export const counted = (value, one) => `${count(value)} ${value === 1 ? one : `${one}s`}`;

export const signed = (value, decimals) => value.toFixed(decimals).replace("-", "−");

/** A share of 1 in per cent; a share above nothing never reads as 0. */
export const percent = (share) => {
  if (!(share > 0)) return "0 %";
  if (share < 0.0001) return "<0.01 %";
  return `${(share * 100).toFixed(share < 0.1 ? 2 : 1)} %`;
};

export const seconds = (samples, rate) => {
  const value = samples / rate;
  if (value === 0) return "0 s";
  if (value < 1) return `${Math.max(1, Math.round(value * 1000))} ms`;
  return value < 100 ? `${value.toFixed(1)} s` : `${count(value)} s`;
};

export const nanoseconds = (value) => {
  if (value < 1e3) return `${Math.round(value)} ns`;
  if (value < 1e6) return `${Math.round(value / 1e3)} µs`;
  if (value < 1e9) return `${(value / 1e6).toFixed(value < 1e7 ? 1 : 0)} ms`;
  return `${(value / 1e9).toFixed(1)} s`;
};

export const bytes = (value) => {
  for (const [step, unit] of [[2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"]]) {
    if (value >= step) return `${(value / step).toFixed(value / step < 100 ? 1 : 0)} ${unit}`;
  }
  return `${value} B`;
};

/** `0:07`, `12:30`, `3:07:09`, `2 d 3 h`. */
export const age = (milliseconds) => {
  const all = Math.max(0, Math.floor(milliseconds / 1000));
  const [hours, minutes, left] = [Math.floor(all / 3600), Math.floor(all / 60) % 60, all % 60];
  const two = (value) => String(value).padStart(2, "0");
  if (hours >= 48) return `${Math.floor(hours / 24)} d ${hours % 24} h`;
  return hours > 0 ? `${hours}:${two(minutes)}:${two(left)}` : `${minutes}:${two(left)}`;
};

export const decibels = (value) => (Number.isFinite(value) ? signed(value, 1) : "−∞");

/** `Ring high water` for `ring_high_water_bytes`: a unit that the value carries is left out. */
export const term = (key) => {
  const words = key.replace(/_(bytes|ms|ppm)$/, "").replaceAll("_", " ");
  return words[0].toUpperCase() + words.slice(1);
};

const UNITS = {
  bytes,
  ratio: percent,
  milliseconds: (value) => nanoseconds(value * 1e6),
  parts_per_million: (value) => `${signed(value, 1)} ppm`,
};

/** A figure by its unit in the server's table. */
export const figure = (value, unit) => (UNITS[unit] ?? count)(value);
