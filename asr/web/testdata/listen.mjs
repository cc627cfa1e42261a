// Opens the page of any server, lets it hear the clip for SECONDS, and writes what came of it as JSON: {committed, retracted, state,
// language, adapter, commit, files: {srt, vtt, txt, json}, faults, problems}. It ends with status 1 where nothing was committed.
import { committed, faults, launch, open, saved, shoot } from './browser.mjs';

const seconds = Number(process.env.SECONDS ?? 10);
const browser = await launch();
const { page, problems } = await open(browser, './');
await page.click('#start');
await page.waitForFunction(() => document.body.dataset.state === 'live', null, { timeout: 60000 });
await page.waitForTimeout(seconds * 1000);
await shoot(page, 'listen-live');
await page.click('#start');
await page.waitForFunction(() => document.body.dataset.state === 'ended', null, { timeout: 60000 });
const text = (id) => page.textContent(`#${id}`);
const answer = {
  committed: await committed(page),
  retracted: await page.evaluate(() => globalThis.retracted),
  state: await text('state'),
  notice: await text('notice-text'),
  language: await text('now-language'),
  adapter: await text('now-adapter'),
  commit: await text('now-commit'),
  files: {},
  faults: await faults(page),
  problems,
};
if (answer.committed) {
  for (const format of ['srt', 'vtt', 'txt', 'json']) answer.files[format] = (await saved(page, format)).text;
}
await shoot(page, 'listen-done');
for (const [name, options] of Object.entries({ narrow: { width: 360, height: 740 }, dark: { theme: 'dark' } })) {
  await page.setViewportSize({ width: options.width ?? 1280, height: options.height ?? 800 });
  await page.emulateMedia({ colorScheme: options.theme ?? 'light' });
  await page.waitForTimeout(200);
  await shoot(page, `listen-${name}`);
}
await browser.close();
console.log(JSON.stringify(answer, null, 2));
if (!answer.committed) process.exitCode = 1;
