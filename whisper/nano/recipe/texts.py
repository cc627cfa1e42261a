"""Random sentences of twelve languages for the nano model's corpus.

A language is one file texts/<code>.json: sentence templates by kind, slots (alternatives
separated by "|"), and, where num2words lacks the language, its number words. Country and
language names come from the translations of Debian's iso-codes. Every sentence is lower case,
NFC, without digits and punctuation; an apostrophe inside a French, Catalan or English word is
kept, since the word is misspelt without it.
"""

import gettext
import json
import pathlib
import re
import unicodedata

import num2words

FOLDER = pathlib.Path(__file__).parent / "texts"
ISO_CODES = pathlib.Path("/usr/share/iso-codes/json")
LOCALES = "/usr/share/locale"

BASE = ("en", "de", "es", "fr", "pl", "hi")
ADAPTED = ("ca", "cs", "fi", "it", "mr", "ru")
LANGUAGES = BASE + ADAPTED
DEVANAGARI = ("hi", "mr")
CYRILLIC = ("ru",)

# Share of each kind of sentence; "short" are utterances of one or two words.
KINDS = {"command": 0.40, "number": 0.13, "digits": 0.07, "date": 0.10, "time": 0.08,
         "name": 0.10, "short": 0.12}
MAX_WORDS = 9
# Amounts after which the counted noun has one form in every language.
FEW = list(range(5, 21)) + [25, 30, 35, 40, 45, 50]
MINUTES = list(range(10, 21)) + [25, 30, 35, 40, 45, 50, 55]

_SLOT = re.compile(r"\{(\w+)\}")
_VIRAMA = "\u094d"


def normalise(text):
    """Lower case, NFC, hyphens as spaces, typographic apostrophes as "'", no other punctuation."""
    text = unicodedata.normalize("NFC", text.lower()).replace("\u2019", "'")
    kept = (c if c == "'" or unicodedata.category(c)[0] in "LMN" else " " for c in text)
    return " ".join("".join(kept).split())


def script(lang):
    """The script of a language, as the names of its characters begin."""
    return "DEVANAGARI" if lang in DEVANAGARI else "CYRILLIC" if lang in CYRILLIC else "LATIN"


def check(text, lang):
    """Raises ValueError unless text is speakable: letters of the language's script only."""
    for c in text.replace("'", "").replace(" ", ""):
        name = unicodedata.name(c, "")
        if not name.startswith(script(lang)) or "DIGIT" in name:
            raise ValueError(f"texts: {lang}: {c!r} in {text!r}")
    if text != normalise(text) or not text:
        raise ValueError(f"texts: {lang}: {text!r} is not normalised")


class Numbers:
    """Cardinal number words 0..9999 of one language."""

    def __init__(self, lang, table, repair):
        self.lang, self.repair = {"cs": "cz"}.get(lang, lang), repair
        self.table = {k: v.split("|") for k, v in table.items()} if table else None

    def words(self, n):
        """The words of n, 0 <= n <= 9999."""
        if self.table:
            return normalise(self._by_table(n))
        words = num2words.num2words(n, lang=self.lang)
        for wrong, right in self.repair.items():
            words = re.sub(rf"\b{wrong}\b", right, words)
        return normalise(words)

    def _by_table(self, n):
        t = self.table
        if n >= 1000:
            head = t["one_thousand"][0] if n < 2000 else _join(self._by_table(n // 1000), t["thousand"][0])
            return _join(head, n % 1000 and self._by_table(n % 1000))
        if n == 100:
            return t["hundred"][0]
        if n > 100:
            return _join(t["hundreds"][n // 100], n % 100 and self._by_table(n % 100))
        if n < len(t["below100"]):
            return t["below100"][n]
        return _join(t["tens"][n // 10], n % 10 and t["below100"][n % 10])


def _join(head, tail):
    """head and tail with a space between, or head alone where tail is 0."""
    return f"{head} {tail}" if tail else head


class Language:
    """The sentence generator of one language."""

    def __init__(self, lang):
        self.lang = lang
        spec = json.loads((FOLDER / f"{lang}.json").read_text())
        self.kinds = {k: spec[k] for k in KINDS if k != "digits"}
        self.kinds["digits"] = ["{digits}"]
        self.slots = {k: v.split("|") for k, v in spec["slots"].items()}
        for slot in {"clock", "clockat"} & spec.keys():
            self.slots[slot] = spec[slot]
        self.compound = spec.get("compound", False)
        self.numbers = Numbers(lang, spec.get("numbers"), spec.get("repair", {}))
        codes = json.loads((FOLDER / "codes.json").read_text())
        exclude = set(codes["exclude"][lang].split())
        for slot, standard, listed in (("country", "3166-1", "countries"), ("language", "639-2", "languages")):
            self.slots[slot] = _names(lang, standard, [c for c in codes[listed].split() if c not in exclude])

    def sentence(self, rng):
        """One random sentence of at most MAX_WORDS words; rng is a random.Random."""
        while True:
            kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
            text = normalise(self._fill(rng.choice(self.kinds[kind]), rng))
            if len(text.split()) <= MAX_WORDS:
                check(text, self.lang)
                return text

    def _fill(self, template, rng):
        return _SLOT.sub(lambda m: self._fill(self._slot(m[1], rng), rng), template)

    def _slot(self, name, rng):
        if name in self.slots:
            return rng.choice(self.slots[name])
        if name == "digits":
            return " ".join(self.numbers.words(rng.randrange(10)) for _ in range(rng.randint(3, 6)))
        draw = {"n": self._any_number, "small": lambda r: r.randint(1, 20), "few": lambda r: r.choice(FEW),
                "minute": lambda r: r.choice(MINUTES), "day": lambda r: r.randint(1, 31), "year": self._year}
        n = draw[name](rng)
        if name == "year" and self.lang in ("en", "de"):
            return num2words.num2words(n, lang=self.lang, to="year")
        return self.numbers.words(n)

    def _any_number(self, rng):
        """0..9999, small numbers more often; where a number is one long word, round ones past 99."""
        size = rng.random()
        if size < 0.35:
            return rng.randint(0, 20)
        if size < 0.75:
            return rng.randint(21, 99)
        if size < 0.92:
            if self.compound:
                return rng.randrange(100, 1000, 50)
            return rng.choice((rng.randrange(100, 1000), rng.randrange(100, 1000, 100)))
        if self.compound:
            return rng.randrange(1000, 10000, 1000)
        return rng.choice((rng.randrange(1000, 10000, 1000), rng.randrange(1100, 10000, 100),
                           rng.randrange(1000, 10000)))

    def _year(self, rng):
        if rng.random() < 0.7:
            return rng.randint(2000, 2029)
        return rng.randrange(1950, 2000, 10) if self.compound else rng.randint(1950, 1999)


def _names(lang, standard, codes):
    """Names of the codes in a language, from iso-codes; names that are lists or inversions are left out."""
    entries = json.loads((ISO_CODES / f"iso_{standard}.json").read_text())[standard]
    by_code = {e["alpha_2"]: e.get("common_name") or e["name"] for e in entries if "alpha_2" in e}
    translate = str if lang == "en" else gettext.translation(f"iso_{standard}", LOCALES, [lang]).gettext
    names = []
    for code in codes:
        name = translate(by_code[code])
        if standard == "3166-1" and "," in name:
            continue
        name = normalise(re.split(r"[;,(]", name)[0])
        try:
            check(name, lang)
        except ValueError:
            continue
        if name not in names and not name.endswith(_VIRAMA):
            names.append(name)
    return names
