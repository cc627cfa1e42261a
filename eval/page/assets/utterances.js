// The list of utterances: a page of it, one of them open.
const pageLength = 50;
let list = []; // what was found
let page = 0;
let selected = null; // an utterance
let opened = null; // its player, where it is open and has one

// item draws an utterance.
function item(u) {
  const systems = systemsOf(u);
  const title = u.id ?? u.audio ?? `Number ${u.at + 1}`;
  const open = element('button', { type: 'button', class: 'opener', 'aria-expanded': 'false', title }, element('bdi', {}, title));
  const play = element('button', { type: 'button', class: 'play', 'aria-label': `Play ${title}` });
  const facts = [u.lang, u.speaker, u.duration && `${u.duration.toFixed(1)} s`].filter(Boolean).join(' · ');
  const text = u.words.join(' ') || systems.map((s) => s.words.join(' ')).join(' ');
  const dir = direction(text);
  const lines = element('dl', { class: 'lines' },
    element('dt', {}, 'said'), element('dd', { class: 'ref', lang: u.lang, dir }, u.words.length ? u.words.join(spacer(u.lang)) : element('i', {}, 'nothing')));
  for (const s of systems) {
    lines.append(element('dt', { dir: 'auto' }, systemName(s)));
    if (s.error) lines.append(element('dd', { class: 'failed' }, s.error));
    else lines.append(element('dd', { lang: u.lang, dir }, s.ops ? inline(u, s) : element('i', {}, 'nothing')));
    lines.append(element('dd', { class: `rate ${s.edits ? '' : 'right'}` }, s.error ? 'failed' : percent(s.wer)));
  }
  const row = element('div', { class: 'row' }, u.clip ? play : element('span', { class: 'mute' }),
    element('div', { class: 'facts' }, open, element('span', {}, element('bdi', {}, facts))), lines);
  const li = element('li', { class: 'utterance', tabindex: '-1', 'data-at': u.at }, row);
  open.addEventListener('click', () => select(u, selected !== u));
  play.addEventListener('click', () => player.toggle(u.at));
  row.addEventListener('click', (e) => {
    if (!e.target.closest('button') && getSelection().isCollapsed) select(u, selected !== u);
  });
  return li;
}

// detail draws what an open utterance shows beside its line.
function detail(u) {
  const box = element('div', { class: 'detail' });
  opened = u.clip ? playerOf(u) : null;
  if (opened) box.append(opened);
  // Systems whose alternatives of the reference differ are shown for themselves.
  const groups = Map.groupBy(systemsOf(u).filter((s) => !s.error), (s) => (s.ref ? JSON.stringify(s.ref) : ''));
  for (const systems of groups.values()) box.append(alignment(u, systems));
  const facts = element('dl', { class: 'written' });
  const add = (name, text, lang) => text && facts.append(element('dt', { dir: 'auto' }, name), element('dd', { dir: 'auto', lang }, text));
  add('said, as written', u.ref, u.lang);
  for (const s of systemsOf(u)) {
    add(`${systemName(s)}, as written`, s.hyp, u.lang);
    if (!s.error) {
      add(`${systemName(s)}, numbers`, [`WER ${percent(s.wer)}`, `CER ${percent(s.cer)}`, `${s.S} substituted, ${s.D} deleted, ${s.I} inserted`,
        s.latency && `after ${seconds(s.latency)}`, s.detected && `taken for ${languageName(s.detected) || s.detected}`].filter(Boolean).join(' · '));
    }
  }
  add('sound', [u.audio, u.start && `from ${u.start.toFixed(2)} s`, u.duration && `${u.duration.toFixed(2)} s long`].filter(Boolean).join(', '));
  box.append(facts);
  return box;
}

// select opens an utterance that is on the page and closes the one that was open.
function select(u, open = true) {
  for (const e of byID('list').querySelectorAll('.utterance[data-open]')) {
    delete e.dataset.open;
    e.querySelector('.detail').remove();
    e.querySelector('.opener').setAttribute('aria-expanded', 'false');
  }
  selected = open ? u : null;
  opened = null;
  if (!open) return;
  const li = byID('list').querySelector(`[data-at="${u.at}"]`);
  li.dataset.open = '';
  li.querySelector('.opener').setAttribute('aria-expanded', 'true');
  li.append(detail(u));
}

// step goes to the next utterance, or to the one before.
function step(by) {
  const at = selected ? list.indexOf(selected) + by : page * pageLength + (by > 0 ? 0 : -1);
  const u = list[at];
  if (!u) return;
  if (Math.floor(at / pageLength) !== page) turn(Math.floor(at / pageLength));
  select(u);
  const li = byID('list').querySelector('[data-open]');
  li.focus({ preventScroll: true });
  li.scrollIntoView({ block: 'nearest' });
}

// turn shows a page of the list.
function turn(to) {
  const pages = Math.max(1, Math.ceil(list.length / pageLength));
  page = Math.max(0, Math.min(to, pages - 1));
  selected = opened = null;
  byID('list').start = page * pageLength + 1;
  byID('list').replaceChildren(...list.slice(page * pageLength, (page + 1) * pageLength).map(item));
  byID('previous').disabled = page === 0;
  byID('next').disabled = page === pages - 1;
  byID('where').textContent = `Page ${count(page + 1)} of ${count(pages)}`;
  byID('previous').parentElement.hidden = pages === 1;
  sounded(player.at);
}

// refresh finds the utterances again.
function refresh() {
  list = found();
  byID('found').textContent = list.length === utterances.length ? `${count(list.length)} utterances` : `${count(list.length)} of ${count(utterances.length)} utterances`;
  const { pair } = view;
  byID('pair').hidden = !pair;
  if (pair) {
    byID('pair').replaceChildren(element('bdi', {}, pair.ref || 'inserted'), ' → ', element('bdi', {}, pair.hyp || 'left out'), ' ✕');
    byID('pair').setAttribute('aria-label', `Any words rather than ${pair.ref || 'nothing'} heard as ${pair.hyp || 'nothing'}`);
  }
  turn(0);
}

// sounded shows on the page what the player does with an utterance.
function sounded(at) {
  const play = byID('list').querySelector(`[data-at="${at}"] .play`);
  play?.classList.toggle('playing', player.playing(at));
  if (opened && selected) opened.update();
}

// options fills a choice with [value, name].
function options(id, all, set) {
  const select = byID(id);
  select.append(...all.map(([, name], i) => element('option', { value: i }, name)));
  select.addEventListener('change', () => {
    set(all[select.value][0]);
    refresh();
  });
  select.parentElement.hidden = all.length < 2;
}

function controls() {
  const langs = [...new Set(utterances.map((u) => u.lang ?? ''))].sort(collator.compare);
  options('lang', [[null, 'All'], ...langs.map((l) => [l, languageName(l) ? `${languageName(l)} (${l})` : l || 'none'])].slice(langs.length > 1 ? 0 : 1), (v) => { view.lang = v; });
  const adapters = [...new Set(utterances.flatMap((u) => u.systems.map((s) => s.adapter ?? '')))].sort(collator.compare);
  options('adapter', [[null, 'All'], ...adapters.map((a) => [a, a || 'base'])].slice(adapters.length > 1 ? 0 : 1), (v) => { view.adapter = v; });
  const useful = Object.entries(kinds).filter(([key, [, test]]) => key === 'all' || utterances.some(test));
  options('errors', useful.map(([key, [name]]) => [key, name]), (v) => { view.errors = v; });
  const compared = utterances.some((u) => gainOf(u) !== null);
  const orderly = Object.entries(orders).filter(([key]) => compared || !['gain', 'loss'].includes(key));
  options('order', orderly.map(([key, [name]]) => [key, name]), (v) => { view.order = v; });

  let waiting = 0;
  byID('search').addEventListener('input', (e) => {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      view.text = e.target.value;
      refresh();
    }, 120);
  });
  byID('pair').addEventListener('click', () => {
    view.pair = null;
    refresh();
    byID('search').focus({ preventScroll: true });
  });
  for (const button of document.querySelectorAll('.confusion')) {
    button.addEventListener('click', () => {
      view.pair = { ...button.dataset };
      refresh();
      byID('utterances').scrollIntoView();
    });
  }
  const go = (to) => {
    turn(to);
    byID('utterances').scrollIntoView();
  };
  byID('previous').addEventListener('click', () => go(page - 1));
  byID('next').addEventListener('click', () => go(page + 1));
}

document.addEventListener('keydown', (e) => {
  if (e.ctrlKey || e.metaKey || e.altKey || e.target.closest('input:not([type="range"]), select, textarea')) return;
  const keys = {
    j: () => step(1),
    k: () => step(-1),
    '/': () => byID('search').focus(),
    ' ': selected?.clip && !e.target.closest('button, a, input, .scroll') ? () => player.toggle(selected.at) : null,
  };
  if (!keys[e.key] || list.length === 0) return;
  e.preventDefault();
  keys[e.key]();
});

if (utterances.length > 0) {
  document.addEventListener('sound', (e) => sounded(e.detail));
  controls();
  byID('browser').hidden = false;
  refresh();
}
