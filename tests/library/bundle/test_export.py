"""Merging a hypothesis into its base, and putting a bundle on the Hub (whose client is faked at its upload call)."""

import json
import re
import shutil
from dataclasses import replace

import httpx
import pytest
import torch
from huggingface_hub import ModelCard
from huggingface_hub.errors import LocalTokenNotFoundError, OfflineModeIsEnabled
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    LlavaNextForConditionalGeneration,
    LlavaNextImageProcessorPil,
    Qwen2AudioForConditionalGeneration,
    Qwen2AudioProcessor,
)

from lora_mcl.adapters import AdapterSpec, AdapterStack
from lora_mcl.bundle import (
    AdapterRef,
    BaseRef,
    Bundle,
    load_bundle,
    save_bundle,
)
from lora_mcl.bundle.bundle import EMBEDDED_BUNDLE
from lora_mcl.bundle.card import GENERATED, model_card
from lora_mcl.bundle.export import export_merged, load_base
from lora_mcl.bundle.hub import push_bundle
from lora_mcl.cli import main
from lora_mcl.errors import BundleError, OptionsError
from lora_mcl.gate import CaptionGate
from lora_mcl.models import ImageLanguageModel
from tests.support.fake_hub import FakeHub
from tests.support.packed_linear import PackedLinear

TOKENS = torch.tensor([[1, 5, 9, 7], [1, 8, 8, 30]])


def routed_logits(bundle, hypothesis):
    stack = AdapterStack.from_peft(load_base(bundle), bundle.adapter_folders())
    with torch.no_grad(), stack.rows([hypothesis] * 2):
        return stack.model(input_ids=TOKENS).logits


@pytest.fixture(scope="module")
def text_bundle(tmp_path_factory):
    """A GPT-2 in half precision, whose linear layers are Conv1D, with two hypotheses and a gate."""
    root = tmp_path_factory.mktemp("text")
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=40, n_embd=16, n_layer=2, n_head=2, n_positions=16, bos_token_id=0, eos_token_id=0)
    GPT2LMHeadModel(config).half().save_pretrained(root / "base")
    model = AutoModelForCausalLM.from_pretrained(root / "base")
    specs = [AdapterSpec(f"hypothesis-{k}", 2, 4.0, target_modules=("c_attn", "c_fc")) for k in range(2)]
    stack = AdapterStack.attach(model, specs)
    for parameter in stack.parameters():
        nn.init.normal_(parameter, std=0.3)
    for k, name in enumerate(stack.names):
        stack.save(name, root / "bundle" / str(k))
    CaptionGate(40, 2).save(root / "bundle" / "gate", [["red", "a|b"], ["pomme"]])
    save_bundle(
        Bundle(
            folder=root / "bundle",
            name="bundle",
            base=BaseRef(path="../base"),
            prompt="",
            hypotheses=(AdapterRef("0", "English", "In English."), AdapterRef("1", "French")),
            gate="gate",
            modality="text",
            training={"steps": 3},
        )
    )
    return root / "bundle"


def export(bundle, out, hypothesis):
    return main(["export", str(bundle), "--merge", str(hypothesis), "--out", str(out)])


@pytest.mark.parametrize("modality", ["image", "audio"])
def test_an_adapter_on_a_tied_output_layer_is_merged_without_touching_the_embeddings(
    tmp_path, tiny_bundle, tiny_audio_bundle, modality
):
    bundle = load_bundle(tiny_bundle if modality == "image" else tiny_audio_bundle)
    model = load_base(bundle)
    model.get_output_embeddings().weight = model.get_input_embeddings().weight
    model.config.get_text_config().tie_word_embeddings = True
    before = model.get_input_embeddings().weight.detach().clone()
    torch.manual_seed(0)
    stack = AdapterStack.attach(model, [AdapterSpec("h", 2, 4.0, target_modules=("lm_head", "q_proj"))])
    for parameter in stack.parameters():
        nn.init.normal_(parameter, std=0.3)
    with torch.no_grad(), stack.rows([0, 0]):
        expected = model(input_ids=TOKENS).logits
    stack.merge("h").save_pretrained(tmp_path / "merged")
    again = type(model).from_pretrained(tmp_path / "merged", dtype="auto").eval()
    assert torch.equal(again.get_input_embeddings().weight, before)
    assert not torch.equal(again.get_output_embeddings().weight, before)
    with torch.no_grad():
        torch.testing.assert_close(again(input_ids=TOKENS).logits, expected, atol=1e-4, rtol=1e-4)


def test_a_merged_image_model_is_plain_transformers(tmp_path, tiny_bundle, capsys):
    assert export(tiny_bundle, tmp_path / "merged", 1) == 0
    assert "Hypothesis 1 merged into" in capsys.readouterr().out
    model = LlavaNextForConditionalGeneration.from_pretrained(tmp_path / "merged").eval()
    with torch.no_grad():
        merged = model(input_ids=TOKENS).logits
    expected = routed_logits(load_bundle(tiny_bundle), 1)
    torch.testing.assert_close(merged, expected, rtol=1e-4, atol=1e-5)
    assert (merged - routed_logits(load_bundle(tiny_bundle), 0)).abs().max() > 1e-2
    assert not any("lora" in name for name in model.state_dict())
    assert AutoTokenizer.from_pretrained(tmp_path / "merged")("A red apple")["input_ids"]
    assert LlavaNextImageProcessorPil.from_pretrained(tmp_path / "merged").crop_size["height"] == 32
    assert "</s>" in AutoTokenizer.from_pretrained(tmp_path / "merged").all_special_tokens


def test_a_merged_audio_model_is_plain_transformers(tmp_path, tiny_audio_bundle):
    assert export(tiny_audio_bundle, tmp_path / "merged", 2) == 0
    model = Qwen2AudioForConditionalGeneration.from_pretrained(tmp_path / "merged").eval()
    with torch.no_grad():
        merged = model(input_ids=TOKENS).logits
    torch.testing.assert_close(merged, routed_logits(load_bundle(tiny_audio_bundle), 2), rtol=1e-4, atol=1e-5)
    assert Qwen2AudioProcessor.from_pretrained(tmp_path / "merged").feature_extractor.feature_size == 16


def test_half_precision_bases_stay_so_and_conv1d_is_merged_transposed(tmp_path, text_bundle):
    assert export(text_bundle, tmp_path / "merged", 0) == 0
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype="auto").eval()
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float16}
    with torch.no_grad():
        merged = model.float()(input_ids=TOKENS).logits
    bundle = load_bundle(text_bundle)
    stack = AdapterStack.from_peft(load_base(bundle).float(), bundle.adapter_folders())
    with torch.no_grad(), stack.rows([0, 0]):
        torch.testing.assert_close(merged, stack.model(input_ids=TOKENS).logits, rtol=1e-2, atol=1e-2)


def test_merging_ends_the_stack_and_leaves_other_layers_alone():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    before = [layer.weight.clone() for layer in model]
    specs = [AdapterSpec("a", 2, 4.0, target_modules=("0",)), AdapterSpec("b", 1, 1.0, target_modules=("1",))]
    stack = AdapterStack.attach(model, specs)
    for parameter in stack.parameters():
        nn.init.normal_(parameter)
    a, b = (part.clone() for part in stack.tensors("a")["0"])
    assert stack.merge("a") is model
    assert [type(layer) for layer in model] == [nn.Linear, nn.Linear]
    torch.testing.assert_close(model[0].weight, before[0] + 2.0 * b @ a)
    assert model[1].weight.equal(before[1])


def test_quantized_weights_are_not_merged_into():
    model = nn.Sequential(nn.Linear(4, 4, bias=False), PackedLinear(nn.Linear(6, 10), torch.float32))
    before = model[0].weight.clone()
    stack = AdapterStack.attach(model, [AdapterSpec("a", 2, 4.0, target_modules=("0", "1"))])
    for parameter in stack.parameters():
        nn.init.normal_(parameter)
    with pytest.raises(OptionsError, match="load the base in a float type"):
        stack.merge("a")
    assert stack.layers["0"].base.weight.equal(before)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("1", "full"), "full exists and is not an empty folder: nothing was written"),
        (("3", "new"), "bundle has hypotheses 0 to 2; there is no 3"),
        (("-1", "new"), "there is no -1"),
        (("one", "new"), "invalid int value"),
    ],
)
def test_export_errors_write_nothing(tmp_path, tiny_bundle, capsys, arguments, message):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    try:
        status = export(tiny_bundle, tmp_path / arguments[1], arguments[0])
    except SystemExit as leaving:
        status = leaving.code
    assert status == 2 and message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["full"]
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["file"]


def test_a_base_that_cannot_be_loaded_is_one_clear_error(tmp_path, text_bundle):
    shutil.copytree(text_bundle.parent, tmp_path / "copy")
    (tmp_path / "copy" / "base" / "model.safetensors").write_bytes(b"x")
    with pytest.raises(BundleError, match="The base model .*base cannot be loaded"):
        load_base(load_bundle(tmp_path / "copy" / "bundle"))


def test_a_base_that_lacks_weights_is_refused_and_three_are_named(text_bundle, tmp_path):
    shutil.copytree(text_bundle.parent, tmp_path / "copy")
    file = tmp_path / "copy" / "base" / "model.safetensors"
    tensors = load_file(file)
    gone = sorted(name for name in tensors if ".h.0." in name)[:5]
    save_file({name: tensor for name, tensor in tensors.items() if name not in gone}, file, metadata={"format": "pt"})
    with pytest.raises(BundleError) as refused:
        load_base(load_bundle(tmp_path / "copy" / "bundle"))
    assert len(gone) == 5 and f"are incomplete (no {', '.join(gone[:3])}): fetch" in str(refused.value)


def test_a_pushed_bundle_is_complete_and_has_a_card(tmp_path, text_bundle):
    bundle = shutil.copytree(text_bundle.parent, tmp_path / "copy") / "bundle"
    (bundle / "secret.env").write_text("x")
    (bundle / "0" / "optimizer.pt").write_bytes(b"x")
    (bundle.parent / "base" / "pytorch_model.bin").write_bytes(b"x")
    hub = FakeHub(tmp_path / "hub")
    assert push_bundle(load_bundle(bundle), "me/two", private=True, license="mit", api=hub) == (
        "https://huggingface.co/me/two"
    )
    assert hub.calls == [("create", "me/two", True, True), ("upload", "me/two", "Upload LoRA-MCL bundle")]
    adapters = {f"{k}/adapter_{name}" for k in (0, 1) for name in ("config.json", "model.safetensors")}
    base = {"base/config.json", "base/generation_config.json", "base/model.safetensors"}
    gate = {"gate/gate.safetensors", "gate/words.json"}
    assert hub.files() == adapters | base | gate | {"bundle.json", "README.md"}

    pushed = load_bundle(hub.folder)
    assert pushed.base.path == "base"
    torch.testing.assert_close(routed_logits(pushed, 1), routed_logits(load_bundle(bundle), 1))

    card = ModelCard((hub.folder / "README.md").read_text())
    assert card.data.to_dict() == {
        "library_name": "peft",
        "license": "mit",
        "pipeline_tag": "text-generation",
        "tags": ["lora-mcl", "multiple-choice-learning", "lora"],
    }
    assert "| 0 | English | In English. | red, a\\|b |" in card.text
    assert 'AutoModelForCausalLM.from_pretrained("me/two", subfolder="base")' in card.text
    assert 'PeftModel.from_pretrained(base, "me/two", subfolder="0")' in card.text
    assert '```json\n{\n  "steps": 3\n}\n```' in card.text and "\n# two\n" in card.text


def test_the_card_of_a_hub_base_names_it_and_the_options(tmp_path, tiny_bundle):
    copy = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    table = json.loads((copy / "bundle.json").read_text())
    (copy / "bundle.json").write_text(json.dumps(table | {"base": {"id": "llava-hf/llava-v1.6-vicuna-7b-hf"}}))
    card = ModelCard(model_card(load_bundle(copy), "me/three"))
    assert card.data.base_model == "llava-hf/llava-v1.6-vicuna-7b-hf"
    assert card.data.pipeline_tag == "image-text-to-text"
    for part in (
        "python -m lora_mcl caption FILE --model me/three",
        'LlavaNextForConditionalGeneration.from_pretrained("llava-hf/llava-v1.6-vicuna-7b-hf")',
        "The prompt is `Describe.`.",
        "num_beams 4, num_beam_groups 2, max_new_tokens 12",
        "`baseline`: One adapter. Random too.",
    ):
        assert part in card.text
    hub = FakeHub(tmp_path / "hub")
    push_bundle(load_bundle(copy), "me/three", api=hub)
    assert not any(name.startswith("base/") for name in hub.files())


def test_a_bundles_own_card_is_kept(tmp_path, text_bundle):
    bundle = shutil.copytree(text_bundle.parent, tmp_path / "copy") / "bundle"
    (bundle / "README.md").write_text("# Mine\n")
    hub = FakeHub(tmp_path / "hub")
    push_bundle(load_bundle(bundle), "me/two", api=hub)
    assert (hub.folder / "README.md").read_text() == "# Mine\n"
    with pytest.raises(OptionsError, match="set the license in the front matter"):
        push_bundle(load_bundle(bundle), "me/two", license="mit", api=hub)


def test_what_the_hub_refuses_is_one_clear_error(tmp_path, text_bundle):
    hub = FakeHub(tmp_path / "hub", LocalTokenNotFoundError("Token is required: run hf auth login\nmore"))
    with pytest.raises(BundleError, match="The Hub did not take me/two: Token is required: run hf auth login$"):
        push_bundle(load_bundle(text_bundle), "me/two", api=hub)


@pytest.mark.parametrize(
    ("card", "message"),
    [
        ("# Été\n".encode("latin-1"), "README.md is not UTF-8 text: save it as UTF-8, or delete it"),
        (f"---\nlicense: [\n---\n{GENERATED}\n".encode(), "The front matter of the bundle's README.md is not valid"),
        (f"---\njust a text\n---\n{GENERATED}\n".encode(), "The front matter of the bundle's README.md is not valid"),
    ],
)
def test_a_card_that_cannot_be_read_is_one_clear_error(tmp_path, text_bundle, card, message):
    folder = shutil.copytree(text_bundle.parent, tmp_path / "copy") / "bundle"
    (folder / "README.md").write_bytes(card)
    hub = FakeHub(tmp_path / "hub")
    with pytest.raises(BundleError, match=message):
        push_bundle(load_bundle(folder), "me/two", api=hub)
    assert hub.calls == []


def test_push_from_the_command_line(text_bundle, capsys, monkeypatch, tmp_path):
    hub = FakeHub(tmp_path / "hub")
    monkeypatch.setattr("lora_mcl.bundle.hub.HfApi", lambda: hub)
    assert main(["push", str(text_bundle), "me/two"]) == 0
    assert capsys.readouterr().out == "https://huggingface.co/me/two\n"
    assert main(["push", str(text_bundle), "me/two", "--card-only", "--license", "mit"]) == 0
    assert "license: mit" in capsys.readouterr().out
    assert len(hub.calls) == 2


def test_a_push_without_network_is_one_clear_error(tmp_path, text_bundle):
    for error in (httpx.ConnectError("[Errno -2] Name or service not known"), OfflineModeIsEnabled("offline mode")):
        hub = FakeHub(tmp_path / "hub", error)
        with pytest.raises(BundleError, match="The Hub did not take me/two: (.*Name or service|offline mode)"):
            push_bundle(load_bundle(text_bundle), "me/two", api=hub)


def test_a_generated_card_is_written_anew_for_the_repository(tmp_path, text_bundle):
    """As training leaves it: it names another repository and a base outside the bundle."""
    folder = shutil.copytree(text_bundle.parent, tmp_path / "copy") / "bundle"
    (folder / "README.md").write_text(model_card(load_bundle(folder), "run-7", "mit"))
    hub = FakeHub(tmp_path / "hub")
    push_bundle(load_bundle(folder), "me/two", api=hub)
    text = (hub.folder / "README.md").read_text()
    assert "run-7" not in text and '"me/two", subfolder="base"' in text
    assert ModelCard(text).data.license == "mit"
    hub = FakeHub(tmp_path / "again")
    push_bundle(load_bundle(folder), "me/two", license="apache-2.0", api=hub)
    assert ModelCard((hub.folder / "README.md").read_text()).data.license == "apache-2.0"


@pytest.mark.parametrize("kind", ["text", "image"])
def test_the_snippet_of_a_card_runs(tmp_path, kind, request):
    bundle = request.getfixturevalue("text_bundle" if kind == "text" else "tiny_bundle")
    hub = FakeHub(tmp_path / "hub")
    push_bundle(load_bundle(bundle), "me/two", api=hub)
    (snippet,) = re.findall(r"```python\n(.*?)```", (hub.folder / "README.md").read_text(), re.S)
    names: dict = {}
    exec(snippet.replace("me/two", str(hub.folder)), names)
    pushed = load_bundle(hub.folder)
    stack = AdapterStack.from_peft(load_base(pushed), {"a": pushed.adapter_folders()["hypothesis-0"]})
    ids = torch.tensor([[1, 5, 9]])
    with torch.no_grad(), stack.rows([0]):
        expected = stack.model(input_ids=ids).logits.float()
        actual = names["model"].eval()(input_ids=ids).logits.float()
    torch.testing.assert_close(actual, expected, atol=2e-2, rtol=2e-2)
    with torch.no_grad(), stack.rows([-1]):
        assert (stack.model(input_ids=ids).logits.float() - expected).abs().max() > 0.1


def test_the_snippet_pins_a_revision_and_registers_an_own_tower(tmp_path):
    card = model_card(load_bundle(EMBEDDED_BUNDLE), "me/image")
    assert "import lora_mcl.models  # registers the vision tower" in card
    other = replace(load_bundle(EMBEDDED_BUNDLE), base=BaseRef(id="owner/base", revision="v2"))
    card = model_card(other, "me/image")
    assert 'from_pretrained("owner/base", revision="v2")' in card and "registers" not in card


def test_code_that_a_base_brings_is_never_run(tmp_path, text_bundle, tiny_bundle, monkeypatch):
    """Without a word to stdin: transformers would ask there whether to run it."""
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked"))
    for kind, source in (("text", text_bundle), ("image", tiny_bundle)):
        bundle = load_bundle(source)
        base = shutil.copytree(bundle.base_location(), tmp_path / kind)
        config = json.loads((base / "config.json").read_text())
        marker = tmp_path / f"{kind}-ran"
        (base / "evil.py").write_text(f"open({str(marker)!r}, 'w')\nclass Config: pass\n")
        for model_type in (config["model_type"], "of-its-own"):
            own = config | {"model_type": model_type, "auto_map": {"AutoConfig": "evil.Config", "AutoModel": "evil.M"}}
            (base / "config.json").write_text(json.dumps(own))
            with pytest.raises(BundleError, match="brings its own code .*auto_map.* never run"):
                if kind == "text":
                    load_base(replace(bundle, base=BaseRef.of(base, bundle.folder)))
                else:
                    ImageLanguageModel.load(base)
            assert not marker.exists()


def test_an_empty_folder_may_be_there_already_or_not_the_one_above(tmp_path, text_bundle):
    (tmp_path / "merged").mkdir()
    for out in (tmp_path / "merged", tmp_path / "new" / "merged"):
        export_merged(load_bundle(text_bundle), 0, out)
        assert (out / "model.safetensors").is_file()


def test_a_card_keeps_letters_as_they_are(text_bundle):
    bundle = replace(load_bundle(text_bundle), training={"data": "été"})
    assert '"data": "été"' in model_card(bundle, "me/two")
