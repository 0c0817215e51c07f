// Hands on the microphone as 16-bit samples, 20 ms at a time, with the loudest of them.

class Talker extends AudioWorkletProcessor {
  constructor() {
    super();
    this.size = Math.round(sampleRate / 50);
    this.samples = new Int16Array(this.size);
    this.filled = 0;
  }

  process([input]) {
    const [first] = input;
    for (const value of first ?? []) {
      this.samples[this.filled] = Math.max(-32768, Math.min(32767, Math.round(value * 32768)));
      this.filled += 1;
      if (this.filled === this.size) {
        const peak = this.samples.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
        this.port.postMessage({ samples: this.samples.buffer, peak }, [this.samples.buffer]);
        this.samples = new Int16Array(this.size);
        this.filled = 0;
      }
    }
    return true;
  }
}

registerProcessor("talker", Talker);
