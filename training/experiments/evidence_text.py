"""Tables of the experiments on text: translations by people, two languages, numbers of hypotheses, assignments."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from statistics import fmean, pstdev
from typing import Any

from training.embedded.common.tables import percent, table
from training.experiments.statistics import over_starts, percent_over_starts

LANGUAGES = {"fr": "French", "de": "German", "es": "Spanish", "it": "Italian", "en": "English"}
VARIANTS = {
    "mle": "one adapter (LoRA-MLE), rank 8",
    "mle-wide": "one adapter, rank 32",
    "moe-4": "LoRA-MoE, 4 experts of rank 8",
    **{f"relaxed-{k}": f"K = {k}, relaxed" for k in (2, 3, 4, 5, 6)},
    "caption-gate-4": "K = 4, caption gate",
}
BILINGUAL = {
    "mle": "one adapter (LoRA-MLE), rank 8",
    "mle-wide": "one adapter, rank 16",
    "relaxed-2": "K = 2, relaxed",
    "caption-gate-2": "K = 2, caption gate",
}
IN_USE = 0.01
"""A hypothesis that wins a smaller share of the references is counted as dead."""


def runs_of(content: Mapping[str, Any], variant: str) -> list[dict[str, Any]]:
    """The runs of a variant, one for each seed."""
    return [run for run in content["runs"] if run["variant"] == variant]


def starts_of(content: Mapping[str, Any]) -> dict[str, int]:
    """How many starts of each variant there are."""
    found: dict[str, int] = {}
    for run in content["runs"]:
        name = run.get("variant", "")
        found[name] = found.get(name, 0) + 1
    return found


def starts_text(content: Mapping[str, Any], variants: Collection[str] = ()) -> str:
    """Such as "one start", "3 starts" or "1 to 3 starts": of these variants, or of all."""
    counts = [count for variant, count in starts_of(content).items() if not variants or variant in variants]
    if max(counts) == 1:
        return "one start"
    return f"{max(counts)} starts" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)} starts"


def size_text(content: Mapping[str, Any]) -> str:
    """The base and its adapters, and how many starts were run of which variant."""
    size, starts = content["settings"], starts_of(content)
    run = "; ".join(f"{title} ({starts[variant]})" for variant, title in VARIANTS.items() if variant in starts)
    left_out = "; ".join(title for variant, title in VARIANTS.items() if variant not in starts)
    missing = f" Not run: {left_out}." if left_out else ""
    alone = " Where there is one start, differences of a point of chrF mean nothing." if 1 in starts.values() else ""
    spread = (
        " ± is the standard deviation over starts, which differ in the adapters' first weights, the order of the data "
        "and the samples; the base and the test messages are the same."
        if max(starts.values()) > 1
        else ""
    )
    return (
        f"**Size.** A Llama of {size['layers']} layers and {size['hidden']} channels, trained from scratch for "
        f"{size['base_steps']:,} steps of {size['base_batch']} translations on all four languages at once (and, for "
        f"the next experiment, from German into English and French), then frozen; adapters of rank {size['rank']} for "
        f"{size['steps']} steps of {size['batch']} by `MultipleChoiceTrainer`. That is minutes of one CPU core, and "
        f"nothing here shows how a large model translates. {content['messages']['test']} messages are the test.\n\n"
        f"**What was run**, with the number of starts: {run}.{missing}{alone}{spread}"
    )


def likelihood_table(content: Mapping[str, Any], titles: Mapping[str, str] = VARIANTS) -> str:
    """NLL of all test references, and who wins which language; means over seeds."""
    rows = []
    for variant, title in titles.items():
        runs = runs_of(content, variant)
        if not runs:
            continue
        losses = [over_starts([run["likelihood"][name] for run in runs], 3) for name in ("best", "mean", "mixture")]
        special = [run["specialisation"] for run in runs if run["specialisation"]]
        purity = percent_over_starts([fmean(map(max, one["share"])) for one in special]) if special else "–"
        own = f"{sum(one['distinct'] for one in special)} of {len(special)}" if special else "–"
        entropies = [
            over_starts([one[name] for one in special], 2) if special else "–"
            for name in ("entropy_of_language", "entropy_of_hypothesis")
        ]
        rows.append([title, str(len(runs)), *losses, purity, own, *entropies])
    head = [
        "adapters",
        "starts",
        "best",
        "mean",
        "mixture",
        "main hypothesis' share",
        f"{len(content['languages'])} distinct",
        "H(lang. given winner)",
        "H(winner given lang.)",
    ]
    return table(head, rows)


def share_table(content: Mapping[str, Any], variant: str, titles: Mapping[str, str] = VARIANTS) -> str:
    """[languages][K] of the first seed's run: the share of each language's references won by each hypothesis."""
    run = runs_of(content, variant)[0]
    rows = [
        [LANGUAGES[language], *map(percent, share)]
        for language, share in zip(content["languages"], run["specialisation"]["share"], strict=True)
    ]
    return table([titles[variant], *(f"hypothesis {k + 1}" for k in range(run["hypotheses"]))], rows)


def examples_table(content: Mapping[str, Any], variants: Sequence[str]) -> str:
    """What the first seed's runs of these variants write for the example messages."""
    written: dict[str, list[str]] = {}
    for variant in variants:
        for example in runs_of(content, variant)[0]["examples"]:
            written.setdefault(example["message"], []).append(" · ".join(text or "–" for text in example["texts"]))
    rows = [[message, *texts] for message, texts in written.items()]
    return table(["message", *((VARIANTS | BILINGUAL)[variant] for variant in variants)], rows)


def systems_table(content: Mapping[str, Any]) -> str:
    """chrF, BLEU and coverage of four translations by every system; means over seeds."""
    wanted = [("caption-gate-4", "hypotheses x 4"), ("relaxed-4", "hypotheses x 4")]
    first = runs_of(content, "mle")
    wanted += [("mle", name) for name in first[0]["systems"] if name.endswith(" x 4")] if first else []
    wanted += [(one, name) for one in ("moe-4", "mle-wide") for name in ("beam x 4", "diverse-beam-0.8 x 4")]
    rows = []
    for variant, name in wanted:
        found = [run["systems"][name] for run in runs_of(content, variant) if name in run["systems"]]
        if found:
            title = f"{name.removesuffix(' x 4')}, {VARIANTS[variant]}"
            rows.append([title, *_system_cells(found)])
    head = [
        "system",
        "chrF best (mean, worst)",
        "BLEU best",
        "coverage chrF",
        "coverage BLEU",
        "languages of 4",
        "mBLEU-4",
        "loops",
    ]
    return table(head, rows)


def _system_cells(found: Sequence[Mapping[str, Any]]) -> list[str]:
    best, mean, worst = (over_starts([one["chrf"][which] for one in found], 1) for which in ("best", "mean", "worst"))
    return [
        f"{best} ({mean}, {worst})",
        over_starts([one["bleu"]["best"] for one in found], 1),
        *(over_starts([one["coverage"][metric] for one in found], 1) for metric in ("chrf", "bleu")),
        over_starts([one["languages_per_message"] for one in found], 2),
        over_starts([one["mutual_bleu"] for one in found], 3),
        percent(fmean(one["loops"] for one in found)),
    ]


def runs_by_number(content: Mapping[str, Any]) -> dict[int, list[dict[str, Any]]]:
    """The runs of each K that was run: relaxed; K = 1 is LoRA-MLE."""
    found = {k: runs_of(content, "mle" if k == 1 else f"relaxed-{k}") for k in range(1, 7)}
    return {k: runs for k, runs in found.items() if runs}


def by_number(content: Mapping[str, Any]) -> dict[int, dict[str, float | None]]:
    """Of each K, means over seeds, and with ``_std`` after the name their population standard deviations.

    ``best`` and ``mixture`` NLL, and the chrF ``coverage`` by K texts of the hypotheses, and of ``beam`` and
    ``diverse`` beam search with K rows; None for what was not run.
    """
    single, found = runs_of(content, "mle"), {}
    for k, runs in runs_by_number(content).items():
        figures = {
            "best": [run["likelihood"]["best"] for run in runs],
            "mixture": [run["likelihood"]["mixture"] for run in runs],
            "coverage": coverages(runs, f"hypotheses x {k}" if k > 1 else "beam x 1"),
            "beam": coverages(single, f"beam x {k}"),
            "diverse": coverages(single, f"diverse-beam-0.8 x {k}"),
        }
        found[k] = {name: fmean(values) if values else None for name, values in figures.items()}
        found[k] |= {f"{name}_std": pstdev(values) if values else None for name, values in figures.items()}
    return found


def in_use(share: Sequence[Sequence[float]]) -> int:
    """How many hypotheses win at least ``IN_USE`` of all references; share is [languages][K]."""
    return sum(fmean(of_hypothesis) >= IN_USE for of_hypothesis in zip(*share, strict=True))


def languages_taken(share: Sequence[Sequence[float]]) -> int:
    """How many different hypotheses are the most frequent winner of a language; share is [languages][K]."""
    return len({max(range(len(row)), key=row.__getitem__) for row in share})


def coverages(runs: Sequence[Mapping[str, Any]], system: str) -> list[float]:
    """The chrF coverage of a system in each run that has it."""
    return [run["systems"][system]["coverage"]["chrf"] for run in runs if system in run["systems"]]


def number_table(content: Mapping[str, Any]) -> str:
    """Loss, hypotheses in use and coverage for each K, over starts."""

    def cell(values: Sequence[float], digits: int) -> str:
        return over_starts(values, digits) if values else "–"

    rows = []
    for k, runs in runs_by_number(content).items():
        special = [run["specialisation"]["share"] for run in runs if k > 1]
        single = runs_of(content, "mle")
        rows.append(
            [
                str(k),
                str(len(runs)),
                *(cell([run["likelihood"][name] for run in runs], 3) for name in ("best", "mixture")),
                cell(list(map(in_use, special)) or [1.0], 1),
                cell(list(map(languages_taken, special)), 1),
                cell(coverages(runs, f"hypotheses x {k}" if k > 1 else "beam x 1"), 1),
                cell(coverages(single, f"beam x {k}"), 1),
                cell(coverages(single, f"diverse-beam-0.8 x {k}"), 1),
            ]
        )
    head = [
        "K",
        "starts",
        "best",
        "mixture",
        "hypotheses in use",
        "main winners of 4 languages",
        "coverage",
        "of K beams",
        "of K diverse beams",
    ]
    return table(head, rows)


def bilingual_table(content: Mapping[str, Any]) -> str:
    """What each hypothesis writes, and how well each language is covered; means over seeds."""
    rows = []
    for variant, title in BILINGUAL.items():
        for name in ("hypotheses x 2", "beam x 1", "beam x 2", "diverse-beam-0.8 x 2"):
            runs = [run for run in runs_of(content, variant) if name in run["systems"]]
            if not runs:
                continue
            found = [run["systems"][name] for run in runs]
            english, french = (over_starts([one["coverage_by_language"][n] for one in found], 1) for n in (0, 1))
            rows.append(
                [
                    f"{name}, {title}",
                    own_language(runs) if name.startswith("hypotheses") else "–",
                    english,
                    french,
                    over_starts([one["languages_per_message"] for one in found], 2),
                    percent(fmean(one["loops"] for one in found)),
                ]
            )
    head = ["system", "texts in the hypothesis' language", "chrF English", "chrF French", "languages of 2", "loops"]
    known = [run["identified_references"] for run in content["runs"] if "identified_references" in run]
    return table(head, rows) + f"\n\nOf the references, py3langid finds the language of {percent(fmean(known))}."


def own_language(runs: Sequence[Mapping[str, Any]]) -> str:
    """Of each hypothesis, the share of its texts in the language that it writes most, least and most over starts."""
    shares = [max(of_one) for run in runs for of_one in run["identified"]]
    return f"{percent(min(shares))} to {percent(max(shares))}"


def sweeps_table(content: Mapping[str, Any]) -> str:
    """Number of hypotheses, epsilon and temperature on Markov chains: mean and deviation over starts, where several."""
    rows, question = [], None
    starts = min(len(variant["runs"]) for variant in content["arms"].values())

    def deviating(mean: str, deviation: str) -> str:
        return f"{mean} ± {deviation}" if starts > 1 else mean

    for name, variant in content["arms"].items():
        asked, summary = variant["options"]["question"], variant["summary"]
        rows.append(
            [
                asked if asked != question else "",
                name,
                deviating(f"{summary['loss']['mean']:.4f}", f"{summary['loss']['std']:.4f}"),
                deviating(percent(summary["accuracy"]["mean"]), f"{100 * summary['accuracy']['std']:.1f}"),
                f"{summary['chains_covered']['mean']:.1f}",
                f"{summary['used']['mean']:.1f}",
                f"{summary['apart']['mean']:.3f}",
            ]
        )
        question = asked
    shown = table(["varied", "value", "loss", "winner = chain", "chains covered of 3", "in use", "apart"], rows)
    counted = "one start" if starts == 1 else f"mean and standard deviation over {starts} starts"
    return f"{shown}\n\nOf each value {counted}."


def ranking_table(content: Mapping[str, Any]) -> str:
    """Predicted winners by each ranking, for each kind of reference: means over seeds."""
    rows = []
    for kind, rankings in content["runs"][0]["references"].items():
        for number, ranking in enumerate(rankings):
            found = [run["references"][kind][ranking] for run in content["runs"]]
            rows.append(
                [
                    kind if number == 0 else "",
                    ranking,
                    percent_over_starts([one["accuracy"] for one in found]),
                    *(over_starts([one[name] for one in found], 3) for name in ("log_loss", "ece")),
                    over_starts([one["chrf_first"] for one in found], 1),
                ]
            )
    head = ["references in", "ranking by", "winner predicted", "log loss, nats", "ECE", "chrF of the first"]
    starts = len(content["runs"])
    counted = "One start" if starts == 1 else f"Means and standard deviations over {starts} starts"
    return f"{table(head, rows)}\n\n{counted}."


def score_head_table(reports: Mapping[str, Mapping[str, Any] | None]) -> str:
    """A score head next to simpler rankings, for each embedded model that was measured, by its name."""
    rows = []
    for name, report in reports.items():
        for number, (ranking, one) in enumerate((report or {"rankings": {}})["rankings"].items()):
            gain = f"{one['gain']:+.3f} ± {one['gain_error']:.3f}" if "gain" in one else "–"
            figures = [percent(one["accuracy"]), f"{one['log_loss']:.3f}", f"{one['ece']:.3f}", gain]
            rows.append([name if number == 0 else "", ranking, *figures])
    counts = "; ".join(
        f"{name} {report['media']['fit']}, {report['media']['held_out']} and {report['media']['test']}"
        for name, report in reports.items()
        if report
    )
    shown = table(["model", "ranking by", "winner predicted", "log loss, nats", "ECE", "gain of the head"], rows)
    return f"{shown}\n\nScenes that train, calibrate and measure: {counts}."
