"""The evidence document says what the results files say; its tables by hand on small results."""

import json

import pytest

from training.embedded.common.tables import filled
from training.experiments.evidence import (
    DOCUMENT,
    FIGURE,
    README,
    complete,
    cost_table,
    on_systems,
    passages,
    read,
    readme_passages,
    summary_table,
)
from training.experiments.evidence_figure import draw, drawn_in, values
from training.experiments.evidence_text import by_number, in_use, languages_taken


def system(best, languages=2.0):
    return {
        "texts": 4,
        "chrf": {"best": best, "mean": best / 2, "worst": 0.0},
        "bleu": {"best": best / 4, "mean": 0.0, "worst": 0.0},
        "coverage": {"chrf": best / 3, "bleu": 0.0},
        "coverage_by_language": [best, best / 2],
        "loops": 0.125,
        "languages": [0.25] * 4,
        "languages_per_message": languages,
        "mutual_bleu": 0.25,
        "distinct_1": 0.5,
    }


def run(variant, seed, best, systems, share=None):
    special = share and {"share": share, "main": [0, 1, 2, 3], "distinct": seed == 0, "entropy_of_language": 0.1}
    return {
        "variant": variant,
        "seed": seed,
        "hypotheses": 4 if share else 1,
        "examples": [{"message": "Open", "texts": ["Ouvrir", "Öffnen"]}],
        "identified_references": 0.95,
        "identified": [[0.9, 0.1], [0.2, 0.8]],
        "likelihood": {"best": best, "mean": best + 0.2, "mixture": best + 0.1},
        "specialisation": special or None,
        "systems": systems,
    }


@pytest.fixture
def results(tmp_path):
    share = [[1, 0, 0, 0], [0, 0.9, 0.1, 0], [0, 0, 0.8, 0.2], [0.3, 0, 0, 0.7]]
    texts = {"beam x 4": system(30), "beam x 2": system(1), "diverse-beam-0.8 x 4": system(36)}
    runs = [
        run("mle", 0, 2.0, texts),
        run("moe-4", 0, 1.8, {"beam x 4": system(31)}),
        run("caption-gate-4", 0, 1.2, {"hypotheses x 4": system(50, 4.0)}, share),
        run("relaxed-4", 0, 1.0, {"hypotheses x 4": system(40, 4.0)}, share),
        run("relaxed-4", 1, 1.5, {"hypotheses x 4": system(20, 3.0)}, share),
    ]
    size = {"layers": 3, "hidden": 128, "base_steps": 2400, "base_batch": 96, "steps": 200, "batch": 48, "rank": 8}
    content = {"languages": ["fr", "de", "es", "it"], "messages": {"test": 9}, "settings": size, "runs": runs}
    (tmp_path / "translations.json").write_text(json.dumps(content))
    return tmp_path


def test_every_figure_of_the_document_comes_from_the_results():
    text = DOCUMENT.read_text(encoding="utf-8")
    assert filled(text, passages()) == text, "run `python -m training.experiments.evidence`"


def test_the_readme_quotes_the_results():
    text = README.read_text(encoding="utf-8")
    assert filled(text, readme_passages()) == text, "run `python -m training.experiments.evidence`"
    assert drawn_in(FIGURE) == values(read("translations"), read("systems-audio"))


def test_a_figure_keeps_what_it_was_drawn_from(results, tmp_path):
    score = {"quality": {"cider_d": {"best": 1.1, "mean": 0.5}}, "diversity": {"mutual_bleu_4": 0.25}}
    content = json.loads((results / "translations.json").read_text())
    for systems, panels in ((None, 2), ({"systems": {"hypotheses": score, "beam search": score}}, 3)):
        drawn = values(content, systems)
        draw(drawn, tmp_path / f"{panels}.png")
        assert drawn_in(tmp_path / f"{panels}.png") == drawn
    assert drawn["systems"]["beam search"] == [0.75, 1.1, 0.5] and drawn["numbers"]["4"]["coverage"] == 10


def test_the_table_of_the_readme_by_hand(results):
    sounds = {"diversity": {"mutual_bleu": 0.5}, **{k: {"family_recall": 0.4} for k in ("best", "mean")}}
    audio = {"test": {"generation": dict.fromkeys(("caption-gate", "relaxed", "beam", "diverse-beam"), sounds)}}
    texts = {"beam x 4": system(30), "diverse-beam-0.8 x 4": system(36)}
    share = [[1, 0, 0, 0]] * 4
    four = [run(name, 0, 1.0, {"hypotheses x 4": system(60)}, share) for name in ("relaxed-4", "caption-gate-4")]
    pictures = {"best": {"place_right": 0.7}}
    image = {"test": {"generation": dict.fromkeys(("caption-gate", "relaxed", "beam", "diverse-beam"), pictures)}}
    found = summary_table(audio, image, {"runs": [run("mle", 0, 2.0, texts), *four]})
    assert "| beam search | 40.0 % | 40.0 % | 0.500 | 70.0 % | 30.0 | 15.0 | 10.0 |" in found
    assert "| hypotheses (relaxed) | 40.0 % | 40.0 % | 0.500 | 70.0 % | 60.0 | 30.0 | 20.0 |" in found


def test_every_passage_has_a_place_in_the_document():
    text = DOCUMENT.read_text(encoding="utf-8")
    assert [name for name in passages() if f"<!-- {name} -->" not in text] == []


def test_figures_are_means_over_starts(results):
    found = passages(results)
    assert "| one adapter (LoRA-MLE), rank 8 | 1 | 2.000 | 2.200 | 2.100 | – | – | – |" in found["likelihood"]
    assert "| K = 4, relaxed | 2 | 1.250 | 1.450 | 1.350 | 85.0 % | 1 of 2 | 0.10 |" in found["likelihood"]
    assert (
        "| hypotheses, K = 4, relaxed | 30.0 (15.0, 0.0) | 7.5 | 10.0 | 0.0 | 3.50 | 0.250 | 12.5 % |"
        in found["systems"]
    )
    assert "| beam, one adapter (LoRA-MLE), rank 8 | 30.0 (" in found["systems"] and "beam x 2" not in found["systems"]
    assert "| Italian | 30.0 % | 0.0 % | 0.0 % | 70.0 % |" in found["shares"]
    assert "Not run yet: `python -m training.experiments.systems audio`" in found["audio"]


def test_what_was_run_and_what_was_not(results):
    found = passages(results)["size"]
    assert "for 2,400 steps of 96 translations" in found and "adapters of rank 8 for 200 steps of 48" in found
    others = "LoRA-MoE, 4 experts of rank 8 (1); K = 4, relaxed (2); K = 4, caption gate (1)"
    assert (
        f"number of starts: one adapter (LoRA-MLE), rank 8 (1); {others}. Not run: one adapter, rank 32; K = 2" in found
    )
    assert found.endswith("With one start differences of a point of chrF mean nothing.")


def test_sweeps_say_how_many_starts_they_are_of(tmp_path):
    def figure(mean):
        return {"mean": mean, "std": 0.25}

    names = ("loss", "accuracy", "chains_covered", "used", "apart")
    arm = {"options": {"question": "epsilon"}, "summary": {name: figure(0.5) for name in names}}
    for starts, row in ((1, "0.5000 | 50.0 % | 0.5"), (3, "0.5000 ± 0.2500 | 50.0 % ± 25.0 | 0.5")):
        content = {"arms": {"epsilon 0": arm | {"runs": [{}] * starts}}}
        (tmp_path / "method-sweeps.json").write_text(json.dumps(content))
        found = passages(tmp_path)["sweeps"]
        assert f"| epsilon | epsilon 0 | {row} |" in found
        assert found.endswith({1: "Of each value one start.", 3: "mean and standard deviation over 3 starts."}[starts])


def test_the_answer_on_translations(results):
    found = passages(results)["on_translations"]
    best = "hypotheses (caption gate) 50.0, hypotheses (relaxed) 30.0, beam search 30.0, diverse beam search 36.0"
    assert f"chrF of the best: {best}; on average: hypotheses (caption gate) 25.0" in found
    assert "of all four references together: hypotheses (caption gate) 16.7" in found
    one = "one adapter (LoRA-MLE), rank 8 2.100, LoRA-MoE, 4 experts of rank 8 1.900"
    assert found.endswith(f"{one}, K = 4, caption gate 1.300, K = 4, relaxed 1.350.")
    content = json.loads((results / "translations.json").read_text())
    assert complete(content)
    content["runs"] = [one for one in content["runs"] if one["variant"] not in ("moe-4", "relaxed-4")]
    (results / "translations.json").write_text(json.dumps(content))
    assert not complete(content)
    assert "K = 4, caption gate 1.300." in passages(results)["on_translations"]


def test_numbers_of_hypotheses(results):
    content = json.loads((results / "translations.json").read_text())
    found = by_number(content)
    assert set(found) == {1, 4}
    expected = {"best": 1.25, "mixture": 1.35, "used": 4, "languages": 4, "coverage": 10, "beam": 10, "diverse": 12}
    assert found[4] == pytest.approx(expected)
    assert found[1]["coverage"] is None and found[1]["languages"] is None
    assert "| 4 | 1.250 | 1.350 | 4.0 | 4.0 | 10.0 | 10.0 | 12.0 |" in passages(results)["numbers"]
    assert in_use([[1, 0, 0], [0.99, 0, 0.01], [0.5, 0.5, 0]]) == 2
    assert languages_taken([[1, 0, 0], [0.99, 0, 0.01], [0.4, 0.6, 0]]) == 2


def test_two_languages(results):
    texts, share = {"hypotheses x 2": system(40, 1.5)}, [[1, 0], [0.25, 0.75]]
    runs = [
        run("mle", 0, 2.0, {"beam x 1": system(30)}),
        run("relaxed-2", 0, 1.0, texts, [[0.5, 0.5], [0, 1]]),
        run("caption-gate-2", 0, 1.5, texts, share),
        run("mle-wide", 0, 1.75, {"beam x 2": system(30)}),
    ]
    content = {"languages": ["en", "fr"], "messages": {"test": 9}, "runs": runs}
    (results / "bilingual.json").write_text(json.dumps(content))
    found = passages(results)
    row = "| hypotheses x 2, K = 2, relaxed | 80.0 % to 90.0 % | 40.0 | 20.0 | 1.50 | 12.5 % |"
    assert row in found["bilingual"]
    assert "| beam x 1, one adapter (LoRA-MLE), rank 8 | – | 30.0 | 15.0 | 2.00 | 12.5 % |" in found["bilingual"]
    assert found["bilingual"].endswith("the language of 95.0 %.")
    assert "2 distinct" in found["bilingual_likelihood"]
    assert "wins 87.5 % and 75.0 % of its references." in found["on_bilingual"]
    assert "gate 1.600, relaxed 1.100, one adapter 2.100, of twice the rank 1.850." in found["on_bilingual"]


def test_rankings_are_means_over_starts(results):
    def one(accuracy, loss=1.5):
        return {"accuracy": accuracy, "log_loss": loss, "ece": 0.25, "chrf_first": 20.0}

    def of_start(share):
        rankings = {"score head": one(share), "log-probability": one(0.25, 2.0), "frequency": one(0.125, 1.75)}
        return {"references": {"any language": rankings, "language by words": rankings}}

    (results / "ranking.json").write_text(json.dumps({"runs": [of_start(0.5), of_start(0.25)]}))
    found = passages(results)
    assert "| any language | score head | 37.5 % | 1.500 | 0.250 | 20.0 |" in found["ranking"]
    assert found["ranking"].endswith("Means over 2 starts.")
    losses = "1.500 nats, 2.000 by log-probability and 1.750 by frequency"
    assert f"its log loss is {losses}; where the number of words decides the language, {losses}" in found["on_ranking"]
    assert found["on_ranking"].endswith("it predicts 37.5 % of the winners (12.5 % by frequency).")


def test_the_words_on_two_languages_and_on_the_score_head_hold():
    runs = read("bilingual")["runs"]

    def shares(variant):
        found = [max(row) for run in runs if run["variant"] == variant for row in run["specialisation"]["share"]]
        return sum(found) / len(found)

    assert 0.95 > shares("caption-gate-2") > 0.8 > 0.7 > shares("relaxed-2")
    assert all(system["loops"] < 0.01 for run in runs for system in run["systems"].values())

    def coverage(variant, system):
        found = [run["systems"][system]["coverage"]["chrf"] for run in runs if run["variant"] == variant]
        return sum(found) / len(found)

    hypotheses = [coverage(variant, "hypotheses x 2") for variant in ("relaxed-2", "caption-gate-2")]
    assert all(abs(one - coverage("mle", "beam x 2")) < 2 for one in hypotheses)
    starts = read("ranking")["runs"]

    def loss(kind, ranking):
        return sum(run["references"][kind][ranking]["log_loss"] for run in starts) / len(starts)

    others = ("log-probability", "frequency")
    assert all(loss("any language", "score head") > loss("any language", other) - 0.01 for other in others)
    assert all(loss("language by words", "score head") < loss("language by words", other) - 0.03 for other in others)


def test_score_heads_of_the_embedded_models(tmp_path):
    one = {"accuracy": 0.25, "log_loss": 1.125, "ece": 0.0625}
    rankings = {"score head": one, "frequency": one | {"gain": -0.01, "gain_error": 0.02}}
    media = {"fit": 60, "held_out": 20, "test": 25}
    (tmp_path / "score-head-image.json").write_text(json.dumps({"rankings": rankings, "media": media}))
    found = passages(tmp_path)["score_heads"]
    assert "| image | score head | 25.0 % | 1.125 | 0.062 | – |" in found and "audio" not in found
    assert "|  | frequency | 25.0 % | 1.125 | 0.062 | -0.010 ± 0.020 |" in found
    assert found.endswith("Scenes that train, calibrate and measure: image 60, 20 and 25.")


def test_places_among_all_systems():
    def one(best, mean):
        return {"quality": {"cider_d": {"best": best, "mean": mean}}}

    systems = {"hypotheses": one(1.5, 0.5), "beam search": one(1.25, 0.75), "sampling": one(1.0, 0.625)}
    found = on_systems({"media": 48, "systems": systems})
    assert "On 48 scenes" in found and "is 1 of 3 (1.500) for the best" in found
    assert found.endswith("3 of 3 (0.500; first is beam search with 0.750) for the average one.")


def test_cost_is_that_of_a_medium():
    one = {"rows": 3, "forwards": 8.0}
    assert cost_table({"media": 2, "systems": {"beam search": one}}).endswith("| beam search | 3 | 4.0 |")
    measured = {"beam search": one | {"cpu_seconds": 3.0}}
    assert cost_table({"media": 2, "systems": measured}).endswith("| beam search | 3 | 4.0 | 1.50 |")


def test_without_results_every_passage_says_so(tmp_path):
    assert all("Not run yet" in passage for passage in passages(tmp_path).values())


def test_the_five_sentences_hold_for_pictures():
    test = read("image")["test"]
    found, ways = test["generation"], ("relaxed", "caption-gate")

    def value(system, which, field):
        return found[system][which][field]

    assert all(value(way, "best", "place_right") > value("diverse-beam", "best", "place_right") + 0.1 for way in ways)
    assert all(abs(value(way, "best", "recall") - value("beam", "best", "recall")) < 0.02 for way in ways)
    assert all(
        value(way, which, "recall") < value("beam", which, "recall") for way in ways for which in ("mean", "worst")
    )
    bleu = {name: one["diversity"]["mutual_bleu"] for name, one in found.items()}
    assert bleu["caption-gate"] < bleu["relaxed"] < bleu["diverse-beam"] < bleu["beam"]
    likelihood = test["likelihood"]
    gate, relaxed = (likelihood[way]["stability"]["share"] for way in ("caption-gate", "relaxed"))
    assert min(gate) > 0.95 > 0.7 > max(relaxed)
    assert likelihood["mle-wide"]["nll"] == pytest.approx(likelihood["mle"]["nll"], abs=0.005)
    assert likelihood["caption-gate"]["oracle_nll"] < likelihood["mle"]["nll"] - 0.05


def test_the_five_sentences_hold_for_sounds():
    test = read("audio")["test"]
    found = test["generation"]

    def named(system, which):
        return found[system][which]["family_recall"]

    ways = ("relaxed", "caption-gate")
    assert all(named(way, "best") > named("beam", "best") for way in ways)
    assert all(0 <= named(way, "best") - named("diverse-beam", "best") + 0.002 < 0.03 for way in ways)
    assert all(named(way, which) < named("beam", which) for way in ways for which in ("mean", "worst"))
    alone = {name: one["family_recall"] for name, one in found["caption-gate"]["hypotheses"].items()}
    main = test["likelihood"]["caption-gate"]["stability"]["main"]
    assert min(alone, key=alone.get) == f"caption-gate/{main[test['modes'].index('en-scene')]}"
    bleu = {name: one["diversity"]["mutual_bleu"] for name, one in found.items()}
    assert bleu["caption-gate"] < bleu["relaxed"] < bleu["diverse-beam"] < bleu["beam"]
    likelihood = test["likelihood"]
    assert (
        min(likelihood["caption-gate"]["stability"]["share"])
        > 0.95
        > 0.7
        > max(likelihood["relaxed"]["stability"]["share"])
    )
    assert likelihood["mle-wide"]["nll"] == pytest.approx(likelihood["mle"]["nll"], abs=0.005)
    assert likelihood["caption-gate"]["oracle_nll"] < likelihood["mle"]["nll"] - 0.05


def test_the_words_on_translations_hold():
    """No gain: neither the best text nor the coverage is a point above the searches', nor the mixture's loss below."""
    ways, searches = ("caption-gate-4", "relaxed-4"), ("beam x 4", "diverse-beam-0.8 x 4")
    content = read("translations")

    def mean(variant, figure):
        found = [figure(run) for run in content["runs"] if run["variant"] == variant]
        return sum(found) / len(found)

    def chrf(variant, system, kind, which):
        return mean(variant, lambda run: run["systems"][system][kind][which])

    for kind, which in (("chrf", "best"), ("chrf", "mean"), ("coverage", "chrf")):
        best = max(chrf("mle", system, kind, which) for system in searches)
        assert all(chrf(way, "hypotheses x 4", kind, which) < best + 1 for way in ways)
    losses = [mean(variant, lambda run: run["likelihood"]["mixture"]) for variant in ("mle", *ways)]
    assert min(losses[1:]) > losses[0] - 0.02
