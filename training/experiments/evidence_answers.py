"""The answer in five sentences, by the embedded models' test scenes; the words follow from the figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from training.embedded.common.tables import percent
from training.experiments.statistics import Relation, relation

MARGIN_SHARE = 0.02
"""Shares of 1,000 scenes that are nearer than this count as alike: about the standard error of their difference."""
MARGIN_NLL = 0.01
"""Nats per token, of one training."""
KEEPS = 0.95
"""A hypothesis that wins this share of a mode's references keeps to the mode."""
SYSTEMS = {
    "caption-gate": "hypotheses (caption gate)",
    "relaxed": "hypotheses (relaxed)",
    "beam": "beam search",
    "diverse-beam": "diverse beam search",
}
PLACE = {"above": "ahead of", "level": "level with", "below": "behind"}


def listed(parts: Iterable[str]) -> str:
    """Such as "a, b and c"."""
    parts = list(parts)
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def compared(found: Mapping[str, tuple[Relation, Relation]]) -> str:
    """Measures by their relations to beam search and diverse beam search, such as "ahead of both searches in X"."""
    groups: dict[tuple[Relation, Relation], list[str]] = {}
    for measure, pair in found.items():
        groups.setdefault(pair, []).append(measure)
    parts = []
    for (beam, diverse), measures in groups.items():
        to = (
            f"{PLACE[beam]} both searches"
            if beam == diverse
            else f"{PLACE[beam]} beam search and {PLACE[diverse]} diverse beam search"
        )
        parts.append(f"{to} in {listed(measures)}")
    return "; ".join(parts)


_SCENES = {"sounds named": ("audio", "family_recall"), "objects named": ("image", "recall")}
_PLACE = {"right places": ("image", "place_right")}


Starts = Mapping[str, Mapping[str, Any] | None]
"""Of each domain what ``starts-image.json`` and ``starts-audio.json`` hold, if they are there."""


def answers(audio: Mapping[str, Any], image: Mapping[str, Any], starts: Starts) -> str:
    """Five sentences by the test scenes of each embedded model; shares nearer than ``MARGIN_SHARE`` are alike.

    Where adapters were trained from several starts, one is ahead only if it is so in every start too.
    """
    tests = {"audio": audio["test"], "image": image["test"]}
    return "\n".join(
        f"{number}. {sentence}"
        for number, sentence in enumerate(
            (
                _with_choice(tests, starts),
                _without_choice(tests, starts),
                _diversity(tests),
                _own_way(tests),
                _parameters(tests),
            ),
            1,
        )
    )


def in_short(audio: Mapping[str, Any], image: Mapping[str, Any], starts: Starts) -> list[str]:
    """How the best of three captions compares, and the average one, as in ``answers``; without figures."""
    tests = {"audio": audio["test"], "image": image["test"]}
    return [
        f"The best of their three captions puts the hypotheses {_against_searches(tests, 'best', starts)}.",
        f"The average of the three puts them {_against_searches(tests, 'mean', starts)}.",
    ]


def _value(tests: Mapping[str, Any], domain: str, system: str, which: str, field: str) -> float:
    return tests[domain]["generation"][system][which][field]


def _against_searches(tests: Mapping[str, Any], which: str, starts: Starts) -> str:
    found = {}
    for measure, (domain, field) in (_SCENES | _PLACE).items():
        gate, beam, diverse = (
            [_value(tests, domain, name, which, field)] for name in ("caption-gate", "beam", "diverse-beam")
        )
        once = (relation(gate, beam, MARGIN_SHARE), relation(gate, diverse, MARGIN_SHARE))
        again = _over_starts(starts.get(domain), which, field)
        found[measure] = once if again is None else (_both(once[0], again[0]), _both(once[1], again[1]))
    return compared(found)


def _both(once: Relation, again: Relation) -> Relation:
    return once if once == again else "level"


def _over_starts(content: Mapping[str, Any] | None, which: str, field: str) -> tuple[Relation, Relation] | None:
    """The hypotheses' relations to both searches in every start; None without several starts of both systems."""
    if content is None:
        return None

    def values(system: str, method: str) -> list[float]:
        runs = [one for one in content["runs"] if one["system"] == system]
        return [one["captions"][method][which][field] for one in runs]

    gate = values("caption-gate-3", "hypotheses")
    beam, diverse = (values("mle", method) for method in ("beam", "diverse-beam"))
    if min(len(gate), len(beam)) < 2:
        return None
    return relation(gate, beam), relation(gate, diverse)


def _figures(tests: Mapping[str, Any], which: str, measure: str) -> str:
    domain, field = (_SCENES | _PLACE)[measure]
    gate, beam, diverse = (
        percent(_value(tests, domain, name, which, field)) for name in ("caption-gate", "beam", "diverse-beam")
    )
    return f"{gate} (beam search {beam}, diverse beam search {diverse})"


def _with_choice(tests: Mapping[str, Any], starts: Starts) -> str:
    return (
        f"**With a choice of three captions: {_against_searches(tests, 'best', starts)}.** The best of three names "
        f"{_figures(tests, 'best', 'sounds named')} of a clip's sounds by family and "
        f"{_figures(tests, 'best', 'objects named')} of a picture's objects; the place is right in some caption of "
        f"{_figures(tests, 'best', 'right places')} of the pictures."
    )


def _without_choice(tests: Mapping[str, Any], starts: Starts) -> str:
    audio = tests["audio"]
    alone = {name: one["family_recall"] for name, one in audio["generation"]["caption-gate"]["hypotheses"].items()}
    fewest = min(alone, key=alone.__getitem__)
    main = audio["likelihood"]["caption-gate"]["stability"]["main"]
    modes = [mode for mode, k in zip(audio["modes"], main, strict=True) if fewest == f"caption-gate/{k}"]
    why = f"; the hypothesis of the annotator {listed(modes)} names {percent(alone[fewest])}" if modes else ""
    worst = percent(_value(tests, "audio", "caption-gate", "worst", "family_recall"))
    of_beam = percent(_value(tests, "audio", "beam", "worst", "family_recall"))
    return (
        f"**Without a choice, on average over the three: {_against_searches(tests, 'mean', starts)}.** The average "
        f"caption names {_figures(tests, 'mean', 'sounds named')} of the sounds and "
        f"{_figures(tests, 'mean', 'objects named')} of the objects, and the place is right in "
        f"{_figures(tests, 'mean', 'right places')}; the worst of three names {worst} of the sounds (beam search "
        f"{of_beam}){why}."
    )


def _diversity(tests: Mapping[str, Any]) -> str:
    def bleu(domain: str, name: str) -> float:
        return tests[domain]["generation"][name]["diversity"]["mutual_bleu"]

    more = [
        title
        for domain, title in (("audio", "sounds"), ("image", "pictures"))
        if bleu(domain, "caption-gate") < min(bleu(domain, "beam"), bleu(domain, "diverse-beam")) - MARGIN_SHARE
    ]
    one = f"The captions differ more for {more[0] if more else ''} alone"
    headline = {0: "The captions do not differ more", 1: one, 2: "The captions differ more"}[len(more)]
    return (
        f"**{headline}**: mBLEU-4 (lower is more diverse) is "
        f"{bleu('audio', 'caption-gate'):.3f} for sounds and {bleu('image', 'caption-gate'):.3f} for pictures, of "
        f"diverse beam search {bleu('audio', 'diverse-beam'):.3f} and {bleu('image', 'diverse-beam'):.3f}."
    )


def _own_way(tests: Mapping[str, Any]) -> str:
    def shares(name: str) -> list[list[float]]:
        return [test["likelihood"][name]["stability"]["share"] for test in tests.values()]

    keeps = [
        title
        for name, title in (("caption-gate", "the caption gate"), ("relaxed", "the paper's relaxed assignment"))
        if all(min(of_model) >= KEEPS for of_model in shares(name))
    ]
    how = {0: "with neither assignment", 1: f"with {keeps[0] if keeps else ''} alone"}
    gate, relaxed = (
        " and ".join(
            f"{percent(min(of_model))} to {percent(max(of_model))} ({title})"
            for of_model, title in zip(shares(name), ("sounds", "pictures"), strict=True)
        )
        for name in ("caption-gate", "relaxed")
    )
    return (
        f"**Each hypothesis keeps to one way of describing {how.get(len(keeps), 'with both assignments')}**: of each "
        f"annotator's captions one hypothesis wins {gate} with the caption gate, {relaxed} with the relaxed assignment."
    )


def _parameters(tests: Mapping[str, Any]) -> str:
    def loss(domain: str, name: str, field: str = "nll") -> float:
        return tests[domain]["likelihood"][name][field]

    gained = any(loss(one, "mle") - loss(one, "mle-wide") > MARGIN_NLL for one in tests)
    less = all(
        loss(one, "caption-gate", "oracle_nll") < min(loss(one, "mle"), loss(one, "mle-wide")) - MARGIN_NLL
        for one in tests
    )
    headline = "More parameters alone help too" if gained else "More parameters alone do not help"
    flattered = (
        "which flatters them, as the choice is made knowing the caption"
        if less
        else "no less, though the choice is made knowing the caption"
    )
    return (
        f"**{headline}**: one adapter of three times the rank has an NLL of {loss('audio', 'mle-wide'):.3f} nats per "
        f"token for sounds (the same rank {loss('audio', 'mle'):.3f}) and {loss('image', 'mle-wide'):.3f} for pictures "
        f"({loss('image', 'mle'):.3f}), the best of three hypotheses {loss('audio', 'caption-gate', 'oracle_nll'):.3f} "
        f"and {loss('image', 'caption-gate', 'oracle_nll'):.3f}, {flattered}."
    )
