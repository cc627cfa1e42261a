// The choices beside the text. They outlive the page where the browser lets them.
const $ = (id) => document.getElementById(id);

const KEPT = 'glossa.settings';
const NAMES = ['language', 'adapter', 'policy', 'endpointing', 'hotwords'];

// Width below which settings stand above the text, not beside it, and are closed at first.
const NARROW = '(max-width: 56rem)';

export class Settings {
  constructor() {
    this.changed = () => {}; // called with the fields of config that changed
    this.wanted = this.read();
    for (const name of NAMES) {
      this.restore(name);
      $(name).addEventListener('change', () => {
        this.wanted[name] = $(name).value;
        this.write();
        this.changed(this.fieldsOf(name));
      });
    }
    this.showEndpointing();
    $('endpointing').addEventListener('input', () => this.showEndpointing());
    $('form').addEventListener('submit', (e) => e.preventDefault());
    const narrow = matchMedia(NARROW);
    $('settings').open = !narrow.matches;
    narrow.addEventListener('change', () => { $('settings').open = !narrow.matches; });
  }

  read() {
    try {
      return JSON.parse(localStorage.getItem(KEPT)) ?? {};
    } catch {
      return {};
    }
  }

  write() {
    try {
      localStorage.setItem(KEPT, JSON.stringify(this.wanted));
    } catch {
      // then they last as long as the page
    }
  }

  // restore gives a control the value that was chosen, where there is such.
  restore(name) {
    const value = this.wanted[name];
    const e = $(name);
    if (value === undefined) return;
    if (e.tagName !== 'SELECT' || [...e.options].some((o) => o.value === value)) e.value = value;
  }

  showEndpointing() {
    $('endpointing-out').textContent = `${$('endpointing').value} ms`;
  }

  setLanguages(list) {
    offer($('language'), 1, list.map((l) => new Option(l.name, l.code)));
    this.restore('language');
  }

  setAdapters(names) {
    offer($('adapter'), 2, names.map((n) => new Option(n, n)));
    this.restore('adapter');
  }

  // live says whether a session goes on, for which some choices are made.
  live(going) {
    $('policy').disabled = going;
  }

  get hotwords() {
    return $('hotwords').value.split(/[,\n]/).map((w) => w.trim()).filter((w) => w);
  }

  fieldsOf(name) {
    switch (name) {
      case 'endpointing': return { endpointing_ms: Number($('endpointing').value) };
      case 'hotwords': return { hotwords: this.hotwords };
      default: return { [name]: $(name).value };
    }
  }

  // config is all of it as a live session is told.
  config() {
    return Object.assign({}, ...NAMES.map((n) => this.fieldsOf(n)));
  }

  // fields are those of a request for a file.
  fields() {
    const fields = { adapter: $('adapter').value };
    if ($('language').value !== 'auto') fields.language = $('language').value;
    if (this.hotwords.length > 0) fields.hotwords = this.hotwords.join(', ');
    return fields;
  }
}

// offer puts options behind the first ones of a choice, which stay.
function offer(select, stay, options) {
  while (select.options.length > stay) select.remove(stay);
  select.append(...options);
}
