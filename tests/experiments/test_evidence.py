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
from training.experiments.evidence_text_answers import on_bilingual, on_numbers, on_ranking, on_translations


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
    if special:
        special["entropy_of_hypothesis"] = 0.2
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
    assert "| one adapter (LoRA-MLE), rank 8 | 1 | 2.000 | 2.200 | 2.100 | – | – | – | – |" in found["likelihood"]
    losses = "1.250 ± 0.250 | 1.450 ± 0.250 | 1.350 ± 0.250"
    entropies = "0.10 ± 0.00 | 0.20 ± 0.00"
    assert f"| K = 4, relaxed | 2 | {losses} | 85.0 ± 0.0 % | 1 of 2 | {entropies} |" in found["likelihood"]
    row = "30.0 ± 10.0 (15.0 ± 5.0, 0.0 ± 0.0) | 7.5 ± 2.5 | 10.0 ± 3.3 | 0.0 ± 0.0 | 3.50 ± 0.50 | 0.250 ± 0.000"
    assert f"| hypotheses, K = 4, relaxed | {row} | 12.5 % |" in found["systems"]
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
    assert "Where there is one start, differences of a point of chrF mean nothing. ± is the standard" in found
    assert "9 messages are the test." in found
    content = json.loads((results / "translations.json").read_text())
    content["runs"] = [one for one in content["runs"] if one["seed"] == 0]
    (results / "translations.json").write_text(json.dumps(content))
    found = passages(results)["size"]
    assert found.endswith("differences of a point of chrF mean nothing.")
    content["runs"] = [one | {"seed": seed} for one in content["runs"] for seed in (0, 1)]
    (results / "translations.json").write_text(json.dumps(content))
    assert "one start" not in passages(results)["size"]


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
    assert found.startswith(
        "**On translations by people there is a gain in the best of four texts, the average text and all four "
        "references together over both beam searches.** 1 to 2 starts. Hypotheses (caption gate): ahead of both "
        "searches in the best of four texts, the average text and all four references together. Hypotheses (relaxed): "
        "level with both searches in"
    )
    best = "hypotheses (caption gate) 50.0, hypotheses (relaxed) 30.0 ± 10.0, beam search 30.0, diverse beam search"
    assert f"chrF: of the best of four texts {best} 36.0; of the average text hypotheses (caption gate) 25.0" in found
    assert "of all four references together hypotheses (caption gate) 16.7" in found
    losses = "one adapter (LoRA-MLE), rank 8 2.100, LoRA-MoE, 4 experts of rank 8 1.900, K = 4, caption gate 1.300, "
    gate = "K = 4, caption gate, is better than the single adapter; K = 4, caption gate, is better than LoRA-MoE"
    assert f"{losses}K = 4, relaxed 1.350 ± 0.250: {gate}" in found
    content = json.loads((results / "translations.json").read_text())
    assert complete(content)
    content["runs"] = [one for one in content["runs"] if one["variant"] not in ("moe-4", "relaxed-4")]
    (results / "translations.json").write_text(json.dumps(content))
    assert not complete(content)
    found = passages(results)["on_translations"]
    assert found.endswith("K = 4, caption gate 1.300: K = 4, caption gate, is better than the single adapter.")


@pytest.mark.parametrize(
    ("gate", "said", "detail"),
    [
        ((36.5,), "no gain", "ahead of beam search and level with diverse beam search in the best of four texts"),
        ((37.5,), "a gain in the best of four texts ", "ahead of both searches in the best of four texts; "),
        ((36.2, 36.5), "a gain in the best of four texts, the", "ahead of both searches in the best of four"),
        ((36.2, 35.0), "no gain", "ahead of beam search and level with diverse beam search in the best of four"),
        ((20.0, 22.0), "no gain", "behind both searches in the best of four"),
    ],
    ids=["within-a-point", "one-start", "all-starts", "not-all-starts", "worse"],
)
def test_the_words_on_translations_follow_from_the_figures(gate, said, detail):
    searches = {"beam x 4": system(30), "diverse-beam-0.8 x 4": system(36)}
    share = [[1, 0, 0, 0]] * 4
    runs = [run("mle", seed, 2.0, searches) for seed in range(len(gate))]
    runs += [run("caption-gate-4", seed, 1.0, {"hypotheses x 4": system(one)}, share) for seed, one in enumerate(gate)]
    found = on_translations({"runs": runs})
    assert found.startswith(f"**On translations by people there is {said}") and detail in found


def test_numbers_of_hypotheses(results):
    content = json.loads((results / "translations.json").read_text())
    found = by_number(content)
    assert set(found) == {1, 4}
    means = {name: value for name, value in found[4].items() if not name.endswith("_std")}
    assert means == pytest.approx({"best": 1.25, "mixture": 1.35, "coverage": 10, "beam": 10, "diverse": 12})
    assert found[4]["best_std"] == pytest.approx(0.25) and found[4]["beam_std"] == 0
    assert found[1]["coverage"] is None and found[1]["coverage_std"] is None
    losses = "1.250 ± 0.250 | 1.350 ± 0.250"
    assert f"| 4 | 2 | {losses} | 4.0 ± 0.0 | 4.0 ± 0.0 | 10.0 ± 3.3 | 10.0 | 12.0 |" in passages(results)["numbers"]
    assert "| 1 | 1 | 2.000 | 2.100 | 1.0 | – | – | – | – |" in passages(results)["numbers"]
    assert in_use([[1, 0, 0], [0.99, 0, 0.01], [0.5, 0.5, 0]]) == 2
    assert languages_taken([[1, 0, 0], [0.99, 0, 0.01], [0.4, 0.6, 0]]) == 2


def test_what_more_hypotheses_bring():
    share = [[1, 0, 0, 0]] * 4
    searches = {"beam x 4": system(30), "diverse-beam-0.8 x 2": system(20), "diverse-beam-0.8 x 4": system(36)}
    two = run("relaxed-2", 0, 1.5, {"hypotheses x 2": system(30)}, share) | {"hypotheses": 2}
    four = run("relaxed-4", 0, 1.0, {"hypotheses x 4": system(30)}, share)
    single = run("mle", 0, 1.25, searches)
    found = on_numbers({"runs": [single, two, four]})
    assert found.startswith("From K = 2 to 4 the best hypothesis' NLL goes from 1.500 to 1.000 nats per token;")
    assert "they are better than one adapter for K = 4 and worse for K = 2. Of the references" in found
    assert found.endswith("their texts cover more than K diverse beams for K = 2 and less for K = 4.")
    even = {"likelihood": single["likelihood"]}
    alike = on_numbers({"runs": [single | {"systems": {}}, two | even, four | even]})
    assert "they are for no K clearly better or worse than one adapter. Of" in alike
    assert alike.endswith("cover for no K clearly more or less than K diverse beams.")
    assert on_numbers({"runs": [single, two]}) == ""


def test_two_languages(results):
    texts, share = {"hypotheses x 2": system(40, 1.5)}, [[1, 0], [0.25, 0.75]]
    runs = [
        run("mle", 0, 2.0, {"beam x 1": system(30), "beam x 2": system(30)}),
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
    said = found["on_bilingual"]
    assert "With the caption gate partly; with the relaxed assignment partly** (one start; the aim was 95 %)" in said
    assert "wins 87.5 % (the caption gate) and 75.0 % (the relaxed assignment) of its references." in said
    assert "the caption gate's English 40.0, better than two beams (30.0); the caption gate's French 20.0" in said
    assert "At most 12.5 % of a system's texts loop." in said
    losses = "the caption gate 1.600, the relaxed assignment 1.100, one adapter 2.100, of twice the rank 1.850."
    assert said.endswith(f"nats per token: {losses}")


@pytest.mark.parametrize(
    ("shares", "grade"),
    [((0.96, 0.97), "yes"), ((0.94, 0.97), "in some starts"), ((0.8, 0.9), "partly"), ((0.7, 0.8), "partly in some")],
)
def test_how_far_two_hypotheses_part(shares, grade):
    runs = [run("mle", 0, 2.0, {"beam x 2": system(30)})]
    texts = {"hypotheses x 2": system(30)}
    runs += [run("caption-gate-2", seed, 1.0, texts, [[one, 1 - one]] * 2) for seed, one in enumerate(shares)]
    runs += [run("relaxed-2", 0, 1.0, texts, [[0.5, 0.5]] * 2)]
    found = on_bilingual({"runs": runs})
    assert f"With the caption gate {grade}" in found and "with the relaxed assignment hardly**" in found


def test_rankings_are_means_over_starts(results):
    def one(accuracy, loss=1.5):
        return {"accuracy": accuracy, "log_loss": loss, "ece": 0.25, "chrf_first": 20.0}

    def rankings_of(*found):
        return dict(zip(("score head", "log-probability", "frequency"), found, strict=True))

    def of_start(share):
        rankings = rankings_of(one(share), one(0.25, 2.0), one(0.125, 1.75))
        return {"references": {"any language": rankings, "language by words": rankings}}

    (results / "ranking.json").write_text(json.dumps({"runs": [of_start(0.5), of_start(0.25)]}))
    found = passages(results)
    row = "37.5 ± 12.5 % | 1.500 ± 0.000 | 0.250 ± 0.000 | 20.0 ± 0.0"
    assert f"| any language | score head | {row} |" in found["ranking"]
    assert found["ranking"].endswith("Means and standard deviations over 2 starts.")
    second = of_start(0.25)
    second["references"]["any language"] = rankings_of(one(0.25, 1.75), one(0.25, 2.0), one(0.125, 1.75))
    (results / "ranking.json").write_text(json.dumps({"runs": [of_start(0.5), second]}))
    assert "frequency (less than both in 1 of 2 starts); where" in passages(results)["on_ranking"]
    losses = "1.500 ± 0.000 nats, 2.000 ± 0.000 by log-probability and 1.750 ± 0.000 by frequency"
    losses += " (less than both in 2 of 2 starts)"
    said = found["on_ranking"]
    assert said.startswith("**A score head helps in both cases** (2 starts).")
    assert f"its log loss is {losses}; where the number of words decides the language, {losses}" in said
    assert said.endswith("it predicts 37.5 ± 12.5 % of the winners (12.5 ± 0.0 % by frequency).")


@pytest.mark.parametrize(
    ("any_language", "by_words", "headline"),
    [
        (1.5, 1.5, "is not clearly better than simpler rankings"),
        (1.5, 1.0, "helps only where the prompt tells who wins"),
        (1.0, 1.5, "helps only where any language may be wanted"),
        (1.0, 1.0, "helps in both cases"),
    ],
)
def test_the_words_on_a_score_head_follow_from_the_figures(any_language, by_words, headline):
    def kind(loss):
        other = {"accuracy": 0.5, "log_loss": 1.5}
        return {"score head": other | {"log_loss": loss}, "log-probability": other, "frequency": other}

    references = {"any language": kind(any_language), "language by words": kind(by_words)}
    assert on_ranking({"runs": [{"references": references}]}).startswith(f"**A score head {headline}** (one start).")


def test_score_heads_of_the_embedded_models(tmp_path):
    one = {"accuracy": 0.25, "log_loss": 1.125, "ece": 0.0625}
    rankings = {"score head": one, "frequency": one | {"gain": -0.01, "gain_error": 0.02}}
    media = {"fit": 60, "held_out": 20, "test": 25}
    report = {"rankings": rankings, "media": media, "better": False}
    (tmp_path / "score-head-image.json").write_text(json.dumps(report))
    found = passages(tmp_path)["score_heads"]
    assert "| image | score head | 25.0 % | 1.125 | 0.062 | – |" in found and "audio" not in found
    assert "|  | frequency | 25.0 % | 1.125 | 0.062 | -0.010 ± 0.020 |" in found
    assert found.endswith("Scenes that train, calibrate and measure: image 60, 20 and 25.")
    assert "not clearly better than both simpler rankings for pictures.**" in passages(tmp_path)["on_score_heads"]
    (tmp_path / "score-head-audio.json").write_text(json.dumps(report | {"better": True}))
    assert passages(tmp_path)["on_score_heads"].endswith("for pictures; it is clearly better for sounds.**")


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
