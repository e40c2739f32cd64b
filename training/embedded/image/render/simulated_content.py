"""What a simulated photograph shows, what the detector and the classifier would make of it, and how it is named.

There are few photographs here whose content is known. What the tower shows of a photograph can be drawn instead: boxes
with the misses, doubles, confusions and false alarms that the detector makes on real photographs, and ImageNet classes
of varying strength. Annotators then name a thing as precisely as this evidence allows: by its own noun, by the plain
noun of its COCO class, by its family ("an animal"), or as "an object".
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lora_mcl.models.yolov3_tiny import COCO_CLASSES
from training.embedded.image.world.lexicon import OBJECT, Concept, family_of, plain_concept
from training.embedded.image.world.scene import MAX_COUNT, SLOTS, Scene, Size, Slot, Thing

Box = tuple[float, float, float, float]
"""Centre x, centre y, width and height, as fractions of the picture."""

HARD = frozenset(
    ("backpack", "handbag", "book", "toaster", "toothbrush", "spoon", "fork", "knife", "remote", "scissors", "bottle")
)
"""COCO classes that the detector misses more often."""
CONFUSED: tuple[frozenset[str], ...] = (
    frozenset(["bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe"]),
    frozenset(["bicycle", "motorcycle", "car", "bus", "train", "truck", "boat", "airplane"]),
    frozenset(["bottle", "cup", "bowl", "vase", "wine glass", "potted plant"]),
    frozenset(["banana", "apple", "sandwich", "orange", "broccoli", "carrot", "pizza", "donut", "cake", "hot dog"]),
    frozenset(["chair", "couch", "bed", "bench", "dining table", "toilet"]),
    frozenset(
        ["tv", "laptop", "keyboard", "remote", "mouse", "book", "microwave", "oven", "refrigerator", "cell phone"]
    ),
    frozenset(["fork", "knife", "spoon", "scissors", "toothbrush", "baseball bat"]),
    frozenset(["skis", "snowboard", "skateboard", "surfboard", "kite", "frisbee", "umbrella"]),
)
"""Classes that the detector takes for one another."""
FALSE_ALARMS = ("person", "bird", "cup", "chair", "book", "clock", "vase", "bowl", "sports ball", "kite", "dog", "boat")
# ImageNet classes that the head gives to people, for it has none of its own: clothes, hats, glasses.
PERSON_TAGS = (400, 431, 457, 515, 608, 610, 617, 639, 643, 652, 655, 667, 735, 775, 793, 834, 836, 841, 869, 903, 906)

NEVER_BY_NAME = frozenset(("bra", "bikini", "diaper", "rifle", "revolver"))
"""Named by their family alone: said wrongly of people, these words offend."""

IMAGENET_CLASSES = 1000
PARTS = 0.5
"""Share of a doubtful thing's boxes that hold a part of it."""
UNKNOWN_BOXED = {"animal": (0.5, 0.85), "other": (0.25, 0.65)}
"""Shares of base views and of tiles in which the detector gives boxes of something that it has no class for: measured
on the real training photographs, of animals and of other things."""
STRONG, MEDIUM = 6.5, 4.0
"""Logits above the mean class from which the head's class can be trusted, and from which its family can."""


@dataclass(frozen=True)
class Simulation:
    """How simulated photographs of a training stage are drawn and named.

    Attributes:
        tagged_share: of all things but people, those that the classifier alone can recognise.
        named_from: score from which a box names its class.
        person_named_from: that of a person, whom the detector takes for nothing else and seldom sees where nobody is.
        further_tags: whether the classifier also sees other classes of the same concept, and what people wear or hold.
        place_named: of the photographs with a recognisable place, the share whose captions name it.
        doubtful_boxes: whether one thing may get several boxes, of other classes in each view.
        people: how often people occur, in place of a class that occurs once.
        people_seen_weakly: share of people whom the detector is hardly sure of.
        anything_on_people: whether the classifier may see any class on people, animals among them.
        unknown: share of things that neither part of the tower knows, on which it still sees something.
        real_place_named: of the real photographs with a known place, the share whose captions name it.
    """

    tagged_share: float
    named_from: float
    person_named_from: float
    further_tags: bool
    place_named: float
    doubtful_boxes: bool = False
    people: float = 12.0
    people_seen_weakly: float = 0.0
    anything_on_people: bool = False
    unknown: float = 0.0
    real_place_named: float = 1.0


CLEAR = Simulation(0.32, 0.25, 0.25, further_tags=False, place_named=0.2)
"""One class for each thing, for the projector's alignment."""
UNCLEAR = Simulation(
    0.5,
    0.12,
    0.05,
    further_tags=True,
    place_named=0.05,
    doubtful_boxes=True,
    people=24.0,
    people_seen_weakly=0.5,
    anything_on_people=True,
    unknown=0.14,
    real_place_named=0.6,
)
"""As the tower answers real photographs: breeds of one animal share the score, clothes show with their wearer, and what
it does not know has several boxes of several classes. Portraits: a box whose score is a quarter, and classes that the
classifier, which knows no people, is sure of."""
SELDOM_PLACED = replace(UNCLEAR, people=40.0, place_named=0.02, real_place_named=0.1)
"""Of the places that a photograph of a visitor seems to show, hardly any is one that this model knows."""
WORN_OR_HELD = frozenset(("clothing", "instrument", "tool", "toy", "furniture", "other"))
"""Groups whose classes the classifier gives to photographs of people."""


@dataclass(frozen=True)
class Alarm:
    """One box that the detector gives.

    Attributes:
        coco: its class.
        score: objectness times class probability.
        view: the only view in which it is given, 0 the base view and 1 the tile; None: both.
    """

    coco: str
    score: float
    box: Box
    view: int | None = None


@dataclass(frozen=True)
class Content:
    """One kind of thing in a simulated photograph, and the evidence of it.

    Attributes:
        thing: what it truly is, how many, how large, where.
        boxes: of each copy.
        alarms: what the detector gives for it.
        imagenet: the class that the head sees there; None for no class.
        strength: the class's logit above the mean class.
        name: id of the concept that annotators name it by; None where they leave it out.
        further: other classes that the head sees there, each with its logit above the mean class.
    """

    thing: Thing
    boxes: tuple[Box, ...]
    alarms: tuple[Alarm, ...]
    imagenet: int | None
    strength: float
    name: str | None
    further: tuple[tuple[int, float], ...] = ()


class ContentSampler:
    """Draws what simulated photographs show, from one lexicon."""

    def __init__(self, lexicon: Mapping[str, Concept], simulation: Simulation = CLEAR) -> None:
        self.lexicon, self.simulation = lexicon, simulation
        self.by_coco: dict[str, list[Concept]] = {name: [] for name in COCO_CLASSES}
        for concept in lexicon.values():
            if concept.coco:
                self.by_coco[concept.coco].append(concept)
        self.tagged = [concept for concept in lexicon.values() if concept.imagenet and not concept.coco]
        self._worn = [
            index for concept in lexicon.values() if concept.group in WORN_OR_HELD for index in concept.imagenet
        ]
        self._any = [index for concept in lexicon.values() for index in concept.imagenet]
        people = simulation.people
        self._weights = [people if name == "person" else 0.6 if name in HARD else 1.0 for name in COCO_CLASSES]

    def contents(self, rng: random.Random) -> tuple[Content, ...]:
        """One to three kinds of things from left to right."""
        kinds = rng.choices((1, 2, 3), (0.6, 0.3, 0.1))[0]
        slots: list[Slot] = sorted(rng.sample(SLOTS, kinds), key=SLOTS.index)
        if kinds == 1 and rng.random() < 0.5:
            slots = ["middle"]
        concepts: list[Concept] = []
        while len(concepts) < kinds:
            concept = self._concept(rng, person=len(concepts) > 0 and rng.random() < 0.3)
            if concept not in concepts:
                concepts.append(concept)
        rng.shuffle(concepts)
        return tuple(self._content(concept, slot, kinds, rng) for concept, slot in zip(concepts, slots, strict=True))

    def _concept(self, rng: random.Random, person: bool) -> Concept:
        if not person and rng.random() < self.simulation.tagged_share:
            return rng.choice(self.tagged)
        coco = "person" if person else rng.choices(COCO_CLASSES, self._weights)[0]
        finer = [concept for concept in self.by_coco[coco] if concept.imagenet]
        if finer and rng.random() < 0.4:
            return rng.choice(finer)
        return self.lexicon[plain_concept(coco)]

    def _content(self, concept: Concept, slot: Slot, kinds: int, rng: random.Random) -> Content:
        crowd = (0.45, 0.25, 0.3) if concept.coco == "person" else (0.66, 0.2, 0.14)
        count = rng.choices((1, 2, MAX_COUNT), crowd)[0]
        boxes, size = draw_boxes(slot, count, kinds, rng)
        if self.simulation.unknown and concept.coco != "person" and rng.random() < self.simulation.unknown:
            return self._unknown(Thing(concept.id, count, size, slot), boxes, rng)
        alarms = tuple(alarm for box in boxes for alarm in self._alarms(concept, box, rng))
        imagenet, strength = self._tag(concept, rng)
        further = self._further(concept, imagenet, strength, rng) if self.simulation.further_tags else ()
        content = Content(Thing(concept.id, count, size, slot), boxes, alarms, imagenet, strength, None, further)
        return replace(content, name=self._name(content, rng))

    def _unknown(self, thing: Thing, boxes: tuple[Box, ...], rng: random.Random) -> Content:
        """Something that neither part of the tower knows, left out of the caption unless nothing else is there."""
        alarms = tuple(alarm for box in boxes for alarm in doubtful(box, "other", rng))
        further = tuple((rng.randrange(IMAGENET_CLASSES), rng.uniform(1, 8)) for _ in range(rng.choice((1, 2, 3))))
        return Content(thing, boxes, alarms, None, 0.0, None, further)

    def _alarms(self, concept: Concept, box: Box, rng: random.Random) -> list[Alarm]:
        """What the detector gives for one copy."""
        height, several = box[3], self.simulation.doubtful_boxes
        if not concept.coco and several:
            return doubtful(box, concept.group, rng)
        if not concept.coco:
            likely = 0.5 if concept.group == "animal" else 0.3
            if rng.random() > likely:
                return []
            pool = sorted(CONFUSED[0]) if concept.group == "animal" else FALSE_ALARMS
            return [Alarm(rng.choice(pool), rng.betavariate(1.6, 2.6), jitter(box, rng))]
        hit = (0.55 if height < 0.25 else 0.88 if height < 0.55 else 0.95) * (0.75 if concept.coco in HARD else 1.0)
        alarms = []
        rivals = sorted(set().union(*(group for group in CONFUSED if concept.coco in group)) - {concept.coco})
        if rng.random() < hit:
            score = rng.betavariate(1.5, 1.8) if height < 0.25 else rng.betavariate(1.6, 1.0)
            weakly = self.simulation.people_seen_weakly
            if concept.coco == "person" and weakly and rng.random() < weakly:
                score = rng.betavariate(1.8, 4.2)
            placed = jitter(box, rng)
            alarms.append(Alarm(concept.coco, score, placed))
            if rivals and rng.random() < 0.35:
                alarms.append(Alarm(rng.choice(rivals), score * rng.uniform(0.1, 0.9), placed))
            if several and rivals and rng.random() < 0.3:
                other = rng.choice((*rivals, "person"))
                alarms.append(Alarm(other, score * rng.uniform(0.1, 0.9), jitter(placed, rng), rng.choice((0, 1))))
            if rng.random() < (0.25 if several else 0.04):
                again = part(box, rng) if several else jitter(box, rng, 0.5)
                alarms.append(Alarm(concept.coco, rng.uniform(0.1, 0.45), again))
        elif rivals and rng.random() < 0.5:
            alarms.append(Alarm(rng.choice(rivals), rng.betavariate(1.6, 2.6), jitter(box, rng)))
        return alarms

    def _tag(self, concept: Concept, rng: random.Random) -> tuple[int | None, float]:
        """The class that the head sees on a thing, and how strongly."""
        if concept.coco == "person":
            return rng.choice(PERSON_TAGS), rng.uniform(1, 9)
        if concept.imagenet:
            if rng.random() < 0.82:
                return rng.choice(concept.imagenet), rng.choices((rng.uniform(7, 13), rng.uniform(3, 7)), (4, 1))[0]
            return None, 0.0
        # No class of its own: that of something like it, or none that can be recognised.
        like = [other for other in self.lexicon.values() if other.group == concept.group and other.imagenet]
        if like and rng.random() < 0.5:
            return rng.choice(rng.choice(like).imagenet), rng.uniform(1.5, 7)
        return None, 0.0

    def _further(
        self, concept: Concept, imagenet: int | None, strength: float, rng: random.Random
    ) -> tuple[tuple[int, float], ...]:
        """Other classes that the head sees on a thing, none of them named."""
        if concept.coco == "person" and self.simulation.anything_on_people:
            seen = (self._any, self._worn)
            return tuple((rng.choice(rng.choice(seen)), rng.uniform(2, 11)) for _ in range(rng.choice((1, 2, 3))))
        if concept.coco == "person":
            return tuple((rng.choice(self._worn), rng.uniform(2, 10)) for _ in range(rng.choice((0, 1, 1, 2))))
        if imagenet is None or rng.random() < 0.4:
            return ()
        like = [other.imagenet for other in self.lexicon.values() if other.group == concept.group and other.imagenet]
        same = len(concept.imagenet) > 1 and imagenet in concept.imagenet
        found = []
        for _ in range(rng.choice((1, 2))):
            if same and rng.random() < 0.7:
                found.append((rng.choice(concept.imagenet), strength * rng.uniform(0.8, 1)))
            else:
                found.append((rng.choice(rng.choice(like)), strength * rng.uniform(0.3, 0.75)))
        return tuple(found)

    def _name(self, content: Content, rng: random.Random) -> str | None:
        concept = self.lexicon[content.thing.concept]
        trusted = content.imagenet in concept.imagenet and content.strength >= STRONG
        best = max(content.alarms, key=lambda alarm: alarm.score, default=None)
        person = concept.coco == "person"
        needed = self.simulation.person_named_from if person else self.simulation.named_from
        detected = best is not None and best.coco == concept.coco and best.score >= needed
        if trusted:
            return family_of(concept) if concept.id in NEVER_BY_NAME else concept.id
        if detected:
            return plain_concept(concept.coco)
        if person:
            return None
        # Where anything can get boxes, they say what family it is of only if the detector knows such things.
        known = concept.coco or concept.group == "animal" or not self.simulation.doubtful_boxes
        boxed = known and best is not None and best.score >= self.simulation.named_from
        hint = content.strength >= MEDIUM or boxed
        return family_of(concept) if hint and (content.imagenet is not None or concept.coco) else OBJECT


def doubtful(box: Box, group: str, rng: random.Random) -> list[Alarm]:
    """Boxes of something that the detector has no class for: up to three in each view, where it stands."""
    kind = "animal" if group == "animal" else "other"
    pool = (*sorted(CONFUSED[0]), "person") if kind == "animal" else COCO_CLASSES
    first, placed = rng.choice(pool), jitter(box, rng)
    alarms = []
    for view, boxed in enumerate(UNKNOWN_BOXED[kind]):
        if rng.random() > boxed:
            continue
        score = rng.betavariate(1.8, 3.2) if kind == "animal" else rng.betavariate(1.4, 3.8)
        for number in range(rng.choices((1, 2, 3), (0.55, 0.3, 0.15))[0]):
            coco = first if number == 0 and rng.random() < 0.6 else rng.choice(pool)
            where = part(placed, rng) if rng.random() < PARTS else jitter(placed, rng, 0.06)
            alarms.append(Alarm(coco, score, where, view))
            score *= rng.uniform(0.35, 0.95)
    return alarms


def part(box: Box, rng: random.Random) -> Box:
    """A part of a box, as where the detector takes a head or a leg for a thing."""
    x, y, width, height = box
    across, down = rng.uniform(0.3, 0.8), rng.uniform(0.3, 0.8)
    right, low = rng.uniform(-0.5, 0.5) * (1 - across), rng.uniform(-0.5, 0.5) * (1 - down)
    return clip((x + right * width, y + low * height, across * width, down * height))


def named_scene(place: str | None, contents: Sequence[Content]) -> Scene:
    """The scene as annotators name it: things of one name counted together where the first of them stands.

    A photograph in which nothing can be named shows an object.
    """
    things: list[Thing] = []
    for content in contents:
        if content.name is None:
            continue
        same = next((thing for thing in things if thing.concept == content.name), None)
        if same is None:
            things.append(replace(content.thing, concept=content.name))
        else:
            both = replace(same, count=min(MAX_COUNT, same.count + content.thing.count), size="normal")
            things[things.index(same)] = both
    return Scene(place, tuple(things) or (Thing(OBJECT, 1, "normal", contents[0].thing.slot),))


def draw_boxes(slot: Slot, count: int, kinds: int, rng: random.Random) -> tuple[tuple[Box, ...], Size]:
    """Boxes of the copies of one thing in a slot, and the word for their size."""
    large, small = 0.75, 0.22
    height = rng.choices((rng.uniform(0.55, 0.98), rng.uniform(0.3, 0.6), rng.uniform(0.1, 0.3)), (0.45, 0.42, 0.13))[0]
    if count > 1 or kinds > 1:
        height = min(height, rng.uniform(0.3, 0.8))
    aspect = rng.choices((rng.uniform(0.35, 0.8), rng.uniform(0.8, 1.7)), (1, 2))[0]
    width = min(height * aspect, 0.95 if kinds == 1 else 0.5)
    middle = (SLOTS.index(slot) + 0.5) / len(SLOTS)
    spread = (0.28 if kinds == 1 and slot == "middle" else 0.11) if count > 1 else 0.0
    boxes = []
    for index in range(count):
        offset = spread * (2 * index / max(count - 1, 1) - 1)
        x = middle + offset + rng.uniform(-0.07, 0.07)
        y = rng.uniform(0.45, 0.65) + rng.uniform(-0.05, 0.05)
        boxes.append(clip((x, y, width * rng.uniform(0.85, 1.15), height * rng.uniform(0.85, 1.15))))
    return tuple(boxes), "large" if height > large else "small" if height < small else "normal"


def jitter(box: Box, rng: random.Random, share: float = 0.08) -> Box:
    """The box as a detector places it: off by a share of its size."""
    x, y, width, height = box
    return clip(
        (
            x + width * rng.uniform(-share, share),
            y + height * rng.uniform(-share, share),
            width * rng.uniform(1 - share, 1 + 2 * share),
            height * rng.uniform(1 - share, 1 + 2 * share),
        )
    )


def clip(box: Box) -> Box:
    """The part of a box inside the picture; its centre stays inside in any case."""
    x, y, width, height = box
    left, right = max(0.0, x - width / 2), min(1.0, x + width / 2)
    top, bottom = max(0.0, y - height / 2), min(1.0, y + height / 2)
    return ((left + right) / 2, (top + bottom) / 2, max(right - left, 0.02), max(bottom - top, 0.02))
