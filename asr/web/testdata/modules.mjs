// Modules of the page that need no page: subtitles, and the sound that is kept. ASSETS is the folder of the modules.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const load = (name) => import(pathToFileURL(join(process.env.ASSETS, name)).href);
const { columns, clock, cues, formats, segments } = await load('formats.js');
const { SoundBuffer } = await load('sound.js');
const { ceiling } = await load('chart.js');
const { spaced } = await load('words.js');

// words makes words of a text, each 300 ms.
const words = (text, start) => text.split(/(?= )/).map((word, i) => ({ word, start: start + i * 300, end: start + (i + 1) * 300, probability: 1 }));
const final = (segment, text, start, more = {}) => {
  const w = words(text, start);
  return { segment, text, words: w, start, end: w.at(-1).end, language: 'en', adapter: '', ...more };
};

const tests = {
  'a long segment becomes subtitles of two lines'() {
    const text = ' one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen';
    const list = cues([final('0', text, 1000)]);
    assert.ok(list.length >= 2);
    for (const c of list) {
      assert.ok(c.text.split('\n').length <= 2 && c.text.split('\n').every((l) => columns(l) <= 42), c.text);
      assert.ok(c.end - c.start <= 7000);
    }
    assert.equal(list.map((c) => c.text.replaceAll('\n', ' ')).join(' '), text.trim());
    list.slice(1).forEach((c, i) => assert.ok(c.start >= list[i].end));
  },
  'a pause ends a subtitle'() {
    const f = final('0', ' one two', 0);
    f.words[1].start = 5000;
    f.words[1].end = 5300;
    assert.deepEqual(cues([f]), [{ start: 0, end: 300, text: 'one' }, { start: 5000, end: 5300, text: 'two' }]);
  },
  'finals of a segment are one segment'() {
    const list = segments([final('0', ' one two', 0), final('0', ' three', 600), final('1', ' four', 2000)]);
    assert.deepEqual(list.map((s) => s.text), ['one two three', 'four']);
    assert.equal(list[0].words.length, 3);
    assert.equal(list[0].end, 900);
    assert.equal(formats.txt.write([final('0', ' one', 0), final('1', '  ', 9)]), 'one\n');
  },
  'a final without words is a subtitle'() {
    assert.deepEqual(cues([final('0', ' one two', 0, { words: [] })]), [{ start: 0, end: 600, text: 'one two' }]);
  },
  'text looks like no timing line and no markup'() {
    assert.match(formats.srt.write([final('0', ' a --> b', 0)]), /\na -> b\n/);
    assert.match(formats.vtt.write([final('0', ' <i> & b', 0)]), /\n&lt;i&gt; &amp; b\n/);
  },
  'there are files of no text'() {
    assert.equal(formats.srt.write([]), '');
    assert.equal(formats.vtt.write([]), 'WEBVTT\n\n');
    assert.deepEqual(JSON.parse(formats.json.write([])).segments, []);
  },
  'columns are those of a screen'() {
    assert.equal(columns('हिन्दी'), 3);
    assert.equal(columns('日本語'), 6);
    assert.equal(columns(' abc'), 3);
  },
  'times are written with hours'() {
    assert.equal(clock(3723004, ','), '01:02:03,004');
    assert.equal(clock(-1, '.'), '00:00:00.000');
    assert.equal(clock(360000000, '.'), '100:00:00.000');
  },
  'sound is kept until it is acknowledged'() {
    const b = new SoundBuffer(1000);
    const push = (n) => b.push(Int16Array.from({ length: n }, (_, i) => b.end + i));
    const all = () => {
      const out = [];
      for (let p = b.take(7); p; p = b.take(7)) out.push(...p);
      return out;
    };
    push(10); push(10); push(5);
    assert.deepEqual(all(), [...Array(25).keys()]);
    assert.equal(b.take(7), null);
    assert.equal(b.seek(12), 12);
    assert.deepEqual(all(), [...Array(13).keys()].map((x) => x + 12));
    b.drop(14);
    assert.equal(b.seek(0), 14);
    assert.deepEqual(all(), [...Array(11).keys()].map((x) => x + 14));
    b.drop(25);
    assert.equal(b.pieces.length, 0);
    push(4);
    assert.deepEqual(all(), [25, 26, 27, 28]);
  },
  'what is kept has a limit'() {
    const b = new SoundBuffer(20);
    for (let i = 0; i < 10; i++) b.push(new Int16Array(10));
    assert.equal(b.begin, 80);
    assert.equal(b.seek(0), 80);
    assert.equal(b.pieces.length, 2);
  },
  'words get the spaces of their text'() {
    const of = (text, ...list) => spaced(list.map((word) => ({ word })), text).map((w) => w.word);
    assert.deepEqual(of(' one two, three', 'one', 'two,', 'three'), [' one', ' two,', ' three']);
    assert.deepEqual(of('日本語', '日本', '語'), ['日本', '語']);
    assert.deepEqual(of(' a b', ' a', ' b'), [' a', ' b']);
    assert.deepEqual(of('one two', 'one', 'deux', 'two'), ['one', 'deux', ' two']);
  },
  'axes end at round numbers'() {
    assert.deepEqual([0.7, 1, 1.1, 3, 21, 0.04].map(ceiling), [0.8, 1, 2, 4, 40, 0.04]);
  },
};

for (const [name, run] of Object.entries(tests)) {
  try {
    run();
    console.log(`ok ${name}`);
  } catch (err) {
    console.log(`FAIL ${name}: ${err.message.replaceAll('\n', ' | ')}`);
    process.exitCode = 1;
  }
}
