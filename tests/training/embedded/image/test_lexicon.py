"""The table of nouns: its rules, and the grammar of its English and French, with every exception listed."""

import csv
from dataclasses import replace

import pytest

from training.embedded.image.world.lexicon import (
    LEXICON_CSV,
    LexiconError,
    load_lexicon,
    sprite_concepts,
)

LEXICON = load_lexicon()

# Sound, not spelling, decides between "a" and "an".
ARTICLES_AGAINST_SPELLING = {"hourglass": "an", "unicycle": "a"}

ENGLISH_INVARIANTS = {
    "sheep",
    "deer",
    "fish",
    "bison",
    "goldfish",
    "jellyfish",
    "starfish",
    "clownfish",
    "pufferfish",
}
ENGLISH_IRREGULARS = {
    "mouse": "mice",
    "wolf": "wolves",
    "knife": "knives",
    "goose": "geese",
    "ox": "oxen",
    "cactus": "cacti",
    "snowman": "snowmen",
    "volcano": "volcanoes",
    "computer mouse": "computer mice",
}

# A noun in -s, -x or -z never changes; these compounds of a verb or an adverb do not either.
FRENCH_INVARIANT_COMPOUNDS = {
    "aircraft_carrier",
    "container_ship",
    "dishwasher",
    "hair_dryer",
    "toaster",
    "snowplow",
    "rickshaw",
    "speedboat",
    "pickup_truck",
}
FRENCH_IRREGULARS = {
    "owl": "hiboux",
    "cabbage": "choux",
    "cauliflower": "choux-fleurs",
    "coral": "coraux",
    "snowman": "bonshommes de neige",
}

# Words whose h is "aspirated": the article keeps its vowel (le homard, la harpe).
ASPIRATED = {
    "hache",
    "hamburger",
    "hamster",
    "harpe",
    "haut-parleur",
    "haut-de-forme",
    "hibou",
    "homard",
    "hors-bord",
    "hot-dog",
    "hyène",
    "héron",
}
FRENCH_VOWELS = tuple("aàâeéèêiîoôœuû")


def english_plural(noun: str) -> str:
    head, of, rest = noun.partition(" of ")
    if head.endswith(("s", "x", "z", "ch", "sh")):
        plural = f"{head}es"
    elif head.endswith("y") and head[-2] not in "aeiou":
        plural = f"{head[:-1]}ies"
    else:
        plural = f"{head}s"
    return plural + of + rest


def french_word_plural(word: str) -> str:
    if word.endswith(("s", "x", "z")):
        return word
    if word.endswith(("eau", "eu", "œu")):
        return f"{word}x"
    if word.endswith("al"):
        return f"{word[:-2]}aux"
    return f"{word}s"


def test_the_table_has_enough_of_both_kinds():
    assert 150 <= len(sprite_concepts(LEXICON)) <= 180
    assert sum(concept.role == "tag" for concept in LEXICON.values()) >= 200
    assert {concept.role for concept in LEXICON.values()} == {"sprite", "tag"}


def test_singulars_and_plurals_of_different_concepts_never_coincide():
    for forms in (
        [{concept.en, concept.en_plural} for concept in LEXICON.values()],
        [{concept.fr, concept.fr_plural} for concept in LEXICON.values()],
    ):
        every = [form for pair in forms for form in pair]
        assert len(every) == len(set(every))


def test_articles_follow_the_first_letter_but_for_listed_exceptions():
    for concept in LEXICON.values():
        by_spelling = "an" if concept.en[0].lower() in "aeiou" else "a"
        assert concept.article == ARTICLES_AGAINST_SPELLING.get(concept.id, by_spelling), concept.id


def test_english_plurals_are_regular_or_listed():
    for concept in LEXICON.values():
        expected = ENGLISH_IRREGULARS.get(concept.en, english_plural(concept.en))
        if concept.en in ENGLISH_INVARIANTS:
            expected = concept.en
        assert concept.en_plural == expected, concept.id


def test_french_plurals_are_regular_or_listed():
    for concept in LEXICON.values():
        if concept.id in FRENCH_INVARIANT_COMPOUNDS:
            assert concept.fr_plural == concept.fr, concept.id
        elif concept.id in FRENCH_IRREGULARS:
            assert concept.fr_plural == FRENCH_IRREGULARS[concept.id]
        else:
            # A complement stays as it is (tasses de café); a word beside the head agrees (pandas roux).
            for one, many in zip(concept.fr.split(), concept.fr_plural.split(), strict=True):
                parts = zip(one.split("-"), many.split("-"), strict=True)
                assert all(many in (one, french_word_plural(one)) for one, many in parts), concept.id
            head, head_plural = concept.fr.split()[0], concept.fr_plural.split()[0]
            changes = any(not part.endswith(("s", "x", "z")) for part in head.split("-"))
            assert (head != head_plural) == changes, concept.id


def test_elision_follows_the_first_letter_but_for_aspirated_words():
    for concept in LEXICON.values():
        first = concept.fr.split()[0]
        mute = first.startswith("h") and first not in ASPIRATED
        assert concept.elides == (mute or first.startswith(FRENCH_VOWELS)), concept.id
    used = {concept.fr.split()[0] for concept in LEXICON.values()}
    assert used >= ASPIRATED


def test_french_says_manchot_for_penguin():
    assert LEXICON["penguin"].fr == "manchot"


def test_rows_are_broken_one_rule_at_a_time():
    dog, otter = LEXICON["dog"], LEXICON["otter"]
    for concept, change, message in (
        (dog, {"id": "Dog"}, "snake case"),
        (dog, {"en": " dog"}, "trimmed"),
        (dog, {"article": "the"}, "article"),
        (dog, {"gender": "n"}, "gender"),
        (dog, {"group": "pet"}, "group"),
        (dog, {"role": "photo"}, "role"),
        (dog, {"size": 2.0}, "size"),
        (dog, {"emoji": ""}, "needs an emoji"),
        (dog, {"imagenet": (1000,)}, "below 1000"),
        (dog, {"imagenet": (3, 3)}, "distinct"),
        (otter, {"imagenet": ()}, "a tag has ImageNet classes"),
        (otter, {"emoji": "1F9A6"}, "no drawings"),
    ):
        with pytest.raises(LexiconError, match=message):
            replace(concept, **change)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("id", "cat", "id 'cat' is used by both"),
        ("fr", "chat", "fr 'chat' is used by both"),
        ("imagenet", "281", "imagenet 281 is used by both"),
        ("size", "big", "line 2: wrong columns or an unreadable value"),
        ("elides", "", "line 2: wrong columns or an unreadable value"),
        ("group", "pet", "line 2: concept 'dog': unknown group"),
    ],
)
def test_a_bad_table_is_refused_with_its_place(tmp_path, column, value, message):
    with LEXICON_CSV.open(encoding="utf-8", newline="") as opened:
        rows = list(csv.DictReader(opened))
    rows[0][column] = value
    path = tmp_path / "lexicon.csv"
    with path.open("w", encoding="utf-8", newline="") as opened:
        table = csv.DictWriter(opened, fieldnames=list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    with pytest.raises(LexiconError, match=message):
        load_lexicon(path)
