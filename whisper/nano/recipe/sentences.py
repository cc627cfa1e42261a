#!/usr/bin/python3
"""Sentences of twelve languages from the texts inside Debian packages: the open part of the nano model's corpus.

    sentences.py --packages DIR --out DIR

reads the .deb files that sources.json names (apt-get download has put them into --packages) and writes
out/LANG.tsv, a sentence and its package a line, and out/sources.json, which counts sentences by language and package.

A package has texts as gettext catalogues (whose msgids are English), as pages of help (Mallard XML or HTML
in a folder named for its language), as JSON messages, or as fortune files. A sentence has 2 to 12 words of the
language's own letters. Text with digits, placeholders, mark-up or words that look like code is left out, and
so is a sentence that a model of letters takes for another language.
"""

import argparse
import collections
import gettext
import html
import io
import json
import math
import pathlib
import re
import subprocess
import tarfile
import unicodedata

import texts

SOURCES = pathlib.Path(__file__).parent / "sources.json"
MIN_WORDS, MAX_WORDS = 2, 12
MIN_LETTERS, MAX_LETTERS, MAX_WORD = 6, 72, 22

# Letters of a language besides a to z; the Devanagari and Cyrillic ones are all there are.
LETTERS = {
    "en": "", "de": "äöüß", "es": "áéíóúüñ", "fr": "àâæçèéêëîïôœùûüÿ", "pl": "ąćęłńóśźż", "ca": "àçèéíïòóúü",
    "cs": "áčďéěíňóřšťúůýž", "fi": "äöåšž", "it": "àèéìíòóùú", "ru": "абвгдежзийклмнопрстуфхцчшщъыьэюяё",
}
# A word without one of these is an abbreviation or a sigh, which are spoken in many ways.
VOWELS = {"cs": "aeiouyáéěíóúůýlr", "ru": "аеёиоуыэюя"}
LATIN_VOWELS = "aeiouyáàâäãåąæéèêëęíìîïóòôöœúùûüÿ"
APOSTROPHE = ("en", "fr", "ca", "it")
# A word of these apostrophes is whole: c'est, l'eau, don't. A clipped one ('em, runnin') is not taken.
_WORD_APOSTROPHE = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)+")

# What no sentence has: digits, placeholders, mark-up, code.
_CODE = re.compile(r"[0-9०-९%{}<>$_\\/=@*|#^~\[\]()&+`©®™°§×•·→…]|\.\w|\b\w+\.\w|--|[a-zà-ÿ][A-ZÀ-Þ]|\b[^\W\d_]*[A-ZА-ЯÀ-Þ]{2,}")
_SENTENCE_END = re.compile(r"(?<=[.!?;:।॥])[\"'»”“’]*\s+|\n\s*\n|\s+[-–—]\s+|…|\.\.\.")
_TAG = re.compile(r"<[^>]*>")
_QUOTES = str.maketrans("", "", "\"«»„“”‚‘‹›\u00ad\u200b\u200c\u200d\ufeff")
_DEVANAGARI = re.compile(r"[\u0900-\u0963\u0970-\u097f]+")


def alphabet(lang):
    """A pattern of the words of a language."""
    if lang in texts.DEVANAGARI:
        return _DEVANAGARI
    letters = LETTERS[lang] if lang == "ru" else "a-z" + LETTERS[lang]
    return re.compile(f"[{letters}]+")


def cut(text, lang, word):
    """The sentences of a text that are fit to be spoken, normalised."""
    for piece in _SENTENCE_END.split(text):
        piece = " ".join(piece.split())
        if not piece or piece.endswith(":") or _CODE.search(piece.rstrip(".")):
            continue
        sentence = texts.normalise(piece.translate(_QUOTES))
        words = sentence.split()
        if not MIN_WORDS <= len(words) <= MAX_WORDS or not MIN_LETTERS <= len(sentence) <= MAX_LETTERS:
            continue
        if all(fit(w, lang, word) for w in words) and sum(len(w) == 1 for w in words) * 3 <= len(words):
            yield sentence


def fit(w, lang, word):
    """Whether w is a word in the letters of a language."""
    if "'" in w:
        if lang not in APOSTROPHE or not _WORD_APOSTROPHE.fullmatch(w):
            return False
        return all(word.fullmatch(part) for part in w.split("'"))
    if lang in texts.DEVANAGARI and unicodedata.category(w[0]) != "Lo":
        return False
    if lang not in texts.DEVANAGARI and len(w) > 1 and not set(w) & set(VOWELS.get(lang, LATIN_VOWELS)):
        return False
    return len(w) <= MAX_WORD and bool(word.fullmatch(w)) and len(set(w)) > (len(w) - 1) // 4


# Fortunes that are offensive, and so enciphered, and Slovak ones among the Czech.
_APART = re.compile(r"/fortunes/(?:\w+/)?off/|/fortunes/\w+/\w+-sk$")


def members(deb):
    """(path, bytes) of the files in a .deb that may hold texts."""
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE) as p:
        with tarfile.open(fileobj=p.stdout, mode="r|") as tar:
            for member in tar:
                if _APART.search(member.name):
                    continue
                if member.isfile() and re.search(r"\.(mo|page|x?html|json)$|/games/fortunes/|/fortunes/", member.name):
                    yield member.name, tar.extractfile(member).read()


_LOCALE = re.compile(r"/(?:locale|help|resource|html|i18n|help/C)/([a-z]{2})(?:[_-][A-Z]{2})?(?:/|\.json)|/i18n/(?:\w+/)?([a-z]{2})\.json")


def language_of(path, package_language):
    """The language of a file by the folder that it is in, or that of its package."""
    if package_language:
        return package_language
    if "/help/C/" in path:
        return "en"
    found = _LOCALE.search(path)
    code = found and (found[1] or found[2])
    if code and not re.search(r"/(pt_BR|zh_\w+|\w+@\w+)/", path):
        return code
    return None


def read(path, data, lang):
    """(language, text) of the texts in one file."""
    if path.endswith(".mo"):
        try:
            catalog = gettext.GNUTranslations(io.BytesIO(data))._catalog
        except (OSError, UnicodeDecodeError, ValueError):
            return
        for source, target in catalog.items():
            if isinstance(source, tuple):
                source = source[0]
            if source and target and source != target:
                yield lang, target
                yield "en", source.split("\x04")[-1]
    elif path.endswith((".page", ".html", ".xhtml")):
        body = re.sub(r"(?s)<(head|script|style|code|pre|screen|cmd|comment)\b.*?</\1>", " ", data.decode("utf-8", "ignore"))
        for block in re.split(r"</?(?:p|li|td|th|h\d|div|title|item|desc|br|dd|dt|title)\b[^>]*>", body):
            yield lang, html.unescape(_TAG.sub("", block)).replace("\n", " ")
    elif path.endswith(".json"):
        try:
            messages = json.loads(data)
        except ValueError:
            return
        if isinstance(messages, dict):
            for text in messages.values():
                if isinstance(text, str):
                    yield lang, text
    elif not path.endswith((".dat", ".u8")):
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            text = data.decode({"cs": "iso-8859-2", "pl": "iso-8859-2", "ru": "koi8-r"}.get(lang, "iso-8859-1"))
        for cookie in re.split(r"\n%+\n", text):
            for line in re.split(r"\n\s+(?:--|~|—)[^\n]*", cookie):
                yield lang, re.sub(r"(?<![.!?:])\n(?!\n)", " ", line)


class Letters:
    """A model of the letters of each language: word trigrams with add-one smoothing."""

    def __init__(self, sentences):
        self.counts = {lang: collections.Counter(g for s in found for g in self.grams(s)) for lang, found in sentences.items()}
        self.totals = {lang: sum(c.values()) + 50000 for lang, c in self.counts.items()}

    @staticmethod
    def grams(sentence):
        padded = f"  {sentence} "
        return [padded[i : i + 3] for i in range(len(padded) - 2)]

    def score(self, sentence, lang):
        """The mean log probability of a trigram of the sentence, each less its own occurrence."""
        counts, total, grams = self.counts[lang], self.totals[lang], self.grams(sentence)
        return sum(math.log((counts[g] + 0.5) / total) for g in grams) / len(grams)

    def own(self, sentence, lang):
        """Whether no other language of the same script makes the sentence more probable."""
        score = self.score(sentence, lang)
        return all(self.score(sentence, other) < score for other in self.counts
                   if other != lang and texts.script(other) == texts.script(lang))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packages", required=True, type=pathlib.Path, help="folder of the .deb files")
    parser.add_argument("--out", required=True, type=pathlib.Path, help="folder to write")
    args = parser.parse_args()
    words = {lang: alphabet(lang) for lang in texts.LANGUAGES}
    found = {lang: {} for lang in texts.LANGUAGES}  # sentence -> its first package
    for package, source in json.loads(SOURCES.read_text()).items():
        for deb in sorted(args.packages.glob(f"{package}_*.deb")):
            for path, data in members(deb):
                lang = language_of("/" + path, source.get("language"))
                if lang not in words:
                    continue
                for of, text in read(path, data, lang):
                    for sentence in cut(text, of, words[of]):
                        found[of].setdefault(sentence, package)
    letters = Letters(found)
    counts = {}
    args.out.mkdir(parents=True, exist_ok=True)
    for lang, sentences in found.items():
        own = {s: p for s, p in sentences.items() if letters.own(s, lang)}
        counts[lang] = dict(collections.Counter(own.values()).most_common())
        (args.out / f"{lang}.tsv").write_text("".join(f"{s}\t{p}\n" for s, p in sorted(own.items())))
        print(f"{lang}: {len(own)} sentences of {len(sentences)}, {len({w for s in own for w in s.split()})} words")
    (args.out / "sources.json").write_text(json.dumps(counts, indent=1))


if __name__ == "__main__":
    main()
