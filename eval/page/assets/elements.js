// Elements and texts.
const byID = (id) => document.getElementById(id);

// element makes one: attributes that are false, null or undefined are left out, and children are nodes or texts.
function element(name, attributes = {}, ...children) {
  const e = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === false || value == null) continue;
    if (key === 'class') e.className = value;
    else e.setAttribute(key, value === true ? '' : value);
  }
  e.append(...children.filter((c) => c != null && c !== ''));
  return e;
}

const percent = (x) => `${(100 * x).toFixed(1)}%`;
const signed = (x) => `${x < 0 ? '−' : '+'}${Math.abs(100 * x).toFixed(1)}`;
const count = (n) => String(n).replace(/\B(?=(\d{3})+$)/g, '\u202f');
const clock = (s) => `${Math.floor(s / 60)}:${String(Math.floor(s % 60)).padStart(2, '0')}`;
const seconds = (s) => (s < 1 ? `${Math.round(1000 * s)} ms` : `${s.toFixed(2)} s`);

// languageName is the English name of a language tag, or '' where there is none.
const languageNames = new Intl.DisplayNames(['en'], { type: 'language', fallback: 'none' });
function languageName(tag) {
  try {
    return languageNames.of(tag.replaceAll('_', '-')) ?? '';
  } catch {
    return ''; // no tag of a language
  }
}

// Languages that are written without spaces between words. They are aligned by character or syllable.
const unspaced = new Set(['zh', 'yue', 'cmn', 'ja', 'th', 'lo', 'km', 'my']);
const isUnspaced = (lang) => unspaced.has((lang ?? '').split(/[-_]/)[0].toLowerCase());

// direction is that of the first letter that has one.
const rightToLeft = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u;
function direction(text) {
  const letter = text.match(/\p{L}/u);
  return letter && rightToLeft.test(letter[0]) ? 'rtl' : 'ltr';
}
