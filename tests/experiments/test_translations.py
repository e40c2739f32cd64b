"""The translation experiment on catalogues made here: reading, splitting, training a few steps, and its measures."""

import json
import math
import struct

import pytest
import torch

from lora_mcl.objectives import ObjectiveOptions
from lora_mcl.trainer.batch import IGNORE_INDEX
from tests.support.tiny_translations import MESSAGES, TINY
from training.experiments.translations import __main__ as program
from training.experiments.translations import bilingual as two_languages
from training.experiments.translations import runs
from training.experiments.translations.catalogues import (
    BILINGUAL,
    LANGUAGES,
    Limits,
    Message,
    bilingual,
    read_messages,
    split,
)
from training.experiments.translations.measures import (
    identified,
    loops,
    reference_nll,
    run_report,
    specialisation,
    system_report,
)
from training.experiments.translations.model import Encoder, Pairs, build_tokenizer, collate, train_base


def write_catalogue(file, entries):
    """A compiled catalogue: header, two tables of lengths and offsets, strings that end in a zero byte."""
    entries = {"": "Content-Type: text/plain; charset=UTF-8\n", **entries}
    pairs = sorted((key.encode(), value.encode()) for key, value in entries.items())
    start = 28 + 16 * len(pairs)
    tables, data = ([], []), b""
    for side in (0, 1):
        for pair in pairs:
            tables[side].append(struct.pack("<2I", len(pair[side]), start + len(data)))
            data += pair[side] + b"\0"
    head = struct.pack("<7I", 0x950412DE, 0, len(pairs), 28, 28 + 8 * len(pairs), 0, 0)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(head + b"".join(tables[0] + tables[1]) + data)


def write_package(folder, messages, name="program"):
    for number, language in enumerate(LANGUAGES):
        entries = {text: translations[number] for text, translations in messages.items()}
        write_catalogue(folder / f"usr/share/locale/{language}/LC_MESSAGES/{name}.mo", entries)
    return folder


def test_messages_of_all_four_languages_are_kept(tmp_path):
    folder = write_package(
        tmp_path / "one",
        {
            "_Open file...": ("_Ouvrir", "Ö_ffnen", "_Abrir", "_Apri"),
            "menu\x04Close": ("Fermer", "Schließen", "Cerrar", "Chiudi"),
            "Copy %s": ("Copier %s", "%s kopieren", "Copiar %s", "Copia %s"),
            "Menu": ("Menu", "Menü", "Menú", "Menù"),  # French as in English
            "Zoom in": ("Agrandir", "Vergrößern", "Acercar", "Acercar"),  # Spanish as Italian
            "One two three four": ("a", "b", "c", "d"),
            "Save the page as": ("x" * 40, "b", "c", "d"),
        },
    )
    write_package(
        tmp_path / "two", {"Close": ("fermer", "zu", "ya", "via"), "Undo": ("Annuler", "Zurück", "Deshacer", "Annulla")}
    )
    found = read_messages([folder, tmp_path / "two"])
    assert found == [
        Message("Close", ("Fermer", "Schließen", "Cerrar", "Chiudi")),
        Message("Open file", ("Ouvrir", "Öffnen", "Abrir", "Apri")),
        Message("Undo", ("Annuler", "Zurück", "Deshacer", "Annulla")),
    ]
    assert len(read_messages([folder], Limits(words=4))) == 3


def test_a_message_without_one_of_the_languages_is_left_out(tmp_path):
    write_package(tmp_path, {"Undo": ("Annuler", "Zurück", "Deshacer", "Annulla")})
    (tmp_path / "usr/share/locale/it/LC_MESSAGES/program.mo").unlink()
    assert read_messages([tmp_path]) == []


def test_capitals_stay_on_one_side_and_others_do_not_move_a_message():
    messages = [*MESSAGES, Message("RED BRUSH", ("A", "B", "C", "D"))]
    train, test = split(messages, 3)
    assert len(test) == 3
    lower = {message.text.lower() for message in test}
    assert not lower & {message.text.lower() for message in train}
    assert split(messages[::-1], 3)[1] != [] and {one.text.lower() for one in split(messages[::-1], 3)[1]} == lower
    with pytest.raises(ValueError, match="too few to keep 8"):
        split(MESSAGES, 8)


def test_every_translation_comes_once_before_any_comes_again():
    encoder = Encoder(build_tokenizer(MESSAGES, TINY))
    pairs = Pairs(MESSAGES, encoder, 2 * 32, seed=0)
    seen = [(encoder.text(pair["prompt"]), encoder.text(pair["target"])) for pair in map(pairs.__getitem__, range(64))]
    assert len(set(seen[:32])) == len(set(seen[32:])) == 32
    assert set(seen) == {(message.text, one) for message in MESSAGES for one in message.translations}


def test_only_the_translation_is_a_target():
    batch = collate([{"prompt": [1, 5, 3], "target": [6, 2]}, {"prompt": [1, 3], "target": [7, 8, 9, 2]}])
    assert batch["input_ids"].tolist() == [[1, 5, 3, 6, 2, 0], [1, 3, 7, 8, 9, 2]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1, 1, 0], [1] * 6]
    none = IGNORE_INDEX
    assert batch["labels"].tolist() == [[none, none, none, 6, 2, none], [none, none, 7, 8, 9, 2]]


def test_perfect_specialisation():
    """Hypothesis k is best at language k."""
    nll = 2 - torch.eye(4)[:, :, None].expand(4, 4, 10)
    found = specialisation(nll)
    assert found["share"] == torch.eye(4).tolist() and found["distinct"]
    assert found["entropy_of_hypothesis"] == found["entropy_of_language"] == pytest.approx(0, abs=1e-4)


def test_one_hypothesis_that_wins_everything():
    nll = torch.ones(2, 4, 10)
    nll[0] = 0
    found = specialisation(nll)
    assert found["share"] == [[1, 0]] * 4 and not found["distinct"]
    assert found["entropy_of_hypothesis"] == pytest.approx(0, abs=1e-4)
    assert found["entropy_of_language"] == pytest.approx(math.log(4), abs=1e-4)


def test_all_languages_cover_and_one_language_four_times_does_not():
    message = MESSAGES[0]
    all_four = system_report([list(message.translations)], [message])
    assert all_four["coverage"] == {"chrf": pytest.approx(100), "bleu": pytest.approx(100)}
    assert all_four["coverage_by_language"] == pytest.approx([100] * 4) and all_four["loops"] == 0
    assert all_four["languages"] == [0.25] * 4 and all_four["languages_per_message"] == 4
    french = system_report([[message.translations[0]] * 4], [message])
    assert french["chrf"] == {"best": 100, "mean": 100, "worst": 100}
    assert french["coverage"]["chrf"] < 60
    assert french["coverage_by_language"][0] == pytest.approx(100) and max(french["coverage_by_language"][1:]) < 99
    assert french["languages"] == [1, 0, 0, 0] and french["languages_per_message"] == 1
    assert french["mutual_bleu"] == pytest.approx(1, abs=1e-3)
    assert all_four["mutual_bleu"] < 0.1


def test_best_mean_and_worst():
    message = MESSAGES[0]
    found = system_report([[message.translations[1], "0"]], [message])["chrf"]
    assert (found["best"], found["mean"], found["worst"]) == (100, 50, 0)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("translations") / "base"
    train_base(MESSAGES, folder, TINY, seed=0)
    return folder


def setting(base, train, test, tmp_path, budgets=(2, 3), languages=LANGUAGES):
    return runs.Setting(base, train, test, TINY, tmp_path, budgets, languages=languages)


@pytest.mark.parametrize(
    "variant",
    [
        runs.Variant(1, runs.RELAXED),
        runs.Variant(1, runs.RELAXED, 4, experts=2),
        runs.Variant(3, runs.RELAXED, 2),
        runs.Variant(2, runs.GATE, 2),
    ],
)
def test_a_run_is_trained_measured_and_kept(variant, base, tmp_path, monkeypatch):
    of_all = setting(base, MESSAGES[:6], MESSAGES[6:], tmp_path)
    result = runs.run(variant, 0, of_all)
    likelihood = result["likelihood"]
    assert likelihood["best"] <= likelihood["mixture"] + 1e-4 and likelihood["best"] <= likelihood["mean"] + 1e-4
    names = set(result["systems"])
    count = variant.hypotheses if variant.hypotheses > 1 else 4
    assert [len(example["texts"]) for example in result["examples"]] == [count] * len(runs.EXAMPLES)
    if variant.hypotheses == 1:
        assert {"beam x 4", "diverse-beam-0.5 x 4", "nucleus x 4", "top-k x 4", "typical x 4"} <= names
        assert ("beam x 3" in names) == ("diverse-beam-0.8 x 3" in names) == (variant.name == "mle")
        assert result["specialisation"] is None
        assert all(system["texts"] == int(name.split(" x ")[1]) for name, system in result["systems"].items())
    else:
        assert names == {f"hypotheses x {variant.hypotheses}"}
        assert [round(sum(row), 3) for row in result["specialisation"]["share"]] == [1] * 4
        assert len(result["by_hypothesis"]) == len(result["loops_by_hypothesis"]) == variant.hypotheses
    # Kept: read again, without another training.
    monkeypatch.setattr(runs, "train_adapters", None)
    assert runs.run(variant, 0, of_all) == json.loads(json.dumps(result))
    with pytest.raises(TypeError):
        runs.run(variant, 0, setting(base, MESSAGES[1:6], MESSAGES[6:], tmp_path))


def test_adapters_are_kept_for_the_same_arguments(base, tmp_path, monkeypatch):
    of_all, two = setting(base, MESSAGES, MESSAGES, tmp_path), runs.Variant(2, runs.GATE, 2)
    weights = runs.trained(two, 0, of_all)[0].trainable_state_dict()
    steps = []
    monkeypatch.setattr(
        "training.experiments.translations.model.MultipleChoiceTrainer.train",
        lambda trainer, **more: steps.append(more),
    )
    again = runs.trained(two, 0, of_all)[0].trainable_state_dict()
    assert not steps and again.keys() == weights.keys()
    assert all(torch.equal(again[name], weights[name]) for name in weights)
    runs.trained(two, 1, of_all)
    assert len(steps) == 1


def test_references_are_scored_one_by_one(base, tmp_path):
    """In a batch with padding as alone."""
    learner, encoder = runs.train_adapters(
        base, MESSAGES, 2, ObjectiveOptions("wta"), TINY, 2, 0, tmp_path / "adapters"
    )
    together, lengths = reference_nll(learner, encoder, MESSAGES)
    alone = torch.cat([reference_nll(learner, encoder, [message])[0] for message in MESSAGES], dim=2)
    assert together.shape == (2, 4, 8) and lengths.shape == (4, 8)
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)
    assert int(lengths[1, 0]) == len(encoder.target(MESSAGES[0].translations[1]))
    (example,) = run_report(learner, encoder, MESSAGES[:2], 0, examples=["red page"])["examples"]
    assert example["message"] == "red page" and len(example["texts"]) == 2


def test_german_into_english_and_french():
    assert bilingual(MESSAGES[:1]) == [Message("Pinsel rot", ("red brush", "pinceau rouge"))]
    assert len(BILINGUAL) == 2
    unseen = two_languages.unseen(
        [Message("Weich", ("soft", "doux"))], [Message("weich", ("Smooth", "lisse")), Message("Hart", ("hard", "dur"))]
    )
    assert [message.text for message in unseen] == ["Hart"]


def test_a_bilingual_run_has_two_languages(base, tmp_path):
    two = bilingual(MESSAGES)
    of_two = setting(base, two[:6], two[6:], tmp_path, two_languages.BUDGETS, BILINGUAL)
    one, both = (runs.run(runs.Variant(count, runs.RELAXED), 0, of_two) for count in (1, 2))
    assert {"beam x 1", "beam x 2", "diverse-beam-0.8 x 2"} <= set(one["systems"])
    assert [len(row) for row in both["specialisation"]["share"]] == [2, 2]
    assert [len(shares) for shares in both["by_hypothesis"]] == [2, 2]
    assert [sum(shares) for shares in both["identified"]] == pytest.approx([1, 1], abs=1e-3)


def test_languages_of_texts():
    texts = ["Open the picture", "The layer is empty", "Ouvrir la fenêtre", "Delete this file"]
    assert identified(texts, ("en", "fr")) == [0.75, 0.25]


def test_texts_that_repeat_themselves():
    assert loops("de la la la la image") and loops("Sich-D-D-D") and loops("a b a b A b") and loops("x y z x y z x y z")
    assert not any(loops(text) for text in ("la la image", "a b a b", "lalala", "", "papa pa"))


def test_results_name_sources_and_every_run(base, tmp_path, capsys):
    of_all = setting(base, MESSAGES[:6], MESSAGES[6:], tmp_path / "kept")
    out = tmp_path / "results" / "translations.json"
    runs.run_all([[runs.Variant(1, runs.RELAXED, 2)], [runs.Variant(2, runs.RELAXED, 2)]], 2, of_all, out)
    content = json.loads(out.read_text(encoding="utf-8"))
    # The first group over all its seeds first.
    assert [run["seed"] for run in content["runs"]] == [0, 1, 0, 1] and content["messages"]["test"] == 2
    assert all("GPL" in source["licence"] for source in content["sources"])
    assert str(tmp_path) not in out.read_text(encoding="utf-8")


@pytest.mark.parametrize("command", [program, two_languages])
def test_bad_arguments_are_one_sentence(command, capsys, tmp_path):
    for arguments, message in [(["--seeds", "0"], "--seeds must be"), (["--base", str(tmp_path)], "holds no model")]:
        with pytest.raises(SystemExit):
            command.main(arguments)
        assert message in capsys.readouterr().err
