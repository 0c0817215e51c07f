// Plays samples as they come, a little behind: enough not to run dry, and no more.

/** Waits for so much before it plays, and after it ran dry for more and more, up to the most. */
const WAIT_S = 0.05;
const WAIT_MAX_S = 0.14;
/** Looks so often at the least that waited meanwhile: more of it than needed is skipped. */
const LOOK_S = 0.5;
const SPARE_S = 0.03;
/** Held at all. A page that slept goes on with what is new. */
const HELD_S = 1;
const FADE = 64;
const TAPS = 16;
const PHASES = 128;

/** A windowed sinc for each of so many places between two samples. */
const kernels = (cutoff) => Array.from({ length: PHASES + 1 }, (_, phase) => {
  const kernel = new Float32Array(TAPS);
  let sum = 0;
  for (let tap = 0; tap < TAPS; tap += 1) {
    const t = tap - TAPS / 2 + 1 - phase / PHASES;
    const sinc = t === 0 ? cutoff : Math.sin(Math.PI * cutoff * t) / (Math.PI * t);
    const window = 0.5 + 0.5 * Math.cos((2 * Math.PI * t) / (TAPS + 1));
    kernel[tap] = sinc * window;
    sum += kernel[tap];
  }
  return kernel.map((value) => value / sum);
});

class Listener extends AudioWorkletProcessor {
  constructor({ processorOptions: { rate, channels } }) {
    super();
    this.rate = rate;
    this.size = Math.ceil(HELD_S * rate);
    this.held = Array.from({ length: channels }, () => new Float32Array(this.size));
    // In samples per channel since the start: received, and played, which may lie between two.
    this.end = 0;
    this.at = 0;
    this.step = rate / sampleRate;
    this.kernels = this.step === 1 ? null : kernels(Math.min(1, 1 / this.step));
    this.playing = false;
    this.wait = WAIT_S * rate;
    this.least = Infinity;
    this.looked = 0;
    this.skipped = 0;
    this.dry = 0;
    this.fade = 0;
    this.last = new Float32Array(channels);
    this.reported = 0;
    this.port.onmessage = ({ data }) => this.take(new Int16Array(data));
  }

  take(samples) {
    const channels = this.held.length;
    const frames = Math.floor(samples.length / channels);
    for (let frame = 0; frame < frames; frame += 1) {
      for (let channel = 0; channel < channels; channel += 1) {
        this.held[channel][this.end % this.size] = samples[frame * channels + channel] / 32768;
      }
      this.end += 1;
    }
    if (this.end - this.at > this.size - TAPS) this.skip(this.end - this.at - this.wait);
  }

  /** Leaves samples out; the join is faded. */
  skip(frames) {
    this.at += Math.floor(frames);
    this.skipped += Math.floor(frames);
    this.fade = FADE;
  }

  sample(channel, at) {
    const held = this.held[channel];
    if (!this.kernels) return held[at % this.size];
    const whole = Math.floor(at);
    const kernel = this.kernels[Math.round((at - whole) * PHASES)];
    let sum = 0;
    for (let tap = 0; tap < TAPS; tap += 1) {
      const place = whole + tap - TAPS / 2 + 1;
      if (place >= 0) sum += kernel[tap] * held[place % this.size];
    }
    return sum;
  }

  process(_, [output]) {
    const frames = output[0].length;
    const reach = this.kernels ? TAPS / 2 : 0;
    for (let frame = 0; frame < frames; frame += 1) {
      const waiting = this.end - this.at - reach;
      if (!this.playing && waiting >= this.wait) {
        this.playing = true;
        this.fade = FADE;
      }
      if (this.playing && waiting < 1) {
        this.playing = false;
        this.dry += 1;
        this.wait = Math.min(WAIT_MAX_S * this.rate, this.wait + 0.02 * this.rate);
      }
      for (let channel = 0; channel < output.length; channel += 1) {
        let value = 0;
        if (this.playing) value = this.sample(Math.min(channel, this.held.length - 1), this.at);
        // From where it was left: neither a stop nor a join clicks.
        if (this.playing && this.fade > 0) value += (this.last[channel] - value) * (this.fade / FADE);
        else if (this.playing) this.last[channel] = value;
        else value = this.last[channel] *= 0.97;
        output[channel][frame] = value;
      }
      if (this.playing) {
        this.at += this.step;
        if (this.fade > 0) this.fade -= 1;
      }
    }
    this.least = Math.min(this.least, this.end - this.at - reach);
    this.looked += frames;
    if (this.looked >= LOOK_S * sampleRate) {
      const spare = this.least - SPARE_S * this.rate;
      // Audio that waits longer and longer is needless delay. A few milliseconds are not worth a join.
      if (this.playing && spare > 0.02 * this.rate) this.skip(spare);
      this.looked = 0;
      this.least = Infinity;
    }
    this.reported += frames;
    if (this.reported >= sampleRate / 10) {
      this.reported = 0;
      this.port.postMessage({ received: this.end, played: this.at, skipped: this.skipped, dry: this.dry, playing: this.playing });
    }
    return true;
  }
}

registerProcessor("listener", Listener);
