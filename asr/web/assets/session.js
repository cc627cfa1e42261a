// A live session at /v1/stream, which goes on over broken connections: sound that is not in final text is kept, and sent
// again from where the server says.
import { SoundBuffer } from './sound.js';
import { KeyNeeded, getJSON, streamURL, url } from './server.js';
import { spaced } from './words.js';

// Seconds of sound that are kept for a broken connection.
const KEPT = 300;

// Sound is sent ahead of real time after a break: at once AHEAD seconds, then PACE seconds a second.
const AHEAD = 15;
const PACE = 4;

// Bytes that may wait in the browser for the network.
const BUFFERED = 1 << 18;

// Milliseconds between attempts to connect again, the last for all that follow, and how long a stopped session tries.
const DELAYS = [250, 500, 1000, 2000, 4000];
const GIVE_UP = 30000;

// KEEPALIVE is how often a silent client says that it is there, in milliseconds.
const KEEPALIVE = 8000;

const CLOSED = {
  1008: 'The server ended the session.',
  1009: 'The server ended the session: a message was too large for it.',
  1013: 'The server is full. Try again in a moment.',
};

export class LiveSession {
  // on has state(name), event(message), lost() where a session could not be resumed and begins anew with the sound that
  // was kept, and problem(text, {needsKey, retry, fatal}). States are connecting, live, reconnecting, finishing, ended.
  constructor(config, on) {
    this.config = { type: 'config', encoding: 'pcm_s16le', ...config };
    this.rate = config.sample_rate;
    this.on = on;
    this.sound = new SoundBuffer(KEPT * this.rate);
    this.origin = 0; // sample at which the server's session began
    this.lastSeq = 0;
    this.attempt = 0;
    this.unsent = {}; // settings that were changed while there was no connection
    this.closing = false; // no more sound comes
    this.ready = null;
    this.state = '';
    this.timer = setInterval(() => this.pump(), 100);
  }

  set(state) {
    if (state === this.state || this.state === 'ended') return;
    this.state = state;
    if (state === 'ended') clearInterval(this.timer);
    this.on.state(state);
  }

  start() {
    this.set('connecting');
    return this.connect();
  }

  push(pcm) {
    this.sound.push(pcm);
    this.pump();
  }

  finalize() {
    this.sendJSON({ type: 'finalize' });
  }

  update(fields) {
    Object.assign(this.config, fields);
    Object.assign(this.unsent, fields);
    this.tellSettings();
  }

  // tellSettings tells the server of a session that goes on what was changed.
  tellSettings() {
    if (!this.open || Object.keys(this.unsent).length === 0) return;
    this.sendJSON({ type: 'update', ...this.unsent });
    this.unsent = {};
  }

  // stop says that no more sound comes: the rest of the text follows, and then the state is ended.
  stop() {
    this.closing = true;
    this.stopped = performance.now();
    if (this.state === 'live') this.set('finishing');
    this.pump();
  }

  // abort ends the session at once.
  abort() {
    this.set('ended');
    this.socket?.close(1000);
  }

  sendJSON(message) {
    if (this.open) this.socket.send(JSON.stringify(message));
  }

  async connect() {
    this.open = false;
    this.error = null;
    let address;
    try {
      address = await streamURL();
    } catch (err) {
      if (err instanceof KeyNeeded) this.fail(err.message, { needsKey: true });
      else this.closed({ code: 1006 });
      return;
    }
    if (this.state === 'ended') return;
    const socket = new WebSocket(address);
    socket.binaryType = 'arraybuffer';
    this.socket = socket;
    socket.onopen = () => {
      const config = { ...this.config };
      if (this.ready) config.resume = { session_id: this.ready.session_id, last_seq: this.lastSeq };
      socket.send(JSON.stringify(config));
    };
    socket.onmessage = ({ data }) => this.received(JSON.parse(data));
    socket.onclose = (event) => {
      this.open = false;
      if (socket === this.socket) this.closed(event);
    };
  }

  received(message) {
    switch (message.type) {
      case 'ready':
        this.begin(message);
        return;
      case 'ack':
        this.sound.drop(this.position(message.final_ms ?? 0)); // what is not final is kept for the case that the session is lost
        return;
      case 'error':
        if (message.code === 'undecoded') {
          this.on.event(this.shifted(message));
          return;
        }
        this.error = message;
        if (!message.fatal) this.on.problem(message.message, {});
        return;
      case 'done':
        this.set('ended');
        return;
      default:
        if (message.seq) {
          if (message.seq <= this.lastSeq) return; // seen before the connection broke
          this.lastSeq = message.seq;
        }
        this.on.event(this.shifted(message));
    }
  }

  // begin starts, or goes on, where the server wants sound from.
  begin(ready) {
    const resumed = this.ready !== null;
    this.ready = ready;
    if (!resumed) {
      this.origin = this.sound.begin;
      this.unsent = {}; // they were in the config
    }
    this.sound.seek(this.position(ready.audio_offset_ms));
    this.from = this.sound.next;
    this.since = performance.now();
    this.attempt = 0;
    this.open = true;
    this.tellSettings();
    this.ended = false;
    this.sent = performance.now();
    this.set(this.closing ? 'finishing' : 'live');
    this.pump();
  }

  // position is that of a time of the server's session.
  position(ms) {
    return this.origin + Math.round((ms ?? 0) * this.rate / 1000);
  }

  // shifted returns a message whose times are those of the recording, and whose words make its text.
  shifted(message) {
    const by = Math.round(this.origin * 1000 / this.rate);
    const words = spaced(message.words ?? [], message.text ?? '').map((w) => ({ ...w, start: w.start + by, end: w.end + by }));
    return { ...message, start: message.start + by, end: message.end + by, words };
  }

  // pump sends what there is to send, as fast as the network and the pace allow.
  pump() {
    if (!this.open) return;
    const now = performance.now();
    const until = this.from + this.rate * (AHEAD + PACE * (now - this.since) / 1000);
    const max = Math.min(this.rate, (this.ready.limits?.frame_bytes || 1 << 20) >> 1);
    while (this.socket.bufferedAmount < BUFFERED && this.sound.next < until) {
      const pcm = this.sound.take(max);
      if (!pcm) break;
      this.socket.send(pcm);
      this.sent = now;
    }
    if (this.closing && !this.ended && this.sound.next >= this.sound.end) {
      this.ended = true;
      this.sendJSON({ type: 'close' });
    } else if (now - this.sent > KEEPALIVE) {
      this.sent = now;
      this.sendJSON({ type: 'keepalive' });
    }
  }

  // closed decides what follows when the connection ends: nothing after done, another attempt, or the end.
  async closed({ code }) {
    if (this.state === 'ended') return;
    const resuming = this.ready !== null;
    if (resuming && this.error?.fatal && this.error.code === 'not_found') {
      this.ready = null; // the server's session is gone: another begins with the sound that is kept
      this.lastSeq = 0;
      this.on.lost();
      this.connect();
      return;
    }
    if (code === 1013 && !resuming) {
      this.fail(CLOSED[1013], { retry: true });
    } else if (code === 1001 && !resuming) {
      this.fail('The server is about to stop and takes no new sessions. Try again in a moment.', { retry: true });
    } else if (code === 1008 || code === 1009 || (this.error?.fatal && !resuming)) {
      this.fail(this.error?.message ?? CLOSED[code] ?? CLOSED[1008], {});
    } else if (!resuming) {
      await this.diagnose();
    } else if (this.closing && performance.now() - this.stopped > GIVE_UP) {
      this.fail('The connection broke, and the end of the text did not come.', {});
    } else {
      this.set('reconnecting');
      const delay = DELAYS[Math.min(this.attempt++, DELAYS.length - 1)];
      setTimeout(() => this.state !== 'ended' && this.connect(), delay);
    }
  }

  // diagnose finds out why there was no connection: a browser does not say what a server answered to a websocket.
  async diagnose() {
    try {
      await getJSON('v1/models');
    } catch (err) {
      if (err instanceof KeyNeeded) this.fail(err.message, { needsKey: true });
      else if (err instanceof TypeError) this.fail('The server cannot be reached.', { retry: true });
      else this.fail(err.message, { retry: true });
      return;
    }
    const ready = await fetch(url('readyz')).catch(() => null);
    if (ready?.status === 503) {
      this.fail('The server takes no sessions now: it starts, or is about to stop. Try again in a moment.', { retry: true });
      return;
    }
    this.fail('The server did not open a live session. A proxy between here and there may not let websockets through.', { retry: true });
  }

  fail(text, how) {
    this.set('ended');
    this.on.problem(text, { ...how, fatal: true });
  }
}
