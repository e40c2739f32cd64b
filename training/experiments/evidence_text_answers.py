"""What the experiments on text show, in sentences whose words follow from the figures and from how starts differ.

With several starts one system counts as better than another if each of its starts is better than every start of the
other; with one start, if it is better by more than a margin.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from training.embedded.common.tables import percent
from training.experiments.evidence_answers import MARGIN_NLL, compared, listed
from training.experiments.evidence_text import VARIANTS, runs_of, starts_text
from training.experiments.statistics import Relation, over_starts, percent_over_starts, relation

MARGIN_CHRF = 1.0
AIM, PARTLY = 0.95, 0.75
"""Share of a language's references that its main hypothesis wins: aimed at, and where hypotheses part at all."""
Run = Mapping[str, Any]
# What is compared: a variant and a system of the translations.
COMPARED = {
    "hypotheses (caption gate)": ("caption-gate-4", "hypotheses x 4"),
    "hypotheses (relaxed)": ("relaxed-4", "hypotheses x 4"),
    "beam search": ("mle", "beam x 4"),
    "diverse beam search": ("mle", "diverse-beam-0.8 x 4"),
}
BEHIND = {variant for variant, _ in COMPARED.values()} | {"moe-4"}
"""The variants that the answer needs."""
WAYS, SEARCHES = tuple(COMPARED)[:2], tuple(COMPARED)[2:]
MEASURES: dict[str, tuple[str, str]] = {
    "the best of four texts": ("chrf", "best"),
    "the average text": ("chrf", "mean"),
    "all four references together": ("coverage", "chrf"),
}
_BETTER = {"above": "better than", "level": "no clear difference to", "below": "worse than"}
# Of the NLL less is better.
_LOSS = {"above": "worse than", "level": "not clearly different from", "below": "better than"}


def relation_of(ours: Sequence[float], theirs: Sequence[float], margin: float) -> Relation:
    """Over all starts; by more than ``margin`` if one side has a single start."""
    return relation(ours, theirs, margin if 1 in (len(ours), len(theirs)) else 0.0)


def figures(content: Mapping[str, Any], variant: str, figure: Callable[[Run], float]) -> list[float]:
    """A figure of each start of a variant."""
    return [figure(run) for run in runs_of(content, variant)]


def mixture(content: Mapping[str, Any], variant: str) -> list[float]:
    """NLL as one distribution of each start, nats per token."""
    return figures(content, variant, lambda run: run["likelihood"]["mixture"])


def _chrf(content: Mapping[str, Any], title: str, measure: str) -> list[float]:
    (variant, system), (kind, which) = COMPARED[title], MEASURES[measure]
    return figures(content, variant, lambda one: one["systems"][system][kind][which])


def _relations(content: Mapping[str, Any]) -> dict[str, dict[str, tuple[Relation, Relation]]]:
    """Of each way of training that was run and each measure: its relation to beam search and diverse beam search."""
    run = {one["variant"] for one in content["runs"]}

    def related(way: str, measure: str) -> tuple[Relation, Relation]:
        ours = _chrf(content, way, measure)
        beam, diverse = (relation_of(ours, _chrf(content, one, measure), MARGIN_CHRF) for one in SEARCHES)
        return beam, diverse

    return {
        way: {measure: related(way, measure) for measure in MEASURES}
        for way in WAYS
        if {COMPARED[title][0] for title in (way, *SEARCHES)} <= run
    }


def headline(content: Mapping[str, Any]) -> str:
    """Whether hypotheses gain anything on translations over both searches, in one sentence without figures."""
    ways = _relations(content).values()
    gains = [measure for measure in MEASURES if any(of_way[measure] == ("above", "above") for of_way in ways)]
    gain = f"a gain in {listed(gains)}" if gains else "no gain"
    return f"On translations by people there is {gain} over both beam searches."


def on_translations(content: Mapping[str, Any]) -> str:
    """The question on messages translated by people, by the variants that were run."""
    run = {one["variant"] for one in content["runs"]}
    there = [title for title, (variant, _) in COMPARED.items() if variant in run]
    quoted = "; ".join(
        f"of {measure} {', '.join(f'{title} {over_starts(_chrf(content, title, measure), 1)}' for title in there)}"
        for measure in MEASURES
    )
    likelihoods = ", ".join(
        f"{VARIANTS[variant]} {over_starts(mixture(content, variant), 3)}"
        for variant in ("mle", "moe-4", "caption-gate-4", "relaxed-4")
        if variant in run
    )
    details = "".join(f" {way[0].upper()}{way[1:]}: {compared(one)}." for way, one in _relations(content).items())
    return (
        f"**{headline(content)}** {starts_text(content, BEHIND).capitalize()}.{details} chrF: {quoted}. NLL as one "
        f"distribution, nats per token: {likelihoods}{_mixtures(content, run)}."
    )


def _mixtures(content: Mapping[str, Any], run: set[str]) -> str:
    """How the hypotheses' mixture compares with one adapter and LoRA-MoE."""
    parts = [
        f"{VARIANTS[way]}, is {_LOSS[relation_of(mixture(content, way), mixture(content, other), MARGIN_NLL)]} {title}"
        for way in ("caption-gate-4", "relaxed-4")
        for other, title in (("mle", "the single adapter"), ("moe-4", "LoRA-MoE"))
        if {way, other} <= run
    ]
    return f": {'; '.join(parts)}" if parts else ""


def on_numbers(content: Mapping[str, Any]) -> str:
    """What more hypotheses bring, by the relaxed runs; empty where K was not varied."""
    known = sorted({run["hypotheses"] for run in content["runs"] if run["variant"] == f"relaxed-{run['hypotheses']}"})
    if len(known) < 2 or not runs_of(content, "mle"):
        return ""
    least, most = known[0], known[-1]
    single = mixture(content, "mle")
    best = [figures(content, f"relaxed-{k}", lambda run: run["likelihood"]["best"]) for k in (least, most)]
    losses = {k: relation_of(mixture(content, f"relaxed-{k}"), single, MARGIN_NLL) for k in known}
    fair = _for_numbers(losses, {"below": "better", "above": "worse"}, "than one adapter")
    coverage = {k: _coverage_relation(content, k) for k in known}
    covered = _for_numbers(coverage, {"above": "more", "below": "less"}, "than K diverse beams")
    return (
        f"From K = {least} to {most} the best hypothesis' NLL goes from {over_starts(best[0], 3)} to "
        f"{over_starts(best[1], 3)} nats per token; as one distribution, the fair comparison, they are {fair}. Of the "
        f"references their texts cover {covered}."
    )


def _for_numbers(relations: Mapping[int, Relation | None], words: Mapping[Relation, str], than: str) -> str:
    """Such as "better than one adapter for K = 2 and worse for K = 4 and 5"; what is not clear is not counted."""
    found = {word: [str(k) for k, one in relations.items() if one == relation] for relation, word in words.items()}
    first, second = words.values()
    parts = [f"{word} {than} for K = {listed(numbers)}" for word, numbers in found.items() if numbers]
    if len(parts) == 2:
        parts[1] = parts[1].replace(f" {than}", "", 1)
    return " and ".join(parts) or f"for no K clearly {first} or {second} {than}"


def _coverage_relation(content: Mapping[str, Any], k: int) -> Relation | None:
    searched = f"diverse-beam-0.8 x {k}"
    single = [run for run in runs_of(content, "mle") if searched in run["systems"]]
    if not single:
        return None
    ours = figures(content, f"relaxed-{k}", lambda run: run["systems"][f"hypotheses x {k}"]["coverage"]["chrf"])
    return relation_of(ours, [run["systems"][searched]["coverage"]["chrf"] for run in single], MARGIN_CHRF)


def on_bilingual(content: Mapping[str, Any]) -> str:
    """Does each of two hypotheses keep to one language?"""
    ways = {"the caption gate": "caption-gate-2", "the relaxed assignment": "relaxed-2"}
    run = {one["variant"] for one in content["runs"]}
    ways = {title: variant for title, variant in ways.items() if variant in run}
    shares = {title: main_shares(content, variant) for title, variant in ways.items()}
    headline = "; ".join(f"with {title} {_grade(of_way)}" for title, of_way in shares.items())
    quoted = listed(f"{percent_over_starts(of_way)} ({title})" for title, of_way in shares.items())
    loops = max(system["loops"] for one in content["runs"] for system in one["systems"].values())
    losses = ", ".join(
        f"{title} {over_starts(mixture(content, variant), 3)}"
        for title, variant in {**ways, "one adapter": "mle", "of twice the rank": "mle-wide"}.items()
        if variant in run
    )
    return (
        f"**Do two hypotheses part by language? {headline[0].upper()}{headline[1:]}** ({starts_text(content)}; the aim "
        f"was {100 * AIM:.0f} %): a language's main hypothesis wins {quoted} of its references. "
        f"{_covered(content, ways)}At most {percent(loops)} of a system's texts loop. NLL as one distribution, nats "
        f"per token: {losses}."
    )


def main_shares(content: Mapping[str, Any], variant: str) -> list[float]:
    """Of each start, the share of a language's references that its main hypothesis wins, a mean over languages."""
    return figures(
        content,
        variant,
        lambda run: sum(max(row) for row in run["specialisation"]["share"]) / len(run["specialisation"]["share"]),
    )


def _grade(shares: Sequence[float]) -> str:
    if min(shares) >= AIM:
        return "yes"
    if max(shares) >= AIM:
        return "in some starts"
    return "partly" if min(shares) >= PARTLY else "hardly" if max(shares) < PARTLY else "partly in some starts"


def _covered(content: Mapping[str, Any], ways: Mapping[str, str]) -> str:
    """chrF of each language's references under the hypotheses, against two beams of one adapter."""
    if not runs_of(content, "mle"):
        return ""
    parts = []
    for title, variant in ways.items():
        for language, name in enumerate(("English", "French")):

            def covered(system: str, one: str, language: int = language) -> list[float]:
                return figures(content, one, lambda run: run["systems"][system]["coverage_by_language"][language])

            ours, beams = covered("hypotheses x 2", variant), covered("beam x 2", "mle")
            parts.append(
                f"{title}'s {name} {over_starts(ours, 1)}, {_BETTER[relation_of(ours, beams, MARGIN_CHRF)]} two beams "
                f"({over_starts(beams, 1)})"
            )
    return f"chrF: {'; '.join(parts)}. "


def on_ranking(content: Mapping[str, Any]) -> str:
    """When does a score head help?"""
    runs = content["runs"]

    def of(kind: str, ranking: str, name: str) -> list[float]:
        return [run["references"][kind][ranking][name] for run in runs]

    def losses(kind: str) -> str:
        head, log_prob, frequency = (
            over_starts(of(kind, ranking, "log_loss"), 3) for ranking in ("score head", "log-probability", "frequency")
        )
        text = f"{head} nats, {log_prob} by log-probability and {frequency} by frequency"
        if len(runs) == 1:
            return text
        by_start = zip(
            *(of(kind, one, "log_loss") for one in ("score head", "log-probability", "frequency")), strict=True
        )
        less = sum(own < min(others) for own, *others in by_start)
        return f"{text} (less than both in {less} of {len(runs)} starts)"

    kinds = tuple(runs[0]["references"])
    helps = [
        kind
        for kind in kinds
        if all(
            relation_of(of(kind, "score head", "log_loss"), of(kind, other, "log_loss"), MARGIN_NLL) == "below"
            for other in ("log-probability", "frequency")
        )
    ]
    known = "language by words"
    headline = {
        (): "A score head is not clearly better than simpler rankings",
        (known,): "A score head helps only where the prompt tells who wins",
        kinds: "A score head helps in both cases",
    }.get(tuple(helps), "A score head helps only where any language may be wanted")
    right, simple = (percent_over_starts(of(known, ranking, "accuracy")) for ranking in ("score head", "frequency"))
    return (
        f"**{headline}** ({starts_text(content)}). Where any language may be wanted, its log loss is "
        f"{losses('any language')}; where the number of words decides the language, {losses(known)}, and it predicts "
        f"{right} of the winners ({simple} by frequency)."
    )


def on_score_heads(reports: Mapping[str, Mapping[str, Any] | None]) -> str:
    """Whether a head would help the embedded models that were measured."""
    titles = {"audio": "sounds", "image": "pictures"}
    better = [titles[name] for name, report in reports.items() if report and report["better"]]
    not_better = [titles[name] for name, report in reports.items() if report and not report["better"]]
    parts = []
    if not_better:
        parts.append(f"it is not clearly better than both simpler rankings for {listed(not_better)}")
    if better:
        parts.append(f"it is clearly better for {listed(better)}")
    return f"**Would a score head help the embedded models? By these figures {'; '.join(parts)}.**"
