// What the pages do, against servers that can be told to misbehave. Writes a line for each check: ok or FAIL, its name, and how long it
// took or why. BASES are the addresses of the servers; each takes the next check when it is done with one. ONLY may be a pattern of
// names.
import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { committed, faults, launch, open, saved, shoot, tabbed } from './browser.mjs';

const server = new AsyncLocalStorage(); // the address of that which a check speaks to
const control = (what, query = '') => fetch(new URL(`fake/${what}${query}`, server.getStore()), { method: 'POST' });
const seen = async () => (await fetch(new URL('fake/seen', server.getStore()))).json();
const state = (page, name) => page.waitForFunction((s) => document.body.dataset.state === s, name, { timeout: 60000 });
const notice = (page, pattern) => page.waitForFunction((p) => new RegExp(p).test(document.getElementById('notice-text').textContent), pattern, { timeout: 60000 });
const segments = (page, n) => page.waitForFunction((k) => document.querySelectorAll('#transcript .segment').length >= k, n, { timeout: 60000 });

const browser = await launch();
const only = process.env.ONLY ? new RegExp(process.env.ONLY) : null;
const checks = [];

function check(name, options, run) {
  if (!only || only.test(name)) checks.push({ name, options, run });
}

// perform makes a check.
async function perform({ name, options, run }) {
  await control('reset');
  const began = performance.now();
  const { path = './', allowed = null, deny = false, ...rest } = options;
  const own = deny ? await launch({ microphone: false }) : browser;
  const opened = await open(own, path, { base: server.getStore(), ...rest });
  try {
    await run(opened);
    const problems = opened.problems.filter((p) => !allowed?.test(p));
    assert.deepEqual(problems, [], 'problems');
    console.log(`ok ${name}: ${((performance.now() - began) / 1000).toFixed(1)} s`);
  } catch (err) {
    console.log(`FAIL ${name}: ${err.message.replaceAll('\n', ' | ')}`);
    process.exitCode = 1;
    await shoot(opened.page, `failed-${name.replaceAll(' ', '-')}`);
  }
  await opened.page.close({ runBeforeUnload: false });
  await opened.context.close();
  if (deny) await own.close();
}

async function start(page) {
  await page.click('#start');
  await state(page, 'live');
}

async function stop(page) {
  await page.click('#start');
  await state(page, 'ended');
}

check('empty page says what to do', {}, async ({ page }) => {
  await page.waitForSelector('#languages:visible');
  const text = await page.textContent('#empty');
  assert.match(text, /Press Start/);
  assert.match(text, /English, German, .* and Marathi/);
  assert.equal(await page.isVisible('#text-tools'), false);
  assert.deepEqual(await page.locator('#adapter option').allTextContents(), ['That of the language', 'None: the base model', 'cs', 'hi']);
  assert.deepEqual(await faults(page), []);
});

check('committed text grows and is never taken back', {}, async ({ page }) => {
  await start(page);
  let before = '';
  let tentative = 0;
  for (let i = 0; i < 30; i++) {
    const now = await committed(page);
    assert.ok(now.startsWith(before), `“${now}” after “${before}”`);
    before = now;
    tentative += (await page.locator('#transcript .tentative').allTextContents()).join('').length > 0;
    await page.waitForTimeout(100);
  }
  assert.ok(tentative > 8, `${tentative} looks of 30 found tentative text`);
  assert.match(before, /^Good morning, and welcome/);
  const style = (s) => page.locator(s).first().evaluate((e) => getComputedStyle(e).textDecorationLine);
  assert.deepEqual([await style('.committed'), await style('.tentative')], ['none', 'underline']);
  await stop(page);
  assert.deepEqual(await page.evaluate(() => globalThis.retracted), []);
  assert.equal((await page.locator('#transcript .tentative').allTextContents()).join(''), '');
});

check('language, adapter, latency and time are shown', {}, async ({ page }) => {
  await control('lag');
  await start(page);
  await segments(page, 2);
  await page.waitForFunction(() => document.getElementById('now-adapter').textContent === 'hi');
  assert.equal(await page.textContent('#now-language'), 'Hindi');
  assert.match(await page.textContent('#now-commit'), /^\d+\.\d s$/);
  assert.equal(await page.textContent('#now-lag'), '1.7 s');
  assert.match(await page.textContent('#clock'), /^\d+:\d\d$/); // on a slow machine it is a while until two segments are there
  const first = page.locator('#transcript .segment').first();
  assert.equal(await first.locator('time').textContent(), '0:00');
  assert.equal(await first.locator('.tags').textContent(), 'Englishbase model');
  assert.equal(await page.locator('#transcript .text').nth(1).getAttribute('lang'), 'hi');
  await page.waitForFunction(() => Number(document.getElementById('meter').getAttribute('aria-valuenow')) > -60);
  const drawn = await page.locator('#wave').evaluate((c) => new Set(c.getContext('2d').getImageData(0, 0, c.width, c.height).data).size);
  assert.ok(drawn > 4, 'the waveform is drawn');
  await stop(page);
});

check('screen readers are told committed text alone', {}, async ({ page }) => {
  await start(page);
  await segments(page, 2);
  await page.waitForFunction(() => /Good morning.*library/.test(document.getElementById('spoken').textContent));
  assert.equal(await page.getAttribute('#spoken', 'aria-live'), 'polite');
  const told = (await page.locator('#spoken p').allTextContents()).join(' ');
  assert.ok((await committed(page)).replaceAll(' ', '').startsWith(told.replaceAll(' ', '')), told);
  assert.equal(await page.locator('#transcript [aria-live]').count(), 0);
  assert.equal(await page.locator('.tentative:not([aria-hidden=true])').count(), 0);
  await stop(page);
});

check('downloads hold what was said', {}, async ({ page }) => {
  await start(page);
  await segments(page, 3);
  await stop(page);
  const json = JSON.parse((await saved(page, 'json')).text);
  assert.equal(json.segments.length, await page.locator('#transcript .segment').count());
  assert.equal(json.segments[0].text, 'Good morning, and welcome to the reading room of the national library.');
  assert.deepEqual([json.segments[1].language, json.segments[1].adapter], ['hi', 'hi']);
  assert.deepEqual(json.segments[0].words[0], { word: ' Good', start: 0.3, end: 0.4, probability: 0.93 });
  const srt = (await saved(page, 'srt')).text;
  assert.ok(srt.startsWith('1\n00:00:00,300 --> 00:00:01,500\nGood morning, and welcome to the reading\nroom of the national library.\n\n2\n'), srt);
  const vtt = (await saved(page, 'vtt')).text;
  assert.ok(vtt.startsWith('WEBVTT\n\n00:00:00.300 --> 00:00:01.500\nGood'), vtt);
  const txt = await saved(page, 'txt');
  assert.equal(txt.text.split('\n')[0], json.segments[0].text);
  assert.match(txt.name, /^glossa-[\dT-]+\.txt$/);
});

check('finalize ends a segment and settings reach the server', {}, async ({ page }) => {
  await page.selectOption('#language', 'hi');
  await page.selectOption('#policy', 'alignatt');
  await page.fill('#hotwords', 'Glossa, fLoRA');
  await page.locator('#endpointing').fill('800');
  await start(page);
  assert.equal(await page.isDisabled('#policy'), true);
  await page.waitForTimeout(1200);
  await page.click('#finalize');
  await page.waitForFunction(() => document.querySelector('.segment .tentative')?.textContent === '' && document.querySelector('.segment .committed').textContent !== '');
  await page.selectOption('#adapter', 'cs');
  let configs = [];
  while (configs.length < 2) ({ configs } = await seen());
  assert.equal(configs[0].type, 'config');
  assert.deepEqual([configs[0].language, configs[0].policy, configs[0].endpointing_ms, configs[0].adapter], ['hi', 'alignatt', 800, 'auto']);
  assert.deepEqual(configs[0].hotwords, ['Glossa', 'fLoRA']);
  assert.deepEqual(configs[1], { type: 'update', adapter: 'cs' });
  await stop(page);
  await page.reload();
  await page.waitForSelector('#languages:visible');
  assert.equal(await page.inputValue('#language'), 'hi');
});

check('a broken connection is resumed', { allowed: /WebSocket|ERR_/ }, async ({ page }) => {
  await start(page);
  await segments(page, 2);
  const before = await committed(page);
  await control('refuse', '?code=1013'); // so that there is time to look
  await control('break');
  await state(page, 'reconnecting');
  assert.match(await page.textContent('#state'), /Your sound is kept/);
  await page.selectOption('#language', 'hi');
  await control('refuse', '?code=0');
  await state(page, 'live');
  assert.ok((await committed(page)).startsWith(before));
  await segments(page, 3);
  await stop(page);
  const { resumed, configs } = await seen();
  assert.ok(resumed >= 1);
  assert.deepEqual(configs.at(-1), { type: 'update', language: 'hi' }, 'what was chosen meanwhile');
  const json = JSON.parse((await saved(page, 'json')).text);
  assert.equal(new Set(json.segments.map((s) => s.start)).size, json.segments.length, 'no segment is there twice');
  assert.match(json.text, /national library\. आज हम भारत की भाषाओं/);
  assert.deepEqual(await page.evaluate(() => globalThis.retracted), []);
});

check('a session that is gone begins anew with the sound that was kept', { allowed: /WebSocket|ERR_/ }, async ({ page }) => {
  await start(page);
  await segments(page, 2);
  await control('forget');
  await notice(page, 'no longer had this session');
  await state(page, 'live');
  await segments(page, 2);
  await stop(page);
  const json = JSON.parse((await saved(page, 'json')).text);
  const starts = json.segments.map((s) => s.start);
  assert.deepEqual(starts, [...starts].sort((a, b) => a - b));
  assert.ok(starts[1] > 1.5, `times go on: ${starts}`);
});

for (const [code, pattern] of [[1013, 'The server is full'], [1001, 'about to stop']]) {
  check(`close code ${code} is explained`, {}, async ({ page }) => {
    await control('refuse', `?code=${code}`);
    await page.click('#start');
    await notice(page, pattern);
    await state(page, 'ended');
    assert.equal(await page.isVisible('#empty'), true);
    await control('reset');
    await page.click('#notice-action');
    await state(page, 'live');
    await stop(page);
  });
}

check('a key is asked for, and used', { allowed: /401|WebSocket/ }, async ({ page }) => {
  await control('key', '?key=open-sesame');
  await page.reload();
  await page.waitForSelector('#key-dialog[open]');
  await shoot(page, 'key-light');
  await page.fill('#key', 'wrong');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => /does not take this key/.test(document.getElementById('key-note').textContent) && document.getElementById('key-dialog').open);
  await page.fill('#key', 'open-sesame');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => document.querySelectorAll('#adapter option').length === 4);
  await start(page);
  await stop(page);
  assert.equal(await page.evaluate(() => sessionStorage.getItem('glossa.key')), 'open-sesame');
  assert.equal(await page.evaluate(() => JSON.stringify(localStorage).includes('sesame')), false);
});

check('a refused microphone is explained', { deny: true }, async ({ page }) => {
  await page.click('#start');
  await notice(page, 'does not let this page use the microphone');
  assert.equal(await page.textContent('#start-label'), 'Start');
  await shoot(page, 'refused-light');
});

check('a page without https says so', { init: () => Object.defineProperty(globalThis, 'isSecureContext', { value: false }) }, async ({ page }) => {
  await page.click('#start');
  await notice(page, 'only over https');
});

check('files are transcribed one after the other', { allowed: /415/ }, async ({ page }) => {
  const file = (name) => ({ name, mimeType: 'audio/flac', buffer: Buffer.from('sound') });
  await page.setInputFiles('#file', [file('deltas.wav'), file('interview.opus')]);
  await page.waitForFunction(() => document.querySelectorAll('#transcript .segment').length === 6 && !document.querySelector('#transcript progress'));
  assert.deepEqual(await page.locator('.take strong').allTextContents(), ['deltas.wav', 'interview.opus']);
  const { uploads } = await seen();
  assert.deepEqual([uploads[0].file, uploads[0].response_format, uploads[0].stream, uploads[0].adapter], ['deltas.wav', 'verbose_json', 'true', 'auto']);
  const json = JSON.parse((await saved(page, 'json')).text);
  assert.equal(json.segments.length, 6);
  for (const i of [0, 3]) assert.equal(json.segments[i].words[1].word, ' morning,');
  assert.deepEqual(await page.locator('#transcript > li').evaluateAll((all) => all.map((e) => e.className)), ['take', 'segment', 'segment', 'segment', 'take', 'segment', 'segment', 'segment']);
  assert.deepEqual((await page.locator('.tags').allTextContents()).slice(3, 5), ['Englishbase model', 'Hindiadapter hi']);
  assert.deepEqual([json.segments[4].language, json.segments[4].adapter, json.segments[3].adapter], ['hi', 'hi', '']);
  assert.ok(Math.abs(json.segments[3].start - json.segments[0].start - 14.5) < 0.01, 'the second follows the first');
  assert.equal(json.segments[2].language, 'cs');
  assert.match((await saved(page, 'srt')).text, /^1\n00:00:00,300 --> 00:00:01,500\nGood morning, and welcome to the reading\nroom/);
  await page.setInputFiles('#file', [file('broken.flac')]);
  await notice(page, 'broken.flac: the file holds no sound');
  await shoot(page, 'files-light');
});

check('a dropped file is transcribed', {}, async ({ page }) => {
  const data = await page.evaluateHandle(() => {
    const d = new DataTransfer();
    d.items.add(new File(['sound'], 'dropped.wav', { type: 'audio/wav' }));
    return d;
  });
  await page.dispatchEvent('body', 'dragover', { dataTransfer: data });
  assert.equal(await page.isVisible('#drop'), true);
  await page.dispatchEvent('body', 'drop', { dataTransfer: data });
  await page.waitForFunction(() => document.querySelectorAll('#transcript .segment').length === 3 && !document.querySelector('#transcript progress'));
  assert.equal(await page.isVisible('#drop'), false);
});

check('copy, clear and undo', {}, async ({ page, context }) => {
  await context.grantPermissions(['clipboard-read', 'clipboard-write']);
  await page.setInputFiles('#file', [{ name: 'a.wav', mimeType: 'audio/wav', buffer: Buffer.from('sound') }]);
  await page.waitForFunction(() => document.querySelectorAll('#transcript .segment').length === 3 && !document.querySelector('#transcript progress'));
  await page.click('#copy');
  await notice(page, 'Copied');
  const text = await page.evaluate(() => navigator.clipboard.readText());
  assert.equal(text.split('\n').length, 3);
  assert.match(text, /^Good morning/);
  await page.click('#clear');
  assert.equal(await page.isVisible('#empty'), true);
  await page.click('#notice-action');
  assert.equal(await page.locator('.segment').count(), 3);
  assert.equal(await page.isVisible('#empty'), false);
});

check('the keyboard is enough', {}, async ({ page }) => {
  await page.waitForSelector('#languages:visible');
  const { stops, left } = await tabbed(page);
  assert.ok(left, 'Tab leaves the page');
  for (const id of ['Skip to the text', 'theme', 'pick-empty', 'language', 'adapter', 'policy', 'endpointing', 'hotwords', 'pick', 'start']) {
    assert.ok(stops.some((s) => s.what === id), `Tab comes to ${id}: ${stops.map((s) => s.what)}`);
  }
  assert.deepEqual(stops.filter((s) => !s.outlined), [], 'focus is seen');
  await page.keyboard.press('Control+Enter');
  await state(page, 'live');
  await page.waitForTimeout(1200);
  await page.keyboard.press('Control+Shift+Enter');
  await page.waitForFunction(() => document.querySelector('.segment .committed')?.textContent !== '');
  await page.keyboard.press('Control+Enter');
  await state(page, 'ended');
  await page.focus('#theme');
  await page.keyboard.press('Enter');
  assert.equal(await page.getAttribute('html', 'data-theme'), 'light');
  await page.keyboard.press('Enter');
  assert.equal(await page.getAttribute('html', 'data-theme'), 'dark');
  await page.reload();
  assert.equal(await page.getAttribute('html', 'data-theme'), 'dark');
});

check('motion is reduced where that is asked for', { motion: 'reduce' }, async ({ page }) => {
  await start(page);
  const shift = await page.evaluate(async () => {
    let n = 0;
    const draw = CanvasRenderingContext2D.prototype.clearRect;
    CanvasRenderingContext2D.prototype.clearRect = function count(...a) { n++; return draw.apply(this, a); };
    await new Promise((resolve) => { setTimeout(resolve, 1000); });
    return n;
  });
  assert.ok(shift <= 4, `the waveform was drawn ${shift} times in a second`);
  await stop(page);
});

// themed looks at a page in each theme.
async function themed(page, look) {
  for (const theme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme: theme });
    await look(theme);
  }
}

const inSight = async (page) => {
  const { bottom } = await page.locator('.segment').last().evaluate((e) => e.getBoundingClientRect());
  const { top } = await page.locator('.dock').evaluate((e) => e.getBoundingClientRect());
  assert.ok(bottom <= top + 1, `the newest text is in sight: ${bottom} of ${top}`);
};

for (const [size, width, height] of [['wide', 1440, 900], ['narrow', 360, 740]]) {
  check(`the page to speak into, ${size}`, { width, height }, async ({ page }) => {
    const look = (what) => themed(page, async (theme) => {
      await shoot(page, `${what}-${size}-${theme}`);
      assert.deepEqual(await faults(page), [], `${what}, ${theme}`);
    });
    await page.waitForSelector('#languages:visible');
    await look('empty');
    await start(page);
    await segments(page, 3);
    await look('live');
    await inSight(page);
    await stop(page);
  });
  check(`the status page, ${size}`, { path: 'status', width, height }, async ({ page }) => {
    await page.waitForFunction(() => document.querySelectorAll('.chart svg path').length >= 12);
    await themed(page, async (theme) => {
      await shoot(page, `status-${size}-${theme}`, { fullPage: true });
      assert.deepEqual(await faults(page), [], theme);
    });
    assert.deepEqual(await page.locator('#batch tbody tr').first().locator('td').allTextContents(), ['Czech', 'cs', 'live', '3', '']);
    assert.match(await page.textContent('#figures'), /Modelnano.*Up1 h 3\d min.*Jobs queued\d+Jobs running\d+Jobs failed2 since the start/);
    assert.match(await page.getAttribute('.chart svg', 'aria-label'), /^Commit latency, s from the end of a word: now median [\d.]+, 95% [\d.]+$/);
    const { stops, left } = await tabbed(page);
    assert.ok(left && stops.length >= 14, `${stops.length} stops`);
    assert.deepEqual(stops.filter((s) => !s.outlined), []);
    await page.click('.chart summary');
    await page.waitForFunction(() => /now/.test(document.querySelector('.chart tbody').textContent));
  });
}

check('a window that becomes narrow keeps the text in sight', {}, async ({ page }) => {
  const open = () => page.locator('#settings').evaluate((e) => e.open);
  await page.setInputFiles('#file', [{ name: 'a.wav', mimeType: 'audio/wav', buffer: Buffer.from('sound') }]);
  await page.waitForFunction(() => document.querySelectorAll('#transcript .segment').length === 3 && !document.querySelector('#transcript progress'));
  assert.equal(await open(), true);
  await page.setViewportSize({ width: 360, height: 740 });
  await page.waitForFunction(() => !document.getElementById('settings').open);
  await inSight(page);
  await page.setViewportSize({ width: 1280, height: 800 });
  await page.waitForFunction(() => document.getElementById('settings').open);
});

await Promise.all(process.env.BASES.split(' ').map((base) => server.run(base, async () => {
  for (let next = checks.shift(); next; next = checks.shift()) await perform(next);
})));
await browser.close();
