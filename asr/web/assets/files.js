// Sound files: sent whole to /v1/audio/transcriptions, whose text comes while it is made.
import { KeyNeeded, headers, messageOf, url } from './server.js';
import { spaced } from './words.js';

// transcribeFile sends a file with fields of the form. on has sent(share), delta(text), segment(s) and the promise is of
// the whole answer: {text, language, duration, segments, words}.
export function transcribeFile(file, fields, on) {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) {
    for (const v of [value].flat()) form.append(name, v);
  }
  form.append('response_format', 'verbose_json');
  form.append('timestamp_granularities[]', 'segment');
  form.append('timestamp_granularities[]', 'word');
  form.append('stream', 'true');
  form.append('file', file, file.name); // last: fields are known when it comes
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest(); // fetch does not tell how much was sent
    request.open('POST', url('v1/audio/transcriptions'));
    for (const [name, value] of Object.entries(headers())) request.setRequestHeader(name, value);
    const events = new Events(on);
    request.upload.onprogress = (e) => e.lengthComputable && on.sent(e.loaded / e.total);
    request.upload.onload = () => on.sent(1);
    const streams = () => request.status === 200 && /^text\/event-stream/.test(request.getResponseHeader('Content-Type') ?? '');
    request.onprogress = () => streams() && events.read(request.responseText);
    request.onerror = () => reject(new Error('The connection broke before the text came.'));
    request.onload = () => {
      if (request.status === 401 || request.status === 403) {
        reject(new KeyNeeded());
      } else if (request.status !== 200) {
        reject(new Error(messageOf(request.responseText, request.status)));
      } else if (streams()) {
        events.read(request.responseText);
        if (events.error) reject(new Error(events.error));
        else resolve(events.answer());
      } else {
        resolve(JSON.parse(request.responseText));
      }
    };
    request.send(form);
  });
}

// Events reads server-sent events of a text that grows.
class Events {
  constructor(on) {
    this.on = on;
    this.position = 0;
    this.text = '';
    this.segments = [];
    this.done = null;
    this.error = '';
  }

  read(text) {
    for (;;) {
      const rest = text.slice(this.position);
      const end = /\r?\n\r?\n/.exec(rest);
      if (!end) return;
      this.position += end.index + end[0].length;
      const data = rest.slice(0, end.index).split(/\r?\n/).filter((l) => l.startsWith('data:')).map((l) => l.slice(5).trimStart()).join('\n');
      if (data && data !== '[DONE]') this.event(JSON.parse(data));
    }
  }

  event(e) {
    if (e.type === 'transcript.text.delta') {
      this.text += e.delta;
      this.on.delta(this.text);
    } else if (e.type === 'transcript.text.segment') {
      this.segments.push(e);
      this.on.segment(e);
    } else if (e.type === 'transcript.text.done') {
      this.done = e;
    } else if (e.error || e.type === 'error') {
      this.error = e.error?.message ?? e.message ?? 'The file could not be transcribed.';
    }
  }

  // answer is what a request without events would have been answered.
  answer() {
    if (!this.done) throw new Error('The connection broke before all of the text came.');
    return { segments: this.segments, ...this.done, text: this.done.text ?? this.text };
  }
}

// finalsOf makes final events, as a live session has them, of an answer.
export function finalsOf(answer) {
  const words = (answer.words ?? []).map((w) => ({
    word: w.word,
    start: Math.round(w.start * 1000),
    end: Math.round(w.end * 1000),
    probability: w.probability,
  }));
  const list = answer.segments ?? [];
  if (list.length === 0) {
    const text = answer.text?.trim();
    const end = words.at(-1)?.end ?? Math.round((answer.duration ?? 0) * 1000);
    return text ? [final(0, text, words, 0, end, answer, {})] : [];
  }
  let next = 0;
  return list.map((s, i) => {
    const end = Math.round(s.end * 1000);
    let own = s.words?.map((w) => ({ ...w, start: Math.round(w.start * 1000), end: Math.round(w.end * 1000) }));
    if (!own) { // words stand apart, in their order: those that begin in the segment are its own
      const from = next;
      while (next < words.length && (i === list.length - 1 || words[next].start < end)) next++;
      own = words.slice(from, next);
    }
    return final(i, s.text, spaced(own, s.text), Math.round(s.start * 1000), end, answer, s);
  });
}

function final(id, text, words, start, end, answer, s) {
  const adapter = 'adapter' in s ? s.adapter : answer.adapter; // null for the base model
  return { segment_id: id, text, words, start, end, speech_final: true, language: s.language ?? answer.language_code ?? '', adapter: adapter ?? '' };
}
