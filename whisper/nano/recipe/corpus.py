#!/usr/bin/python3
"""Makes the speech corpus of the nano model with the synthesisers of Debian packages.

    corpus.py reserve --out DIR              draws the open sentences that are held out, once
    corpus.py held-out --out DIR             dev and test utterances of all languages
    corpus.py train --out DIR --round K --count N [--languages en,de] [--recorded 0.2] [--invented 0.8]
    corpus.py test --data DIR --out DIR      the test set as FLAC with its manifest
    corpus.py summary --out DIR              a table of what DIR holds, with checks of the audio

Sentences are those of templates (texts.py) and of DIR/open (sentences.py).
The Debian packages that it needs stand in packages.txt: apt-get install $(cat packages.txt).
A manifest line is {"audio_filepath", "duration", "text", "lang", "voice"}. The test sentences and
voices never occur in training: training draws around them, and the steps train, test and summary
assert it. The same seed gives the same texts and voices, whatever rounds are made.
"""

import argparse
import collections
import hashlib
import json
import multiprocessing
import pathlib
import random
import subprocess
import sys
import time
import wave

import numpy

import speak
import texts

CHUNK = 100
# Open sentences that are held out, "LANG<tab>sentence" a line. They were drawn once (the step reserve), and stay the
# same when packages change.
HELD_OUT = texts.FOLDER / "held-out.tsv"
RESERVED = 64  # sentences of templates that training never has
HALF_TEST, HALF_DEV = 12, 20  # held-out utterances of templates, and as many open ones
WORD_SAMPLE, WORD_COUNT = 5000, 4  # a word of theirs is in so many of so many sentences of templates
OPEN_WORDS, OPEN_WORD_COUNT = 3, 12  # an open one has so many words, each in so many open sentences
TEST_LETTERS = 44
TEMPLATES = 0.35  # share of them in training
OPEN_ROUND = 5000  # the open sentences that a round may take before it repeats those of the next
TEST_RECORDED = 0.2
MIN_SECONDS, MAX_SECONDS = 0.3, 8.5


class Texts:
    """The sentences of one language: those of templates, and the open ones of DIR/open (sentences.py)."""

    def __init__(self, lang, seed, out):
        self.lang, self.seed, self.language = lang, seed, texts.Language(lang)
        lines = pathlib.Path(out, "open", f"{lang}.tsv").read_text().splitlines()
        self.packages = dict(line.split("\t") for line in lines)
        self.held_out = self._held_out()

    def rng(self, *purpose):
        return random.Random("/".join(map(str, (self.seed, self.lang) + purpose)))

    def _held_out(self):
        """{"test": sentences, "dev": sentences}, half of each from templates, half of them open."""
        reserved, rng = {}, self.rng("held-out")
        while len(reserved) < RESERVED:
            text = self.language.sentence(rng)
            if len(text.split()) >= 2:
                reserved[text] = True
        # A sentence counts only if each of its words is common in the other sentences: reserving a sentence
        # without slots can take the only place of a word out of training.
        self.reserved, rng = set(reserved), self.rng("words")
        words = count_words(self.template(rng) for _ in range(WORD_SAMPLE))
        closed = [text for text in reserved if min(words[w] for w in text.split()) >= WORD_COUNT]
        assert len(closed) >= HALF_TEST + HALF_DEV, f"corpus: {self.lang}: only {len(closed)} sentences to hold out"
        free = [line.split("\t")[1] for line in HELD_OUT.read_text().splitlines() if line.startswith(f"{self.lang}\t")]
        self.reserved |= set(free)
        return {"test": closed[:HALF_TEST] + free[:HALF_TEST],
                "dev": closed[HALF_TEST : HALF_TEST + HALF_DEV] + free[HALF_TEST:]}

    def draw_held_out(self):
        """Open sentences for HELD_OUT, those for the test set first."""
        words = count_words(self.packages)
        free = [text for text, package in sorted(self.packages.items())
                if len(text.split()) >= OPEN_WORDS and not package.startswith("fortune")
                and text not in self.reserved and min(words[w] for w in text.split()) >= OPEN_WORD_COUNT]
        free = self.rng("open").sample(free, HALF_TEST + HALF_DEV)
        # Long ones and those of rarer words go to dev: the test set is to be small, its words heard in training.
        return sorted(free, key=lambda text: (len(text) > TEST_LETTERS, -min(words[w] for w in text.split())))

    def template(self, rng):
        """A random sentence of the templates that is not reserved."""
        while True:
            text = self.language.sentence(rng)
            if text not in self.reserved:
                return text

    def train(self, round_, count):
        """count sentences for a round of training. Rounds go through the open sentences in turn."""
        rng = self.rng("train", round_)
        free = sorted(text for text in self.packages if text not in self.reserved)
        self.rng("order").shuffle(free)
        at, chosen = round_ * OPEN_ROUND, []
        for _ in range(count):
            if rng.random() < TEMPLATES:
                chosen.append(self.template(rng))
            else:
                chosen.append(free[at % len(free)])
                at += 1
        return chosen


def count_words(sentences):
    return collections.Counter(w for text in sentences for w in text.split())


_espeak = None


def speak_chunk(job):
    """Speaks the (name, text) pairs of one job; returns manifest lines, without those that failed."""
    global _espeak
    if _espeak is None:
        _espeak = speak.Espeak()
    out, part, lang, shares, seed, pairs = job
    rngs = [random.Random(f"{seed}/{name}") for name, _ in pairs]
    voices = [speak.choose_voice(text, lang, part, shares, rng) for (_, text), rng in zip(pairs, rngs)]
    raw = [None] * len(pairs)
    recorded = collections.defaultdict(list)
    for i, (_, program, voice, _) in enumerate(voices):
        if program == "espeak-ng":
            raw[i] = _espeak.speak(pairs[i][1], voice, rngs[i]), _espeak.rate
        else:
            recorded[voices[i]].append(i)
    for (_, program, voice, encoding), which in recorded.items():
        for i, samples in zip(which, speak.speak_recorded([pairs[i][1] for i in which], program, voice, encoding)):
            raw[i] = samples
    lines = []
    for (name, text), voice, rng, spoken in zip(pairs, voices, rngs, raw):
        samples = speak.finish(*spoken, rng) if spoken else None
        if samples is None or not MIN_SECONDS <= len(samples) / speak.RATE <= MAX_SECONDS:
            print(f"corpus: left out {voice[0]}: {text}", file=sys.stderr)
            continue
        speak.write_wav(pathlib.Path(out, name), samples)
        lines.append({"audio_filepath": name, "duration": round(len(samples) / speak.RATE, 3),
                      "text": text, "lang": lang, "voice": voice[0]})
    return lines


def synthesise(manifests, jobs, processes):
    """Runs jobs, appending each one's lines to manifests[lang]; a manifest appears complete, by renaming."""
    for name in manifests.values():
        name.with_suffix(".part").write_text("")
    started, done = time.time(), 0
    with multiprocessing.Pool(processes) as pool:
        for lines in pool.imap(speak_chunk, jobs):
            done += len(lines)
            for line in lines:
                with manifests[line["lang"]].with_suffix(".part").open("a") as f:
                    f.write(json.dumps(line, ensure_ascii=False) + "\n")
            cost = 1000 * (time.time() - started) / max(done, 1)
            print(f"\r{done} utterances, {cost:.1f} ms each", end="", flush=True)
    print()
    for name in set(manifests.values()):
        name.with_suffix(".part").rename(name)


def make_jobs(out, part, lang, shares, seed, prefix, sentences):
    """The sentences of one language as jobs of CHUNK utterances, and their folder."""
    pathlib.Path(out, part, lang).mkdir(parents=True, exist_ok=True)
    pairs = [(f"{part}/{lang}/{prefix}{i:05d}.wav", text) for i, text in enumerate(sentences)]
    return [(out, part, lang, shares, seed, pairs[i : i + CHUNK]) for i in range(0, len(pairs), CHUNK)]


def reserve(args):
    """Draws HELD_OUT anew: only for a new corpus."""
    HELD_OUT.write_text("")
    lines = [f"{lang}\t{text}\n" for lang in args.languages for text in Texts(lang, args.seed, args.out).draw_held_out()]
    HELD_OUT.write_text("".join(lines))


def held_out(args):
    """Makes the dev and the test part."""
    for part in ("dev", "test"):
        jobs = []
        for lang in args.languages:
            sentences = Texts(lang, args.seed, args.out).held_out[part]
            jobs += make_jobs(args.out, part, lang, (TEST_RECORDED, 0), args.seed, "", sentences)
        synthesise(dict.fromkeys(args.languages, pathlib.Path(args.out, f"{part}.jsonl")), jobs, args.processes)


def train(args):
    """Makes one round of training data."""
    by_language = [make_jobs(args.out, "train", lang, (args.recorded, args.invented), args.seed, f"r{args.round}-",
                             Texts(lang, args.seed, args.out).train(args.round, args.count)) for lang in args.languages]
    jobs = [job for same in zip(*by_language) for job in same]
    manifests = {lang: pathlib.Path(args.out, f"train.{lang}.r{args.round}.jsonl") for lang in args.languages}
    synthesise(manifests, jobs, args.processes)
    assert_disjoint(args.out)


def assert_disjoint(out):
    """Asserts that no sentence or voice of dev or test is in training."""
    parts = {part: read_part(out, part) for part in ("train", "dev", "test")}
    for key in ("text", "voice"):
        seen = {(line["lang"], line[key]) for line in parts["train"]}
        for part in ("dev", "test"):
            shared = seen & {(line["lang"], line[key]) for line in parts[part]}
            assert not shared, f"corpus: {part} shares with train: {sorted(shared)[:5]}"


def read_part(out, part):
    """The manifest lines of a part, of all languages and rounds that are complete."""
    return [json.loads(line) for name in sorted(pathlib.Path(out).glob(f"{part}*.jsonl"))
            for line in name.read_text().splitlines()]


def test(args):
    """Copies the test part of args.data to args.out/LANG/NN.flac, with manifest.jsonl and SHA256SUMS."""
    assert_disjoint(args.data)
    out, number, manifest, sums = pathlib.Path(args.out), collections.Counter(), [], []
    for line in read_part(args.data, "test"):
        lang = line["lang"]
        name = f"{lang}/{number[lang]:02d}.flac"
        number[lang] += 1
        (out / lang).mkdir(parents=True, exist_ok=True)
        subprocess.run(["flac", "--best", "--silent", "--force", "--no-padding", "--no-seektable",
                        "-o", out / name, pathlib.Path(args.data, line["audio_filepath"])], check=True)
        manifest.append(json.dumps(line | {"audio_filepath": name}, ensure_ascii=False))
        sums.append(f"{hashlib.sha256((out / name).read_bytes()).hexdigest()}  {name}")
    (out / "manifest.jsonl").write_text("\n".join(manifest) + "\n")
    sums.append(f"{hashlib.sha256((out / 'manifest.jsonl').read_bytes()).hexdigest()}  manifest.jsonl")
    (out / "SHA256SUMS").write_text("\n".join(sums) + "\n")
    print(f"{len(manifest)} files, {sum(f.stat().st_size for f in out.rglob('*.*')) / 1e6:.2f} MB")


def summary(args):
    """Prints a table of args.out and what is wrong with its texts and audio."""
    assert_disjoint(args.out)
    known, problems = collections.defaultdict(set), []
    print("part  lang  utterances  hours  mean s  short  words  voices  recorded  RMS dBFS")
    for part in ("train", "dev", "test"):
        for lang, lines in by_lang(read_part(args.out, part)).items():
            levels = []
            for i, line in enumerate(lines):
                texts.check(line["text"], lang)
                if part != "train" or i % args.every == 0:
                    levels.append(check_audio(pathlib.Path(args.out, line["audio_filepath"]), line, problems))
            words = {w for line in lines for w in line["text"].split()}
            if part == "train":
                known[lang] = words
            problems += [f"{part} {lang}: {w} is not in training" for w in sorted(words - known[lang])]
            seconds = sum(line["duration"] for line in lines)
            short = sum(len(line["text"].split()) < 3 for line in lines) / len(lines)
            recorded = sum(not line["voice"].startswith("espeak") for line in lines) / len(lines)
            voices = len({line["voice"] for line in lines})
            print(f"{part:5} {lang:4} {len(lines):11} {seconds / 3600:6.2f} {seconds / len(lines):7.2f} {short:6.0%} "
                  f"{len(words):6} {voices:7} {recorded:9.0%}  {min(levels):.0f}..{max(levels):.0f}")
    print("\n".join(problems) or "no problem found")


def by_lang(lines):
    groups = {}
    for line in lines:
        groups.setdefault(line["lang"], []).append(line)
    return groups


def check_audio(name, line, problems):
    """The level of a file in dBFS RMS; notes a wrong duration, clipping, silence and an impossible pace."""
    with wave.open(str(name)) as f:
        samples = numpy.frombuffer(f.readframes(f.getnframes()), numpy.int16) / 32768.0
    letters = len(line["text"].replace(" ", ""))
    level = 10 * numpy.log10((samples * samples).mean() + 1e-12)
    pace = letters / (len(samples) / speak.RATE - 0.1)
    for wrong, what in ((abs(len(samples) / speak.RATE - line["duration"]) > 1e-3, "duration"),
                        (level < -35, "silence"), (numpy.abs(samples).max() > 0.99, "clipping"),
                        (not 1.0 <= pace <= 40, f"pace {pace:.1f}")):
        if wrong:
            problems.append(f"{name}: {what}: {line['voice']}: {line['text']}")
    return level


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=("reserve", "held-out", "train", "test", "summary"))
    parser.add_argument("--out", required=True, help="folder to write (summary: to read)")
    parser.add_argument("--data", help="folder of the corpus that the test set is taken from")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--round", type=int, default=0)
    parser.add_argument("--count", type=int, default=2500, help="utterances of each language in the round")
    parser.add_argument("--recorded", type=float, default=0.2, help="share of the Festival and Flite voices")
    parser.add_argument("--invented", type=float, default=0, help="share of invented voices among the others")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--every", type=int, default=10, help="summary reads one in so many training files")
    parser.add_argument("--languages", type=lambda s: s.split(","), default=list(texts.LANGUAGES))
    args = parser.parse_args()
    {"reserve": reserve, "held-out": held_out, "train": train, "test": test, "summary": summary}[args.step](args)


if __name__ == "__main__":
    main()
