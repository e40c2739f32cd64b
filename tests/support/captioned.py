"""Files captioned by the fake captioners, as entries of a report."""

from dataclasses import replace
from pathlib import Path

from lora_mcl.report import CaptionedFile
from lora_mcl.types import CompareOptions
from tests.support.fake_captioner import FakeAudioCaptioner, FakeCaptioner


def captioned(
    file: Path, captioner: FakeCaptioner | None = None, name: str | None = None, **changes: object
) -> CaptionedFile:
    """The file with the fake's sentences; ``changes`` are of the options."""
    captioner = captioner or FakeCaptioner()
    options = replace(CompareOptions(), **changes)
    *_, comparison = captioner.compare(file, options)
    return CaptionedFile(name or file.name, file, comparison, captioner.columns(options), options)


def captioned_sound(file: Path, start: float | None = None) -> CaptionedFile:
    captioner, options = FakeAudioCaptioner(name="fake-audio"), CompareOptions()
    *_, comparison = captioner.compare(file, options, start=start)
    return CaptionedFile(file.name, file, comparison, captioner.columns(options), options)
