// What reports do that are opened from the disk. Writes a line for each check: ok or FAIL, its name, and how long it took or why.
// REPORT, HOSTILE and MANY are the files; see asr/web/testdata/browser.mjs for the rest of the environment.
import assert from 'node:assert/strict';
import { pathToFileURL } from 'node:url';
import { faults, launch, shoot, tabbed } from '../../../asr/web/testdata/browser.mjs';

const browser = await launch();

// open opens a file. Its problems are errors of the console and of scripts, and requests.
async function open(file, { width = 1280, height = 900, theme = 'light' } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: theme, reducedMotion: 'reduce', offline: true });
  const page = await context.newPage();
  const problems = [];
  const url = pathToFileURL(file).href;
  page.on('console', (m) => ['error', 'warning'].includes(m.type()) && problems.push(`console: ${m.text()}`));
  page.on('pageerror', (e) => problems.push(`script: ${e.message}`));
  page.on('request', (r) => r.url() !== url && !r.url().startsWith('blob:') && problems.push(`request: ${r.url()}`));
  page.on('dialog', (d) => problems.push(`dialog: ${d.message()}`));
  await page.goto(url);
  return { page, context, problems };
}

async function check(name, file, options, run) {
  const began = performance.now();
  const { page, context, problems } = await open(file, options);
  try {
    await run(page);
    assert.deepEqual(problems, [], 'problems');
    console.log(`ok ${name}: ${((performance.now() - began) / 1000).toFixed(1)} s`);
  } catch (err) {
    console.log(`FAIL ${name}: ${err.message.replaceAll('\n', ' | ')}`);
    process.exitCode = 1;
    await shoot(page, `failed-${name.replaceAll(' ', '-')}`);
  }
  await context.close();
}

const { REPORT, HOSTILE, MANY } = process.env;
const found = (page) => page.textContent('#found').then((text) => text.replaceAll('\u202f', ''));
const column = (page, cells) => page.locator(`#results-table tbody ${cells}`).allTextContents();
const titles = (page) => page.locator('#list .opener').allTextContents();
const choose = (page, id, label) => page.selectOption(`#${id}`, { label });

await check('charts show', REPORT, {}, async (page) => {
  for (const id of ['chart-wer', 'chart-gain', 'chart-histogram', 'chart-latency']) {
    const svg = page.locator(`svg[aria-labelledby^="${id}-title"]`);
    const box = await svg.boundingBox();
    assert.ok(box.width > 250 && box.height > 150, `${id} is ${box.width}×${box.height}`);
    const drawn = await svg.evaluate((e) => [...e.querySelectorAll('.bar, .mark, .span')].filter((m) => {
      const { width, height } = m.getBoundingClientRect();
      return width > 1 || height > 1;
    }).map((m) => getComputedStyle(m)).filter((s) => s.fill !== 'none' || s.stroke !== 'none').length);
    assert.ok(drawn >= 10, `${drawn} marks in ${id}`);
    const outside = await svg.evaluate((e) => [...e.querySelectorAll('text')].filter((m) => {
      const { left, right } = m.getBoundingClientRect();
      return left < 0 || right > document.documentElement.clientWidth;
    }).map((m) => m.textContent));
    assert.deepEqual(outside, [], id);
  }
  assert.deepEqual(await faults(page), []);
});

await check('table of results is sorted', REPORT, {}, async (page) => {
  const before = await column(page, 'th');
  await page.click('#results-table th:has-text("WER") button');
  const rates = (await column(page, '.wer')).map(parseFloat);
  assert.deepEqual(rates, rates.toSorted((a, b) => b - a));
  assert.equal(await page.getAttribute('#results-table th:has-text("WER")', 'aria-sort'), 'descending');
  await page.click('#results-table th:has-text("WER") button');
  assert.deepEqual((await column(page, '.wer')).map(parseFloat), rates.toSorted((a, b) => a - b));
  await page.click('#results-table th:has-text("WER") button');
  assert.deepEqual(await column(page, 'th'), before);
  await page.click('#results-table th:has-text("Language") button');
  assert.match((await column(page, 'th'))[0], /^ar Arabic/);
});

await check('utterances are filtered and sorted', REPORT, {}, async (page) => {
  assert.equal(await found(page), '294 utterances');
  await choose(page, 'lang', 'Czech (cs)');
  assert.equal(await found(page), '24 of 294 utterances');
  assert.ok((await titles(page)).every((t) => t.startsWith('cs/')));
  await choose(page, 'adapter', 'base');
  assert.deepEqual([...new Set(await page.locator('#list .lines dt').allTextContents())], ['said', 'base']);
  await choose(page, 'errors', 'With errors');
  const rates = () => page.locator('#list .rate').allTextContents().then((all) => all.map(parseFloat));
  assert.ok((await rates()).every((r) => r > 0));
  await choose(page, 'order', 'Highest WER');
  assert.deepEqual(await rates(), (await rates()).toSorted((a, b) => b - a));
  await choose(page, 'lang', 'All');
  await choose(page, 'adapter', 'All');
  await choose(page, 'errors', 'All');
  await page.fill('#search', 'MONDAY');
  await page.waitForFunction(() => /of 294/.test(document.getElementById('found').textContent));
  const texts = await page.locator('#list .utterance').allTextContents();
  assert.ok(texts.length > 0 && texts.every((t) => t.includes('monday')));
  await page.fill('#search', 'nothing like it');
  await page.waitForFunction(() => document.querySelectorAll('#list li').length === 0);
});

await check('confusion shows its utterances', REPORT, {}, async (page) => {
  const confusion = page.locator('.confusion').first();
  const pair = await confusion.evaluate((e) => ({ ...e.dataset }));
  const times = Number(await confusion.locator('.times').textContent());
  await confusion.click();
  const n = parseInt(await found(page), 10);
  assert.ok(n > 0 && n <= times, `${n} utterances for ${times} times`);
  assert.equal(await page.locator('#list .utterance').count(), n);
  for (const e of await page.locator('#list .lines').all()) assert.match(await e.textContent(), new RegExp(pair.ref || pair.hyp));
  await page.click('#pair');
  assert.equal(await found(page), '294 utterances');
});

await check('alignment of base and adapter', REPORT, {}, async (page) => {
  await page.fill('#search', 'ja/00');
  await page.waitForFunction(() => document.querySelectorAll('#list li').length === 1);
  await page.click('#list .opener');
  const columns = await page.locator('#list .column:not(.heads)').allInnerTexts();
  assert.deepEqual(columns.map((c) => c.replace(/\s+/g, '')), ['今今', '日日', 'は\u306f', '月日S', '曜曜', '日日', 'で∗D', 'す∗D']);
  await page.fill('#search', 'en/0');
  await page.waitForFunction(() => document.querySelectorAll('#list li').length > 1);
  const row = page.locator('#list li', { has: page.locator('.rate:not(.right)') }).first();
  await row.locator('.opener').click();
  const open = page.locator('#list [data-open]');
  assert.deepEqual(await open.locator('.heads .cell').allInnerTexts().then((all) => all.map((s) => s.trim())), ['reference', 'base', 'en']);
  for (const c of await open.locator('.column').all()) assert.equal(await c.locator(':scope > .cell').count(), 3);
  // The letters of the alignment are as many as the numbers say.
  const letters = (await open.locator('.letter').allTextContents()).filter((l) => l.trim());
  const told = (await open.locator('.written').textContent()).matchAll(/(\d+) substituted, (\d+) deleted, (\d+) inserted/g);
  assert.equal(letters.length, [...told].flatMap((m) => m.slice(1)).reduce((sum, n) => sum + Number(n), 0));
  const look = (letter) => open.locator(`.cell.${letter}`).first().evaluate((e) => getComputedStyle(e).backgroundColor);
  assert.notEqual(await look(letters[0]), 'rgba(0, 0, 0, 0)');
  assert.deepEqual(await faults(page), []);
});

await check('text from right to left', REPORT, {}, async (page) => {
  await page.fill('#search', 'ar/00');
  await page.waitForFunction(() => document.querySelectorAll('#list li').length === 1);
  await page.click('#list .opener');
  const box = page.locator('.alignment');
  assert.equal(await box.getAttribute('dir'), 'rtl');
  assert.equal(await page.locator('#list dd.ref').getAttribute('lang'), 'ar');
  const lefts = await box.locator('.column').evaluateAll((all) => all.map((e) => e.getBoundingClientRect().left));
  assert.deepEqual(lefts, lefts.toSorted((a, b) => b - a));
  await shoot(page, 'rtl');
});

await check('clip plays by button and by key', REPORT, {}, async (page) => {
  await choose(page, 'errors', 'With sound');
  await page.keyboard.press('Escape');
  await page.evaluate(() => document.activeElement.blur());
  await page.keyboard.press('j');
  await page.keyboard.press('j');
  await page.keyboard.press('k');
  const at = (n) => page.locator('#list li').nth(n);
  assert.equal(await at(0).getAttribute('data-open'), '');
  assert.equal(await page.locator('#list [data-open]').count(), 1);
  const position = () => page.locator('.player input').inputValue().then(Number);
  await page.keyboard.press(' ');
  await page.waitForFunction(() => Number(document.querySelector('.player input').value) > 0.02, null, { timeout: 10000 });
  const first = await position();
  await page.waitForFunction((x) => Number(document.querySelector('.player input').value) > x + 0.05, first, { timeout: 10000 });
  assert.equal(await page.textContent('.player .toggle'), 'Pause');
  await page.keyboard.press(' ');
  await page.waitForFunction(() => document.querySelector('.player .toggle').textContent === 'Play');
  await at(1).locator('.play').click();
  await page.waitForSelector('#list li:nth-child(2) .play.playing');
  assert.equal(await position(), 0);
  await page.waitForSelector('#list li:nth-child(2) .play:not(.playing)', { timeout: 15000 }); // it ends
});

await check('attacks are text', HOSTILE, {}, async (page) => {
  const n = await page.locator('#list li').count();
  assert.ok(n > 10);
  for (let i = 0; i < n; i++) {
    await page.locator('#list .opener').nth(i).click();
    await page.waitForSelector('#list [data-open] .detail');
  }
  await page.locator('.confusion').first().click();
  assert.equal(await page.evaluate(() => typeof attacked), 'undefined');
  assert.equal(await page.locator('main img, main a[href^="javascript"]').count(), 0);
  assert.match(await page.textContent('h1'), /^<\/script><script>/);
});

await check('ten thousand utterances', MANY, {}, async (page) => {
  assert.equal(await found(page), '10000 utterances');
  assert.equal(await page.locator('#list li').count(), 50);
  const took = await page.evaluate(() => {
    const began = performance.now();
    for (const id of ['order', 'errors', 'order']) {
      const select = document.getElementById(id);
      select.selectedIndex = (select.selectedIndex + 1) % select.options.length;
      select.dispatchEvent(new Event('change'));
      document.body.getBoundingClientRect();
    }
    return (performance.now() - began) / 3;
  });
  assert.ok(took < 1000, `a change takes ${took} ms`);
  await choose(page, 'errors', 'All');
  await page.click('#next');
  assert.equal(await page.textContent('#where'), 'Page 2 of 200');
  await page.evaluate(() => document.activeElement.blur());
  await page.keyboard.press('k');
  assert.equal(await page.textContent('#where'), 'Page 1 of 200');
  assert.equal(await page.locator('#list li').last().getAttribute('data-open'), '');
});

await check('keyboard reaches everything', REPORT, {}, async (page) => {
  const { stops } = await tabbed(page, 40);
  assert.ok(stops.every((s) => s.outlined), JSON.stringify(stops.filter((s) => !s.outlined)));
  await page.evaluate(() => document.activeElement.blur());
  await page.keyboard.press('/');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'search');
});

for (const theme of ['light', 'dark']) {
  for (const [name, width] of [['desktop', 1280], ['phone', 390]]) {
    await check(`${theme} on a ${name}`, REPORT, { width, theme }, async (page) => {
      await page.locator('#list .opener').first().click();
      assert.deepEqual(await faults(page), []);
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'the page is wider than the window');
      await shoot(page, `${theme}-${name}`, { fullPage: true });
    });
  }
}
await browser.close();
