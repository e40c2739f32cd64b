"""PEFT is the reference: its folders load here, ours load there, and one training step is the same."""

import json
import math
import shutil

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

from lora_mcl.adapters import LANGUAGE_MODEL_LINEARS, AdapterSpec, AdapterStack, hypothesis_rows
from lora_mcl.errors import BundleError, OptionsError
from lora_mcl.loss import mean_token_nll
from lora_mcl.objectives import weighted_loss, winner_takes_all
from tests.support.tiny_models import MODELS

SUFFIXES = ("q_proj", "v_proj", "down_proj")
TOKENS = torch.tensor([[1, 5, 9, 3, 7, 2], [1, 8, 8, 30, 2, 11]])


def build(kind="llama"):
    """The same random base each time."""
    torch.manual_seed(0)
    return MODELS[kind]().eval()


def inputs(kind):
    """Tokens, and for LLaVA-NeXT pixels whose features (4 + 4 patches, 2 newlines) replace image tokens."""
    if kind != "llava-next":
        return {"input_ids": TOKENS}
    image = torch.full((2, 10), 39)
    pixels = torch.randn(2, 2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    ids = torch.cat([TOKENS[:, :1], image, TOKENS[:, 1:]], dim=1)
    return {"input_ids": ids, "pixel_values": pixels, "image_sizes": torch.tensor([[8, 8], [8, 8]])}


def randomize(parameters, seed=2):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in parameters:
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))


def saved_by_us(folder, spec, kind="llama", seed=2):
    stack = AdapterStack.attach(build(kind), [spec])
    randomize((part for pair in stack.tensors(spec.name).values() for part in pair), seed)
    stack.save(spec.name, folder, "tiny-base")
    with torch.no_grad(), stack.rows([0, 0]):
        return stack.model(**inputs(kind)).logits


def saved_by_peft(folder, kind="llama", **config):
    """Train nothing, but randomize A and B: saved adapters and the logits PEFT computes with them."""
    model = get_peft_model(build(kind), LoraConfig(**config)).eval()
    randomize(p for name, p in model.named_parameters() if "lora_" in name)
    model.save_pretrained(folder)
    with torch.no_grad():
        return model(**inputs(kind)).logits


def logits_with(folder, kind="llama"):
    stack = AdapterStack.from_peft(build(kind), {"a": folder})
    with torch.no_grad(), stack.rows([0, 0]):
        return stack.model(**inputs(kind)).logits


@pytest.mark.parametrize("kind", MODELS)
def test_plain_peft_loads_what_we_save(tmp_path, kind):
    ours = saved_by_us(tmp_path, AdapterSpec("a", 3, 5.0), kind)
    model = PeftModel.from_pretrained(build(kind), tmp_path).eval()
    with torch.no_grad():
        theirs = model(**inputs(kind)).logits
        bare = build(kind)(**inputs(kind)).logits
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
    assert (ours - bare).abs().max() > 1e-3
    assert not any("lora_" in name and "tower" in name for name, _ in model.named_parameters())


@pytest.mark.parametrize("kind", MODELS)
def test_we_load_what_plain_peft_saves(tmp_path, kind):
    theirs = saved_by_peft(tmp_path, kind, r=4, lora_alpha=6, target_modules=LANGUAGE_MODEL_LINEARS)
    torch.testing.assert_close(logits_with(tmp_path, kind), theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "config",
    [
        {"target_modules": ["q_proj", "v_proj"]},
        {"target_modules": ["model.layers.1.mlp.up_proj", "self_attn.k_proj"]},
        {"target_modules": "all-linear"},
        {"target_modules": r".*\.1\.mlp\..*_proj"},
        {"target_modules": ["q_proj", "up_proj"], "exclude_modules": ["layers.0.self_attn.q_proj"]},
        {"target_modules": ["q_proj"], "exclude_modules": r".*layers\.1\..*"},
        {"target_modules": ["q_proj", "up_proj"], "layers_to_transform": [1]},
        {"target_modules": ["q_proj"], "layers_to_transform": 0, "layers_pattern": "layers"},
        {
            "target_modules": ["q_proj", "up_proj"],
            "rank_pattern": {"q_proj": 2, r"layers\.1\.mlp\.up_proj": 7},
        },
        {
            "target_modules": ["q_proj", "up_proj"],
            "alpha_pattern": {"q_proj": 1},
            "rank_pattern": {"up_proj": 2},
        },
        {"target_modules": ["q_proj", "up_proj"], "use_rslora": True, "rank_pattern": {"q_proj": 2}},
        {"target_modules": ["q_proj"], "init_lora_weights": "gaussian", "task_type": "CAUSAL_LM"},
    ],
    ids=lambda config: " ".join(f"{k}={v}" for k, v in config.items()),
)
def test_the_fields_of_lora_config_mean_the_same_here_and_there(tmp_path, config):
    theirs = saved_by_peft(tmp_path / "theirs", r=4, lora_alpha=6, lora_dropout=0.1, **config)
    torch.testing.assert_close(logits_with(tmp_path / "theirs"), theirs, rtol=0, atol=1e-5)
    stack = AdapterStack.from_peft(build(), {"a": tmp_path / "theirs"})
    stack.save("a", tmp_path / "ours")
    model = PeftModel.from_pretrained(build(), tmp_path / "ours").eval()
    with torch.no_grad():
        torch.testing.assert_close(model(**inputs("llama")).logits, theirs, rtol=0, atol=1e-5)


def test_a_training_step_of_one_hypothesis_is_a_plain_peft_step(tmp_path):
    spec = AdapterSpec("a", 4, 8.0)
    stack = AdapterStack.attach(build(), [spec])
    stack.save("a", tmp_path)
    model = PeftModel.from_pretrained(build(), tmp_path, is_trainable=True)
    labels = torch.where(torch.arange(TOKENS.shape[1]) < 2, -100, TOKENS)

    theirs = model(input_ids=TOKENS, labels=labels).loss  # both rows have the same number of targets
    theirs.backward()
    with stack.rows(hypothesis_rows(1, 2)):
        nll = mean_token_nll(stack.model(input_ids=TOKENS).logits, labels).mean.view(1, 2)
    ours = weighted_loss(nll, winner_takes_all(nll))
    ours.backward()

    assert ours.item() == pytest.approx(theirs.item(), abs=1e-6)
    gradients = {name: p.grad for name, p in model.named_parameters() if p.requires_grad}
    assert len(gradients) == 2 * len(stack.layers) == 2 * 14
    for module_name, layer in stack.layers.items():
        for part, ours in (("A", layer.lora_A.grad[0]), ("B", layer.lora_B.grad[0])):
            theirs = gradients[f"base_model.model.{module_name}.lora_{part}.default.weight"]
            torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_ten_steps_of_one_hypothesis_are_ten_plain_peft_steps(tmp_path):
    stack = AdapterStack.attach(build(), [AdapterSpec("a", 4, 8.0)])
    stack.save("a", tmp_path)
    model = PeftModel.from_pretrained(build(), tmp_path, is_trainable=True)
    ours = torch.optim.SGD(stack.parameters(), lr=0.5)
    theirs = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.5)
    losses = []
    for _ in range(10):
        ours.zero_grad()
        theirs.zero_grad()
        with stack.rows([0, 0]):
            nll = mean_token_nll(stack.model(input_ids=TOKENS).logits, TOKENS).mean.mean()
        nll.backward()
        loss = model(input_ids=TOKENS, labels=TOKENS).loss
        loss.backward()
        ours.step()
        theirs.step()
        losses.append(nll.item())
        assert nll.item() == pytest.approx(loss.item(), abs=1e-5)
    assert losses[-1] < losses[0]


def test_mixed_ranks_and_targets_in_one_stack_equal_each_alone(tmp_path):
    specs = {
        "small": AdapterSpec("small", 2, 4.0),
        "large": AdapterSpec("large", 6, 6.0),
        "partial": AdapterSpec("partial", 3, 1.0, target_modules=SUFFIXES),
    }
    alone = {name: saved_by_us(tmp_path / name, spec, seed=seed) for seed, (name, spec) in enumerate(specs.items())}
    stack = AdapterStack.from_peft(build(), {name: tmp_path / name for name in specs})
    assert stack.specs == tuple(specs.values())
    with torch.no_grad(), stack.rows(hypothesis_rows(3, 2)):
        together = stack.model(input_ids=TOKENS.repeat(3, 1)).logits.view(3, *alone["small"].shape)
    for k, name in enumerate(specs):
        torch.testing.assert_close(together[k], alone[name], rtol=0, atol=1e-5)


def test_save_and_load_round_trip_is_exact_and_saving_is_reproducible(tmp_path):
    spec = AdapterSpec("a", 2, 4.0, 0.1, SUFFIXES, rank_pattern={"q_proj": 3})
    saved_by_us(tmp_path / "first", spec)
    stack = AdapterStack.from_peft(build(), {"twin": tmp_path / "first", "a": tmp_path / "first"})
    assert stack.specs[1] == spec
    stack.save("a", tmp_path / "second", "tiny-base")
    for file in ("adapter_config.json", "adapter_model.safetensors"):
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes()


def test_load_replaces_one_adapter_and_no_other(tmp_path):
    saved_by_us(tmp_path, AdapterSpec("saved", 2, 4.0))
    stack = AdapterStack.attach(build(), [AdapterSpec("a", 2, 4.0), AdapterSpec("b", 5, 5.0)])
    others = {module: a.clone() for module, (a, _) in stack.tensors("b").items()}
    stack.load("a", tmp_path)
    stack.save("a", tmp_path / "again")
    weights = "adapter_model.safetensors"
    first, again = load_file(tmp_path / weights), load_file(tmp_path / "again" / weights)
    assert all(tensor.equal(again[key]) for key, tensor in first.items())
    assert all(a.equal(others[module]) for module, (a, _) in stack.tensors("b").items())


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (AdapterSpec("a", 3, 4.0), "rank is 2, but adapter 'a' has 3"),
        (AdapterSpec("a", 2, 2.0), "alpha is 4.0, but adapter 'a' has 2.0"),
        (AdapterSpec("a", 2, 4.0, target_modules=SUFFIXES), "does not select"),
    ],
)
def test_load_refuses_an_adapter_of_another_shape(tmp_path, spec, message):
    saved_by_us(tmp_path, AdapterSpec("saved", 2, 4.0))
    stack = AdapterStack.attach(build(), [spec])
    before = {module: a.clone() for module, (a, _) in stack.tensors("a").items()}
    with pytest.raises(BundleError, match=message):
        stack.load("a", tmp_path)
    assert all(a.equal(before[module]) for module, (a, _) in stack.tensors("a").items())


@pytest.fixture(scope="module")
def good_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("adapter")
    saved_by_us(folder, AdapterSpec("a", 2, 4.0, target_modules=("q_proj",)))
    return folder


@pytest.fixture
def folder(good_folder, tmp_path):
    """A good adapter folder that a test may spoil."""
    return shutil.copytree(good_folder, tmp_path / "adapter")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("peft_type", "IA3", "peft_type must be 'LORA'"),
        ("peft_type", None, "peft_type must be 'LORA'"),
        ("use_dora", True, "use_dora = True is not supported"),
        ("bias", "lora_only", "bias = 'lora_only' is not supported"),
        ("lora_bias", True, "lora_bias"),
        ("modules_to_save", ["lm_head"], "modules_to_save"),
        ("trainable_token_indices", [1], "trainable_token_indices"),
        ("layer_replication", [[0, 1]], "layer_replication"),
        ("target_parameters", ["x"], "target_parameters"),
        ("alora_invocation_tokens", [3], "alora_invocation_tokens"),
        ("init_lora_weights", "pissa", "init_lora_weights = 'pissa'"),
        ("invented_later", {"x": 1}, "invented_later"),
        ("r", "two", "r must be an integer"),
        ("r", True, "r must be an integer"),
        ("r", 0, "rank must be an integer of at least 1"),
        ("r", 2**16 + 1, "rank must be at most 65536"),
        ("lora_alpha", -1, "alpha must be a positive"),
        ("lora_alpha", True, "lora_alpha must be a number"),
        ("lora_alpha", 10**400, "alpha must be a positive"),
        ("lora_dropout", 1.0, "dropout must be in"),
        ("lora_dropout", False, "lora_dropout must be a number"),
        ("target_modules", None, "target_modules is missing"),
        ("target_modules", 3, "target_modules must be"),
        ("target_modules", ["q_proj", 3], "target_modules must be"),
        ("exclude_modules", ["q_proj", ["k_proj"]], "exclude_modules must be"),
        ("layers_to_transform", [0, "1"], "layers_to_transform must be"),
        ("layers_to_transform", True, "layers_to_transform must be"),
        ("rank_pattern", [1], "rank_pattern must be an object"),
        ("rank_pattern", {"q_proj": "2"}, "rank_pattern"),
        ("alpha_pattern", {"q_proj": "2"}, "alpha_pattern"),
        ("alpha_pattern", {"q_proj": 2, "k_proj": True}, "alpha_pattern"),
        ("layers_pattern", "layers", "layers_to_transform"),
        ("target_modules", "(", "target_modules is no regular expression"),
        ("target_modules", "(a+)+$", "target_modules .* may take very long"),
        ("rank_pattern", {"(": 4}, "rank_pattern.* is no regular expression"),
        ("alpha_pattern", {"q_proj": 4, "(": 4}, "alpha_pattern.* is no regular expression"),
    ],
)
def test_a_bad_config_field_is_named(folder, field, value, message):
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {field: value}))
    model = build()
    with pytest.raises(BundleError, match=message) as error:
        AdapterStack.from_peft(model, {"a": folder})
    assert "adapter_config.json" in str(error.value)
    assert type(model.model.layers[0].self_attn.q_proj) is nn.Linear


def spoil(change):
    """Rewrite the weights after `change(tensors)`."""

    def apply(folder):
        tensors = load_file(folder / "adapter_model.safetensors")
        change(tensors, "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight")
        save_file(tensors, folder / "adapter_model.safetensors")

    return apply


def pickle_only(folder):
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: shutil.rmtree(f), "adapter_config.json is missing"),
        (lambda f: (f / "adapter_config.json").write_text("{"), "cannot be read as JSON"),
        (lambda f: (f / "adapter_config.json").write_text("[]"), "must hold a JSON object"),
        (lambda f: (f / "adapter_model.safetensors").unlink(), "adapter_model.safetensors is missing"),
        (pickle_only, "pickle"),
        (lambda f: (f / "adapter_model.safetensors").write_bytes(b"junk"), "cannot be read"),
        (spoil(lambda t, key: t.pop(key)), "lora_A.weight is missing"),
        (spoil(lambda t, key: t.update({key: torch.zeros(3, 16)})), r"shape \[3, 16\], expected \[2, 16\]"),
        (spoil(lambda t, key: t.update({key: torch.full((2, 16), math.nan)})), "not finite"),
        (spoil(lambda t, key: t.update({key: torch.zeros(2, 16).to(torch.float8_e4m3fn)})), "of type float8_e4m3fn"),
        (spoil(lambda t, key: t.update({key: torch.zeros(2, 16, dtype=torch.int32)})), "of type int32, not float16"),
        (spoil(lambda t, key: t.update({key: torch.zeros(2, 16, 1)})), "not a matrix of a plain LoRA"),
        (spoil(lambda t, key: t.update({"lm_head.weight": torch.zeros(2, 2)})), "lm_head.weight"),
        (
            spoil(lambda t, key: [t.pop(k) for k in list(t) if "layers.1" in k]),
            "no weights for model.layers.1.self_attn.q_proj",
        ),
        (
            spoil(lambda t, key: t.update({k.replace("q_proj", "k_proj"): v.clone() for k, v in t.items()})),
            "weights for model.layers.0.self_attn.k_proj, model.layers.1.self_attn.k_proj, which target_mod",
        ),
    ],
)
def test_a_bad_folder_gives_one_clear_error(folder, change, message):
    change(folder)
    with pytest.raises(BundleError, match=message):
        AdapterStack.from_peft(build(), {"a": folder})


def test_an_adapter_of_another_base_is_refused(folder):
    model = nn.Sequential(nn.Linear(2, 2))
    with pytest.raises(BundleError, match="does not fit the base model: .* matches no Linear"):
        AdapterStack.from_peft(model, {"a": folder})


def test_specs_come_from_lora_config():
    config = LoraConfig(r=3, lora_alpha=9, lora_dropout=0.2, target_modules=["v_proj", "q_proj"], use_rslora=True)
    spec = AdapterSpec.from_lora_config("a", config)
    assert spec == AdapterSpec("a", 3, 9, 0.2, ("q_proj", "v_proj"), use_rslora=True)
    assert AdapterSpec.from_lora_config("a", spec.to_lora_config()) == spec
    with pytest.raises(OptionsError, match="use_dora"):
        AdapterSpec.from_lora_config("a", LoraConfig(target_modules=["q_proj"], use_dora=True))


def test_module_names_of_older_transformers_are_those_of_today(tmp_path):
    """Before transformers 4.52, LLaVA-NeXT's language model was a whole model in the model."""
    spec = AdapterSpec("a", 2, 4, target_modules=("q_proj", "down_proj"), exclude_modules=r".*vision.*")
    expected = saved_by_us(tmp_path / "new", spec, "llava-next")
    tensors = load_file(tmp_path / "new" / "adapter_model.safetensors")
    renamed = {key.replace("model.language_model.", "language_model.model."): one for key, one in tensors.items()}
    assert len(renamed) == len(tensors) and not set(renamed) & set(tensors)
    shutil.copytree(tmp_path / "new", tmp_path / "old")
    save_file(renamed, tmp_path / "old" / "adapter_model.safetensors", metadata={"format": "pt"})
    assert torch.equal(logits_with(tmp_path / "old", "llava-next"), expected)
    with torch.no_grad():
        by_peft = PeftModel.from_pretrained(build("llava-next"), tmp_path / "old").eval()(**inputs("llava-next")).logits
    torch.testing.assert_close(by_peft, expected, atol=1e-5, rtol=1e-5)
    stack = AdapterStack.from_peft(build("llava-next"), {"a": tmp_path / "new"})
    stack.load("a", tmp_path / "old")
    with torch.no_grad(), stack.rows([0, 0]):
        assert torch.equal(stack.model(**inputs("llava-next")).logits, expected)


def test_one_value_that_is_not_finite_is_refused(tmp_path):
    saved_by_us(tmp_path, AdapterSpec("a", 2, 4, target_modules=("q_proj",)))
    tensors = load_file(tmp_path / "adapter_model.safetensors")
    key = sorted(tensors)[0]
    tensors[key][0, 1] = torch.nan
    save_file(tensors, tmp_path / "adapter_model.safetensors")
    with pytest.raises(BundleError, match="has values that are not finite"):
        AdapterStack.from_peft(build("llama"), {"a": tmp_path})


def test_use_rslora_is_true_or_false(tmp_path):
    saved_by_us(tmp_path, AdapterSpec("a", 2, 4, target_modules=("q_proj",)))
    fields = json.loads((tmp_path / "adapter_config.json").read_text()) | {"use_rslora": "yes"}
    (tmp_path / "adapter_config.json").write_text(json.dumps(fields))
    with pytest.raises(BundleError, match="use_rslora must be true or false; got 'yes'"):
        AdapterStack.from_peft(build("llama"), {"a": tmp_path})


def test_rslora_weights_do_not_go_into_plain_lora(tmp_path):
    saved_by_us(tmp_path, AdapterSpec("a", 4, 4, target_modules=("q_proj",), use_rslora=True))
    stack = AdapterStack.attach(build("llama"), [AdapterSpec("a", 4, 4, target_modules=("q_proj",))])
    with pytest.raises(BundleError, match="use_rslora is True, but adapter 'a' has False"):
        stack.load("a", tmp_path)


@pytest.mark.parametrize(("target", "transposed"), [("c_attn", True), ("q_proj", False)])
def test_fan_in_fan_out_is_how_the_base_stores_its_weights(tmp_path, target, transposed):
    model = GPT2LMHeadModel(GPT2Config(vocab_size=40, n_embd=16, n_layer=1, n_head=2)) if transposed else build()
    AdapterStack.attach(model, [AdapterSpec("a", 2, 4, target_modules=(target,))]).save("a", tmp_path)
    assert json.loads((tmp_path / "adapter_config.json").read_text())["fan_in_fan_out"] is transposed
