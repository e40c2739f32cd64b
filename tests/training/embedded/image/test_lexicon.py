"""The table of nouns: its rules, and the grammar of its English and French, with every exception listed."""

from collections import Counter
from dataclasses import replace
from typing import get_args

import pytest

from lora_mcl.models.yolov3_tiny import COCO_CLASSES
from tests.support.csv_tables import with_changed_row
from training.embedded.image.captions.english import noun_phrase_en, size_words_en
from training.embedded.image.captions.french import noun_phrase_fr, size_words_fr
from training.embedded.image.world.lexicon import (
    FAMILIES,
    LEXICON_CSV,
    OBJECT,
    Group,
    LexiconError,
    family_of,
    load_lexicon,
    plain_concept,
    sprite_concepts,
)

LEXICON = load_lexicon()

# Sound, not spelling, decides between "a" and "an"; food is not counted.
IRREGULAR_ARTICLES = {"hourglass": "an", "unicycle": "a", "food": "some"}

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
    "person": "people",
    "food": "pieces of food",
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


def test_the_table_has_enough_of_each_kind():
    roles = Counter(concept.role for concept in LEXICON.values())
    assert 150 <= roles["sprite"] == len(sprite_concepts(LEXICON)) <= 180
    assert roles["tag"] >= 200 and roles["detected"] >= 15


def test_every_group_has_its_broader_word():
    families = {concept.id for concept in LEXICON.values() if concept.role == "family"}
    for group in get_args(Group):
        broader = FAMILIES.get(group, OBJECT)
        assert LEXICON[broader].group == group or broader == OBJECT
        # Nothing is vaguer of a person than "a person".
        assert broader in families or broader == "person"
    assert families == {*FAMILIES.values(), OBJECT} - {"person"}
    assert all(family_of(LEXICON[family]) == family for family in families)
    assert family_of(LEXICON["cat"]) == "animal" and family_of(LEXICON["clock"]) == OBJECT


def test_every_coco_class_has_a_plain_noun():
    """No animal and no thing that the detector knows is without a word."""
    plain = [plain_concept(name) for name in COCO_CLASSES]
    assert len(set(plain)) == len(COCO_CLASSES)
    for name, concept in zip(COCO_CLASSES, plain, strict=True):
        assert LEXICON[concept].coco == name, name
    assert plain_concept("bird") == "bird" and LEXICON["parrot"].coco == "bird"


def test_people_are_people_and_no_more():
    """Of a person the detector knows no more than that; the classifier knows two kinds by what they wear."""
    people = [concept.id for concept in LEXICON.values() if concept.group == "person"]
    assert sorted(people) == ["baseball_player", "person", "scuba_diver"]
    assert [concept.id for concept in LEXICON.values() if concept.coco == "person"] == ["person"]
    assert noun_phrase_en(LEXICON["person"], 3) == "three people"
    assert noun_phrase_fr(LEXICON["person"], 3) == "trois personnes"


def test_food_is_not_counted_but_its_pieces_are():
    food = LEXICON["food"]
    assert [noun_phrase_en(food, count) for count in (1, 2)] == ["some food", "two pieces of food"]
    assert [noun_phrase_fr(food, count) for count in (1, 2)] == ["un aliment", "deux aliments"]


def test_a_family_has_no_size():
    """What is too unclear for a name is too unclear for "a huge animal"."""
    families = [concept for concept in LEXICON.values() if concept.role == "family"]
    assert families and not any(size_words_en(one, "large") or size_words_fr(one, "large") for one in families)
    assert size_words_en(LEXICON["cat"], "large") and size_words_fr(LEXICON["cat"], "large")


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
        assert concept.article == IRREGULAR_ARTICLES.get(concept.id, by_spelling), concept.id


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


def test_the_french_penguin_is_a_manchot():
    assert LEXICON["penguin"].fr == "manchot"


def test_rows_are_broken_one_rule_at_a_time():
    dog, otter, boat, animal = (LEXICON[name] for name in ("dog", "otter", "boat", "animal"))
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
        (dog, {"coco": "hound"}, "unknown COCO class"),
        (boat, {"coco": ""}, "only detected has a COCO class"),
        (boat, {"imagenet": (472,)}, "only detected has a COCO class, no ImageNet classes"),
        (boat, {"tuxpaint": ("boat",)}, "only detected .* no drawings"),
        (animal, {"coco": "dog"}, "a family has neither classes nor drawings"),
        (animal, {"imagenet": (151,)}, "a family has neither classes nor drawings"),
        (animal, {"emoji": "1F415"}, "a family has neither classes nor drawings"),
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
    with pytest.raises(LexiconError, match=message):
        load_lexicon(with_changed_row(LEXICON_CSV, tmp_path, {column: value}))
