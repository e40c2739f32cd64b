"""K new adapters from one `peft.LoraConfig`: the same layers and numbers as PEFT, on Linear, Conv1D and quantized."""

import json
import re

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from lora_mcl.adapters import AdapterSpec, AdapterStack, hypothesis_rows
from lora_mcl.adapters.peft_folder import WEIGHTS_FILE, read_tensors, write_folder
from lora_mcl.errors import BundleError, OptionsError
from tests.support.packed_linear import PackedLinear

TOKENS = torch.tensor([[1, 5, 9, 3, 7, 2], [1, 8, 8, 30, 2, 11]])


def llama():
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
    return LlamaForCausalLM(LlamaConfig(vocab_size=40, **sizes)).eval()


def gpt2():
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=40, n_embd=16, n_layer=2, n_head=2, n_positions=16, bos_token_id=0, eos_token_id=0)
    return GPT2LMHeadModel(config).eval()


MODELS = {"llama": llama, "gpt2": gpt2}


def randomize(stack):
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in stack.parameters():
            parameter.normal_(0, 0.3, generator=generator)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("llama", {"target_modules": ["q_proj", "up_proj"]}),
        ("llama", {"target_modules": "all-linear"}),
        ("llama", {"target_modules": "ALL-LINEAR", "exclude_modules": ["down_proj"]}),
        ("llama", {"target_modules": r".*\.1\.mlp\..*_proj"}),
        ("llama", {"target_modules": ["q_proj", "up_proj"], "layers_to_transform": [1]}),
        ("llama", {"target_modules": ["q_proj"], "layers_to_transform": 0, "layers_pattern": "layers"}),
        ("llama", {"target_modules": ["q_proj", "k_proj"], "rank_pattern": {"k_proj": 2}}),
        ("llama", {"target_modules": ["q_proj"], "use_rslora": True}),
        ("llama", {}),
        ("gpt2", {}),
        ("gpt2", {"target_modules": "all-linear"}),
        ("gpt2", {"target_modules": ["c_attn", "c_proj"], "layers_to_transform": [0]}),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:fan_in_fan_out")
def test_each_hypothesis_is_the_adapter_peft_would_make(tmp_path, kind, fields):
    config = LoraConfig(r=4, lora_alpha=6, lora_dropout=0.1, **fields)
    theirs = get_peft_model(MODELS[kind](), config)
    parts = [name.partition(".lora_A.default") for name, _ in theirs.base_model.model.named_modules()]
    stack = AdapterStack.from_lora_config(MODELS[kind](), config, 3)
    assert set(stack.layers) == {name for name, found, _ in parts if found}
    assert {layer.dropouts for layer in stack.layers.values()} == {(0.1, 0.1, 0.1)}
    assert stack.names == ("hypothesis-0", "hypothesis-1", "hypothesis-2")
    randomize(stack)
    with torch.no_grad(), stack.rows(hypothesis_rows(3, 2)):
        ours = stack.model(input_ids=TOKENS.repeat(3, 1)).logits.view(3, 2, 6, 40)
    for k, name in enumerate(stack.names):
        stack.save(name, tmp_path / name)
        model = PeftModel.from_pretrained(MODELS[kind](), tmp_path / name).eval()
        with torch.no_grad():
            torch.testing.assert_close(ours[k], model(input_ids=TOKENS).logits, rtol=0, atol=1e-5)
    assert (ours[0] - ours[1]).abs().max() > 1e-3


def test_all_linear_leaves_the_head_alone_and_folders_list_the_modules(tmp_path):
    stack = AdapterStack.from_lora_config(gpt2(), LoraConfig(target_modules="all-linear"), 1)
    assert len(stack.layers) == 2 * 4 and "lm_head" not in stack.layers
    stack.save("hypothesis-0", tmp_path)
    assert "all-linear" not in (tmp_path / "adapter_config.json").read_text()
    again = AdapterStack.from_peft(gpt2(), {"hypothesis-0": tmp_path})
    assert set(again.layers) == set(stack.layers)


@pytest.mark.parametrize(("lacking", "more"), [(3, ""), (5, " and 2 more")])
def test_three_names_of_many_are_enough(tmp_path, lacking, more):
    AdapterStack.from_lora_config(llama(), LoraConfig(target_modules="all-linear"), 1).save("hypothesis-0", tmp_path)
    tensors = load_file(tmp_path / "adapter_model.safetensors")
    modules = sorted({key.removeprefix("base_model.model.").partition(".lora_")[0] for key in tensors})[:lacking]
    kept = {key: tensor for key, tensor in tensors.items() if not any(f".{module}.lora" in key for module in modules)}
    save_file(kept, tmp_path / "adapter_model.safetensors")
    with pytest.raises(BundleError) as refused:
        AdapterStack.from_peft(llama(), {"a": tmp_path})
    assert f"has no weights for {', '.join(modules[:3])}{more}, which" in str(refused.value)


def test_a_folder_is_made_with_its_parents_and_its_fields_are_in_order(tmp_path):
    folder = tmp_path / "of" / "adapters"
    AdapterStack.from_lora_config(llama(), LoraConfig(), 1).save("hypothesis-0", folder)
    fields = json.loads((folder / "adapter_config.json").read_text())
    assert list(fields) == sorted(fields) and fields["inference_mode"] and not fields["fan_in_fan_out"]


def test_new_adapters_leave_the_model_unchanged_and_are_drawn_independently():
    bare = gpt2()(input_ids=TOKENS).logits
    stack = AdapterStack.from_lora_config(gpt2(), LoraConfig(), 2, generator=torch.Generator().manual_seed(1))
    with stack.rows([1, 0]):
        assert torch.equal(stack.model(input_ids=TOKENS).logits, bare)
    (a, _), (b, _) = (stack.tensors(name)["transformer.h.0.attn.c_attn"] for name in stack.names)
    assert a.shape == (8, 16) and not torch.equal(a, b)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"use_dora": True}, "use_dora = True is not supported"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"bias": "all"}, "bias = 'all'"),
        ({"lora_bias": True}, "lora_bias"),
        ({"init_lora_weights": "gaussian"}, "init_lora_weights = 'gaussian' is not supported for new adapters"),
        ({"init_lora_weights": False}, "init_lora_weights = False"),
        ({"layer_replication": [(0, 1)]}, "layer_replication"),
        ({"trainable_token_indices": [1]}, "trainable_token_indices"),
        ({"target_modules": ["nowhere"]}, "matches no Linear layer"),
        ({"target_modules": ["embed_tokens"]}, "Embedding; only Linear"),
        ({"r": 8, "lora_dropout": 1.0}, "dropout"),
    ],
    ids=str,
)
def test_what_cannot_be_honoured_is_refused_by_name(fields, message):
    model = llama()
    with pytest.raises(OptionsError, match=message):
        AdapterStack.from_lora_config(model, LoraConfig(**{"target_modules": ["q_proj"], **fields}), 2)
    assert type(model.model.layers[0].self_attn.q_proj) is nn.Linear


def test_targets_must_be_given_where_peft_has_no_default():
    with pytest.raises(OptionsError, match="target_modules is missing, and PEFT knows no default for 'Linear' models"):
        AdapterStack.from_lora_config(nn.Linear(2, 2), LoraConfig(), 2)
    with pytest.raises(OptionsError, match="hypotheses must be at least 1; got 0"):
        AdapterStack.from_lora_config(llama(), LoraConfig(), 0)


@pytest.mark.parametrize("compute_dtype", [torch.float32, torch.bfloat16])
def test_quantized_linears_carry_adapters_too(tmp_path, compute_dtype):
    torch.manual_seed(0)
    model = nn.Sequential(PackedLinear(nn.Linear(6, 10), compute_dtype), nn.Tanh())
    assert model[0].weight.shape == (30, 1)  # neither the layer's width nor its dtype can be read off it
    stack = AdapterStack.attach(model, [AdapterSpec(name, 2, 4.0, target_modules=("0",)) for name in "ab"])
    randomize(stack)
    x = torch.randn(2, 3, 6, requires_grad=True)
    with stack.rows([1, 0]):
        y = model(x)
    y.float().square().sum().backward()
    assert y.dtype == compute_dtype
    tolerance = {"rtol": 1e-5, "atol": 1e-5} if compute_dtype == torch.float32 else {"rtol": 0.03, "atol": 0.03}
    layer = stack.layers["0"]
    for row, name in ((0, "b"), (1, "a")):
        a, b = stack.tensors(name)["0"]
        expected = torch.tanh(F.linear(x[row], layer.base.dense() + 2.0 * b @ a))
        torch.testing.assert_close(y[row].float(), expected, **tolerance)
    assert layer.base.weight.dtype == torch.uint8
    assert all(p.grad.isfinite().all() and p.grad.any() for p in stack.parameters())
    stack.save("a", tmp_path)
    fresh = nn.Sequential(PackedLinear(nn.Linear(6, 10), compute_dtype))
    assert AdapterStack.from_peft(fresh, {"a": tmp_path}).tensors("a")["0"][0].shape == (2, 6)


def test_one_quantized_layer_among_others_is_not_merged():
    model = nn.Sequential(nn.Linear(6, 6), PackedLinear(nn.Linear(6, 6), torch.float32))
    stack = AdapterStack.attach(model, [AdapterSpec("a", 2, 4.0, target_modules=("0", "1"))])
    randomize(stack)
    before = model[0].base.weight.clone()
    with pytest.raises(OptionsError, match="adapters cannot be merged into quantized weights"):
        stack.merge("a")
    assert torch.equal(model[0].base.weight, before)


def test_gradient_checkpointing_recomputes_with_the_routing_of_its_forward():
    stack = AdapterStack.from_lora_config(llama(), LoraConfig(target_modules="all-linear"), 2)
    randomize(stack)
    layer = stack.model.model.layers[0].mlp
    x = torch.randn(2, 3, 16)
    gradients = []
    for again in (False, True):
        for parameter in stack.parameters():
            parameter.grad = None
        losses = []
        for rows in ([1, 0], [1, 1]):
            with stack.rows(rows):
                if again:
                    y = checkpoint(layer, x, use_reentrant=False, context_fn=stack.checkpoint_contexts)
                else:
                    y = layer(x)
                losses.append(y.square().sum())
        with stack.rows([0, 0]):  # must not matter
            sum(losses).backward()
        gradients.append([p.grad.clone() for p in stack.parameters() if p.grad is not None])
    assert len(gradients[0]) == 6
    for one, two in zip(*gradients, strict=True):
        torch.testing.assert_close(one, two)


def test_a_misspelt_target_among_others_is_refused():
    model = llama()
    with pytest.raises(OptionsError, match="'v_prj' in target_modules matches no module .* did you mean 'v_proj'"):
        AdapterStack.from_lora_config(model, LoraConfig(target_modules=["q_proj", "v_prj"]), 2)
    with pytest.raises(OptionsError, match="'other' in target_modules matches no module of LlamaForCausalLM$"):
        AdapterStack.from_lora_config(model, LoraConfig(target_modules=["q_proj", "other"]), 2)
    stack = AdapterStack.from_lora_config(model, LoraConfig(target_modules=["q_proj", "self_attn.v_proj"]), 2)
    assert len(stack.layers) == 4


@pytest.mark.parametrize(
    "key",
    [
        "q_proj.lora_A.weight",
        "base_model.q_proj.lora_A.weight",
        "base_model.model.lora_A.weight",
        "base_model.model.q_proj.lora_A.bias",
        "base_model.model.q_proj.lora_C.weight",
        "base_model.model.q_proj.weight",
    ],
)
def test_one_key_among_good_ones_that_names_no_lora_matrix(tmp_path, key):
    good = {f"base_model.model.q_proj.lora_{part}.weight": torch.zeros(2, 2) for part in "AB"}
    save_file(good, tmp_path / WEIGHTS_FILE)
    assert list(read_tensors(tmp_path)) == ["q_proj"]
    save_file(good | {key: torch.zeros(2, 2)}, tmp_path / WEIGHTS_FILE)
    with pytest.raises(BundleError, match=f"{re.escape(key)} .2, 2. is not a matrix of a plain LoRA adapter"):
        read_tensors(tmp_path)


@pytest.mark.parametrize("part", "AB")
def test_the_matrix_that_is_missing_is_named(tmp_path, part):
    save_file({f"base_model.model.q_proj.lora_{part}.weight": torch.zeros(2, 2)}, tmp_path / WEIGHTS_FILE)
    with pytest.raises(BundleError, match=f"lora_{'AB'.replace(part, '')}.weight is missing"):
        read_tensors(tmp_path)


def test_weights_are_stored_as_linear_layers_have_them_unless_said_otherwise(tmp_path):
    spec, tensors = (
        AdapterSpec("a", 2, 4.0, target_modules=("q_proj",)),
        {"q_proj": (torch.zeros(2, 3), torch.zeros(3, 2))},
    )
    for transposed in (False, True):
        write_folder(spec, tensors, tmp_path, None, **({"fan_in_fan_out": True} if transposed else {}))
        text = (tmp_path / "adapter_config.json").read_text()
        assert json.loads(text)["fan_in_fan_out"] == transposed
        assert text == json.dumps(json.loads(text), indent=2, sort_keys=True) + "\n"  # as PEFT lays it out


def test_tied_embeddings_stay_tied_where_the_output_layer_has_no_adapter():
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=40, tie_word_embeddings=True, **sizes)).eval()
    own = {name: module.weight for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    stack = AdapterStack.attach(model, [AdapterSpec("a", 2, 4.0, target_modules=("q_proj",))])
    merged = stack.merge("a")
    assert merged.config.tie_word_embeddings and merged.lm_head.weight is merged.model.embed_tokens.weight
    assert all(merged.get_submodule(name).weight is weight for name, weight in own.items())


@pytest.mark.parametrize("trainable", [True, False])
def test_an_untied_output_layer_is_trainable_after_a_merge_where_the_tied_one_was(trainable):
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=40, tie_word_embeddings=True, **sizes)).eval()
    model.model.embed_tokens.weight.requires_grad_(trainable)
    stack = AdapterStack.attach(model, [AdapterSpec("a", 2, 4.0, target_modules=("lm_head",))])
    merged = stack.merge("a")
    assert merged.lm_head.weight is not merged.model.embed_tokens.weight
    assert merged.lm_head.weight.requires_grad == merged.model.embed_tokens.weight.requires_grad == trainable
