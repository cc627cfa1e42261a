// The page to speak into: what its controls do.
import { openMicrophone } from './capture.js';
import { formats } from './formats.js';
import { CommitLatency } from './latency.js';
import { Notice } from './notice.js';
import { askKey, bindKey } from './keydialog.js';
import { KeyNeeded, getJSON } from './server.js';
import { LiveSession } from './session.js';
import { Settings } from './settings.js';
import { Transcript, languageName, time } from './transcript.js';
import { Uploads } from './uploads.js';
import { Wave } from './wave.js';

const $ = (id) => document.getElementById(id);

const STATES = {
  connecting: 'Connecting…',
  live: 'Listening',
  reconnecting: 'Connection lost. Your sound is kept; trying again…',
  finishing: 'Writing the last words…',
  ended: 'Ready',
};

const notice = new Notice();
const settings = new Settings();
const wave = new Wave($('wave'));
const latency = new CommitLatency();
const transcript = new Transcript($('transcript'), $('spoken'), changed);
let about = {};
// PATIENCE is how long the rest of the text is waited for, whatever is pressed, in milliseconds.
const PATIENCE = 3000;

let live = null; // {session, microphone, take} from start to the end of the session
let recorded = 0; // samples of it

function setState(text) {
  if ($('state').textContent !== text) $('state').textContent = text;
}

// changed shows what belongs to a page with text, or without, and keeps the newest text in sight.
function changed() {
  const { empty } = transcript;
  $('empty').hidden = !empty;
  $('waiting').hidden = !live?.take || live.take.segments.size > 0;
  $('text-tools').hidden = empty;
  for (const b of $('text-tools').querySelectorAll('button')) b.disabled = transcript.text() === '' && b.id !== 'clear';
  if (follows) scrollTo({ top: document.documentElement.scrollHeight });
  else $('latest').hidden = empty || atEnd();
}

// follows says that the page scrolls with the text: until somebody scrolls up, and again from the end.
let follows = true;
const atEnd = () => innerHeight + scrollY >= document.documentElement.scrollHeight - 80;
addEventListener('scroll', () => {
  follows = atEnd();
  $('latest').hidden = follows || transcript.empty;
}, { passive: true });
addEventListener('resize', () => { if (follows) changed(); });
$('latest').addEventListener('click', () => {
  follows = true;
  changed();
});

async function start() {
  if (live) return;
  notice.hide();
  live = { session: null, microphone: null, take: null };
  const mine = live;
  showControls('connecting');
  let waiting = []; // sound that comes before the rate is known to the session
  try {
    mine.microphone = await openMicrophone((piece) => {
      if (mine.session) heard(mine, piece);
      else waiting.push(piece);
    }, () => {
      notice.show('The microphone was disconnected.', { bad: true });
      if (live === mine) stop();
    });
  } catch (err) {
    live = null;
    showControls('ended');
    notice.show(err.message, { bad: true });
    return;
  }
  if (mine.cancelled) {
    await mine.microphone.stop();
    live = null;
    showControls('ended');
    return;
  }
  recorded = 0;
  wave.clear();
  latency.clear();
  mine.take = transcript.begin();
  changed();
  mine.session = new LiveSession({ sample_rate: mine.microphone.rate, ...settings.config() }, {
    state: (state) => stateChanged(mine, state),
    event: (event) => received(mine, event),
    lost: () => {
      mine.take.lost();
      notice.show('The server no longer had this session. A new one goes on with the sound that was kept.', {});
    },
    problem: (text, how) => problem(text, how, start),
  });
  for (const piece of waiting) heard(mine, piece);
  waiting = [];
  mine.session.start();
}

function heard(mine, piece) {
  mine.session.push(piece.pcm);
  recorded += piece.pcm.length;
  const ms = recorded / mine.microphone.rate * 1000;
  latency.recorded(ms);
  mine.take.length = ms;
  wave.push(piece.peak);
  showLevel(piece.rms);
  if ($('clock').textContent !== time(ms)) $('clock').textContent = time(ms);
}

let levelShown = 0;

// showLevel shows the level of a piece on a scale of -60 to 0 dB of full scale.
function showLevel(rms) {
  const db = Math.max(-60, 20 * Math.log10(Math.max(rms, 1e-6)));
  $('meter-bar').style.transform = `scaleX(${(db + 60) / 60})`;
  if (performance.now() - levelShown < 1000) return;
  levelShown = performance.now();
  $('meter').setAttribute('aria-valuenow', Math.round(db));
  $('meter').setAttribute('aria-valuetext', db <= -60 ? 'silent' : `${Math.round(db)} decibels`);
}

// stop says that no more sound comes, or, once that takes long, that the rest of the text is not waited for.
async function stop() {
  if (!live.microphone) {
    live.cancelled = true;
    return;
  }
  if (live.stopping) {
    if (performance.now() - live.stopping > PATIENCE) live.session.abort();
    return;
  }
  live.stopping = performance.now();
  const { microphone, session } = live;
  await microphone.stop();
  session.stop();
  showLevel(0);
}

function received(mine, event) {
  switch (event.type) {
    case 'speech_started':
      wave.begin(event.start);
      break;
    case 'partial':
      latency.partial(event);
      mine.take.partial(event);
      break;
    case 'final':
      latency.final(event);
      mine.take.final(event);
      if (event.speech_final) wave.end(event.start, event.end);
      break;
    case 'utterance_end':
      wave.end(event.end, event.end);
      break;
    case 'error':
      mine.take.failed(event);
      break;
    case 'lag':
      showLag(event.ms);
      break;
  }
  if (event.language) $('now-language').textContent = languageName(event.language);
  if (event.type === 'partial' || event.type === 'final') $('now-adapter').textContent = event.adapter || 'base';
  if (latency.median !== null) $('now-commit').textContent = seconds(latency.median);
}

const seconds = (ms) => `${(ms / 1000).toFixed(1)} s`;

let lagTimer;

// showLag shows how far the server is behind; it says so again while it is.
function showLag(ms) {
  $('now-lag').textContent = seconds(ms);
  clearTimeout(lagTimer);
  lagTimer = setTimeout(() => { $('now-lag').textContent = live ? seconds(0) : '–'; }, 5000);
}

function stateChanged(mine, state) {
  if (live !== mine) return;
  showControls(state);
  keepAwake(state !== 'ended');
  if (state === 'live' && $('now-lag').textContent === '–') $('now-lag').textContent = seconds(0);
  if (state !== 'ended') return;
  live = null;
  mine.take.end();
  if (mine.take.segments.size === 0) transcript.drop(mine.take);
  wave.end(0, recorded / mine.microphone.rate * 1000);
  if (!mine.stopping) mine.microphone.stop(); // the server ended it
  showLevel(0);
}

let awake = null;

// keepAwake keeps a phone from going to sleep while it listens, where the browser knows how.
async function keepAwake(wanted) {
  try {
    if (wanted) awake ??= await navigator.wakeLock?.request('screen');
    else await awake?.release();
  } catch {
    // then it sleeps as it is used to
  }
  if (!wanted) awake = null;
}

function showControls(state) {
  const going = state !== 'ended';
  document.body.classList.toggle('live', going && state !== 'finishing');
  document.body.dataset.state = state;
  $('start-label').textContent = going ? 'Stop' : 'Start';
  $('finalize').disabled = state !== 'live';
  settings.live(going);
  setState(STATES[state]);
}

function problem(text, { needsKey, retry, fatal }, again) {
  if (needsKey) {
    askKey(text, again);
    return;
  }
  notice.show(text, { bad: Boolean(fatal), action: retry ? 'Try again' : '', run: again });
}

const toggle = () => (live ? stop() : start());
$('start').addEventListener('click', toggle);
$('finalize').addEventListener('click', () => live?.session?.finalize());
addEventListener('keydown', (e) => {
  if (e.key !== 'Enter' || !(e.ctrlKey || e.metaKey) || e.altKey || e.repeat || document.querySelector('dialog[open]')) return;
  e.preventDefault();
  if (!e.shiftKey) toggle();
  else if (!$('finalize').disabled) live?.session?.finalize();
});
settings.changed = (fields) => live?.session?.update(fields);
addEventListener('beforeunload', (e) => {
  if (live) e.preventDefault();
});

// Files.

const uploads = new Uploads(transcript, settings, notice);

function pick() {
  $('file').click();
}
$('pick').addEventListener('click', pick);
$('pick-empty').addEventListener('click', pick);
$('file').addEventListener('change', () => {
  uploads.add([...$('file').files]);
  $('file').value = '';
});

const holdsFiles = (e) => e.dataTransfer?.types.includes('Files');
addEventListener('dragover', (e) => {
  if (!holdsFiles(e)) return;
  e.preventDefault();
  $('drop').hidden = false;
});
addEventListener('dragleave', (e) => {
  if (!e.relatedTarget) $('drop').hidden = true;
});
addEventListener('drop', (e) => {
  if (!holdsFiles(e)) return;
  e.preventDefault();
  $('drop').hidden = true;
  uploads.add([...e.dataTransfer.files]);
});

// What is done with the text.

for (const b of document.querySelectorAll('[data-format]')) {
  b.addEventListener('click', () => download(b.dataset.format));
}

// download saves all final text.
function download(name) {
  const { type, write } = formats[name];
  const blob = new Blob([write(transcript.finals(), about)], { type: `${type};charset=utf-8` });
  const a = document.createElement('a');
  a.href = URL.createObjectURL(blob);
  a.download = `glossa-${new Date().toISOString().slice(0, 19).replaceAll(':', '-')}.${name}`;
  a.click();
  setTimeout(() => URL.revokeObjectURL(a.href), 10000);
}

$('copy').addEventListener('click', async () => {
  const text = transcript.text();
  try {
    await navigator.clipboard.writeText(text);
  } catch { // not over https
    const range = document.createRange();
    range.selectNodeContents($('transcript'));
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    notice.show('The browser does not let this page copy. The text is selected: press Ctrl+C.', {});
    return;
  }
  notice.show('Copied.', { brief: true });
});

$('clear').addEventListener('click', () => {
  if (live || uploads.busy) {
    notice.show('The text is still being written.', { brief: true });
    return;
  }
  const undo = transcript.clear();
  wave.clear();
  notice.show('Cleared.', { action: 'Undo', run: undo });
  $('start').focus();
});

// The server.

bindKey(loadModels);

async function loadModels() {
  try {
    const { data } = await getJSON('v1/models');
    settings.setAdapters(data.filter((m) => m.parent).map((m) => m.id));
  } catch (err) {
    if (err instanceof KeyNeeded) askKey(err.message, loadModels);
    // otherwise there is the choice of the language's adapter and of none, and Start tells what is wrong
  }
}

// showLanguages says which languages the model writes.
function showLanguages() {
  const list = (about.languages ?? []).map((l) => ({ code: l.code, name: languageName(l.code) === l.code ? l.name : languageName(l.code) }));
  settings.setLanguages(list);
  if (list.length === 0) return;
  const names = list.map((l) => l.name);
  const shown = names.length > 14 ? [...names.slice(0, 12), `${names.length - 12} more`] : names;
  const model = document.createElement('b');
  model.textContent = about.model;
  $('languages').replaceChildren('The model ', model, ` writes ${new Intl.ListFormat('en').format(shown)}.`);
  $('languages').hidden = false;
}

async function load() {
  try {
    about = await getJSON('about.json');
    showLanguages();
  } catch {
    notice.show('The server cannot be reached.', { bad: true, action: 'Try again', run: load });
    return;
  }
  $('key-open').hidden = !about.key;
  loadModels();
}

changed();
load();
