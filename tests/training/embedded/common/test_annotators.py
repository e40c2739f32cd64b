"""The annotators of both models: rules for every caption, and the parser as their inverse."""

import random
import re

import pytest

from training.embedded.audio.captions.parser import load_parser as load_audio_parser
from training.embedded.image.captions.parser import load_parser as load_image_parser

PARSERS = {"image": load_image_parser, "audio": load_audio_parser}
# "a" and "an" are checked by letter, except before words whose sound differs from their spelling.
EN_FAULTS = {
    "image": r"\ba (?!uni|use|eu|ukulele|ufo|one)[aeiou]|\ban (?!hour|heir|honest|[fhlmnrsx]-?ray\b)[^aeiou]",
    "audio": r"\ba [aeio]|\ban [^aeio]|\b(\w+) \1\b|(noise|sound|tone) a ",
}
FR_FAULTS = {
    "image": r"\b(de|que) (un|une)\b|\bde (le|les)\b|\b[dl]' ",
    "audio": r"\b(de|que|qui) (un|une)\b|\bde (le|les|des|du)\b|\b[dl]' |\bd'[^aeiouyéèêâhœ]|\bque [aeiou]|\b(\w+) \4\b"
    r"|(bruit|son|note)( (bref|brève|long|longue|grave|aigu|aiguë|et))* un (air|rythme)",
}
LONGEST = {"image": 26, "audio": 60}


@pytest.fixture(scope="module")
def captioned(domain):
    """3,000 scenes with their caption in every mode."""
    rng = random.Random(1)
    annotators = domain.annotators
    scenes = [annotators.sample_scene(rng) for _ in range(3000)]
    return [(scene, {mode: annotators.caption(scene, mode, rng) for mode in annotators.modes}) for scene in scenes]


def test_captions_are_single_sentences(domain, captioned):
    for text in (text for _, captions in captioned for text in captions.values()):
        assert text[0].isupper() and text.endswith(".") and not text.endswith(".."), text
        assert "  " not in text and text == text.strip() and "’" not in text, text
        assert len(re.findall(r"[\w'-]+", text)) <= LONGEST[domain.name], text


def test_articles_and_elisions_are_right(domain, captioned):
    faults = {"en": EN_FAULTS[domain.name], "fr": FR_FAULTS[domain.name]}
    for mode, text in (item for _, captions in captioned for item in captions.items()):
        assert not re.search(faults[mode[:2]], text, re.I if mode.startswith("en") else 0), text


def test_every_caption_is_parsed_as_its_annotators(domain, captioned):
    parser = PARSERS[domain.name]()
    for mode, text in (item for _, captions in captioned for item in captions.items()):
        parsed = parser.parse(text)
        assert (parsed.mode, parsed.language) == (mode, mode[:2]), text


def test_shuffled_and_cut_captions_are_parsed_without_errors(domain, captioned):
    rng = random.Random(3)
    for scene, captions in captioned[:500]:
        words = rng.choice(list(captions.values())).split()
        rng.shuffle(words)
        domain.annotators.judge(scene, " ".join(words[: rng.randrange(len(words) + 1)]))


def test_the_same_seed_gives_the_same_caption(domain, captioned):
    scene, annotators = captioned[0][0], domain.annotators
    for mode in annotators.modes:
        found = {annotators.caption(scene, mode, random.Random(5)) for _ in range(3)}
        assert len(found) == 1


def test_an_unknown_mode_is_refused(domain, captioned):
    with pytest.raises(ValueError, match=", ".join(domain.annotators.modes)):
        domain.annotators.caption(captioned[0][0], "de-place", random.Random(0))
