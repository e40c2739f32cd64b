"""What simulated photographs show: where, on what evidence, and how precisely it is named."""

import random

import pytest

from lora_mcl.models.yolov3_tiny import COCO_CLASSES
from training.embedded.image.captions.grammar import MODES, load_grammar
from training.embedded.image.captions.parser import load_parser
from training.embedded.image.render.simulated_content import (
    CLEAR,
    CONFUSED,
    FALSE_ALARMS,
    HARD,
    MEDIUM,
    NEVER_BY_NAME,
    PARTS,
    PERSON_TAGS,
    STRONG,
    UNCLEAR,
    UNKNOWN_BOXED,
    Alarm,
    Content,
    ContentSampler,
    Simulation,
    clip,
    doubtful,
    draw_boxes,
    named_scene,
    part,
)
from training.embedded.image.world.lexicon import OBJECT, family_of, load_lexicon, plain_concept
from training.embedded.image.world.scene import MAX_COUNT, SLOTS, Thing

LEXICON = load_lexicon()
SAMPLER = ContentSampler(LEXICON)
SEEN = CLEAR.named_from
BOX = (0.5, 0.5, 0.4, 0.6)
CAT_CLASS, DOG_CLASS = LEXICON["cat"].imagenet[0], LEXICON["dog"].imagenet[0]


def draw(simulation: Simulation) -> list[tuple[Content, ...]]:
    sampler = ContentSampler(LEXICON, simulation)
    return [sampler.contents(random.Random(seed)) for seed in range(3000)]


@pytest.fixture(scope="module")
def drawn() -> list[tuple[Content, ...]]:
    return draw(CLEAR)


@pytest.fixture(scope="module")
def drawn_unclear() -> list[tuple[Content, ...]]:
    return draw(UNCLEAR)


def best(content: Content) -> Alarm | None:
    return max(content.alarms, key=lambda alarm: alarm.score, default=None)


def test_tables_hold_coco_classes_only():
    assert set().union(HARD, FALSE_ALARMS, *CONFUSED) <= set(COCO_CLASSES)
    assert all(0 <= tag < 1000 for tag in PERSON_TAGS)
    assert not any("person" in group for group in CONFUSED), "a person is never taken for an animal"


def test_the_same_seed_draws_the_same(drawn):
    assert SAMPLER.contents(random.Random(7)) == drawn[7] != drawn[8]


def test_things_stand_from_left_to_right_inside_the_picture(drawn):
    for contents in drawn:
        slots = [SLOTS.index(content.thing.slot) for content in contents]
        assert 1 <= len(slots) <= 3 and slots == sorted(set(slots))
        assert len({content.thing.concept for content in contents}) == len(contents)
        for content in contents:
            assert len(content.boxes) == content.thing.count <= MAX_COUNT
            for x, y, width, height in (*content.boxes, *(alarm.box for alarm in content.alarms)):
                assert 0 <= x <= 1 and 0 <= y <= 1 and 0 < width <= 1 and 0 < height <= 1
            for alarm in content.alarms:
                assert 0 <= alarm.score <= 1 and alarm.coco in COCO_CLASSES


def test_everything_the_detector_knows_is_shown(drawn):
    shown = {LEXICON[content.thing.concept].coco for contents in drawn for content in contents}
    assert shown >= set(COCO_CLASSES) | {""}
    people = sum(any(content.thing.concept == "person" for content in contents) for contents in drawn)
    assert 0.1 < people / len(drawn) < 0.35, "people are what is photographed most"
    counts = [content.thing.count for contents in drawn for content in contents]
    assert all(counts.count(count) > 0.1 * len(counts) for count in (1, 2, 3))


@pytest.mark.parametrize(("contents_of", "simulation"), [("drawn", CLEAR), ("drawn_unclear", UNCLEAR)])
def test_names_are_as_precise_as_the_evidence(request, contents_of, simulation):
    for content in (content for contents in request.getfixturevalue(contents_of) for content in contents):
        concept, alarm = LEXICON[content.thing.concept], best(content)
        own_class = content.imagenet in concept.imagenet and content.strength >= STRONG
        needed = simulation.person_named_from if concept.coco == "person" else simulation.named_from
        detected = alarm is not None and alarm.coco == concept.coco and alarm.score >= needed
        allowed = {family_of(concept), OBJECT}
        if content.name is None and concept.coco != "person":  # neither part of the tower knows it
            assert simulation.unknown and content.imagenet is None and content.further
            continue
        if own_class:
            allowed = {family_of(concept) if concept.id in NEVER_BY_NAME else concept.id}
        elif detected:
            allowed = {plain_concept(concept.coco)}
        elif concept.coco == "person":
            allowed = {None}
        elif content.strength < MEDIUM and (alarm is None or alarm.score < simulation.named_from):
            allowed = {OBJECT}
        assert content.name in allowed, content


def test_words_that_offend_if_wrong_are_never_written(drawn, drawn_unclear):
    assert set(LEXICON) >= NEVER_BY_NAME
    assert all(LEXICON[name].role == "tag" for name in NEVER_BY_NAME), "no drawing teaches them"
    contents = [content for contents in (*drawn, *drawn_unclear) for content in contents]
    assert {content.thing.concept for content in contents} >= NEVER_BY_NAME
    assert not {content.name for content in contents} & NEVER_BY_NAME


def test_every_precision_occurs(drawn):
    names = [(LEXICON[content.thing.concept], content.name) for contents in drawn for content in contents]
    share = {
        "own": sum(name == concept.id for concept, name in names),
        "plain": sum(name == plain_concept(concept.coco or "-") != concept.id for concept, name in names),
        "family": sum(name == family_of(concept) != OBJECT for concept, name in names),
        "object": sum(name == OBJECT for _, name in names),
    }
    assert all(count > 0.01 * len(names) for count in share.values()), share


def test_people_are_named_as_people_or_not_at_all(drawn):
    people = [content for contents in drawn for content in contents if content.thing.concept == "person"]
    assert {content.name for content in people} == {"person", None}
    assert all(alarm.coco == "person" for content in people for alarm in content.alarms)


def test_further_classes_are_seen_and_not_named(drawn, drawn_unclear):
    assert not any(content.further for contents in drawn for content in contents)
    contents = [content for contents in drawn_unclear for content in contents]
    assert 0.2 < sum(bool(content.further) for content in contents) / len(contents) < 0.8
    dogs = [content for content in contents if content.thing.concept == "dog" and content.further]
    breeds = [index in LEXICON["dog"].imagenet for dog in dogs for index, _ in dog.further]
    assert breeds and sum(breeds) > len(breeds) / 2, "breeds of one animal share the score"
    for content in contents:
        concept = LEXICON[content.thing.concept]
        for index, strength in content.further:
            if index not in concept.imagenet and concept.coco != "person" and content.name is not None:
                assert strength < content.strength, "what it is is seen best"
    worn = {index for content in contents if content.thing.concept == "person" for index, _ in content.further}
    assert len(worn) > 50 and set(LEXICON["suit"].imagenet) & worn


def test_what_no_part_of_the_tower_knows_is_left_out(drawn, drawn_unclear):
    def unknown(contents: list[Content]) -> list[Content]:
        others = [content for content in contents if content.thing.concept != "person"]
        return [content for content in others if content.name is None]

    contents = [content for contents in drawn_unclear for content in contents if content.thing.concept != "person"]
    found = unknown(contents)
    assert UNCLEAR.unknown / 2 < len(found) / len(contents) < 1.5 * UNCLEAR.unknown
    assert all(content.further and content.imagenet is None for content in found), (
        "the classifier always sees something"
    )
    assert any(content.alarms for content in found) and not all(content.alarms for content in found)
    assert {thing.concept for thing in named_scene(None, found[:1]).things} == {OBJECT}
    assert not unknown([content for contents in drawn for content in contents])


def test_people_are_seen_weakly_among_any_classes(drawn, drawn_unclear):
    def people(drawn: list[tuple[Content, ...]]) -> list[Content]:
        return [content for contents in drawn for content in contents if content.thing.concept == "person"]

    def weak(some: list[Content]) -> float:
        scores = [alarm.score for content in some if (alarm := best(content))]
        return sum(score < 0.3 for score in scores) / len(scores)

    animals = {index for concept in LEXICON.values() if concept.group == "animal" for index in concept.imagenet}
    before, after = people(drawn), people(drawn_unclear)
    assert len(after) > 1.2 * len(before) and weak(after) > 2 * weak(before)
    assert any(index in animals for content in after for index, _ in content.further)
    assert not any(index in animals for content in before for index, _ in content.further)


@pytest.mark.parametrize(("group", "kind"), [("animal", "animal"), ("tool", "other")])
def test_what_the_detector_has_no_class_for_gets_boxes_of_its_own_in_each_view(group, kind):
    drawn = [doubtful(BOX, group, random.Random(seed)) for seed in range(2000)]
    for view, expected in enumerate(UNKNOWN_BOXED[kind]):
        boxes = [[alarm for alarm in alarms if alarm.view == view] for alarms in drawn]
        assert sum(map(bool, boxes)) / len(boxes) == pytest.approx(expected, abs=0.04)
        assert {len(some) for some in boxes} == {0, 1, 2, 3}
        assert all(some == sorted(some, key=lambda alarm: -alarm.score) for some in boxes)
    classes = {alarm.coco for alarms in drawn for alarm in alarms}
    assert classes == ({*CONFUSED[0], "person"} if kind == "animal" else set(COCO_CLASSES))


def test_some_boxes_hold_a_part():
    parts = [part(BOX, random.Random(seed)) for seed in range(300)]
    for x, y, width, height in parts:
        assert 0.29 * BOX[2] < width < 0.81 * BOX[2] and 0.29 * BOX[3] < height < 0.81 * BOX[3]
        assert abs(x - BOX[0]) + width / 2 <= BOX[2] / 2 + 1e-9 and abs(y - BOX[1]) + height / 2 <= BOX[3] / 2 + 1e-9
    drawn = [alarm for seed in range(2000) for alarm in doubtful(BOX, "animal", random.Random(seed))]
    assert sum(alarm.box[2] < 0.7 * BOX[2] for alarm in drawn) / len(drawn) == pytest.approx(PARTS * 0.8, abs=0.05)


def test_boxes_of_any_class_say_nothing_about_the_family():
    """Of an animal they do: the detector takes animals for animals, and tools for anything."""
    alarms = (Alarm("dog", 0.9, BOX, 1),)
    for concept, expected in (("otter", "animal"), ("hammer", OBJECT)):
        weak = Content(Thing(concept), (BOX,), alarms, LEXICON[concept].imagenet[0], MEDIUM - 1, None)
        assert ContentSampler(LEXICON, UNCLEAR)._name(weak, random.Random(0)) == expected


def test_unclear_photographs_show_more_that_only_a_tag_shows(drawn, drawn_unclear):
    def share(drawn: list[tuple[Content, ...]]) -> float:
        return sum(not LEXICON[c.thing.concept].coco for contents in drawn for c in contents) / sum(map(len, drawn))

    assert share(drawn_unclear) > 1.3 * share(drawn)


@pytest.mark.parametrize(
    ("concept", "imagenet", "strength", "alarms", "expected"),
    [
        ("cat", CAT_CLASS, STRONG, (), "cat"),
        ("cat", DOG_CLASS, STRONG, (Alarm("cat", SEEN, BOX),), "cat"),
        ("cat", DOG_CLASS, STRONG, (Alarm("cat", 0.5, BOX), Alarm("dog", 0.6, BOX)), "animal"),
        ("cat", None, 0.0, (Alarm("dog", SEEN, BOX),), "animal"),
        ("cat", CAT_CLASS, MEDIUM, (), "animal"),
        ("cat", CAT_CLASS, MEDIUM - 0.1, (Alarm("cat", SEEN - 0.01, BOX),), OBJECT),
        ("parrot", None, 0.0, (Alarm("bird", 0.9, BOX),), "bird"),
        ("parrot", 87, STRONG, (), "parrot"),
        ("person", PERSON_TAGS[0], 9.0, (Alarm("person", 0.9, BOX),), "person"),
        ("person", PERSON_TAGS[0], 9.0, (Alarm("person", 0.1, BOX),), None),
        ("clock", None, 0.0, (Alarm("bowl", 0.9, BOX),), OBJECT),
        # Nothing but a false alarm: an animal that no part of the tower knows is an object.
        ("otter", None, 0.0, (Alarm("dog", 0.9, BOX),), OBJECT),
        ("otter", LEXICON["otter"].imagenet[0], MEDIUM, (Alarm("dog", 0.9, BOX),), "animal"),
    ],
)
def test_names_by_hand(concept, imagenet, strength, alarms, expected):
    content = Content(Thing(concept), (BOX,), alarms, imagenet, strength, None)
    assert SAMPLER._name(content, random.Random(0)) == expected


@pytest.mark.parametrize(("score", "expected"), [(0.05, "person"), (0.04, None)])
def test_a_person_is_named_from_a_low_score_on(score, expected):
    content = Content(Thing("person"), (BOX,), (Alarm("person", score, BOX),), PERSON_TAGS[0], 9.0, None)
    assert ContentSampler(LEXICON, UNCLEAR)._name(content, random.Random(0)) == expected


def content(concept: str, name: str | None, slot: str, count: int = 1) -> Content:
    return Content(Thing(concept, count, "large", slot), (BOX,) * count, (), None, 0.0, name)


def test_things_of_one_name_are_counted_together():
    scene = named_scene("beach", (content("cat", "animal", "left"), content("pig", "animal", "right", 3)))
    assert scene.place == "beach"
    assert scene.things == (Thing("animal", MAX_COUNT, "normal", "left"),)
    apart = named_scene(None, (content("cat", "cat", "left"), content("pig", "animal", "right", 2)))
    assert apart.things == (Thing("cat", 1, "large", "left"), Thing("animal", 2, "large", "right"))


def test_what_cannot_be_named_is_left_out_or_an_object():
    person = content("person", None, "left")
    assert named_scene(None, (person, content("cat", "cat", "right"))).things == (Thing("cat", 1, "large", "right"),)
    assert named_scene(None, (person,)).things == (Thing(OBJECT, 1, "normal", "left"),)


def test_every_name_can_be_captioned_and_parsed(drawn):
    grammar, rng = load_grammar(), random.Random(1)
    for contents in drawn[:1000]:
        scene = named_scene(None, contents)
        for mode in MODES:
            parsed = load_parser().parse(text := grammar.caption(scene, mode, rng))
            assert set(parsed.things) == {(thing.concept, thing.count) for thing in scene.things}, text
            assert parsed.mode == mode, text


@pytest.mark.parametrize("slot", SLOTS)
def test_one_things_box_is_centred_in_its_slot(slot):
    for seed in range(300):
        (box,), _ = draw_boxes(slot, 1, 3, random.Random(seed))
        assert int(box[0] * 3) == SLOTS.index(slot) or abs(box[0] * 3 - round(box[0] * 3)) < 0.15, box


def test_size_words_follow_the_height():
    for seed in range(500):
        boxes, size = draw_boxes("middle", 1, 1, random.Random(seed))
        height = boxes[0][3]
        assert size == "normal" or (height > 0.55 if size == "large" else height < 0.3)


def test_clipping_by_hand():
    assert clip((0.5, 0.5, 0.2, 0.4)) == pytest.approx((0.5, 0.5, 0.2, 0.4))
    assert clip((0.1, 0.9, 0.4, 0.4)) == pytest.approx((0.15, 0.85, 0.3, 0.3))
    assert clip((0.5, 0.5, 3.0, 3.0)) == (0.5, 0.5, 1.0, 1.0)
