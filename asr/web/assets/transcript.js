// The text on the page: takes (a recording or a file each) of segments. Committed text is only ever added to.

// How long new text is gathered before a screen reader is told, in milliseconds, and how many pieces of it stay.
const TOLD_EVERY = 1500;
const TOLD = 20;

const languageNames = new Intl.DisplayNames(['en'], { type: 'language' });

// languageName is the English name of a language.
export function languageName(code) {
  if (!code) return '';
  try {
    return languageNames.of(code) ?? code;
  } catch {
    return code;
  }
}

// time is a time as [h:]mm:ss.
export function time(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  const two = (x) => String(x).padStart(2, '0');
  return s >= 3600 ? `${Math.floor(s / 3600)}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}` : `${Math.floor(s / 60)}:${two(s % 60)}`;
}

function element(name, className, text) {
  const e = document.createElement(name);
  if (className) e.className = className;
  if (text !== undefined) e.textContent = text;
  return e;
}

export class Transcript {
  // list is the <ol> of segments, log a live region. changed is called when there is more or less text.
  constructor(list, log, changed) {
    this.list = list;
    this.log = log;
    this.changed = changed;
    this.takes = [];
    this.told = [];
    this.toldLanguage = '';
  }

  get empty() {
    return this.takes.length === 0;
  }

  // begin starts a take. It has a heading where there is a title, or another take before it.
  begin(title) {
    const take = new Take(this, this.takes.length > 0 && !title ? 'Microphone' : title);
    this.takes.push(take);
    this.changed();
    return take;
  }

  // drop takes a take away that turned out to be nothing.
  drop(take) {
    take.heading?.remove();
    this.takes = this.takes.filter((t) => t !== take);
    this.changed();
  }

  // finals returns all final text: takes one behind the other, each from where the one before ended.
  finals() {
    const all = [];
    let origin = 0;
    for (const [i, take] of this.takes.entries()) {
      let end = origin;
      for (const f of take.finals) {
        const words = f.words.map((w) => ({ ...w, start: w.start + origin, end: w.end + origin }));
        all.push({ ...f, words, start: f.start + origin, end: f.end + origin, segment: `${i}.${f.segment}` });
        end = Math.max(end, f.end + origin);
      }
      origin = Math.max(end, origin + take.length);
    }
    return all;
  }

  // text is all committed text, a line for each segment.
  text() {
    return this.takes.flatMap((t) => [...t.segments.values()]).map((s) => s.shown.trim()).filter((s) => s).join('\n');
  }

  // clear takes all away, and returns a function that brings it back.
  clear() {
    const { takes } = this;
    const nodes = [...this.list.childNodes];
    this.takes = [];
    this.list.replaceChildren();
    this.log.replaceChildren();
    this.changed();
    return () => {
      this.takes = [...takes, ...this.takes];
      this.list.prepend(...nodes);
      this.changed();
    };
  }

  // tell gathers committed text for the live region.
  tell(text, language) {
    this.told.push(text);
    this.toldLanguage = language || this.toldLanguage;
    this.timer ??= setTimeout(() => {
      this.timer = null;
      const p = element('p', '', this.told.join('').trim());
      if (this.toldLanguage) p.lang = this.toldLanguage;
      this.told = [];
      if (p.textContent === '') return;
      this.log.append(p);
      while (this.log.childElementCount > TOLD) this.log.firstElementChild.remove();
    }, TOLD_EVERY);
  }
}

// Take is what is heard of one recording, or one file.
class Take {
  constructor(transcript, title) {
    this.transcript = transcript;
    this.segments = new Map();
    this.finals = [];
    this.length = 0; // milliseconds of sound
    this.generation = 0; // of sessions at the server, whose segments count from 0
    if (title) this.head(title);
  }

  head(title) {
    this.heading = element('li', 'take');
    this.heading.append(element('strong', '', title));
    this.note = element('span', 'take-note');
    this.heading.append(this.note);
    this.transcript.list.append(this.heading);
  }

  // place puts a segment behind the others of the take, before the next take's heading.
  place(item) {
    const { takes, list } = this.transcript;
    const i = takes.indexOf(this);
    if (i >= 0) list.insertBefore(item, takes[i + 1]?.heading ?? null);
  }

  segment(id) {
    const name = `${this.generation}.${id}`;
    let s = this.segments.get(name);
    if (!s) {
      s = new Segment(name, this.transcript);
      this.place(s.item);
      this.segments.set(name, s);
    }
    return s;
  }

  partial(event) {
    if (!event.committed && !event.tentative && !this.segments.has(`${this.generation}.${event.segment_id}`)) return;
    this.segment(event.segment_id).partial(event);
    this.transcript.changed();
  }

  final(event) {
    const s = this.segment(event.segment_id);
    if (event.text) {
      this.finals.push({
        segment: s.name,
        text: event.text,
        words: event.words ?? [],
        start: event.start,
        end: event.end,
        language: event.language ?? '',
        adapter: event.adapter ?? '', // left out for the base model
      });
    }
    s.final(event);
    if (s.shown === '' && event.speech_final) this.withdraw(s);
    this.transcript.changed();
  }

  // failed says that a segment could not be decoded.
  failed(event) {
    this.segment(event.segment_id).fail(event.message);
    this.transcript.changed();
  }

  // describe gives a final its language and adapter, where those are known later than its text.
  describe(i, { language, adapter }) {
    const f = this.finals[i];
    Object.assign(f, { language, adapter });
    this.segments.get(f.segment).describe(f);
  }

  // withdraw takes a segment away that turned out to have no text, or is heard again.
  withdraw(s) {
    s.item.remove();
    this.segments.delete(s.name);
  }

  // lost begins another session at the server: what it had not finished is heard again.
  lost() {
    for (const s of this.segments.values()) {
      if (s.closed) continue;
      if (s.text === '') {
        this.withdraw(s);
        continue;
      }
      s.committed.textContent = s.text.trimStart();
      s.shown = s.text.trimStart();
      s.close();
    }
    this.generation++;
    this.transcript.changed();
  }

  // end closes what is open: no more text comes.
  end() {
    for (const s of this.segments.values()) {
      s.close();
      if (s.shown === '') this.withdraw(s);
    }
    this.transcript.changed();
  }
}

// Segment is a stretch of speech from one pause to the next: a row of the list.
class Segment {
  constructor(name, transcript) {
    this.name = name;
    this.transcript = transcript;
    this.text = ''; // of its finals
    this.shown = ''; // committed text on the page
    this.closed = false;
    this.item = element('li', 'segment');
    this.time = element('time');
    const p = element('p', 'text');
    p.dir = 'auto';
    this.committed = element('span', 'committed');
    this.tentative = element('span', 'tentative');
    this.tentative.setAttribute('aria-hidden', 'true'); // it changes too often to be read
    p.append(this.committed, this.tentative);
    this.paragraph = p;
    this.tags = element('div', 'tags');
    this.item.append(this.time, p, this.tags);
  }

  // describe shows when, in which language and under which adapter it was spoken.
  describe(event) {
    if (!this.time.textContent) {
      this.time.textContent = time(event.start);
      this.time.dateTime = `PT${(event.start / 1000).toFixed(2)}S`;
    }
    if (event.language) {
      this.language = event.language;
      this.paragraph.lang = event.language;
    }
    const tags = [languageName(this.language), event.adapter === undefined ? '' : event.adapter ? `adapter ${event.adapter}` : 'base model'];
    this.tags.replaceChildren(...tags.filter((t) => t).map((t) => element('span', '', t)));
  }

  partial(event) {
    if (this.closed) return;
    this.describe({ adapter: '', ...event });
    this.commit(this.text + (event.committed ?? ''));
    const rest = event.tentative ?? '';
    this.tentative.textContent = this.shown === '' ? rest.trimStart() : rest;
  }

  final(event) {
    this.describe({ adapter: '', ...event });
    this.text += event.text ?? '';
    const text = this.text.trimStart();
    if (!this.commit(this.text)) {
      console.warn(`the final text of segment ${this.name} does not begin with what was committed`);
      this.committed.textContent = text;
      this.shown = text;
    }
    this.tentative.textContent = '';
    if (event.speech_final) this.close();
  }

  // commit adds what text has more than is shown. It reports whether text begins with that; otherwise nothing changes.
  commit(text) {
    text = text.trimStart();
    if (!text.startsWith(this.shown)) return this.shown.startsWith(text);
    const more = text.slice(this.shown.length);
    if (more === '') return true;
    this.committed.append(more);
    this.shown = text;
    this.transcript.tell(more, this.language);
    return true;
  }

  fail(text) {
    this.item.classList.add('failed');
    this.tentative.textContent = '';
    if (this.shown === '') this.committed.textContent = text;
    this.close();
  }

  close() {
    if (this.closed) return;
    this.closed = true;
    this.tentative.textContent = '';
    this.transcript.tell(' ', '');
  }
}
