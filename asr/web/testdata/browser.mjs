// A browser with a microphone that hears a clip, and what is checked of every page.
//
// The environment says: BASE, the server's address, with a slash at its end; KEY, an API key where one is needed; CLIP, a
// WAV file; CHROMIUM, the browser's program; PLAYWRIGHT, the folder that playwright-core is installed in; SHOTS, a folder
// for screenshots, or nothing.
import { createRequire } from 'node:module';
import { join } from 'node:path';

const { chromium } = createRequire(join(process.env.PLAYWRIGHT, 'package.json'))('playwright-core');


export async function launch({ microphone = true } = {}) {
  return chromium.launch({
    executablePath: process.env.CHROMIUM,
    args: [
      '--no-sandbox',
      '--disable-gpu', // there is none, and to pretend one takes time
      '--use-fake-device-for-media-stream',
      ...(microphone ? ['--use-fake-ui-for-media-stream'] : ['--deny-permission-prompts']),
      `--use-file-for-fake-audio-capture=${process.env.CLIP}`,
      '--autoplay-policy=no-user-gesture-required',
    ],
  });
}

// open opens a page of BASE, or of another server. Its problems are errors of the console and of scripts, and requests to others than the server.
export async function open(browser, path, { width = 1280, height = 800, theme = 'light', motion = 'no-preference', init = null, base = process.env.BASE } = {}) {
  const { origin, host } = new URL(base);
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: theme, reducedMotion: motion, acceptDownloads: true });
  const page = await context.newPage();
  const problems = [];
  page.on('console', (m) => ['error', 'warning'].includes(m.type()) && problems.push(`console: ${m.text()}`));
  page.on('pageerror', (e) => problems.push(`script: ${e.message}`));
  page.on('request', (r) => !/^(data|blob):/.test(r.url()) && new URL(r.url()).origin !== origin && problems.push(`request: ${r.url()}`));
  page.on('websocket', (w) => new URL(w.url()).host !== host && problems.push(`websocket: ${w.url()}`));
  await page.addInitScript(watchCommitted);
  if (process.env.KEY) await page.addInitScript((key) => sessionStorage.setItem('glossa.key', key), process.env.KEY);
  if (init) await page.addInitScript(init);
  await page.goto(new URL(path, base).href);
  return { page, context, problems };
}

// watchCommitted notes, in the page, when committed text of a segment is anything but added to.
function watchCommitted() {
  globalThis.retracted = [];
  const known = new WeakMap();
  const look = () => {
    for (const e of document.querySelectorAll('#transcript .committed')) {
      const before = known.get(e) ?? '';
      if (!e.textContent.startsWith(before)) globalThis.retracted.push({ before, after: e.textContent });
      known.set(e, e.textContent);
    }
  };
  addEventListener('DOMContentLoaded', () => {
    const list = document.getElementById('transcript');
    if (list) new MutationObserver(look).observe(list, { childList: true, characterData: true, subtree: true });
  });
}

// shoot takes a screenshot, where somebody wants to look at it.
export async function shoot(page, name, options = {}) {
  if (process.env.SHOTS) await page.screenshot({ path: join(process.env.SHOTS, `${name}.png`), ...options });
}

// committed is all committed text of a page.
export const committed = (page) => page.locator('#transcript .committed').allTextContents().then((all) => all.map((s) => s.trim()).filter((s) => s).join(' '));

// saved is the text of the file that a button downloads.
export async function saved(page, format) {
  const [download] = await Promise.all([page.waitForEvent('download'), page.click(`[data-format="${format}"]`)]);
  const chunks = [];
  for await (const c of await download.createReadStream()) chunks.push(c);
  return { name: download.suggestedFilename(), text: Buffer.concat(chunks).toString('utf8') };
}

// faults are what a page does wrong towards those who do not see it, or see it badly.
export function faults(page) {
  return page.evaluate(() => {
    const found = [];
    const visible = (e) => e.checkVisibility({ opacityProperty: true, visibilityProperty: true }) && e.getClientRects().length > 0;
    const text = (id) => document.getElementById(id)?.textContent ?? '';
    const name = (e) => (e.getAttribute('aria-labelledby') ?? '').split(' ').map(text).join('').trim()
      || e.getAttribute('aria-label') || [...e.labels ?? []].map((l) => l.textContent).join('').trim() || e.textContent.trim() || e.title;
    const what = (e) => `${e.tagName.toLowerCase()}${e.id ? `#${e.id}` : ''}.${e.getAttribute('class') ?? ''}`;

    for (const e of document.querySelectorAll('button, a, input, select, textarea, [role=img], [role=meter], summary, dialog')) {
      if (visible(e) && !name(e)) found.push(`no name: ${what(e)}`);
    }
    for (const e of document.querySelectorAll('button, input, select, textarea')) {
      const r = e.getBoundingClientRect();
      if (visible(e) && !e.classList.contains('hidden') && !e.classList.contains('link') && (r.height < 24 || r.width < 24) && e.type !== 'range') found.push(`small: ${what(e)} ${r.width}×${r.height}`);
    }
    const ids = [...document.querySelectorAll('[id]')].map((e) => e.id);
    for (const id of ids.filter((x, i) => ids.indexOf(x) !== i)) found.push(`id twice: ${id}`);
    if (!document.documentElement.lang) found.push('no language');
    if (document.querySelectorAll('h1').length !== 1) found.push('not one h1');
    if (document.querySelectorAll('main').length !== 1) found.push('not one main');
    if (document.querySelector('[tabindex]:not([tabindex="0"]):not([tabindex="-1"])')) found.push('a positive tabindex');
    let level = 0;
    for (const h of document.querySelectorAll('h1, h2, h3, h4')) {
      if (Number(h.tagName[1]) > level + 1) found.push(`heading ${h.textContent} skips a level`);
      level = Number(h.tagName[1]);
    }
    if (document.documentElement.scrollWidth > innerWidth) found.push(`wider than the window: ${document.documentElement.scrollWidth} > ${innerWidth}`);

    // contrast of text, by the Web Content Accessibility Guidelines 2.2, 1.4.3
    const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
    const rgba = (css) => {
      canvas.clearRect(0, 0, 1, 1);
      canvas.fillStyle = css;
      canvas.fillRect(0, 0, 1, 1);
      const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
      return [r, g, b, a / 255];
    };
    const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
    const behind = (e) => {
      const layers = [];
      for (let x = e; x; x = x.parentElement) layers.unshift(rgba(getComputedStyle(x).backgroundColor));
      return layers.reduce((below, top) => over(top, below), [255, 255, 255, 1]);
    };
    const luminance = (c) => {
      const [r, g, b] = c.slice(0, 3).map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let n = walker.nextNode(); n; n = walker.nextNode()) {
      const e = n.parentElement;
      if (!n.textContent.trim() || !visible(e) || e.closest('.hidden, :disabled, noscript, .skip, option')) continue;
      const style = getComputedStyle(e);
      const back = behind(e);
      const svg = e.closest('svg');
      const a = luminance(over(rgba(svg ? style.fill : style.color), back));
      const b = luminance(back);
      const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
      const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && Number(style.fontWeight) >= 700);
      if (ratio < (large ? 3 : 4.5)) found.push(`contrast ${ratio.toFixed(2)}: ${what(e)} “${n.textContent.trim().slice(0, 30)}”`);
    }
    return found;
  });
}

// tabbed presses Tab until it leaves the page or comes back, and returns the stops: each {what, outlined}.
export async function tabbed(page, most = 60) {
  const stops = [];
  await page.evaluate(() => document.querySelectorAll('[data-tabbed]').forEach((e) => delete e.dataset.tabbed));
  await page.evaluate(() => document.activeElement?.blur());
  for (let i = 0; i < most; i++) {
    await page.keyboard.press('Tab');
    const stop = await page.evaluate(() => {
      const e = document.activeElement;
      if (!e || e === document.body || e.dataset.tabbed) return null;
      e.dataset.tabbed = 'yes';
      const style = getComputedStyle(e);
      return { what: e.id || e.dataset.format || e.textContent.trim().slice(0, 30), outlined: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2 };
    });
    if (!stop) return { stops, left: true };
    stops.push(stop);
  }
  return { stops, left: false };
}
