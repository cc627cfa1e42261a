// The status page: asks once a second, as long as somebody looks.
import { Chart } from './chart.js';
import { askKey, bindKey } from './keydialog.js';
import { KeyNeeded, getJSON } from './server.js';
import { languageName } from './transcript.js';

const $ = (id) => document.getElementById(id);

// Samples that are kept, and milliseconds between questions.
const KEPT = 600;
const EVERY = 1000;

const number = (v) => (v >= 100 || Number.isInteger(v) ? Math.round(v).toLocaleString('en') : v.toPrecision(2).replace(/\.0$/, ''));
const secondsOf = (v) => (v >= 10 ? v.toFixed(0) : v.toFixed(v >= 1 || v === 0 ? 1 : 2));
const percent = (v) => `${Math.round(v * 100)}%`;

function bytes(v) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let i = 0;
  for (; v >= 1024 && i < units.length - 1; i++) v /= 1024;
  return `${v >= 100 || i === 0 ? Math.round(v) : v.toFixed(1)} ${units[i]}`;
}

// duration is a time in its two greatest units.
function duration(s) {
  const parts = [[86400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']];
  const i = Math.max(0, parts.findIndex(([n]) => s >= n));
  const first = s < 1 ? parts.length - 1 : i;
  const [n, unit] = parts[first];
  const next = parts[first + 1];
  const rest = next ? Math.floor(s % n / next[0]) : 0;
  return `${Math.floor(s / n)} ${unit}${rest > 0 ? ` ${rest} ${next[1]}` : ''}`;
}

const charts = [
  { title: 'Commit latency', unit: 's from the end of a word', least: 1, format: secondsOf, series: [{ name: 'median', column: 'commit_p50' }, { name: '95%', column: 'commit_p95' }] },
  { title: 'Queue wait', unit: 's until a request is computed', least: 0.1, format: secondsOf, series: [{ name: 'median', column: 'wait_p50' }, { name: '95%', column: 'wait_p95' }] },
  { title: 'Queue', unit: 's of sound that waits', least: 10, format: number, series: [{ name: 'sound', column: 'queue_seconds' }] },
  { title: 'Requests', unit: 'in the server, and that wait', least: 4, format: number, series: [{ name: 'all', column: 'requests' }, { name: 'waiting', column: 'queue_depth' }] },
  { title: 'Live sessions', unit: 'open, and with speech', least: 4, format: number, series: [{ name: 'open', column: 'sessions' }, { name: 'speaking', column: 'speaking' }] },
  { title: 'RTFx', unit: 's of sound a second of computing', least: 10, format: number, series: [{ name: 'now', column: 'rtfx' }] },
  { title: 'Load', unit: 'share of time that is computed in', least: 1, format: percent, series: [{ name: 'now', column: 'load' }] },
  { title: 'Memory', unit: 'MiB', least: 100, format: number, series: [{ name: 'now', column: 'memory', unit: 1048576 }] },
].map((c) => new Chart($('charts'), c));

let history = { time: [] };

// append adds newer samples to the history.
function append(newer) {
  for (const [name, column] of Object.entries(newer)) history[name] = [...history[name] ?? [], ...column].slice(-KEPT);
}

function figure(name, value, note) {
  const item = document.createElement('div');
  const dt = document.createElement('dt');
  const dd = document.createElement('dd');
  dt.textContent = name;
  dd.textContent = value;
  if (note) {
    const small = document.createElement('small');
    small.textContent = ` ${note}`;
    dd.append(small);
  }
  item.append(dt, dd);
  return item;
}

// jobFigures are those of jobs, none where the server has none.
function jobFigures(jobs) {
  if (!jobs) return [];
  return [
    figure('Jobs queued', number(jobs.queued)),
    figure('Jobs running', number(jobs.running)),
    figure('Jobs failed', number(jobs.failed), 'since the start'),
    figure('Sound of jobs', duration(jobs.backlog_seconds), 'without text'),
  ];
}

function showFigures({ model, version, status: s }) {
  const now = history.time.at(-1) ?? Date.now();
  $('figures').replaceChildren(
    figure('Model', model),
    figure('Version', version),
    figure('Up', duration(Math.max(0, (now - Date.parse(s.started)) / 1000))),
    figure('Live sessions', number(s.sessions), `${number(s.speaking)} speaking`),
    figure('Requests', number(s.requests), `${number(s.queue_depth)} waiting`),
    figure('Sound transcribed', duration(s.audio_seconds)),
    figure('RTFx', number(history.rtfx?.at(-1) ?? 0)),
    figure('Memory', bytes(s.memory_bytes)),
    ...jobFigures(s.jobs),
  );
}

// sentence says in words how the server does.
function sentence({ status: s }) {
  if (s.requests === 0 && s.sessions === 0) return 'Nothing to do: the server waits for sound.';
  const { count, p50, p95 } = s.commit_latency;
  const late = count > 0 ? ` Words are committed ${secondsOf(p50)}\u00a0s after they end, 95% of them within ${secondsOf(p95)}\u00a0s.` : '';
  const queue = s.queue_depth > 0 ? `${number(s.queue_depth)} ${s.queue_depth === 1 ? 'request waits' : 'requests wait'}.` : 'No request waits.';
  return `${queue}${late}`;
}

function row(cells) {
  const tr = document.createElement('tr');
  for (const c of cells) {
    const td = document.createElement('td');
    if (typeof c === 'number' || c?.number) td.className = 'number';
    if (c instanceof Node) {
      td.className = 'wide';
      td.append(c);
    } else td.textContent = c?.number ?? (typeof c === 'number' ? number(c) : c);
    tr.append(td);
  }
  return tr;
}

function showBatch({ status: s }) {
  const most = Math.max(s.max_windows, ...s.batch.map((b) => b.windows));
  $('batch').tBodies[0].replaceChildren(...s.batch.map((b) => {
    const bar = document.createElement('span');
    bar.className = 'share';
    bar.style.width = percent(b.windows / most);
    return row([languageName(b.language) || 'not known yet', b.adapter || 'base model', b.priority, b.windows, bar]);
  }));
  const n = s.batch.reduce((sum, b) => sum + b.windows, 0);
  $('batch-note').textContent = `${number(n)} of at most ${number(s.max_windows)} windows.${onDevices(s.devices)}`;
  $('batch').hidden = n === 0;
}

// onDevices tells how many windows each of several devices has.
function onDevices(devices) {
  if (devices.length < 2) return '';
  const of = (d) => (d.lost ? `${d.name} out of service` : `${d.name} ${number(d.windows)}`);
  return ` By device: ${devices.map(of).join(', ')}.`;
}

function showAdapters({ status: s }) {
  $('adapters').tBodies[0].replaceChildren(...s.adapters.map((a) => row([
    a.name, a.kind || '–', a.rank || { number: '–' }, a.tier, { number: bytes(a.bytes) }, a.pins, a.requests,
  ])));
  $('adapters').hidden = s.adapters.length === 0;
  $('adapters-note').textContent = s.adapters.length === 0 ? 'There are none: all languages are heard by the base model.' : '';
}

let timer;
let wasBad = false;

async function ask() {
  clearTimeout(timer);
  if (document.hidden) return; // visibilitychange asks again
  try {
    const since = history.time.at(-1);
    const answer = await getJSON(since ? `status.json?since=${since}` : 'status.json');
    if (wasBad || Date.parse(answer.status.started) > (since ?? Infinity)) history = { time: [] };
    if (wasBad) {
      wasBad = false;
      showBad(false);
      ask();
      return;
    }
    append(answer.history);
    $('key-open').hidden = !answer.key;
    show(answer);
  } catch (err) {
    wasBad = true;
    showBad(true);
    if (err instanceof KeyNeeded) {
      tell(err.message);
      askKey(err.message, ask);
      return;
    }
    tell('The server cannot be reached. Asking again…');
  }
  timer = setTimeout(ask, EVERY);
}

// showBad makes of the sentence a warning, that a screen reader reads at once, and of that a sentence again.
function showBad(bad) {
  $('state').classList.toggle('bad', bad);
  if (bad) $('state').setAttribute('role', 'alert');
  else $('state').removeAttribute('role');
}

// tell writes a sentence, but not the same again.
function tell(text) {
  if ($('state').textContent !== text) $('state').textContent = text;
}

let toldAt = -Infinity;

function show(answer) {
  if (performance.now() - toldAt > 5000) {
    toldAt = performance.now();
    tell(sentence(answer));
  }
  showFigures(answer);
  showBatch(answer);
  showAdapters(answer);
  for (const c of charts) c.update(history);
}

bindKey(ask);
document.addEventListener('visibilitychange', ask);
ask();
