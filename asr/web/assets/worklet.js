// The sound of the microphone, mixed to one channel, in pieces of 40 ms of signed 16 bit samples.

// Pieces a second.
const PIECES = 25;

class Capture extends AudioWorkletProcessor {
  constructor() {
    super();
    this.piece = new Int16Array(Math.round(sampleRate / PIECES));
    this.filled = 0;
    this.peak = 0;
    this.squares = 0;
    this.stopped = false;
    this.port.onmessage = () => {
      this.flush();
      this.stopped = true;
      this.port.postMessage({ flushed: true });
    };
  }

  // process takes a render quantum (128 samples) of each channel.
  process([channels]) {
    if (this.stopped) return false;
    if (channels.length === 0) return true; // the source is not there yet
    for (let i = 0; i < channels[0].length; i++) {
      let x = 0;
      for (const channel of channels) x += channel[i];
      x = Math.max(-1, Math.min(1, x / channels.length));
      this.peak = Math.max(this.peak, Math.abs(x));
      this.squares += x * x;
      this.piece[this.filled++] = Math.round(x < 0 ? x * 32768 : x * 32767);
      if (this.filled === this.piece.length) this.flush();
    }
    return true;
  }

  // flush posts what there is of the present piece.
  flush() {
    if (this.filled === 0) return;
    const pcm = this.piece.slice(0, this.filled);
    const message = { pcm, peak: this.peak, rms: Math.sqrt(this.squares / this.filled) };
    this.port.postMessage(message, [pcm.buffer]);
    this.filled = 0;
    this.peak = 0;
    this.squares = 0;
  }
}

registerProcessor('capture', Capture);
