// Which utterances are looked at, and in which order.
const utterances = JSON.parse(byID('utterances-data').textContent);
utterances.forEach((u, at) => {
  u.at = at;
  u.systems.forEach(measure);
});

// searchable is the text of an utterance that is searched in; it is made when it is first needed.
function searchable(u) {
  u.searchable ??= [u.id, u.speaker, u.audio, u.ref, u.words.join(' '), ...u.systems.flatMap((s) => [s.hyp, s.words.join(' ')])]
    .join('\n').normalize('NFC').toLowerCase();
  return u.searchable;
}

// view is what is asked for. adapter is null for all systems; pair is a confusion, of one system where that is known.
const view = { text: '', lang: null, adapter: null, errors: 'all', order: 'errors', pair: null };

// systemsOf are the systems of an utterance that are looked at.
const systemsOf = (u) => (view.adapter === null ? u.systems : u.systems.filter((s) => (s.adapter ?? '') === view.adapter));

// gainOf is how much lower the error rate of the last adapter is than that of the base model, or null where one of them is not there.
function gainOf(u) {
  const base = u.systems.find((s) => !s.adapter && !s.error);
  const adapted = u.systems.findLast((s) => s.adapter && !s.error && (!view.adapter || s.adapter === view.adapter));
  return base && adapted ? base.wer - adapted.wer : null;
}

const editsOf = (u) => Math.max(0, ...systemsOf(u).map((s) => s.edits));
const rateOf = (u) => Math.max(0, ...systemsOf(u).map((s) => s.wer));
const some = (test) => (u) => systemsOf(u).some(test);

const kinds = {
  all: ['All', () => true],
  wrong: ['With errors', (u) => editsOf(u) > 0],
  right: ['Without errors', (u) => editsOf(u) === 0 && !systemsOf(u).some((s) => s.error)],
  S: ['With substitutions', some((s) => s.S > 0)],
  D: ['With deletions', some((s) => s.D > 0)],
  I: ['With insertions', some((s) => s.I > 0)],
  better: ['Better by the adapter', (u) => gainOf(u) > 0],
  worse: ['Worse by the adapter', (u) => gainOf(u) !== null && gainOf(u) < 0],
  detected: ['Of another language', (u) => systemsOf(u).some((s) => s.detected && s.detected !== u.lang)],
  failed: ['That failed', some((s) => s.error)],
  sound: ['With sound', (u) => u.clip],
};

const orders = {
  errors: ['Most errors', (a, b) => editsOf(b) - editsOf(a)],
  rate: ['Highest WER', (a, b) => rateOf(b) - rateOf(a)],
  low: ['Lowest WER', (a, b) => rateOf(a) - rateOf(b)],
  gain: ['Most gained', (a, b) => (gainOf(b) ?? -Infinity) - (gainOf(a) ?? -Infinity) || 0],
  loss: ['Most lost', (a, b) => (gainOf(a) ?? Infinity) - (gainOf(b) ?? Infinity) || 0],
  long: ['Longest', (a, b) => b.words.length - a.words.length],
  lang: ['Language', (a, b) => collator.compare(a.lang ?? '', b.lang ?? '')],
  name: ['Name', (a, b) => collator.compare(a.id ?? a.audio ?? '', b.id ?? b.audio ?? '')],
  none: ['As in the test set', () => 0],
};

// hasPair reports whether a system took one word for another.
function hasPair(u, { lang, adapter, ref, hyp }) {
  if (lang && lang !== u.lang) return false;
  return systemsOf(u).some((s) => {
    if (adapter !== undefined && adapter !== (s.adapter ?? '')) return false;
    for (const step of steps(u, s)) if (step.op !== 'C' && step.ref === ref && step.hyp === hyp) return true;
    return false;
  });
}

// found returns the utterances that are asked for. Equals keep the order of the test set.
function found() {
  const text = view.text.normalize('NFC').toLowerCase().trim();
  return utterances.filter((u) => (view.lang === null || (u.lang ?? '') === view.lang)
    && systemsOf(u).length > 0
    && kinds[view.errors][1](u)
    && (!text || searchable(u).includes(text))
    && (!view.pair || hasPair(u, view.pair)))
    .sort(orders[view.order][1]);
}
