"""Import of the authors' checkpoints: synthetic ones, laid out as theirs, against the grouped form they came from."""

import json
import shutil

import pytest
import torch
from safetensors.torch import save_file
from transformers import LlavaNextForConditionalGeneration

from benchmarks.training_baselines import GroupedConvolutionLora, replace_linears
from lora_mcl.adapters import AdapterStack
from lora_mcl.adapters.spec import MAX_RANK
from lora_mcl.bundle import AdapterRef, BaseRef, Bundle, load_bundle
from lora_mcl.bundle import import_official as module
from lora_mcl.bundle.import_official import CHAT_TEMPLATES, PROMPTS, current_path, import_official, read_official
from lora_mcl.captioner import Captioner
from lora_mcl.cli import main
from lora_mcl.errors import BundleError, OptionsError
from tests.support.official_checkpoints import (
    CLASSES,
    RANK,
    TINY,
    K,
    config,
    draw,
    write,
    write_grouped,
)
from tests.support.tiny_models import llama

TOKENS = torch.tensor([[1, 5, 9, 3, 7, 2], [1, 8, 8, 30, 2, 11]])


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    """A saved tiny base of each kind."""
    folder = tmp_path_factory.mktemp("bases")
    for modality, make in TINY.items():
        torch.manual_seed(0)
        make().save_pretrained(folder / modality)
    return folder


def inputs(modality):
    """Tokens and, for the audio model, sound: its tower is adapted too."""
    if modality != "audio":
        return {"input_ids": TOKENS}
    features = torch.randn(2, 8, 20, generator=torch.Generator().manual_seed(1))
    ids = torch.cat([TOKENS[:, :1], torch.full((2, 5), 39), TOKENS[:, 1:]], dim=1)
    mask = torch.ones(2, 20, dtype=torch.long)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "input_features": features} | {
        "feature_attention_mask": mask
    }


def grouped_logits(base, modality, weights, scaling):
    """Direct evaluation of the grouped form: every example repeated K times, copies together."""
    model = CLASSES[modality].from_pretrained(base).eval()
    layers = replace_linears(model, list(weights), GroupedConvolutionLora, count=K, rank=RANK, scaling=scaling)
    for name, (a, b) in weights.items():
        layers[name].lora_A.weight.data, layers[name].lora_B.weight.data = a, b
    repeated = {name: value.repeat_interleave(K, dim=0) for name, value in inputs(modality).items()}
    with torch.no_grad():
        logits = model(**repeated).logits
    return logits.view(2, K, *logits.shape[1:])


def imported_logits(bundle, base, modality):
    model = CLASSES[modality].from_pretrained(base).eval()
    stack = AdapterStack.from_peft(model, load_bundle(bundle).adapter_folders())
    logits = []
    for name in stack.names:
        with torch.no_grad(), stack.rows([stack.index(name)] * 2):
            logits.append(model(**inputs(modality)).logits)
    return torch.stack(logits, dim=1)


@pytest.mark.parametrize(
    ("modality", "inside", "changes", "scaling"),
    [
        ("image", "", {"lora_alpha": 4 * RANK}, 4.0),  # trained through its slices, with alpha / r
        ("audio", "adapter_model", {}, 1.0),
        ("audio", "adapter_model", {"lora_alpha": 3 * RANK}, 1.0),  # trained without alpha / r
        ("text", "best/adapter_model", {"lora_alpha": 2 * RANK}, 2.0),
        ("text", "", {"lora_alpha": 2 * RANK, "num_hyps": K, "use_group_lora": True, "wta_mode": "wta"}, 1.0),
    ],
    ids=["image", "audio", "audio-alpha", "text", "package"],
)
def test_grouped_checkpoints_become_bundles_with_the_same_logits(tmp_path, bases, modality, inside, changes, scaling):
    base = bases / modality
    model = CLASSES[modality].from_pretrained(base)
    weights = draw(model, modality)
    write_grouped(tmp_path / "run", modality, weights, inside=inside, **changes)
    bundle = import_official(tmp_path / "run", base, modality, tmp_path / "bundle")
    assert bundle == load_bundle(tmp_path / "bundle")
    assert len(bundle.hypotheses) == K and bundle.training["layout"] == "grouped convolutions"
    expected = grouped_logits(base, modality, weights, scaling)
    torch.testing.assert_close(imported_logits(tmp_path / "bundle", base, modality), expected, rtol=1e-4, atol=1e-5)
    assert (expected[:, 0] - expected[:, 1]).abs().max() > 1e-2
    saved = json.loads((tmp_path / "bundle" / "hypotheses" / "0" / "adapter_config.json").read_text())
    assert isinstance(saved["target_modules"], str) and r"\d+" in saved["target_modules"]


@pytest.mark.parametrize("modality", CLASSES)
def test_sequential_checkpoints_are_taken_folder_by_folder(tmp_path, bases, modality):
    base = bases / modality
    weights = draw(CLASSES[modality].from_pretrained(base), modality)
    for k in range(K):
        own = {name: (a.chunk(K)[k][..., 0], b.chunk(K)[k][..., 0]) for name, (a, b) in weights.items()}
        write(tmp_path / "run" / "best" / "adapter_model" / f"lora{k}", modality, own, lora_alpha=2 * RANK)
    bundle = import_official(tmp_path / "run", base, modality, tmp_path / "bundle", prompt="Say:")
    assert bundle.prompt == "Say:" and bundle.training["layout"] == "one folder per hypothesis"
    expected = grouped_logits(base, modality, weights, 2.0)
    torch.testing.assert_close(imported_logits(tmp_path / "bundle", base, modality), expected, rtol=1e-4, atol=1e-5)


def test_layers_without_a_common_pattern_are_named_one_by_one(tmp_path, bases):
    weights = draw(CLASSES["text"].from_pretrained(bases / "text"), "text")
    del weights["model.layers.1.self_attn.q_proj"]
    write_grouped(tmp_path / "run", "text", weights, layers_to_transform=[0])
    import_official(tmp_path / "run", bases / "text", "text", tmp_path / "bundle", alpha=5.0)
    saved = json.loads((tmp_path / "bundle" / "hypotheses" / "2" / "adapter_config.json").read_text())
    assert saved["target_modules"] == sorted(weights)
    assert saved["lora_alpha"] == 5.0
    expected = grouped_logits(bases / "text", "text", weights, 2.5)
    actual = imported_logits(tmp_path / "bundle", bases / "text", "text")
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


def test_from_the_command_line_to_captions(tmp_path, tiny_base, picture, capsys):
    """A LLaVA checkpoint and an MLE baseline, then captions in every column."""
    weights = draw(LlavaNextForConditionalGeneration.from_pretrained(tiny_base), "image")
    write_grouped(tmp_path / "run", "image", weights, lora_alpha=4 * RANK)
    single = {name: (a[:RANK], b[: len(b) // K]) for name, (a, b) in weights.items()}  # K = 1, grouped
    write(tmp_path / "mle" / "lora0", "image", single, lora_alpha=4 * RANK)
    out = tmp_path / "made" / "here" / "bundle"
    arguments = ["--base", str(tiny_base), "--modality", "image", "--out", str(out)]
    assert main(["import-official", str(tmp_path / "run"), *arguments, "--baseline", str(tmp_path / "mle")]) == 0
    output = capsys.readouterr().out
    assert "3 hypotheses from grouped convolutions, rank 2, alpha 8" in output
    assert "non_lora_trainables.bin was not read: it is a pickle file" in output
    captioner = Captioner.load(out, device="cpu")
    assert [column.label for column in captioner.columns()][:3] == ["Hypothesis 1", "Hypothesis 2", "Hypothesis 3"]
    *_, comparison = captioner.compare(picture)
    assert len(comparison.columns) == 5 and all(column.captions for column in comparison.columns)


def spoiled(change):
    def apply(run):
        write_grouped(run, "text", draw(llama(), "text"))
        change(run)

    return apply


def pickled(run):
    (run / "lora0" / "adapter_model.safetensors").rename(run / "lora0" / "adapter_model.bin")


def rewritten(**changes):
    return spoiled(lambda run: (run / "lora0" / "adapter_config.json").write_text(json.dumps(config(**changes))))


def tensors(name, tensor):
    def change(run):
        weights = draw(llama(), "text")
        write(run / "lora0", "text", weights)
        keyed = {
            f"base_model.model.{n}.lora_{p}.weight": t
            for n, pair in weights.items()
            for p, t in zip("AB", pair, strict=True)
        }
        save_file(keyed | {name: tensor}, run / "lora0" / "adapter_model.safetensors")

    return spoiled(change)


Q_PROJ = "base_model.model.model.layers.0.self_attn.q_proj"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda run: None, "There is no folder"),
        (lambda run: run.mkdir(), "has no folder lora0"),
        (spoiled(pickled), "adapter_model.bin is a pickle file, which can run code when read, and is never loaded"),
        (spoiled(lambda run: (run / "lora0" / "adapter_model.safetensors").write_bytes(b"x")), "cannot be read"),
        (spoiled(lambda run: (run / "lora0" / "adapter_config.json").write_text("{")), "cannot be read"),
        (spoiled(lambda run: shutil.rmtree(run / "lora1")), "lora0, lora2: some are missing"),
        (spoiled(lambda run: write(run / "lora1", "text", draw(llama(), "text"))), "yet lora1 hold tensors too"),
        (rewritten(r=0), "r must be a positive number"),
        (rewritten(r=True), "r must be an integer"),
        (rewritten(r=5), "not one multiple of the rank 5"),
        (rewritten(lora_alpha=float("nan")), "lora_alpha must be a positive number"),
        (rewritten(lora_alpha=10**400), "lora_alpha must be a positive number"),
        (rewritten(lora_dropout="some"), "lora_dropout must be a number"),
        (rewritten(lora_alpha=0), "lora_alpha must be a positive number"),
        (rewritten(r=None), "r must be a positive number"),
        (rewritten(r=MAX_RANK + 1), "r must be a positive number, at most"),
        (rewritten(lora_dropout=-0.1), r"lora_dropout must be in \[0, 1\); got -0.1"),
        (rewritten(lora_dropout=1), r"lora_dropout must be in \[0, 1\)"),
        (rewritten(use_rslora="yes"), "use_rslora must be true or false"),
        (spoiled(lambda run: (run / "lora0" / "adapter_config.json").write_text("[]")), "must hold a JSON object"),
        (rewritten(use_dora=True), "use_dora = True is not supported"),
        (rewritten(rank_pattern={"q_proj": 4}), "rank_pattern"),
        (tensors(f"{Q_PROJ}.lora_A.expert0.weight", torch.zeros(2, 2)), "of a mixture of experts"),
        (tensors("base_model.model.lm_head.weight", torch.zeros(2, 2)), "is not a LoRA matrix"),
        (tensors(f"{Q_PROJ}.lora_A.weight", torch.zeros(6, 16, 3)), "is not a LoRA matrix or grouped convolution"),
        (tensors(f"{Q_PROJ}.lora_A.weight", torch.zeros(6, 15, 1)), r"has shape \[2, 15\], expected \[2, 16\]"),
        (tensors(f"{Q_PROJ}.lora_B.weight", torch.zeros(47, 2, 1)), "47 rows, which 3 hypotheses cannot share"),
        (tensors("base_model.model.model.layers.7.mlp.up_proj.lora_A.weight", torch.zeros(6, 16, 1)), "lora_B is mis"),
    ],
)
def test_what_cannot_be_imported_is_explained_and_writes_nothing(tmp_path, bases, make, message):
    make(tmp_path / "run")
    with pytest.raises(BundleError, match=message):
        import_official(tmp_path / "run", bases / "text", "text", tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_another_base_or_folder_is_refused(tmp_path, bases):
    write_grouped(tmp_path / "run", "text", draw(llama(), "text"))
    with pytest.raises(BundleError, match="does not fit the base model"):
        import_official(tmp_path / "run", bases / "audio", "audio", tmp_path / "bundle")
    with pytest.raises(BundleError, match="is a 'llama' model; image needs a 'llava_next' one"):
        import_official(tmp_path / "run", bases / "text", "image", tmp_path / "bundle")
    with pytest.raises(BundleError, match="There is no base model at .*nowhere: give a folder"):
        import_official(tmp_path / "run", tmp_path / "nowhere", "text", tmp_path / "bundle")
    with pytest.raises(OptionsError, match="modality must be one of image, audio, text"):
        import_official(tmp_path / "run", bases / "text", "video", tmp_path / "bundle")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(OptionsError, match="not an empty folder"):
        import_official(tmp_path / "run", bases / "text", "text", tmp_path / "full")


@pytest.mark.parametrize(
    ("modality", "old", "new"),
    [
        ("image", "model.layers.3.mlp.up_proj", "model.language_model.layers.3.mlp.up_proj"),
        ("image", "model.vision_tower.x", "model.vision_tower.x"),
        ("audio", "language_model.model.layers.1.q_proj", "model.language_model.layers.1.q_proj"),
        ("audio", "audio_tower.layers.1.q_proj", "model.audio_tower.layers.1.q_proj"),
        ("audio", "model.language_model.layers.1.q_proj", "model.language_model.layers.1.q_proj"),
        ("text", "model.layers.3.mlp.up_proj", "model.layers.3.mlp.up_proj"),
    ],
)
def test_paths(modality, old, new):
    assert current_path(old, modality) == new


def one_hypothesis(weights):
    return {name: (a[:RANK], b[: len(b) // K]) for name, (a, b) in weights.items()}


def logits_of_peft(base, modality, weights, scaling):
    """Direct sum W + scaling B A of one hypothesis."""
    model = CLASSES[modality].from_pretrained(base).eval()
    for name, (a, b) in weights.items():
        with torch.no_grad():
            model.get_submodule(name).weight += scaling * b[..., 0] @ a[..., 0]
    with torch.no_grad():
        return model(**inputs(modality)).logits


@pytest.mark.parametrize(
    ("modality", "changes"),
    [("audio", {}), ("text", {"num_hyps": 1, "use_group_lora": True, "wta_mode": "wta"}), ("image", {})],
)
def test_one_grouped_hypothesis_is_scaled(tmp_path, bases, modality, changes):
    """One adapter takes the way of an ordinary one in the authors' layers: with alpha / r."""
    weights = one_hypothesis(draw(CLASSES[modality].from_pretrained(bases / modality), modality))
    write(tmp_path / "run" / "lora0", modality, weights, lora_alpha=3 * RANK, **changes)
    bundle = import_official(tmp_path / "run", bases / modality, modality, tmp_path / "bundle")
    assert bundle.training["layout"] == "grouped convolutions" and bundle.training["alpha"] == 3 * RANK
    expected = logits_of_peft(bases / modality, modality, weights, 3.0)
    actual = imported_logits(tmp_path / "bundle", bases / modality, modality)[:, 0]
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


def test_rslora_is_scaled_by_the_root_of_the_rank(tmp_path, bases):
    weights = draw(CLASSES["text"].from_pretrained(bases / "text"), "text")
    for k in range(K):
        own = {name: (a.chunk(K)[k][..., 0], b.chunk(K)[k][..., 0]) for name, (a, b) in weights.items()}
        write(tmp_path / "run" / f"lora{k}", "text", own, lora_alpha=2 * RANK, use_rslora=True)
    import_official(tmp_path / "run", bases / "text", "text", tmp_path / "bundle")
    expected = grouped_logits(bases / "text", "text", weights, 2 * RANK / RANK**0.5)
    actual = imported_logits(tmp_path / "bundle", bases / "text", "text")
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)
    other = json.loads((tmp_path / "run" / "lora1" / "adapter_config.json").read_text()) | {"use_rslora": False}
    (tmp_path / "run" / "lora1" / "adapter_config.json").write_text(json.dumps(other))
    with pytest.raises(BundleError, match="lora1 has another rank, alpha or use_rslora than"):
        import_official(tmp_path / "run", bases / "text", "text", tmp_path / "again")


@pytest.mark.parametrize("changes", [{"r": RANK + 1}, {"lora_alpha": RANK + 1}])
def test_folders_that_differ_in_one_setting(tmp_path, bases, changes):
    weights = draw(CLASSES["text"].from_pretrained(bases / "text"), "text")
    own = {name: (a[:RANK, :, 0], b[: len(b) // K, :, 0]) for name, (a, b) in weights.items()}
    write(tmp_path / "run" / "lora0", "text", own)
    write(tmp_path / "run" / "lora1", "text", own, **changes)
    with pytest.raises(BundleError, match="lora1 has another rank, alpha"):
        import_official(tmp_path / "run", bases / "text", "text", tmp_path / "bundle")


def test_missing_tensors_are_refused_without_a_temporary_path(tmp_path, bases):
    weights = draw(CLASSES["text"].from_pretrained(bases / "text"), "text")
    gap = {name: pair for name, pair in weights.items() if name != "model.layers.1.mlp.down_proj"}
    write_grouped(tmp_path / "gap", "text", gap)
    with pytest.raises(BundleError, match="gap has no tensors of model.layers.1.mlp.down_proj, although other layers"):
        import_official(tmp_path / "gap", bases / "text", "text", tmp_path / "bundle")
    write_grouped(tmp_path / "kind", "text", weights, target_modules=["q_proj", "down_proj", "up_proj"])
    with pytest.raises(BundleError, match="lora0 has no tensors of up_proj, which target_modules names"):
        import_official(tmp_path / "kind", bases / "text", "text", tmp_path / "bundle")
    copy = tuple(tensor.clone() for tensor in weights["model.layers.0.self_attn.q_proj"])
    strange = weights | {"model.layers.9.self_attn.q_proj": copy}
    write_grouped(tmp_path / "strange", "text", strange)
    with pytest.raises(BundleError, match="strange does not fit .*text: hypotheses/0.*layers.9") as caught:
        import_official(tmp_path / "strange", bases / "text", "text", tmp_path / "bundle")
    assert f"does not fit {bases / 'text'}: hypotheses/0/adapter_model.safetensors" in str(caught.value)
    assert not (tmp_path / "bundle").exists()


def test_an_alpha_that_is_given_is_reported(tmp_path, bases, capsys):
    write_grouped(tmp_path / "run", "text", draw(CLASSES["text"].from_pretrained(bases / "text"), "text"))
    arguments = ["--base", str(bases / "text"), "--modality", "text", "--out", str(tmp_path / "bundle"), "--alpha", "5"]
    assert main(["import-official", str(tmp_path / "run"), *arguments]) == 0
    assert "rank 2, alpha 5 in place of the checkpoint's 2" in capsys.readouterr().out
    assert load_bundle(tmp_path / "bundle").training["alpha_of_checkpoint"] == 2


def test_a_baseline_is_one_adapter_and_no_local_path_leaks(tmp_path, bases):
    weights = draw(CLASSES["text"].from_pretrained(bases / "text"), "text")
    write_grouped(tmp_path / "run", "text", weights)
    with pytest.raises(BundleError, match="run holds 3 hypotheses: a baseline is one adapter"):
        import_official(tmp_path / "run", bases / "text", "text", tmp_path / "bundle", baseline=tmp_path / "run")
    import_official(tmp_path / "run", bases / "text", "text", tmp_path / "bundle")
    saved = (tmp_path / "bundle" / "hypotheses" / "0" / "adapter_config.json").read_text()
    assert json.loads(saved)["base_model_name_or_path"] is None and str(tmp_path) not in saved


def test_a_bundle_of_grouped_adapters_in_full(tmp_path, bases):
    """Also what its PEFT folders say: factors that grouped layers ignored must not be applied."""
    weights = draw(CLASSES["audio"].from_pretrained(bases / "audio"), "audio")
    write_grouped(tmp_path / "run", "audio", weights, lora_alpha=3 * RANK, lora_dropout=0.25, use_rslora=True)
    write(tmp_path / "mle" / "lora0", "audio", one_hypothesis(weights), lora_alpha=3 * RANK, use_rslora=True)
    (tmp_path / "bundle").mkdir()
    bundle = import_official(tmp_path / "run", bases / "audio", "audio", tmp_path / "bundle", baseline=tmp_path / "mle")
    assert (
        load_bundle(tmp_path / "bundle")
        == bundle
        == Bundle(
            folder=tmp_path / "bundle",
            name="bundle",
            base=BaseRef.of(bases / "audio", tmp_path / "bundle"),
            prompt=PROMPTS["audio"],
            hypotheses=tuple(AdapterRef(f"hypotheses/{k}", f"Hypothesis {k + 1}") for k in range(K)),
            baseline=AdapterRef("baseline", "LoRA-MLE"),
            modality="audio",
            chat_template=CHAT_TEMPLATES["audio"],
            training={
                "imported_from": "official LoRA-MCL checkpoint run",
                "layout": "grouped convolutions",
                "rank": RANK,
                "alpha": float(RANK),
            },
        )
    )
    saved = {
        path: json.loads((tmp_path / "bundle" / path / "adapter_config.json").read_text())
        for path in ("hypotheses/0", "hypotheses/2", "baseline")
    }
    found = {path: tuple(one[name] for name in ("r", "lora_alpha", "use_rslora")) for path, one in saved.items()}
    assert found == {
        "hypotheses/0": (RANK, RANK, False),
        "hypotheses/2": (RANK, RANK, False),
        "baseline": (RANK, 3 * RANK, True),
    }
    assert saved["hypotheses/2"]["lora_dropout"] == 0.25


def test_a_base_on_the_hub_keeps_its_id_and_revision(tmp_path, bases, monkeypatch):
    asked, read = [], module.load_model_config
    monkeypatch.setattr(module, "load_model_config", lambda *where: asked.append(where) or read(bases / "text", None))
    write_grouped(tmp_path / "run", "text", draw(llama(), "text"))
    bundle = import_official(tmp_path / "run", "owner/base", "text", tmp_path / "bundle", revision="v2")
    assert asked == [("owner/base", "v2")] and bundle.base == BaseRef(id="owner/base", revision="v2")
    assert load_bundle(tmp_path / "bundle").base == bundle.base
    saved = json.loads((tmp_path / "bundle" / "hypotheses" / "1" / "adapter_config.json").read_text())
    assert saved["base_model_name_or_path"] == "owner/base"


@pytest.mark.parametrize("dropout", [0, None, 0.5])
def test_dropout_may_be_off(tmp_path, dropout):
    write_grouped(tmp_path / "run", "text", draw(llama(), "text"), lora_dropout=dropout)
    assert read_official(tmp_path / "run", "text").dropout == (dropout or 0.0)
