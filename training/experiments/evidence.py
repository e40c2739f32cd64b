"""Write the tables of ``docs/evidence.md`` and its figure from the results files; no figure is typed by hand.

python -m training.experiments.evidence
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from training.embedded.common.tables import filled, percent, table
from training.evaluation.report import tables_of
from training.experiments import evidence_starts as of_starts
from training.experiments import evidence_text as text
from training.experiments import evidence_text_answers as found_on_text
from training.experiments.evidence_answers import SYSTEMS, answers, in_short
from training.experiments.evidence_figure import draw, values
from training.experiments.statistics import over_starts
from training.paths import RESULTS, ROOT

DOCUMENT = ROOT / "docs" / "evidence.md"
README = ROOT / "README.md"
FIGURE = ROOT / "docs" / "evidence.png"
DOMAINS = ("audio", "image")


TRANSLATION_PASSAGES = (
    "size",
    "likelihood",
    "systems",
    "shares",
    "numbers",
    "on_numbers",
    "examples",
    "on_translations",
)


def read(name: str, results: Path = RESULTS) -> dict[str, Any] | None:
    """A results file; None if the experiment's results are not there."""
    file = results / f"{name}.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None


def answers_table(sounds: Mapping[str, Any], pictures: Mapping[str, Any]) -> str:
    """Best, mean and worst of three captions of every system, on the test scenes of both embedded models."""
    rows = []
    for name, title in SYSTEMS.items():
        of_sounds, of_pictures = (test["generation"][name] for test in (sounds, pictures))
        rows.append(
            [
                title,
                _three(of_sounds, "family_recall"),
                f"{of_sounds['diversity']['mutual_bleu']:.3f}",
                _three(of_pictures, "recall"),
                _three(of_pictures, "place_right"),
                f"{of_pictures['diversity']['mutual_bleu']:.3f}",
            ]
        )
    best = "best (mean, worst) of 3"
    head = [
        "system",
        f"sounds named, {best}",
        "mBLEU-4 ↓",
        f"objects named, {best}",
        f"place right, {best}",
        "mBLEU-4 ↓",
    ]
    return table(head, rows)


def _three(system: Mapping[str, Any], field: str) -> str:
    best, mean, worst = (percent(system[which][field]) for which in ("best", "mean", "worst"))
    return f"{best} ({mean}, {worst})"


def on_systems(results: Mapping[str, Any]) -> str:
    """The hypotheses' places among all systems, by CIDEr-D of the best and of the average caption."""

    def place(which: str) -> str:
        scores = {name: one["quality"]["cider_d"][which] for name, one in results["systems"].items()}
        first = max(scores, key=scores.__getitem__)
        other = "" if first == "hypotheses" else f"; first is {first} with {scores[first]:.3f}"
        return f"{place_of_hypotheses(results, which)} ({scores['hypotheses']:.3f}{other})"

    return (
        f"On {results['media']} scenes the hypotheses' place by CIDEr-D is {place('best')} for the best of three "
        f"captions, {place('mean')} for the average one."
    )


def place_of_hypotheses(results: Mapping[str, Any], which: str) -> str:
    """Such as "2 of 10": among all systems, by CIDEr-D of the ``best`` or the ``mean`` of K captions."""
    scores = {name: one["quality"]["cider_d"][which] for name, one in results["systems"].items()}
    order = sorted(scores, key=lambda name: -scores[name])
    return f"{order.index('hypotheses') + 1} of {len(order)}"


def systems_tables(results: Mapping[str, Any]) -> str:
    """The evaluation's own tables."""
    return tables_of(results).strip()


def cost_table(results: Mapping[str, Any]) -> str:
    """What each system costs a medium; the tower is run once for each system, as it would be alone.

    CPU seconds where they were measured.
    """
    media, systems = results["media"], results["systems"]
    measured = all("cpu_seconds" in system for system in systems.values())
    rows = []
    for name, system in systems.items():
        row = [name, str(system["rows"]), f"{system['forwards'] / media:.1f}"]
        rows.append([*row, f"{system['cpu_seconds'] / media:.2f}"] if measured else row)
    head = ["system", "rows", "forwards a medium"]
    return table([*head, "CPU seconds a medium"] if measured else head, rows)


def modes_table(results: Mapping[str, Any]) -> str:
    """Which hypothesis wins which mode, and what is typical of it."""
    found = results["specialisation"]
    modes = found["modes"]
    count = len(found["hypotheses"])
    rows = [[mode, *map(percent, share)] for mode, share in zip(modes["modes"], modes["share"], strict=True)]
    rows.append(["words a caption", *(f"{one['words']:.1f}" for one in found["hypotheses"])])
    rows.append(["typical words", *(", ".join(one["typical"][:5]) or "–" for one in found["hypotheses"])])
    entropies = (
        f"H(winner given mode) = {abs(modes['winner_given_mode']):.3f} nats, H(mode given winner) = "
        f"{abs(modes['mode_given_winner']):.3f} nats; 0 is a perfect match."
    )
    return table(["won by", *(f"hypothesis {k + 1}" for k in range(count))], rows) + "\n\n" + entropies


def passages(results: Path = RESULTS) -> dict[str, str]:
    """Every generated passage, by the name its markers carry."""
    found: dict[str, str] = {}
    for domain in DOMAINS:
        systems, command = read(f"systems-{domain}", results), f"training.experiments.systems {domain}"
        tables = {
            f"on_{domain}": on_systems,
            domain: systems_tables,
            f"{domain}_modes": modes_table,
            f"{domain}_cost": cost_table,
        }
        found |= {name: not_run(command) if systems is None else make(systems) for name, make in tables.items()}
        starts, command = read(f"starts-{domain}", results), f"training.experiments.systems.starts {domain}"
        found[f"{domain}_starts"] = not_run(command) if starts is None else of_starts.passage(starts, domain)
    audio, image = (read(domain, results) for domain in DOMAINS)
    missing = "audio" if audio is None else "image"
    found["answers"] = (
        f"{answers(audio, image, several_starts(results))}\n\n{answers_table(audio['test'], image['test'])}"
        if audio and image
        else not_run(f"training.embedded.evaluate {missing}")
    )
    heads = {domain: read(f"score-head-{domain}", results) for domain in DOMAINS}
    if any(heads.values()):
        found |= {"score_heads": text.score_head_table(heads), "on_score_heads": found_on_text.on_score_heads(heads)}
    else:
        command = "training.experiments.systems.score_head audio"
        found |= dict.fromkeys(("score_heads", "on_score_heads"), not_run(command))
    found |= text_passages(results)
    return found


def several_starts(results: Path) -> dict[str, Any]:
    """Of each domain its results of several starts, None where it was not run."""
    return {domain: read(f"starts-{domain}", results) for domain in DOMAINS}


def complete(translations: Mapping[str, Any]) -> bool:
    """Whether all variants that the summaries compare were run."""
    return {run["variant"] for run in translations["runs"]} >= found_on_text.BEHIND


def summary_table(audio: Mapping[str, Any], image: Mapping[str, Any], translations: Mapping[str, Any]) -> str:
    """The README's table: sounds, pictures and translations by hypotheses and by beam searches of equal budgets."""
    rows = []
    of_title = {title: system for system, title in SYSTEMS.items()}
    for title, (variant, name) in found_on_text.COMPARED.items():
        system = of_title[title]
        sounds = audio["test"]["generation"][system]
        found = [run["systems"][name] for run in text.runs_of(translations, variant)]
        rows.append(
            [
                title,
                *(percent(sounds[which]["family_recall"]) for which in ("best", "mean")),
                f"{sounds['diversity']['mutual_bleu']:.3f}",
                percent(image["test"]["generation"][system]["best"]["place_right"]),
                *(over_starts([one["chrf"][which] for one in found], 1) for which in ("best", "mean")),
                over_starts([one["coverage"]["chrf"] for one in found], 1),
            ]
        )
    head = [
        "system",
        "sounds named: best of 3",
        "mean",
        "mBLEU-4 ↓",
        "place of a picture right: some of 3",
        "translations, chrF: best of 4",
        "mean",
        "all 4 references",
    ]
    return table(head, rows)


def readme_passages(results: Path = RESULTS) -> dict[str, str]:
    """The README's passage, if all results files are there."""
    audio, image, translations = (read(name, results) for name in ("audio", "image", "translations"))
    if audio is None or image is None or translations is None or not complete(translations):
        return {}
    short = [*in_short(audio, image, several_starts(results)), found_on_text.headline(translations)]
    passage = (
        "\n".join(f"- {one}" for one in short)
        + f"\n\n{summary_table(audio, image, translations)}\n\nPictures and sounds: one training of each model; "
        f"translations: {text.starts_text(translations, found_on_text.BEHIND)} (± is the standard deviation)."
    )
    sounds, pictures = (read(f"systems-{domain}", results) for domain in DOMAINS)
    if sounds is not None and pictures is not None:
        passage += (
            " By CIDEr-D of the best of three captions the hypotheses' place among all systems is "
            f"{place_of_hypotheses(sounds, 'best')} for sounds ({sounds['media']} scenes) and "
            f"{place_of_hypotheses(pictures, 'best')} for pictures ({pictures['media']} scenes)."
        )
    return {"evidence": passage}


def text_passages(results: Path) -> dict[str, str]:
    """Passages of the experiments on text."""
    names = ("translations", "bilingual", "method-sweeps", "ranking")
    translations, bilingual, sweeps, ranking = (read(name, results) for name in names)
    found = dict.fromkeys(TRANSLATION_PASSAGES, not_run("training.experiments.translations"))
    of_two = ("on_bilingual", "bilingual", "bilingual_likelihood")
    found |= dict.fromkeys(of_two, not_run("training.experiments.translations.bilingual"))
    found["sweeps"] = not_run("training.experiments.ablations sweeps")
    found["on_ranking"] = found["ranking"] = not_run("training.experiments.translations.ranking")
    if translations is not None:
        variants = [one for one in ("caption-gate-4", "relaxed-4") if text.runs_of(translations, one)]
        found |= {
            "size": text.size_text(translations),
            "likelihood": text.likelihood_table(translations),
            "systems": text.systems_table(translations),
            "shares": "\n\n".join(text.share_table(translations, one) for one in variants),
            "numbers": text.number_table(translations),
            "on_numbers": found_on_text.on_numbers(translations),
            "on_translations": found_on_text.on_translations(translations),
            "examples": text.examples_table(translations, ("mle", *variants)),
        }
    if bilingual is not None:
        found["on_bilingual"] = found_on_text.on_bilingual(bilingual)
        found["bilingual"] = text.bilingual_table(bilingual)
        found["bilingual_likelihood"] = text.likelihood_table(bilingual, text.BILINGUAL)
    if sweeps is not None:
        found["sweeps"] = text.sweeps_table(sweeps)
    if ranking is not None:
        found["on_ranking"] = found_on_text.on_ranking(ranking)
        found["ranking"] = text.ranking_table(ranking)
    return found


def not_run(command: str) -> str:
    """What stands in place of a table whose experiment was not run."""
    return f"*Not run yet: `python -m {command}`.*"


def main() -> None:
    for file, found in ((DOCUMENT, passages()), (README, readme_passages())):
        file.write_text(filled(file.read_text(encoding="utf-8"), found), encoding="utf-8")
        print(file)
    translations = read("translations")
    if translations is not None and complete(translations):
        draw(values(translations, read("systems-audio")), FIGURE)
        print(FIGURE)


if __name__ == "__main__":
    main()
