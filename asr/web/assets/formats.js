// What is downloaded: SubRip, WebVTT, text and JSON of final text.
//
// A final is {text, words: [{word, start, end, probability}], start, end, language, adapter, segment}; times are
// milliseconds.

// A subtitle has at most LINES lines of COLUMNS columns, lasts at most LONGEST milliseconds, and ends at a pause of PAUSE.
const COLUMNS = 42;
const LINES = 2;
const LONGEST = 7000;
const PAUSE = 1500;

export const formats = {
  srt: { type: 'application/x-subrip', write: srt },
  vtt: { type: 'text/vtt', write: vtt },
  txt: { type: 'text/plain', write: txt },
  json: { type: 'application/json', write: json },
};

function srt(finals) {
  return cues(finals).map((c, i) => `${i + 1}\n${clock(c.start, ',')} --> ${clock(c.end, ',')}\n${c.text}\n\n`).join('');
}

function vtt(finals) {
  const escaped = (text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
  return `WEBVTT\n\n${cues(finals).map((c) => `${clock(c.start, '.')} --> ${clock(c.end, '.')}\n${escaped(c.text)}\n\n`).join('')}`;
}

// txt is a line for each segment.
function txt(finals) {
  return segments(finals).map((s) => `${s.text}\n`).join('');
}

function json(finals, about = {}) {
  const list = segments(finals);
  return `${JSON.stringify({
    task: 'transcribe',
    model: about.model,
    duration: list.length > 0 ? list.at(-1).end / 1000 : 0,
    text: list.map((s) => s.text).join(' '),
    segments: list.map((s, id) => ({
      id,
      start: s.start / 1000,
      end: s.end / 1000,
      text: s.text,
      language: s.language,
      adapter: s.adapter,
      words: s.words.map((w) => ({ word: w.word, start: w.start / 1000, end: w.end / 1000, probability: w.probability })),
    })),
  }, null, 2)}\n`;
}

// segments joins the finals of each segment.
export function segments(finals) {
  const list = [];
  for (const f of finals) {
    const last = list.at(-1);
    if (last && last.segment === f.segment) {
      last.text = `${last.text}${f.text.trimEnd()}`;
      last.words.push(...f.words ?? []);
      last.end = f.end;
    } else {
      list.push({ ...f, text: f.text.trim(), words: [...f.words ?? []] });
    }
  }
  return list.filter((s) => s.text !== '');
}

// cues are the subtitles of finals: of their words, where there are times of words.
export function cues(finals) {
  const list = [];
  for (const s of segments(finals)) {
    if (s.words.length === 0) {
      list.push({ start: s.start, end: s.end, text: s.text });
      continue;
    }
    let cue = null;
    for (const w of s.words) {
      if (!cue || !fits(cue, w)) {
        cue = { start: w.start, end: w.end, lines: [''] };
        list.push(cue);
      }
      add(cue, w);
    }
  }
  return list.map((c) => {
    const text = c.text ?? c.lines.map((l) => l.trim()).join('\n');
    return { start: Math.max(0, c.start), end: Math.max(c.start, c.end), text: text.replaceAll('-->', '->') };
  }).filter((c) => c.text !== '');
}

// fits says whether a word belongs to a subtitle still.
function fits(cue, w) {
  if (w.start - cue.end > PAUSE || w.end - cue.start > LONGEST) return false;
  return cue.lines.length < LINES || columns(cue.lines.at(-1) + w.word) <= COLUMNS;
}

function add(cue, w) {
  const line = cue.lines.at(-1);
  if (line !== '' && columns(line + w.word) > COLUMNS) cue.lines.push(w.word);
  else cue.lines[cue.lines.length - 1] = line + w.word;
  cue.end = Math.max(cue.end, w.end);
}

// columns is the width of a text: a mark has none, a wide letter of East Asia two.
export function columns(text) {
  let n = 0;
  for (const c of text.trim()) {
    if (/\p{M}/u.test(c)) continue;
    n += /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]/.test(c) ? 2 : 1;
  }
  return n;
}

// clock is a time as hh:mm:ss and milliseconds behind the mark.
export function clock(ms, mark) {
  const two = (x) => String(Math.floor(x)).padStart(2, '0');
  ms = Math.max(0, Math.round(ms));
  return `${two(ms / 3600000)}:${two(ms / 60000 % 60)}:${two(ms / 1000 % 60)}${mark}${String(ms % 1000).padStart(3, '0')}`;
}
