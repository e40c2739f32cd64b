"""The score head of a tiny bundle: from disk to each hypothesis' probability, and what is refused."""

import json
import shutil
from dataclasses import asdict, replace

import pytest
import torch
from safetensors.torch import save_file

from lora_mcl.adapters import AdapterSpec, AdapterStack
from lora_mcl.bundle import AdapterRef, BaseRef, Bundle, load_bundle, save_bundle
from lora_mcl.bundle.card import model_card
from lora_mcl.bundle.hub import stage
from lora_mcl.captioner import Captioner
from lora_mcl.errors import BundleError
from lora_mcl.images import read_image
from lora_mcl.models import LANGUAGE_MODELS
from lora_mcl.models.base import EncodedPrompt
from lora_mcl.score_head import ScoreHead, load_score_head, prompt_states
from tests.support.comparisons import HYPOTHESES, last, texts
from tests.support.tiny_bundle import WIDTH, with_score_head


@pytest.fixture(scope="module")
def bundle(tiny_bundle, tmp_path_factory):
    """A tiny bundle with a random head."""
    return with_score_head(tiny_bundle, tmp_path_factory.mktemp("headed") / "tiny")


@pytest.fixture(scope="module")
def captioner(bundle):
    return Captioner.load(bundle, device="cpu")


@pytest.fixture(scope="module")
def snapshots(captioner, picture):
    return list(captioner.compare(picture))


def probabilities(comparison):
    return [comparison.column(id).win_probability for id in HYPOTHESES]


def test_every_hypothesis_has_its_probability_from_the_first_token_on(snapshots):
    assert probabilities(snapshots[0]) == [None] * 3  # nothing has been read yet
    final = snapshots[-1]
    assert sum(probabilities(final)) == pytest.approx(1, abs=1e-5) and min(probabilities(final)) > 0
    assert all(probabilities(snapshot) == probabilities(final) for snapshot in snapshots[1:])
    winner = max(HYPOTHESES, key=lambda id: final.column(id).win_probability)
    assert [column.id for column in final.columns if column.predicted_winner] == [winner]
    assert all(final.column(id).win_probability is None for id in ("beam", "diverse-beam"))


@torch.no_grad()
def test_it_is_the_softmax_of_the_bare_bases_mean_state(bundle, snapshots, picture):
    """Computed once more by a base that never had adapters."""
    loaded = load_bundle(bundle)
    model = LANGUAGE_MODELS["image"].load(loaded.base_location())
    prompt = model.encode(read_image(picture)[0], loaded.prompt)
    state = model.model.model.language_model(inputs_embeds=prompt.inputs_embeds).last_hidden_state[0].mean(dim=0)
    head = load_score_head(loaded, WIDTH)
    expected = (head.weight @ state + head.bias).softmax(dim=0).tolist()
    assert probabilities(snapshots[-1]) == pytest.approx(expected, abs=1e-5)


def test_captions_are_those_without_a_head(snapshots, tiny_captioner, picture):
    without = last(tiny_captioner.compare(picture))
    assert texts(snapshots[-1]) == texts(without)
    assert probabilities(without) == [None] * 3 and not any(column.predicted_winner for column in without.columns)


def test_the_json_has_it_only_where_there_is_a_head(snapshots, tiny_captioner, picture):
    columns = json.loads(json.dumps(snapshots[-1].to_dict(), allow_nan=False))["columns"]
    assert [column.get("win_probability") for column in columns[:3]] == probabilities(snapshots[-1])
    assert [column["predicted_winner"] for column in columns[:3]].count(True) == 1
    without = last(tiny_captioner.compare(picture)).to_dict()["columns"]
    for column in (*columns[3:], *without):
        assert set(column) == {"id", "method", "label", "seconds", "captions"}


def test_chosen_columns_keep_their_probabilities(captioner, snapshots, picture):
    final = snapshots[-1]
    loser = next(id for id in HYPOTHESES if not final.column(id).predicted_winner)
    (column, _) = last(
        captioner.compare(picture, captioner.defaults.with_changes({"columns": (loser, "beam")}))
    ).columns
    assert column.win_probability == pytest.approx(final.column(loser).win_probability, abs=1e-6)
    assert not column.predicted_winner  # the winner is not shown, and no other takes its place


def test_a_head_for_sounds(tiny_audio_bundle, clip, tmp_path):
    captioner = Captioner.load(with_score_head(tiny_audio_bundle, tmp_path / "tiny"), device="cpu")
    assert sum(probabilities(last(captioner.compare(clip)))) == pytest.approx(1, abs=1e-5)


@torch.no_grad()
def test_where_adapters_change_the_tower_the_bare_base_still_predicts(tiny_audio_base, clip, tmp_path):
    """The probabilities do not depend on what the adapters are."""

    def predicted(std):
        model = LANGUAGE_MODELS["audio"].load(tiny_audio_base).model
        names = [f"hypothesis-{k}" for k in range(3)]
        stack = AdapterStack.attach(model, [AdapterSpec(name, 2, 16.0, target_modules=["q_proj"]) for name in names])
        for name in names:
            for _, b in stack.tensors(name).values():
                b.normal_(std=std, generator=torch.Generator().manual_seed(1))
            stack.save(name, folder / str(std) / "bundle" / name)
        root = folder / str(std) / "bundle"
        refs = tuple(AdapterRef(name, name) for name in names)
        shutil.copytree(tiny_audio_base, folder / str(std) / "base", dirs_exist_ok=True)
        base = BaseRef(path="../base")
        save_bundle(Bundle(root, "bundle", base, "Describe.", refs, modality="audio"))
        captioner = Captioner.load(with_score_head(root, folder / f"headed-{std}"), device="cpu")
        final = last(captioner.compare(clip))
        return probabilities(final), texts(final)

    folder = tmp_path
    (weak, weak_texts), (strong, strong_texts) = predicted(0.01), predicted(0.8)
    assert weak == pytest.approx(strong, abs=1e-5) and weak_texts != strong_texts


@torch.no_grad()
def test_states_do_not_depend_on_padding(captioner):
    model, stack = captioner._model.model, captioner._stack
    draws = torch.Generator().manual_seed(0)
    long, short = (torch.randn(1, length, WIDTH, generator=draws) for length in (9, 5))
    padded = torch.cat([torch.full((1, 4, WIDTH), 7.0), short], dim=1)
    mask = torch.tensor([[1] * 9, [0] * 4 + [1] * 5])
    together = prompt_states(model, stack, EncodedPrompt(torch.cat([long, padded]), mask))
    for row, alone in enumerate((long, short)):
        states = prompt_states(model, stack, EncodedPrompt(alone, torch.ones(1, alone.shape[1], dtype=torch.long)))
        torch.testing.assert_close(together[row], states[0], atol=1e-5, rtol=1e-5)


def tensors(weight, bias):
    return {"weight": torch.zeros(weight), "bias": torch.zeros(bias)}


WRONG = [
    (tensors((2, WIDTH), 2), "is for 2 hypotheses and 32 channels; this bundle has 3 and its base 32"),
    (tensors((3, 8), 3), "is for 3 hypotheses and 8 channels; this bundle has 3 and its base 32"),
    (tensors((3, WIDTH), 2), r"weight must be \[K, D\] and bias \[K\], not \[3, 32\] and \[2\]"),
    (tensors(3, 3), r"weight must be \[K, D\]"),
    (tensors((3, WIDTH), 3) | {"bias": torch.full((3,), torch.nan)}, "a weight is not a finite number"),
    ({"weight": torch.zeros(3, WIDTH)}, "must hold weight and bias, not weight"),
    ({}, "must hold weight and bias, not nothing"),
]


@pytest.mark.parametrize(("state", "message"), WRONG, ids=[message[:30] for _, message in WRONG])
def test_a_head_that_does_not_fit_is_refused_when_loaded(tiny_bundle, tmp_path, state, message):
    folder = with_score_head(tiny_bundle, tmp_path / "tiny")
    save_file(state, folder / "score_head.safetensors")
    with pytest.raises(BundleError, match=f"The score head score_head.safetensors .*{message}"):
        Captioner.load(folder, device="cpu")


def test_a_file_that_is_no_safetensors_is_refused(tiny_bundle, tmp_path):
    folder = with_score_head(tiny_bundle, tmp_path / "tiny")
    (folder / "score_head.safetensors").write_bytes(b"\x80\x04K\x01.")
    with pytest.raises(BundleError, match=r"The score head score_head\.safetensors cannot be read"):
        Captioner.load(folder, device="cpu")


ENTRY = {
    "path": "score_head.safetensors",
    "captions": 60,
    "accuracy": 0.75,
    "log_loss": 0.5,
    "frequency_log_loss": 1,
    "ece": 0.04,
}
MALFORMED = [
    ("head", "score_head: must be an object"),
    (ENTRY | {"path": "other.safetensors"}, "score_head.path: there is no file 'other.safetensors'"),
    (ENTRY | {"path": "../score_head.safetensors"}, "score_head.path: must stay inside the bundle"),
    (ENTRY | {"path": "score_head.pt"}, r"score_head.path: must end in \.safetensors, not 'score_head.pt'"),
    (ENTRY | {"captions": 0}, "score_head.captions: must be positive, not 0"),
    (ENTRY | {"captions": 1.5}, "score_head.captions: must be a whole number, not 1.5"),
    (ENTRY | {"accuracy": 1.5}, "score_head.accuracy: 1.5 is out of range"),
    (ENTRY | {"accuracy": -0.1}, "score_head.accuracy: -0.1 is out of range"),
    (ENTRY | {"ece": 1.5}, "score_head.ece: 1.5 is out of range"),
    (ENTRY | {"frequency_log_loss": float("inf")}, "score_head.frequency_log_loss: inf is out of range"),
    (ENTRY | {"accuracy": True}, "score_head.accuracy: must be a number, not true"),
    (ENTRY | {"log_loss": float("nan")}, "score_head.log_loss: nan is out of range"),
    (ENTRY | {"ece": "small"}, 'score_head.ece: must be a number, not "small"'),
    ({key: value for key, value in ENTRY.items() if key != "ece"}, "score_head.ece: missing"),
    (ENTRY | {"bins": 10}, "score_head.bins: unknown field"),
]


@pytest.mark.parametrize(("entry", "message"), MALFORMED, ids=[message for _, message in MALFORMED])
def test_a_malformed_entry_is_refused(bundle, tmp_path, entry, message):
    folder = shutil.copytree(bundle.parent, tmp_path / "tiny") / bundle.name
    table = json.loads((folder / "bundle.json").read_text())
    (folder / "bundle.json").write_text(json.dumps(table | {"score_head": entry}))
    with pytest.raises(BundleError, match=f"bundle.json: {message}"):
        load_bundle(folder)


def test_figures_at_their_bounds_and_a_file_in_a_folder_of_its_own(bundle, tmp_path):
    folder = shutil.copytree(bundle.parent, tmp_path / "tiny") / bundle.name
    path = "heads/first/score_head.safetensors"
    (folder / path).parent.mkdir(parents=True)
    (folder / "score_head.safetensors").rename(folder / path)
    table = json.loads((folder / "bundle.json").read_text())
    for figures in ({"accuracy": 0, "log_loss": 0, "frequency_log_loss": 0, "ece": 0}, {"accuracy": 1, "ece": 1.0}):
        head = ENTRY | {"path": path, "captions": 1} | figures
        (folder / "bundle.json").write_text(json.dumps(table | {"score_head": head}))
        assert asdict(load_bundle(folder).score_head) == head
    assert stage(load_bundle(folder), tmp_path / "staged").score_head.path == path
    assert (tmp_path / "staged" / path).is_file()


def test_a_pushed_bundle_keeps_its_head_and_the_card_says_how_good_it_is(bundle, tmp_path):
    loaded = load_bundle(bundle)
    staged = stage(loaded, tmp_path / "staged")
    assert staged.score_head == load_bundle(tmp_path / "staged").score_head == loaded.score_head
    here, there = (load_score_head(one, WIDTH) for one in (loaded, staged))
    assert torch.equal(here.weight, there.weight) and torch.equal(here.bias, there.bias)
    card = model_card(staged, "me/three")
    assert "`score_head.safetensors` predicts, from the prompt alone" in card
    assert "Of 60 held-out captions it knew the winner of 75.0%, with a log loss of 0.500 nats (1.099 by" in card
    assert "score_head" not in model_card(replace(staged, score_head=None), "me/three")


def test_log_probabilities_by_hand():
    head = ScoreHead(torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([0.0, 1.0]))
    found = head.log_probabilities(torch.tensor([[3.0, 1.0], [0.0, -0.5]]))
    torch.testing.assert_close(found.exp(), torch.full((2, 2), 0.5))
