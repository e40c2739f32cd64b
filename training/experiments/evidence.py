"""Write the tables of ``docs/evidence.md`` and its figure from the results files; no figure is typed by hand.

python -m training.experiments.evidence
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from training.embedded.common.tables import filled, percent, table
from training.evaluation.report import tables_of
from training.experiments import evidence_text as text
from training.experiments.evidence_figure import draw, values
from training.paths import RESULTS, ROOT

DOCUMENT = ROOT / "docs" / "evidence.md"
README = ROOT / "README.md"
FIGURE = ROOT / "docs" / "evidence.png"
DOMAINS = ("audio", "image")


TRANSLATION_PASSAGES = ("size", "likelihood", "systems", "shares", "numbers", "examples")
# What the README's table compares: a system of the audio model's results; a variant and a system of the translations'.
COMPARED = {
    "hypotheses (caption gate)": ("caption-gate", "caption-gate-4", "hypotheses x 4"),
    "hypotheses (relaxed)": ("relaxed", "relaxed-4", "hypotheses x 4"),
    "beam search": ("beam", "mle", "beam x 4"),
    "diverse beam search": ("diverse-beam", "mle", "diverse-beam-0.8 x 4"),
}


_SYSTEMS = {
    "caption-gate": "hypotheses (caption gate)",
    "relaxed": "hypotheses (relaxed)",
    "beam": "beam search",
    "diverse-beam": "diverse beam search",
}


def read(name: str, results: Path = RESULTS) -> dict[str, Any] | None:
    """A results file; None if the experiment's results are not there."""
    file = results / f"{name}.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None


def answers(audio: Mapping[str, Any], image: Mapping[str, Any]) -> str:
    """The question's answer by 1,000 test scenes of each embedded model, and the table that it quotes.

    Its words hold for these figures; a test says so where other figures need other words.
    """
    sounds, pictures = audio["test"], image["test"]

    def share(test: Mapping[str, Any], name: str, which: str, field: str) -> str:
        return percent(test["generation"][name][which][field])

    def against(test: Mapping[str, Any], which: str, field: str) -> str:
        gate, beam, diverse = (share(test, name, which, field) for name in ("caption-gate", "beam", "diverse-beam"))
        return f"{gate} (beam search {beam}, diverse beam search {diverse})"

    def bleu(test: Mapping[str, Any], name: str) -> str:
        return f"{test['generation'][name]['diversity']['mutual_bleu']:.3f}"

    def steady(test: Mapping[str, Any]) -> tuple[str, str]:
        gate, relaxed = (test["likelihood"][name]["stability"]["share"] for name in ("caption-gate", "relaxed"))
        return percent(min(gate)), percent(max(relaxed))

    def loss(test: Mapping[str, Any], name: str, field: str = "nll") -> str:
        return f"{test['likelihood'][name][field]:.3f}"

    (gate_sounds, relaxed_sounds), (gate_pictures, relaxed_pictures) = steady(sounds), steady(pictures)
    sentences = (
        "**With a choice of three captions: as good as beam search or better, hardly better than diverse beam search, "
        "and far better in what only some ways of describing tell.** The best of three names "
        f"{against(sounds, 'best', 'family_recall')} of a clip's sounds by family and "
        f"{against(pictures, 'best', 'recall')} of a picture's objects; the place is right in some caption of "
        f"{against(pictures, 'best', 'place_right')} of the pictures.",
        "**Without a choice: no.** The average of three captions names "
        f"{share(sounds, 'caption-gate', 'mean', 'family_recall')} of the sounds (beam search "
        f"{share(sounds, 'beam', 'mean', 'family_recall')}) and {share(pictures, 'caption-gate', 'mean', 'recall')} of "
        f"the objects ({share(pictures, 'beam', 'mean', 'recall')}), the worst "
        f"{share(sounds, 'caption-gate', 'worst', 'family_recall')} of the sounds "
        f"({share(sounds, 'beam', 'worst', 'family_recall')}): one hypothesis describes the scene instead.",
        "**The captions differ more**: mBLEU-4 (lower is more diverse) is "
        f"{bleu(sounds, 'caption-gate')} for sounds and {bleu(pictures, 'caption-gate')} for pictures, of diverse beam "
        f"search {bleu(sounds, 'diverse-beam')} and {bleu(pictures, 'diverse-beam')}.",
        "**Each hypothesis keeps to one way of describing with the caption gate alone**: of each annotator's captions "
        f"one hypothesis wins at least {gate_sounds} (sounds) and {gate_pictures} (pictures), with the paper's relaxed "
        f"assignment at most {relaxed_sounds} and {relaxed_pictures}.",
        "**It is not the number of parameters**: one adapter of three times the rank has an NLL of "
        f"{loss(sounds, 'mle-wide')} nats per token for sounds (the same rank {loss(sounds, 'mle')}) and "
        f"{loss(pictures, 'mle-wide')} for pictures ({loss(pictures, 'mle')}), the best of three hypotheses "
        f"{loss(sounds, 'caption-gate', 'oracle_nll')} and {loss(pictures, 'caption-gate', 'oracle_nll')}, which "
        "flatters them, as the choice is made knowing the caption.",
    )
    numbered = "\n".join(f"{number}. {sentence}" for number, sentence in enumerate(sentences, 1))
    return f"{numbered}\n\n{answers_table(sounds, pictures)}"


def answers_table(sounds: Mapping[str, Any], pictures: Mapping[str, Any]) -> str:
    """Best, mean and worst of three captions of every system, on the test scenes of both embedded models."""
    rows = []
    for name, title in _SYSTEMS.items():
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


def on_translations(content: Mapping[str, Any]) -> str:
    """The same question on messages translated by people; means over starts of the variants that were run.

    Its first words hold for the committed results; a test says so where others are needed.
    """

    def mean(variant: str, figure: Callable[[Mapping[str, Any]], float]) -> float:
        return fmean(figure(run) for run in text.runs_of(content, variant))

    run = {one["variant"] for one in content["runs"]}
    compared = {title: (variant, system) for title, (_, variant, system) in COMPARED.items() if variant in run}

    def each(figure: Callable[[Mapping[str, Any]], float]) -> str:
        return ", ".join(
            f"{title} {mean(variant, lambda one, s=system: figure(one['systems'][s])):.1f}"
            for title, (variant, system) in compared.items()
        )

    likelihood = ", ".join(
        f"{text.VARIANTS[variant]} {mean(variant, lambda one: one['likelihood']['mixture']):.3f}"
        for variant in ("mle", "moe-4", "caption-gate-4", "relaxed-4")
        if variant in run
    )
    return (
        "**On translations by people: no gain.** Of four texts of a message, chrF of the best: "
        f"{each(lambda one: one['chrf']['best'])}; on average: {each(lambda one: one['chrf']['mean'])}; of all four "
        f"references together: {each(lambda one: one['coverage']['chrf'])}. NLL as one distribution, nats per token: "
        f"{likelihood}."
    )


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
    audio, image = (read(domain, results) for domain in DOMAINS)
    missing = "audio" if audio is None else "image"
    found["answers"] = answers(audio, image) if audio and image else not_run(f"training.embedded.evaluate {missing}")
    heads = {domain: read(f"score-head-{domain}", results) for domain in DOMAINS}
    measured = any(heads.values())
    found["score_heads"] = (
        text.score_head_table(heads) if measured else not_run("training.experiments.systems.score_head audio")
    )
    found |= text_passages(results)
    return found


def complete(translations: Mapping[str, Any]) -> bool:
    """Whether all variants that the summaries compare were run."""
    return {variant for _, variant, _ in COMPARED.values()} | {"moe-4"} <= {
        run["variant"] for run in translations["runs"]
    }


def summary_table(audio: Mapping[str, Any], image: Mapping[str, Any], translations: Mapping[str, Any]) -> str:
    """The README's table: sounds, pictures and translations by hypotheses and by beam searches of equal budgets."""
    rows = []
    for title, (system, variant, name) in COMPARED.items():
        sounds = audio["test"]["generation"][system]
        found = [run["systems"][name] for run in text.runs_of(translations, variant)]
        chrf = [fmean(one["chrf"][which] for one in found) for which in ("best", "mean")]
        rows.append(
            [
                title,
                *(percent(sounds[which]["family_recall"]) for which in ("best", "mean")),
                f"{sounds['diversity']['mutual_bleu']:.3f}",
                percent(image["test"]["generation"][system]["best"]["place_right"]),
                *(f"{value:.1f}" for value in chrf),
                f"{fmean(one['coverage']['chrf'] for one in found):.1f}",
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
    passage = summary_table(audio, image, translations)
    sounds, pictures = (read(f"systems-{domain}", results) for domain in DOMAINS)
    if sounds is not None and pictures is not None:
        passage += (
            "\n\nBy CIDEr-D of the best of three captions the hypotheses' place among all systems is "
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
    found["on_translations"] = not_run("training.experiments.translations")
    if translations is not None:
        variants = [one for one in ("caption-gate-4", "relaxed-4") if text.runs_of(translations, one)]
        found |= {
            "size": text.size_text(translations),
            "likelihood": text.likelihood_table(translations),
            "systems": text.systems_table(translations),
            "shares": "\n\n".join(text.share_table(translations, one) for one in variants),
            "numbers": text.number_table(translations),
            "on_translations": on_translations(translations),
            "examples": text.examples_table(translations, ("mle", *variants)),
        }
    if bilingual is not None:
        found["on_bilingual"] = text.on_bilingual(bilingual)
        found["bilingual"] = text.bilingual_table(bilingual)
        found["bilingual_likelihood"] = text.likelihood_table(bilingual, text.BILINGUAL)
    if sweeps is not None:
        found["sweeps"] = text.sweeps_table(sweeps)
    if ranking is not None:
        found["on_ranking"] = text.on_ranking(ranking)
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
