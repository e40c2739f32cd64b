"""Write the tables of ``docs/evidence.md`` from the results files; no figure is typed by hand.

python -m training.experiments.evidence
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from training.embedded.common.tables import filled, percent, table
from training.evaluation.report import tables_of
from training.paths import RESULTS, ROOT

DOCUMENT = ROOT / "docs" / "evidence.md"
DOMAINS = ("audio", "image")
LANGUAGES = {"fr": "French", "de": "German", "es": "Spanish", "it": "Italian"}
VARIANTS = {
    "mle": "one adapter (LoRA-MLE), rank 8",
    "mle-wide": "one adapter, rank 32",
    **{f"relaxed-{k}": f"K = {k}, relaxed" for k in (2, 3, 4, 5)},
    "caption-gate-4": "K = 4, caption gate",
}


def read(name: str, results: Path = RESULTS) -> dict[str, Any] | None:
    """A results file; None if the experiment's results are not there."""
    file = results / f"{name}.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None


def answers(results: Mapping[str, Any]) -> str:
    """The question's answer by the embedded audio model's 1,000 test scenes (``assets/results/audio.json``)."""
    test = results["test"]
    relaxed, gate, beam, diverse = (
        test["generation"][name] for name in ("relaxed", "caption-gate", "beam", "diverse-beam")
    )

    def named(system: Mapping[str, Any], which: str) -> str:
        return percent(system[which]["family_recall"])

    def bleu(system: Mapping[str, Any]) -> str:
        return f"{system['diversity']['mutual_bleu']:.3f}"

    likelihood = test["likelihood"]
    steady, unsteady = (likelihood[name]["stability"]["share"] for name in ("caption-gate", "relaxed"))
    one, wide = (f"{likelihood[name]['nll']:.3f}" for name in ("mle", "mle-wide"))
    oracle, of_gate = (f"{likelihood[name]['oracle_nll']:.3f}" for name in ("relaxed", "caption-gate"))
    alone = [percent(of_one["family_recall"]) for of_one in gate["hypotheses"].values()]
    sentences = (
        "**With a choice of three captions: better than beam search, hardly better than diverse beam search.** The "
        f"best of three names {named(relaxed, 'best')} of a clip's sounds by family (relaxed assignment) or "
        f"{named(gate, 'best')} (caption gate), of three beams {named(beam, 'best')}, of diverse beam search "
        f"{named(diverse, 'best')}.",
        f"**Without a choice: no.** On average over three captions it is {named(relaxed, 'mean')} and "
        f"{named(gate, 'mean')}, of beam search {named(beam, 'mean')}; the worst of three names "
        f"{named(relaxed, 'worst')} and {named(gate, 'worst')}, of beam search {named(beam, 'worst')}. By "
        f"hypothesis, the caption gate's name {', '.join(alone)}: the lowest is the one that describes the scene "
        "and not the sounds.",
        f"**The captions differ more**: mBLEU-4 is {bleu(relaxed)} and {bleu(gate)}, of beam search {bleu(beam)}, of "
        f"diverse beam search {bleu(diverse)} (lower is more diverse).",
        "**Each hypothesis keeps to one way of describing with the caption gate alone**: one hypothesis wins at least "
        f"{percent(min(steady))} of each annotator's captions, with the relaxed assignment {percent(min(unsteady))} "
        f"to {percent(max(unsteady))}.",
        "**It is not the number of parameters**: one adapter of three times the rank has an NLL of "
        f"{wide} nats per token, one of the same rank {one}; the best of three hypotheses {oracle} and {of_gate}, "
        "which flatters them, as the choice is made knowing the caption.",
    )
    return "\n".join(f"{number}. {sentence}" for number, sentence in enumerate(sentences, 1))


def systems_tables(results: Mapping[str, Any]) -> str:
    """The evaluation's own tables."""
    return tables_of(results).strip()


def cost_table(results: Mapping[str, Any]) -> str:
    """What each system costs a medium; the tower is run once for each system, as it would be alone."""
    media = results["media"]
    rows = [
        [name, str(system["rows"]), f"{system['forwards'] / media:.1f}", f"{system['seconds'] / media:.2f}"]
        for name, system in results["systems"].items()
    ]
    return table(["system", "rows", "forwards a medium", "seconds a medium"], rows)


def modes_table(results: Mapping[str, Any]) -> str:
    """Which hypothesis wins which mode, and what is typical of it."""
    found = results["specialisation"]
    modes = found["modes"]
    count = len(found["hypotheses"])
    rows = [[mode, *map(percent, share)] for mode, share in zip(modes["modes"], modes["share"], strict=True)]
    rows.append(["words a caption", *(f"{one['words']:.1f}" for one in found["hypotheses"])])
    rows.append(["typical words", *(", ".join(one["typical"][:5]) or "–" for one in found["hypotheses"])])
    entropies = (
        f"H(winner given mode) = {modes['winner_given_mode']:.3f} nats, H(mode given winner) = "
        f"{modes['mode_given_winner']:.3f} nats; 0 is a perfect match."
    )
    return table(["won by", *(f"hypothesis {k + 1}" for k in range(count))], rows) + "\n\n" + entropies


def runs_of(content: Mapping[str, Any], variant: str) -> list[dict[str, Any]]:
    """The runs of a variant, one for each seed."""
    return [run for run in content["runs"] if run["variant"] == variant]


def likelihood_table(content: Mapping[str, Any]) -> str:
    """NLL of all test references, and who wins which language; means over seeds."""
    rows = []
    for variant, title in VARIANTS.items():
        runs = runs_of(content, variant)
        if not runs:
            continue
        mean = {name: fmean(run["likelihood"][name] for run in runs) for name in ("best", "mean", "mixture")}
        special = [run["specialisation"] for run in runs if run["specialisation"]]
        purity = percent(fmean(max(row) for one in special for row in one["share"])) if special else "–"
        own = f"{sum(one['distinct'] for one in special)} of {len(special)}" if special else "–"
        entropy = f"{fmean(one['entropy_of_language'] for one in special):.2f}" if special else "–"
        rows.append([title, str(len(runs)), *(f"{value:.3f}" for value in mean.values()), purity, own, entropy])
    head = [
        "adapters",
        "starts",
        "best",
        "mean",
        "mixture",
        "main hypothesis' share",
        "4 distinct",
        "H(lang. | winner)",
    ]
    return table(head, rows)


def share_table(content: Mapping[str, Any], variant: str) -> str:
    """[languages][K] of the first seed's run: the share of each language's references won by each hypothesis."""
    run = runs_of(content, variant)[0]
    rows = [
        [LANGUAGES[language], *map(percent, share)]
        for language, share in zip(content["languages"], run["specialisation"]["share"], strict=True)
    ]
    return table([VARIANTS[variant], *(f"hypothesis {k + 1}" for k in range(run["hypotheses"]))], rows)


def systems_table(content: Mapping[str, Any]) -> str:
    """chrF, BLEU and coverage of four translations by every system; means over seeds."""
    wanted = [("caption-gate-4", "hypotheses x 4"), ("relaxed-4", "hypotheses x 4")]
    first = runs_of(content, "mle")
    wanted += [("mle", name) for name in first[0]["systems"] if name.endswith(" x 4")] if first else []
    rows = []
    for variant, name in wanted:
        found = [run["systems"][name] for run in runs_of(content, variant)]
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
    ]
    return table(head, rows)


def _system_cells(found: Sequence[Mapping[str, Any]]) -> list[str]:
    chrf = [fmean(one["chrf"][which] for one in found) for which in ("best", "mean", "worst")]
    return [
        f"{chrf[0]:.1f} ({chrf[1]:.1f}, {chrf[2]:.1f})",
        f"{fmean(one['bleu']['best'] for one in found):.1f}",
        *(f"{fmean(one['coverage'][metric] for one in found):.1f}" for metric in ("chrf", "bleu")),
        f"{fmean(one['languages_per_message'] for one in found):.2f}",
        f"{fmean(one['mutual_bleu'] for one in found):.3f}",
    ]


def passages(results: Path = RESULTS) -> dict[str, str]:
    """Every generated passage, by the name its markers carry."""
    found: dict[str, str] = {}
    for domain in DOMAINS:
        systems, command = read(f"systems-{domain}", results), f"training.experiments.systems {domain}"
        tables = {domain: systems_tables, f"{domain}_modes": modes_table, f"{domain}_cost": cost_table}
        found |= {name: not_run(command) if systems is None else make(systems) for name, make in tables.items()}
    scenes = read("audio", results)
    found["answers"] = not_run("training.embedded.evaluate audio") if scenes is None else answers(scenes)
    translations = read("translations", results)
    found |= dict.fromkeys(("likelihood", "systems", "shares"), not_run("training.experiments.translations"))
    if translations is not None:
        variants = [one for one in ("caption-gate-4", "relaxed-4") if runs_of(translations, one)]
        found |= {
            "likelihood": likelihood_table(translations),
            "systems": systems_table(translations),
            "shares": "\n\n".join(share_table(translations, one) for one in variants),
        }
    return found


def not_run(command: str) -> str:
    """What stands in place of a table whose experiment was not run."""
    return f"*Not run yet: `python -m {command}`.*"


def main() -> None:
    DOCUMENT.write_text(filled(DOCUMENT.read_text(encoding="utf-8"), passages()), encoding="utf-8")
    print(DOCUMENT)


if __name__ == "__main__":
    main()
