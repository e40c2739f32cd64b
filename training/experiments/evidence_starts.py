"""Tables and sentences of several starts on an embedded model (``starts-image.json``, ``starts-audio.json``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from training.embedded.common.domain import load_domain
from training.embedded.common.tables import percent, table
from training.embedded.common.weight_files import committed_base
from training.experiments.evidence_answers import MARGIN_NLL
from training.experiments.evidence_text_answers import AIM, relation_of
from training.experiments.statistics import over_starts, percent_over_starts

SYSTEMS = {
    "caption-gate-3": "K = 3, caption gate",
    "relaxed-3": "K = 3, relaxed",
    "mle": "one adapter (LoRA-MLE), rank 8",
    "mle-wide": "one adapter, rank 24",
    "moe-3": "LoRA-MoE, 3 experts of rank 8",
}
LANGUAGES = {
    "bilingual-caption-gate-2": "K = 2, caption gate",
    "bilingual-relaxed-2": "K = 2, relaxed",
    "bilingual-mle": "one adapter (LoRA-MLE), rank 8",
}
METHODS = {"hypotheses": "hypotheses", "beam": "beam search", "diverse-beam": "diverse beam search"}
MEASURES = {
    "image": {"recall": "objects named", "place_right": "place right"},
    "audio": {"family_recall": "sounds named, by family", "recall": "sounds named exactly"},
}
"""Of each model the scores of a caption that the tables quote."""
SOURCE = {"image": "pictures", "audio": "sounds"}
MARGIN_SHARE = 0.02
"""Two systems of one start each differ only by more than this."""
_LOSS = {"above": "a higher NLL than", "level": "no clearly different NLL from", "below": "a lower NLL than"}
_NAMED = {"above": "more than", "level": "no clear difference to", "below": "less than"}
Content = Mapping[str, Any]


def runs_of(content: Content, system: str) -> list[dict[str, Any]]:
    """The runs of a system, one for each seed."""
    return [one for one in content["runs"] if one["system"] == system]


def known(content: Content, titles: Mapping[str, str]) -> dict[str, str]:
    """The systems of ``titles`` that were run."""
    return {system: title for system, title in titles.items() if runs_of(content, system)}


def starts_of(runs: Sequence[Mapping[str, Any]]) -> str:
    """Such as "3 x 450": how many starts, each of how many steps."""
    steps = {one["steps"] for one in runs}
    return f"{len(runs)} x {' or '.join(map(str, sorted(steps)))}"


def likelihood_table(content: Content, titles: Mapping[str, str]) -> str:
    """NLL of the test scenes' references, and how often each mode's main hypothesis wins."""
    rows = []
    for system, title in known(content, titles).items():
        runs = runs_of(content, system)
        found = [one["likelihood"] for one in runs]
        losses = [over_starts([one[name] for one in found], 3) for name in ("best", "mean", "mixture")]
        several = runs[0]["hypotheses"] > 1
        main = percent_over_starts([fmean(one["stability"]) for one in found]) if several else "–"
        own = f"{sum(one['distinct'] for one in found)} of {len(found)}" if several else "–"
        rows.append([title, starts_of(runs), *losses, main, own])
    head = ["adapters", "starts x steps", "best", "mean", "mixture", "main hypothesis' share", "all modes distinct"]
    return table(head, rows)


def captions_table(content: Content, domain: str) -> str:
    """What the three captions of each system name, and how much they differ."""
    rows = []
    for system, title in known(content, SYSTEMS).items():
        runs = runs_of(content, system)
        for method in runs[0]["captions"]:
            found = [one["captions"][method] for one in runs]
            scores = [
                f"{percent_over_starts([one['best'][field] for one in found])} "
                f"({percent_over_starts([one['mean'][field] for one in found])})"
                for field in MEASURES[domain]
            ]
            mutual = over_starts([one["diversity"]["mutual_bleu"] for one in found], 3)
            rows.append([f"{METHODS[method]}, {title}", *scores, mutual])
    head = ["system", *(f"{title}, best (mean) of 3" for title in MEASURES[domain].values()), "mBLEU-4 ↓"]
    return table(head, rows)


def languages_table(content: Content) -> str:
    """Of each way of captioning: who keeps to a language, and what the captions in each name."""
    rows = []
    for system, title in known(content, LANGUAGES).items():
        runs = runs_of(content, system)
        for method in runs[0]["captions"]:
            found = [one["captions"][method] for one in runs]
            # Of each hypothesis of each start: the share in the language that it writes most.
            shares = [zip(*(mode["share"] for mode in one["modes"]), strict=True) for one in found]
            own = [max(of_hypothesis) for of_start in shares for of_hypothesis in of_start]
            kept = f"{percent(min(own))} to {percent(max(own))}" if method == "hypotheses" else "–"
            figures = [
                percent_over_starts([one["modes"][mode][name] or 0.0 for one in found])
                for mode in (0, 1)
                for name in ("media", "recall")
            ]
            loops = percent(max(one["loops"] for one in found))
            rows.append([f"{METHODS[method]}, {title}", kept, *figures, loops])
    head = ["system", "captions in the hypothesis' language", "English among the two", "named in English"]
    return table([*head, "French among the two", "named in French", "loops, at most"], rows)


def numbers_table(content: Content, domain: str) -> str:
    """K = 1 to 6: loss, how many hypotheses win anything, how many modes have one of their own, what is named."""
    rows = []
    for objective, title in (("caption-gate", "caption gate"), ("relaxed", "relaxed")):
        for k in range(1, 7):
            runs = runs_of(content, "mle" if k == 1 else f"{objective}-{k}")
            if not runs or (k == 1 and objective == "relaxed"):
                continue
            found = [one["likelihood"] for one in runs]
            several = k > 1
            own = over_starts([float(len(set(one["main"]))) for one in found], 1) if several else "–"
            used = over_starts([float(one["used"]) for one in found], 1) if several else "1.0"
            captions = [one["captions"]["hypotheses" if several else "beam"] for one in runs]
            field = next(iter(MEASURES[domain]))
            rows.append(
                [
                    f"K = {k}, {title}" if several else "one adapter (three beams)",
                    starts_of(runs),
                    *(over_starts([one[name] for one in found], 3) for name in ("best", "mixture")),
                    used,
                    own,
                    *(percent_over_starts([one[which][field] for one in captions]) for which in ("best", "mean")),
                ]
            )
    title = next(iter(MEASURES[domain].values()))
    head = ["adapters", "starts x steps", "best", "mixture", "hypotheses in use", "main winners of 3 modes"]
    return table([*head, f"{title}: best", "mean"], rows)


def on_systems(content: Content, domain: str) -> str:
    """Hypotheses of the caption gate against LoRA-MLE and LoRA-MoE, over all starts."""
    gate, others = "caption-gate-3", [name for name in ("mle", "mle-wide", "moe-3") if runs_of(content, name)]
    count = len(runs_of(content, gate))
    if not count or not others:
        return "*Hypotheses, LoRA-MLE and LoRA-MoE were not run.*"
    mixture = {name: [one["likelihood"]["mixture"] for one in runs_of(content, name)] for name in (gate, *others)}
    losses = "; ".join(
        f"{_LOSS[relation_of(mixture[gate], mixture[name], MARGIN_NLL)]} {SYSTEMS[name]} "
        f"({over_starts(mixture[name], 3)})"
        for name in others
    )
    named = " ".join(_named(content, field, title, others) for field, title in MEASURES[domain].items())
    return (
        f"**{SOURCE[domain].capitalize()}, {'one start' if count == 1 else f'{count} starts'}.** As one distribution, "
        f"three hypotheses of the caption gate ({over_starts(mixture[gate], 3)} nats per token) have {losses}. {named}"
    )


def _named(content: Content, field: str, title: str, others: Sequence[str]) -> str:
    """One score of the best of three captions: the hypotheses' against both searches of the other adapters."""
    ours = _best(content, "caption-gate-3", "hypotheses", field)
    parts = []
    for name, method in ((name, method) for name in others for method in ("beam", "diverse-beam")):
        theirs = _best(content, name, method, field)
        word = _NAMED[relation_of(ours, theirs, MARGIN_SHARE)]
        parts.append(f"{word} {METHODS[method]} of {SYSTEMS[name]} ({percent_over_starts(theirs)})")
    return (
        f"{title.capitalize()} by the best of their three captions ({percent_over_starts(ours)}): {'; '.join(parts)}."
    )


def on_languages(content: Content) -> str:
    """Whether each of two hypotheses keeps to a language."""
    parts = []
    for system, title in known(content, LANGUAGES).items():
        runs = runs_of(content, system)
        if runs[0]["hypotheses"] < 2:
            continue
        least = min(min(one["likelihood"]["stability"]) for one in runs)
        apart = all(one["likelihood"]["distinct"] for one in runs)
        word = "yes" if apart and least >= AIM else "no"
        parts.append(
            f"{title}: {word}, a language's main hypothesis wins at least {percent(least)} of its captions"
            + ("" if apart else ", and in some start one hypothesis is the main one of both")
        )
    return (
        f"**Do two hypotheses part by language (aim: {percent(AIM)} of the captions)?** {'; '.join(parts)}."
        if parts
        else "*Two hypotheses were not run.*"
    )


def _best(content: Content, system: str, method: str, field: str) -> list[float]:
    """Of each start, what the best of its captions names."""
    return [one["captions"][method]["best"][field] for one in runs_of(content, system)]


def on_base(content: Content, base: str) -> str:
    """Which base the adapters were trained on, and whether it is the one that the project carries."""
    if content["base"] == base:
        return f"On the committed base (`{base}`), {content['scenes']} test scenes."
    return (
        f"On an earlier base (`{content['base']}`), {content['scenes']} test scenes; on the committed one "
        f"(`{base}`) it was not run yet."
    )


def passage(content: Content, domain: str) -> str:
    """All of a domain: systems, two languages, numbers of hypotheses."""
    return "\n\n".join(
        (
            on_base(content, committed_base(load_domain(domain))),
            on_systems(content, domain),
            likelihood_table(content, SYSTEMS),
            captions_table(content, domain),
            on_languages(content),
            likelihood_table(content, LANGUAGES),
            languages_table(content),
            "**How many hypotheses?**",
            numbers_table(content, domain),
        )
    )
