// Alignments. The steps of one are letters: C for correct, S, D and I for words that were substituted, left out and put in.
const stepNames = { C: 'correct', S: 'substituted', D: 'deleted', I: 'inserted' };

// spacer is what stands between the words of a language.
const spacer = (lang) => (isUnspaced(lang) ? '' : ' ');

// steps are those of a system's alignment: {op, ref, hyp}.
function* steps(utterance, system) {
  const ref = system.ref ?? utterance.words;
  let i = 0;
  let j = 0;
  for (const op of system.ops) {
    yield { op, ref: op === 'I' ? '' : ref[i] ?? '', hyp: op === 'D' ? '' : system.words[j] ?? '' };
    if (op !== 'I') i++;
    if (op !== 'D') j++;
  }
}

// measure counts the steps of a system.
function measure(system) {
  const n = { C: 0, S: 0, D: 0, I: 0 };
  for (const op of system.ops) n[op]++;
  const [hits, substitutions, deletions, insertions] = system.characters;
  Object.assign(system, n, {
    edits: n.S + n.D + n.I,
    wer: (n.S + n.D + n.I) / Math.max(1, n.C + n.S + n.D),
    cer: (substitutions + deletions + insertions) / Math.max(1, hits + substitutions + deletions),
  });
}

// systemName is the name of a system for reading.
const systemName = (system) => system.adapter || 'base';

// inline is a hypothesis as a line of text, what was left out among it.
function inline(utterance, system) {
  const space = spacer(utterance.lang);
  const line = document.createDocumentFragment();
  for (const { op, ref, hyp } of steps(utterance, system)) {
    if (line.childNodes.length > 0) line.append(space);
    if (op === 'C') line.append(hyp);
    else if (op === 'S') line.append(element('span', { class: 'word S', title: `for “${ref}”` }, hyp));
    else if (op === 'D') line.append(element('del', { class: 'word D', title: 'left out' }, ref));
    else line.append(element('ins', { class: 'word I', title: 'put in' }, hyp));
  }
  return line;
}

// columns puts the alignments of systems that share a reference above one another: {ref, cells}, a cell {op, hyp} or null for each
// system. Between two words of the reference there are as many columns as the system with the most insertions there needs.
function columns(words, utterance, systems) {
  const inserted = systems.map(() => words.concat('').map(() => []));
  const said = systems.map(() => []);
  systems.forEach((system, k) => {
    for (const { op, hyp } of steps(utterance, system)) {
      if (op === 'I') inserted[k][Math.min(said[k].length, words.length)].push({ op, hyp });
      else said[k].push({ op, hyp });
    }
  });
  const all = [];
  for (let i = 0; i <= words.length; i++) {
    const most = Math.max(0, ...inserted.map((x) => x[i].length));
    for (let n = 0; n < most; n++) all.push({ ref: null, cells: inserted.map((x) => x[i][n] ?? null) });
    if (i < words.length) all.push({ ref: words[i], cells: said.map((x) => x[i] ?? null) });
  }
  return all;
}

// maxColumns is how many columns are drawn at first.
const maxColumns = 1500;

// alignment draws the reference and below it, word by word, what the systems of one reference heard.
function alignment(utterance, systems) {
  const words = systems[0].ref ?? utterance.words;
  const text = words.join(' ') || systems.map((s) => s.words.join(' ')).join(' ');
  const all = columns(words, utterance, systems);
  const box = element('div', { class: 'alignment', dir: direction(text) });
  const heads = element('div', { class: 'column heads', dir: 'auto' }, element('span', { class: 'cell ref' }, 'reference'),
    ...systems.map((s) => element('span', { class: s.edits ? 'cell' : 'cell quiet' }, element('span', { class: 'shown', title: systemName(s) }, systemName(s)), s.edits ? element('span', { class: 'letter' }, '\u00a0') : '')));
  box.append(heads);
  const draw = (from, to) => {
    for (const { ref, cells } of all.slice(from, to)) {
      const column = element('div', { class: 'column', lang: utterance.lang });
      column.append(element('span', { class: 'cell ref' }, ref === null ? element('span', { class: 'gap' }, '∗') : element('bdi', {}, ref)));
      cells.forEach((cell, k) => column.append(cellOf(cell, systems[k].edits === 0)));
      box.append(column);
    }
  };
  draw(0, maxColumns);
  if (all.length > maxColumns) {
    const more = element('button', { type: 'button', class: 'plain' }, `Show ${count(all.length - maxColumns)} more words`);
    more.addEventListener('click', () => {
      more.remove();
      draw(maxColumns, all.length);
    });
    box.append(more);
  }
  return box;
}

// cellOf draws a word that was heard, and the letter of its step where it is an error.
function cellOf(cell, quiet) {
  const plain = quiet ? 'cell quiet' : 'cell'; // of a system without an error there are no letters to leave room for
  if (!cell) return element('span', { class: plain }, '\u00a0');
  const { op, hyp } = cell;
  if (op === 'C') return element('span', { class: plain }, element('bdi', {}, hyp));
  const word = op === 'D' ? element('span', { class: 'gap' }, '∗') : element('bdi', {}, hyp);
  return element('span', { class: `cell ${op}` }, element('span', { class: 'shown' }, word), element('abbr', { class: 'letter', title: stepNames[op] }, op));
}
