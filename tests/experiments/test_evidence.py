"""The evidence document says what the results files say; its tables by hand on small results."""

import json

import pytest

from training.embedded.common.tables import filled
from training.experiments.evidence import DOCUMENT, VARIANTS, passages, read


def system(best, languages=2.0):
    return {
        "texts": 4,
        "chrf": {"best": best, "mean": best / 2, "worst": 0.0},
        "bleu": {"best": best / 4, "mean": 0.0, "worst": 0.0},
        "coverage": {"chrf": best / 3, "bleu": 0.0},
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
        "likelihood": {"best": best, "mean": best + 0.2, "mixture": best + 0.1},
        "specialisation": special or None,
        "systems": systems,
    }


@pytest.fixture
def results(tmp_path):
    share = [[1, 0, 0, 0], [0, 0.9, 0.1, 0], [0, 0, 0.8, 0.2], [0.3, 0, 0, 0.7]]
    runs = [
        run("mle", 0, 2.0, {"beam x 4": system(30), "beam x 2": system(1)}),
        run("relaxed-4", 0, 1.0, {"hypotheses x 4": system(40, 4.0)}, share),
        run("relaxed-4", 1, 1.5, {"hypotheses x 4": system(20, 3.0)}, share),
    ]
    content = {"languages": ["fr", "de", "es", "it"], "messages": {"test": 9}, "runs": runs}
    (tmp_path / "translations.json").write_text(json.dumps(content))
    return tmp_path


def test_every_figure_of_the_document_comes_from_the_results():
    text = DOCUMENT.read_text(encoding="utf-8")
    assert filled(text, passages()) == text, "run `python -m training.experiments.evidence`"


def test_every_passage_has_a_place_in_the_document():
    text = DOCUMENT.read_text(encoding="utf-8")
    assert [name for name in passages() if f"<!-- {name} -->" not in text] == []


def test_figures_are_means_over_starts(results):
    found = passages(results)
    assert "| one adapter (LoRA-MLE), rank 8 | 1 | 2.000 | 2.200 | 2.100 | – | – | – |" in found["likelihood"]
    assert "| K = 4, relaxed | 2 | 1.250 | 1.450 | 1.350 | 85.0 % | 1 of 2 | 0.10 |" in found["likelihood"]
    assert "| hypotheses, K = 4, relaxed | 30.0 (15.0, 0.0) | 7.5 | 10.0 | 0.0 | 3.50 | 0.250 |" in found["systems"]
    assert "| beam, one adapter (LoRA-MLE), rank 8 | 30.0 (" in found["systems"] and "beam x 2" not in found["systems"]
    assert "| Italian | 30.0 % | 0.0 % | 0.0 % | 70.0 % |" in found["shares"]
    assert "Not run yet: `python -m training.experiments.systems audio`" in found["audio"]


def test_without_results_every_passage_says_so(tmp_path):
    assert all("Not run yet" in passage for passage in passages(tmp_path).values())


def test_committed_results_hold_figures_and_few_examples():
    translations = read("translations") or {"runs": [], "sources": []}
    assert all("GPL" in source["licence"] for source in translations["sources"])
    for one in translations["runs"]:
        assert one["variant"] in VARIANTS and len(one.get("examples", [])) <= 5
        assert one["likelihood"]["best"] <= one["likelihood"]["mixture"] <= one["likelihood"]["mean"] + 1e-3
    audio = read("systems-audio") or {"systems": {}}
    assert {one["rows"] for one in audio["systems"].values()} <= {3}


def test_the_five_sentences_hold():
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
