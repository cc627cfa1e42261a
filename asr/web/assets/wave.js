// The waveform: what was heard last, the newest at the right, with speech marked by height, colour and a line below.

// Pieces a second, and pixels from one to the next.
const PIECES = 25;
const STEP = 3;

// Pieces of sound that are kept.
const KEPT = 2000;

export class Wave {
  constructor(canvas) {
    this.canvas = canvas;
    this.peaks = [];
    this.first = 0; // index of peaks[0] since the recording's beginning
    this.speech = []; // [from, to] in milliseconds, to is Infinity while it goes on
    this.calm = matchMedia('(prefers-reduced-motion: reduce)');
    new ResizeObserver(() => this.draw()).observe(canvas);
    addEventListener('themechange', () => this.draw());
  }

  clear() {
    this.peaks = [];
    this.first = 0;
    this.speech = [];
    this.draw();
  }

  // push adds the peak of a piece of sound, 0 to 1.
  push(peak) {
    this.peaks.push(peak);
    if (this.peaks.length > KEPT) {
      this.peaks.shift();
      this.first++;
    }
    const n = this.first + this.peaks.length;
    if (!this.calm.matches || n % PIECES === 0) this.schedule();
  }

  // begin says that speech goes on from a time, in milliseconds.
  begin(from) {
    if (this.speech.at(-1)?.[1] !== Infinity) this.speech.push([from, Infinity]);
    this.schedule();
  }

  // end says that speech went from one time to another, in milliseconds.
  end(from, to) {
    const last = this.speech.at(-1);
    if (last?.[1] === Infinity) last[1] = Math.max(last[0], to);
    else if (!last || to > last[1]) this.speech.push([Math.max(from, last?.[1] ?? 0), to]);
    const oldest = this.first / PIECES * 1000;
    this.speech = this.speech.filter((s) => s[1] >= oldest);
    this.schedule();
  }

  schedule() {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.draw();
    });
  }

  draw() {
    const { width, height } = this.canvas.getBoundingClientRect();
    const scale = devicePixelRatio || 1;
    if (this.canvas.width !== Math.round(width * scale)) this.canvas.width = Math.round(width * scale);
    if (this.canvas.height !== Math.round(height * scale)) this.canvas.height = Math.round(height * scale);
    const g = this.canvas.getContext('2d');
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    g.setTransform(scale, 0, 0, scale, 0, 0);
    g.clearRect(0, 0, width, height);
    const foot = height - 12;
    const middle = foot / 2 + 2;
    g.fillStyle = colour('--line');
    g.fillRect(0, middle - 0.5, width, 1);
    const n = Math.min(this.peaks.length, Math.ceil(width / STEP));
    for (let k = 1; k <= n; k++) {
      const i = this.peaks.length - k;
      const x = width - k * STEP;
      const at = (this.first + i) / PIECES * 1000;
      const spoken = this.speech.some(([from, to]) => at >= from && at < to);
      const h = Math.max(1, Math.sqrt(this.peaks[i]) * (foot - 8));
      g.fillStyle = colour(spoken ? '--accent' : '--wave');
      g.fillRect(x, middle - h / 2, 2, h);
      if (spoken) g.fillRect(x, foot, STEP, 2);
      this.tick(g, x, height, at, colour('--muted'), style);
    }
  }

  // tick writes a time every five seconds.
  tick(g, x, height, at, colour, style) {
    if (Math.round(at * PIECES / 1000) % (5 * PIECES) !== 0) return;
    g.fillStyle = colour;
    g.font = `10px ${style.getPropertyValue('--sans')}`;
    const s = Math.round(at / 1000);
    g.fillText(`${Math.floor(s / 60)}:${String(s % 60).padStart(2, '0')}`, x, height - 1);
  }
}
