"""Speech of Debian's synthesisers as 16 kHz mono samples: eSpeak NG in process, Festival and Flite in batches."""

import ctypes
import pathlib
import shutil
import subprocess
import tempfile
import unicodedata
import wave

import numpy

RATE = 16000
_SYNCHRONOUS, _UTF8 = 2, 1
_PARAM_RATE, _PARAM_PITCH, _PARAM_RANGE = 1, 3, 4
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)

# Voices of eSpeak NG that sound like people; the three sets are disjoint for every language.
# The first name of TRAIN is the plain voice of the language.
ESPEAK = {
    "train": ["", "m1", "m2", "m3", "m5", "m7", "m8", "f1", "f3", "f5", "Alicia", "Andrea", "Andy", "Denis",
              "Gene", "Henrique", "Lee", "Mario", "Michael", "Mike", "adam", "antonio", "belinda", "edward2",
              "gustave", "john", "linda", "marcelo", "max", "miguel", "norbert", "quincy", "rob", "shelby",
              "travis", "victor"],
    "dev": ["m6", "f2", "Marco"],
    "test": ["m4", "f4", "Annie", "pedro", "steph", "benjamin"],
}
# A variant that is drawn anew for each utterance. It stands for training's wealth of voices alone.
INVENTED = "invented"
# eSpeak NG's name of a language where it is not the code, and the accents that training hears besides.
ESPEAK_LANGUAGE = {"en": "en-us"}
ACCENTS = {"en": ["en-us", "en-us", "en", "en-gb-x-rp"], "es": ["es", "es-419"], "fr": ["fr", "fr", "fr-be", "fr-ch"]}

# Other synthesisers: language -> part -> [(voice, program, program's voice, encoding)].
RECORDED = {
    "en": {"train": [("flite slt", "flite", "slt", "ascii"), ("flite awb", "flite", "awb", "ascii"),
                     ("flite kal16", "flite", "kal16", "ascii"), ("festival ked", "festival", "ked_diphone", "ascii"),
                     ("festival kal", "festival", "kal_diphone", "ascii"),
                     ("festival slt hts", "festival", "cmu_us_slt_arctic_hts", "ascii")],
           "test": [("flite rms", "flite", "rms", "ascii")]},
    "cs": {"train": [("festival dita", "festival", "czech_dita", "iso-8859-2"),
                     ("festival krb", "festival", "czech_krb", "iso-8859-2"),
                     ("festival ph", "festival", "czech_ph", "iso-8859-2")],
           "test": [("festival machac", "festival", "czech_machac", "iso-8859-2")]},
    "fi": {"train": [("festival lj", "festival", "suo_fi_lj_diphone", "iso-8859-1"),
                     ("festival mv", "festival", "hy_fi_mv_diphone", "iso-8859-1")]},
    "ca": {"train": [("festival ona hts", "festival", "upc_ca_ona_hts", "iso-8859-1")]},
    "hi": {"train": [("festival hi nsk", "festival", "hindi_NSK_diphone", "utf-8")]},
    "it": {"train": [("festival pc", "festival", "pc_diphone", "iso-8859-1"),
                     ("festival lp", "festival", "lp_diphone", "iso-8859-1")]},
    "ru": {"train": [("festival nsh", "festival", "msu_ru_nsh_clunits", "utf-8")]},
    "mr": {"train": [("festival mr nsk", "festival", "marathi_NSK_diphone", "utf-8")]},
}


# Festival's Hindi voice knows the letters with a nukta only as single characters, which NFC takes apart.
_NUKTA = {unicodedata.normalize("NFC", chr(c)): chr(c) for c in range(0x0958, 0x0960)}


# Saves an utterance and prints where speech begins and ends in seconds: some voices fill their
# pauses with noise as loud as speech, so that the samples do not tell.
_FESTIVAL = """
(define (speak text name)
  (let ((u (utt.synth (eval (list 'Utterance 'Text text)))) (from nil) (to 0))
    (utt.save.wave u name 'riff)
    (mapcar (lambda (s)
        (if (not (member_string (item.name s) '("pau" "#" "##" "_")))
            (begin (if (not from) (set! from (item.feat s 'segment_start)))
                   (set! to (item.feat s 'segment_end)))))
      (utt.relation.items u 'Segment))
    (format t "%s %f %f\\n" name (if from from 0) to)))
"""


class Espeak:
    """eSpeak NG through its C library; one instance a process.

    It runs on a data folder of its own, which holds the variant INVENTED beside those of the package.
    """

    def __init__(self):
        self._c = ctypes.CDLL(None)
        self._lib = ctypes.CDLL("libespeak-ng.so.1")
        self._folder = tempfile.TemporaryDirectory()
        self._invented = _copy_data(pathlib.Path(self._folder.name)) / INVENTED
        self.rate = self._lib.espeak_Initialize(_SYNCHRONOUS, 0, self._folder.name.encode(), 0)
        if self.rate <= 0:
            raise RuntimeError("speak: espeak_Initialize failed")
        self._chunks = []
        self._callback = _CALLBACK(self._receive)  # kept referenced: the library calls it later
        self._lib.espeak_SetSynthCallback(self._callback)
        self._voice = None

    def _receive(self, samples, count, _events):
        if samples and count > 0:
            self._chunks.append(ctypes.string_at(samples, 2 * count))
        return 0

    def speak(self, text, voice, rng):
        """Samples in [-1, 1] at self.rate; pace, pitch and its range are drawn from rng, and so is INVENTED."""
        invented = voice.endswith(f"+{INVENTED}")
        if invented:
            self._invented.write_text(invent_variant(rng))
        if voice != self._voice or invented:
            if self._lib.espeak_SetVoiceByName(voice.encode()) != 0:
                raise RuntimeError(f"speak: eSpeak NG has no voice {voice}")
            self._voice = voice
        self._lib.espeak_SetParameter(_PARAM_RATE, int(rng.triangular(125, 215, 165)), 0)
        self._lib.espeak_SetParameter(_PARAM_PITCH, rng.randint(30, 70), 0)
        self._lib.espeak_SetParameter(_PARAM_RANGE, rng.randint(30, 75), 0)
        self._c.srand(rng.randrange(1 << 31))
        self._chunks.clear()
        data = text.encode()
        if self._lib.espeak_Synth(data, len(data) + 1, 0, 1, 0, _UTF8, None, None) != 0:
            raise RuntimeError(f"speak: eSpeak NG failed on {text!r}")
        return numpy.frombuffer(b"".join(self._chunks), numpy.int16) / 32768.0


def _copy_data(folder):
    """Links eSpeak NG's data into folder, its variants singly; returns the folder of the variants."""
    found = sorted(pathlib.Path("/usr/lib").glob("*/espeak-ng-data")) + [pathlib.Path("/usr/share/espeak-ng-data")]
    source, copy = next(f for f in found if f.is_dir()), folder / "espeak-ng-data"
    shutil.copytree(source / "voices" / "!v", copy / "voices" / "!v", symlinks=True)
    for name in source.iterdir():
        if name.name != "voices":
            (copy / name.name).symlink_to(name)
    for name in (source / "voices").iterdir():
        if name.name != "!v":
            (copy / "voices" / name.name).symlink_to(name)
    return copy / "voices" / "!v"


def invent_variant(rng):
    """The text of a voice variant file with random settings, in and a little past the range of the package's own.

    The settings are those of eSpeak NG's docs/voices.md: formant N takes percents of frequency, height and
    width and Hz to add; stressAdd, stressAmp and breath take eight numbers.
    """
    def some(share, line):
        return [line] if rng.random() < share else []

    def draw(low, high, count=1):
        return " ".join(str(rng.randint(low, high)) for _ in range(count))

    low = int(60 * 3 ** rng.random())
    lines = ["language variant", f"name {INVENTED}", f"pitch {low} {int(low * rng.uniform(1.1, 2.2))}"]
    tract, spread = min(1.3, max(0.85, rng.gauss(1.05, 0.09))), rng.choice((0.01, 0.04, 0.08))
    height, width = rng.uniform(75, 125), rng.uniform(70, 130)
    for n in range(9):
        frequency = 100 * tract * rng.gauss(1, spread)
        if n >= 4 and rng.random() < 0.15:
            frequency = rng.uniform(0, 100)
        add = int(rng.gauss(0, 90)) if 1 <= n <= 3 and rng.random() < 0.2 else 0
        lines.append(f"formant {n} {frequency:.0f} {height * rng.uniform(0.8, 1.25):.0f} "
                     f"{width * rng.uniform(0.8, 1.25):.0f} {add}")
    lines += some(0.15, f"klatt {rng.choice((2, 3, 4, 5, 6, 6, 6))}")
    lines += some(0.3, f"flutter {draw(0, 20)}") + some(0.3, f"roughness {draw(0, 6)}")
    lines += some(0.3, f"voicing {draw(30, 130)}") + some(0.5, f"consonants {draw(50, 150, 2)}")
    lines += some(0.15, f"breath {draw(0, 10, 8)}") + some(0.15, f"echo {draw(10, 140)} {draw(5, 20)}")
    lines += some(0.3, f"intonation {draw(1, 4)}") + some(0.4, f"stressAdd {draw(-30, 140, 8)}")
    lines += some(0.3, f"stressAmp {draw(14, 26, 8)}")
    lines += some(0.06, "stressLength " + " ".join(str(n * rng.randint(1, 30)) for n in range(8)))
    if rng.random() < 0.35:
        points = zip(sorted(rng.sample(range(100, 4000, 50), 4)), sorted(rng.sample(range(20, 256), 4), reverse=True))
        lines.append("tone " + " ".join(f"{hz} {level}" for hz, level in points))
    return "\n".join(lines) + "\n"


def speak_recorded(texts, program, voice, encoding):
    """Speaks texts with Festival or Flite: a list of (samples, rate); None where the program made nothing."""
    with tempfile.TemporaryDirectory() as folder:
        names = [f"{folder}/{i}.wav" for i in range(len(texts))]
        if program == "flite":
            for text, name in zip(texts, names):
                subprocess.run(["flite", "-voice", voice, "-t", text, "-o", name], check=True, capture_output=True)
            return [_read(n, None) for n in names]
        for apart, single in _NUKTA.items():
            texts = [t.replace(apart, single) for t in texts]
        lines = [_FESTIVAL, f"(voice_{voice})"] + [f'(speak "{t}" "{n}")' for t, n in zip(texts, names)]
        script = pathlib.Path(folder, "speak.scm")
        script.write_bytes("\n".join(lines).encode(encoding))
        said = subprocess.run(["festival", "--batch", str(script)], capture_output=True, check=False).stdout
        spans = {}
        for name, *span in map(str.split, said.decode("ascii", "replace").splitlines()):
            spans[name] = [float(t) for t in span]
        return [_read(n, spans.get(n)) for n in names]


def _read(name, span):
    """The samples and rate of a WAV file, cut to span (seconds) and 30 ms around it if it is given."""
    if not pathlib.Path(name).is_file():
        return None
    with wave.open(name) as f:
        rate = f.getframerate()
        samples = numpy.frombuffer(f.readframes(f.getnframes()), numpy.int16) / 32768.0
    if span:
        begin, end = (int(t * rate) for t in span)
        samples = samples[max(0, begin - rate * 3 // 100) : end + rate * 3 // 100]
    return (samples, rate) if len(samples) > rate // 10 else None


def resample(samples, rate):
    """samples at rate -> RATE, band-limited: the spectrum is cut at 8 kHz with a cosine roll-off from 7.2 kHz."""
    if rate == RATE:
        return samples
    unit = numpy.gcd(rate, RATE)
    blocks = -(-len(samples) // (rate // unit))
    blocks += -blocks % 8  # lengths with small factors keep the FFT quick
    spectrum = numpy.fft.rfft(samples, blocks * (rate // unit))
    length = blocks * (RATE // unit)
    bins = length // 2 + 1
    spectrum = spectrum[:bins] if len(spectrum) >= bins else numpy.pad(spectrum, (0, bins - len(spectrum)))
    edge = bins - bins // 10
    spectrum[edge:] *= 0.5 + 0.5 * numpy.cos(numpy.linspace(0, numpy.pi, bins - edge))
    return numpy.fft.irfft(spectrum, length)[: len(samples) * RATE // rate] * (RATE / rate)


def finish(samples, rate, rng):
    """The utterance as int16 at RATE: 50-250 ms of quiet at each end, -26..-16 dBFS RMS, faint noise.

    None if the samples hold no speech.
    """
    x = resample(samples, rate)
    hop = RATE // 100
    frames = x[: len(x) // hop * hop].reshape(-1, hop)
    power = (frames * frames).mean(axis=1)
    if not len(power) or power.max() < 1e-6:
        return None
    loud = numpy.flatnonzero(power > power.max() * 1e-4)
    x = x[loud[0] * hop : (loud[-1] + 1) * hop]
    x = x * (10 ** (rng.uniform(-26, -16) / 20) / numpy.sqrt((x * x).mean()))
    before, after = (int(rng.uniform(0.05, 0.25) * RATE) for _ in range(2))
    x = numpy.pad(x, (before, after))
    noise = numpy.random.default_rng(rng.randrange(1 << 31)).standard_normal(len(x), numpy.float32)
    x += noise * 10 ** (rng.uniform(-80, -55) / 20)
    x *= min(1.0, 0.98 / numpy.abs(x).max())
    return numpy.round(x * 32767).astype(numpy.int16)


def write_wav(name, samples):
    """Writes int16 samples at RATE as a mono WAV file, which appears complete."""
    part = pathlib.Path(f"{name}.part")
    with wave.open(str(part), "wb") as f:
        f.setnchannels(1)
        f.setsampwidth(2)
        f.setframerate(RATE)
        f.writeframes(samples.tobytes())
    part.rename(name)


def choose_voice(text, lang, part, shares, rng):
    """A (voice, program, program's voice, encoding) for text.

    shares are those of the recorded voices, if the language has any, and of INVENTED; a recorded voice
    that cannot encode the text is passed over for eSpeak NG.
    """
    recorded = RECORDED.get(lang, {}).get(part, [])
    if recorded and rng.random() < shares[0]:
        voice = rng.choice(recorded)
        if text.encode(voice[3], "ignore").decode(voice[3]) == text:
            return voice
    variant = INVENTED if shares[1] and rng.random() < shares[1] else rng.choice(ESPEAK[part])
    name = rng.choice(ACCENTS[lang]) if part == "train" and lang in ACCENTS else ESPEAK_LANGUAGE.get(lang, lang)
    name += f"+{variant}" if variant else ""
    return f"espeak-ng {name}", "espeak-ng", name, "utf-8"
