"""People speaking English and French: eSpeak NG in many voices, and real telephone and game prompts.

Real prompts are used as they come, a few joined with pauses where they are single words. Tux Paint's French speakers
are sorted by the pitch of their voice; those in between are left out. Training uses eSpeak NG and the Asterisk
prompts; Tux Paint's speakers are for the test. A crowd's chatter is many eSpeak NG voices at once.
"""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from training.embedded.audio.material.recordings import PACKAGES, Recording
from training.embedded.audio.render.dsp import (
    RATE,
    decode,
    faded,
    normalised,
    trimmed,
)
from training.embedded.audio.render.effects import band_limited, reverberated
from training.embedded.common.packages import FetchError, Package, fetch

ASTERISK = {
    language: Package("deb", f"asterisk-core-sounds-{language}-wav", "1.6.1-1", "CC-BY-SA-3.0")
    for language in ("en", "fr")
}
UTTERANCES = 24
"""Of each eSpeak NG voice kind."""
PROMPTS = 60
"""Of each real speaker kind, at most."""
COMMITTED = 5
CROWDS = 6
LEAST_SECONDS, MOST_SECONDS = 1.6, 7.0
MALE_PITCH, FEMALE_PITCH = 150.0, 190.0
"""Median pitch in Hz below and above which a voice is sorted as a man's or a woman's."""

DIALECTS = {"en": ("en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp"), "fr": ("fr-fr", "fr-be", "fr-ch")}
VOICES = {
    "man": ("m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "adam", "david", "rob", "john"),
    "woman": ("f1", "f2", "f3", "f4", "f5", "belinda", "linda", "steph", "anika", "aunty"),
}
SENTENCES = {
    "en": (
        "The train to London leaves in ten minutes.",
        "I would like a cup of tea, please.",
        "We walked along the river until it got dark.",
        "Can you tell me where the library is?",
        "She never forgets to water the plants.",
        "It rained all morning, but the afternoon was warm.",
        "My brother plays chess every Sunday.",
        "Please close the window before you leave.",
        "They found an old map in the attic.",
        "Dinner will be ready at half past seven.",
        "He forgot his umbrella on the bus again.",
        "The children are waiting in front of the school.",
        "Nobody knows what happened to the letter.",
        "I have been thinking about your question.",
        "The shop on the corner sells fresh bread.",
        "Turn left after the bridge and go straight on.",
    ),
    "fr": (
        "Le train pour Lyon part dans dix minutes.",
        "Je voudrais une tasse de café, s'il vous plaît.",
        "Nous avons marché le long de la rivière jusqu'au soir.",
        "Pouvez-vous me dire où se trouve la bibliothèque ?",
        "Elle n'oublie jamais d'arroser les plantes.",
        "Il a plu toute la matinée, mais l'après-midi était doux.",
        "Mon frère joue aux échecs tous les dimanches.",
        "Fermez la fenêtre avant de partir.",
        "Ils ont trouvé une vieille carte au grenier.",
        "Le dîner sera prêt à sept heures et demie.",
        "Il a encore oublié son parapluie dans le bus.",
        "Les enfants attendent devant l'école.",
        "Personne ne sait ce qu'est devenue la lettre.",
        "J'ai bien réfléchi à votre question.",
        "La boulangerie du coin vend du pain frais.",
        "Tournez à gauche après le pont, puis continuez tout droit.",
    ),
}


def spoken(text: str, voice: str, speed: int, pitch: int) -> np.ndarray:
    """A text spoken by eSpeak NG.

    Raises:
        FetchError: eSpeak NG is not installed or fails.
    """
    command = ["espeak-ng", "-v", voice, "-s", str(speed), "-p", str(pitch), "--stdout", text]
    try:
        done = subprocess.run(command, capture_output=True)
    except FileNotFoundError as error:
        raise FetchError("eSpeak NG is not installed (Debian: apt-get install espeak-ng)") from error
    if done.returncode or not done.stdout:
        raise FetchError(f"eSpeak NG failed: {done.stderr.decode(errors='replace').strip()[-300:]}")
    return decode(done.stdout)


def utterance(language: str, who: str, rng: random.Random) -> np.ndarray:
    """One or two sentences by a random voice of that kind."""
    voice = f"{rng.choice(DIALECTS[language])}+{rng.choice(VOICES[who])}"
    text = " ".join(rng.sample(SENTENCES[language], rng.choice((1, 2))))
    return spoken(text, voice, rng.randint(125, 185), rng.randint(35, 60))


def median_pitch(wave: np.ndarray) -> float:
    """Median fundamental frequency of the voiced 50 ms frames, in Hz, by autocorrelation; 0 without any."""
    size, step = round(0.05 * RATE), round(0.025 * RATE)
    lags = slice(RATE // 400, RATE // 70)
    found = []
    for start in range(0, len(wave) - size, step):
        frame = wave[start : start + size] * np.hanning(size)
        if (frame**2).mean() < 1e-4:
            continue
        correlation = np.correlate(frame, frame, "full")[size - 1 :]
        best = lags.start + int(correlation[lags].argmax())
        if correlation[best] > 0.5 * correlation[0]:
            found.append(RATE / best)
    return float(np.median(found)) if found else 0.0


def joined(pieces: Sequence[np.ndarray], pause: float = 0.25) -> np.ndarray:
    silence = np.zeros(round(pause * RATE), np.float32)
    return np.concatenate([part for piece in pieces for part in (piece, silence)])


def prompts(files: Sequence[Path], rng: random.Random, who: str | None = None) -> Iterator[np.ndarray]:
    """Prompts in random order, short ones joined; only of men or of women where ``who`` is given."""
    waiting: list[np.ndarray] = []
    for file in rng.sample(files, len(files)):
        wave = decode(file.read_bytes())
        if len(wave) < 0.3 * RATE or len(wave) > MOST_SECONDS * RATE or not np.abs(wave).max():
            continue
        wave = normalised(trimmed(wave))
        pitch = median_pitch(wave) if who else 0.0
        if who and not (70 < pitch < MALE_PITCH if who == "man" else pitch > FEMALE_PITCH):
            continue
        waiting.append(faded(wave))
        if sum(map(len, waiting)) >= LEAST_SECONDS * RATE:
            yield joined(waiting)
            waiting = []


def rendered() -> Iterator[tuple[Recording, np.ndarray]]:
    """All that is spoken, and crowds: always the same."""
    voices: dict[str, list[np.ndarray]] = {"en": [], "fr": []}
    for who in ("man", "woman"):
        for language in ("en", "fr"):
            sound, rng = f"{who}_{language}", random.Random(f"{who}/{language}")
            for number in range(1, UTTERANCES + 1):
                wave = utterance(language, who, rng)
                voices[language].append(wave)
                yield _espeak(sound, number, number <= COMMITTED), wave
    for number in range(1, CROWDS + 1):
        yield _espeak("crowd", number, number <= 3), crowd(voices["en"] + voices["fr"], number)
    for language, package in ASTERISK.items():
        files = sorted((fetch(package) / "usr/share/asterisk/sounds").rglob("*.wav"))
        author = {"en": "Allison Smith", "fr": "June Wallack"}[language]
        yield from _real(f"woman_{language}", package, author, "train", prompts(files, random.Random(language)))
    stamps = fetch(PACKAGES["tuxpaint-stamps-default"]) / "usr/share/tuxpaint/stamps"
    files = sorted(stamps.rglob("*_desc_fr.ogg"))
    for who in ("man", "woman"):
        package = PACKAGES["tuxpaint-stamps-default"]
        yield from _real(
            f"{who}_fr", package, "Tux Paint contributors", "test", prompts(files, random.Random(who), who)
        )


def crowd(voices: Sequence[np.ndarray], seed: int) -> np.ndarray:
    """Ten voices at a time, each starting anywhere, in one dull room: no word stands out."""
    rng = np.random.default_rng(seed)
    size = 12 * RATE
    room = np.zeros(size, np.float32)
    for _ in range(45):
        wave = voices[rng.integers(len(voices))]
        wave = normalised(wave) * rng.uniform(0.3, 1.0)
        start = int(rng.integers(-len(wave) // 2, size))
        piece = wave[max(0, -start) : size - max(0, start)]
        room[max(0, start) : max(0, start) + len(piece)] += piece
    return reverberated(band_limited(room, 150, 3500), 0.7, 0.5, rng)


def _espeak(sound: str, number: int, commit: bool) -> Recording:
    return Recording(
        f"{sound}_espeak_{number:02d}",
        sound,
        "espeak-ng",
        "",
        "CC0-1.0",
        "The LoRA-MCL Studio authors, with eSpeak NG",
        commit,
        "train",
    )


def _real(
    sound: str, package: Package, author: str, split: str, waves: Iterator[np.ndarray]
) -> Iterator[tuple[Recording, np.ndarray]]:
    for number, wave in zip(range(1, PROMPTS + 1), waves, strict=False):
        yield (
            Recording(
                f"{sound}_{package.name.split('-')[0]}_{number:02d}",
                sound,
                package.name,
                "",
                package.licence,
                author,
                False,
                split,
            ),
            wave,
        )
