"""A bundle whose base is a Hub id: the files and names of Qwen2-Audio-7B-Instruct, with small random weights.

They lie in a Hub cache as a download would leave them, so that loading by id takes its real road, offline.
"""

import json
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import save_file
from transformers import Qwen2AudioConfig, Qwen2AudioForConditionalGeneration

from lora_mcl.adapters import AdapterSpec, AdapterStack
from lora_mcl.bundle import (
    AdapterRef,
    BaseRef,
    Bundle,
    load_bundle,
    save_bundle,
)
from lora_mcl.captioner import Captioner
from lora_mcl.models import AudioLanguageModel
from lora_mcl.types import AudioClip, CompareOptions
from tests.support.byte_tokenizer import byte_tokenizer
from tests.support.tiny_audio import PUBLISHED_CHAT_TEMPLATE, SPECIAL_TOKENS, TEXTS, chirp

HUB_ID = "Qwen/Qwen2-Audio-7B-Instruct"
COMMIT = "0" * 40
# As published but for the sizes: 30 s of 128 mel bins, a sliding window, names of transformers 4.38.
CONFIG = {
    "architectures": ["Qwen2AudioForConditionalGeneration"],
    "audio_config": {
        "model_type": "qwen2_audio_encoder",
        "num_mel_bins": 128,
        "encoder_layers": 2,
        "encoder_attention_heads": 2,
        "encoder_ffn_dim": 32,
        "encoder_layerdrop": 0.0,
        "d_model": 16,
        "dropout": 0.0,
        "attention_dropout": 0.0,
        "activation_function": "gelu",
        "activation_dropout": 0.0,
        "scale_embedding": False,
        "init_std": 0.02,
        "max_source_positions": 1500,
    },
    "audio_token_index": 3,
    "ignore_index": -100,
    "model_type": "qwen2_audio",
    "text_config": {
        "bos_token_id": 0,
        "eos_token_id": 2,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "max_position_embeddings": 8192,
        "model_type": "qwen2",
        "rms_norm_eps": 1e-05,
        "rope_theta": 10000,
        "sliding_window": 32768,
        "torch_dtype": "bfloat16",
        "use_mrope": False,
        "vocab_size": 352,
        "initializer_range": 0.2,
    },
    "torch_dtype": "bfloat16",
    "transformers_version": "4.38.1",
    "vocab_size": 352,
}
FEATURE_EXTRACTOR = {
    "chunk_length": 30,
    "feature_extractor_type": "WhisperFeatureExtractor",
    "feature_size": 128,
    "hop_length": 160,
    "n_fft": 400,
    "n_samples": 480000,
    "nb_max_frames": 3000,
    "padding_side": "right",
    "padding_value": 0.0,
    "processor_class": "Qwen2AudioProcessor",
    "return_attention_mask": True,
    "sampling_rate": 16000,
}
PROMPT = "Generate the caption in English:"


def published_name(name: str) -> str:
    """The weights' names on the Hub, which are older than those of today's modules."""
    if name.startswith("lm_head"):
        return f"language_model.{name}"
    return name.removeprefix("model.").replace("language_model.", "language_model.model.", 1)


def write_weights(model: Qwen2AudioForConditionalGeneration, folder: Path) -> None:
    """In shards with an index, as the large model's are."""
    tensors = {published_name(name): tensor.contiguous() for name, tensor in model.state_dict().items()}
    names = sorted(tensors)
    shards = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for file, own in shards.items():
        save_file({name: tensors[name] for name in own}, folder / file, metadata={"format": "pt"})
    index = {name: file for file, own in shards.items() for name in own}
    total = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    write(folder / "model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": index})


def write(path: Path, table: dict) -> None:
    path.write_text(json.dumps(table), encoding="utf-8")


def write_tokenizer(folder: Path) -> None:
    tokenizer = byte_tokenizer(TEXTS, SPECIAL_TOKENS)
    tokenizer.save(str(folder / "tokenizer.json"))
    saved = json.loads((folder / "tokenizer.json").read_text())
    write(
        folder / "vocab.json", {word: id for word, id in saved["model"]["vocab"].items() if word not in SPECIAL_TOKENS}
    )
    (folder / "merges.txt").write_text("\n".join(" ".join(pair) for pair in saved["model"]["merges"]), encoding="utf-8")
    added = {
        str(id): {
            "content": token,
            "lstrip": False,
            "normalized": False,
            "rstrip": False,
            "single_word": False,
            "special": True,
        }
        for id, token in enumerate(SPECIAL_TOKENS)
    }
    settings = {
        "add_prefix_space": False,
        "added_tokens_decoder": added,
        "additional_special_tokens": SPECIAL_TOKENS[1:],
        "bos_token": None,
        "clean_up_tokenization_spaces": False,
        "eos_token": "<|im_end|>",
        "errors": "replace",
        "model_max_length": 32768,
        "pad_token": "<|endoftext|>",
        "processor_class": "Qwen2AudioProcessor",
        "split_special_tokens": False,
        "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": None,
    }
    write(folder / "tokenizer_config.json", settings)


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The random model, whose files the Hub cache then holds."""
    cache = tmp_path_factory.mktemp("hub")
    repository = cache / f"models--{HUB_ID.replace('/', '--')}"
    snapshot = repository / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    torch.manual_seed(3)
    model = Qwen2AudioForConditionalGeneration(Qwen2AudioConfig(**CONFIG)).bfloat16().eval()
    write(snapshot / "config.json", CONFIG)
    write(snapshot / "generation_config.json", {"bos_token_id": 0, "eos_token_id": [0, 2], "pad_token_id": 0})
    write(snapshot / "preprocessor_config.json", FEATURE_EXTRACTOR)
    write(snapshot / "chat_template.json", {"chat_template": PUBLISHED_CHAT_TEMPLATE})
    write_weights(model, snapshot)
    write_tokenizer(snapshot)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "HF_HUB_CACHE", str(cache))
        yield model


@pytest.fixture(scope="module")
def bundle_folder(published, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("bundle")
    stack = AdapterStack.attach(published, [AdapterSpec(f"hypothesis-{k}", rank=2 + k, alpha=8.0) for k in range(3)])
    for name in stack.names:
        for _, b in stack.tensors(name).values():
            torch.nn.init.normal_(b, std=0.3)
        stack.save(name, folder / name, base_name_or_path=HUB_ID)
    stack.detach()
    bundle = Bundle(
        folder=folder,
        name="bundle",
        base=BaseRef(id=HUB_ID, revision="main"),
        prompt=PROMPT,
        hypotheses=tuple(AdapterRef(name, name) for name in stack.names),
        modality="audio",
        generation=CompareOptions(max_new_tokens=6),
    )
    save_bundle(bundle)
    return folder


def test_what_adapters_change_at_the_published_size():
    """By default the language model alone; with the paper's targets by bare names, its audio tower too.

    The paper's adapters have 1,998,848 parameters per rank (each layer adds its inputs and outputs).
    """
    text = CONFIG["text_config"] | {
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 32,
        "vocab_size": 156032,
    }
    audio = CONFIG["audio_config"] | {
        "encoder_layers": 32,
        "encoder_attention_heads": 20,
        "encoder_ffn_dim": 5120,
        "d_model": 1280,
    }
    with torch.device("meta"):
        model = Qwen2AudioForConditionalGeneration(
            Qwen2AudioConfig(audio_config=audio, text_config=text, audio_token_index=151646)
        )
    layers = AdapterSpec("default", rank=8, alpha=8.0).layers(model)
    assert len(layers) == 32 * 7 and all(name.startswith("model.language_model.layers.") for name in layers)
    targets = ("q_proj", "k_proj", "v_proj", "up_proj", "down_proj")
    paper = AdapterSpec("paper", rank=8, alpha=8.0, target_modules=targets).layers(model)
    assert sum(name.startswith("model.audio_tower.") for name in paper) == 32 * 3
    linears = [model.get_submodule(name) for name in paper]
    assert sum(linear.in_features + linear.out_features for linear in linears) == 1_998_848


@torch.no_grad()
def test_a_model_by_its_id(published):
    language_model = AudioLanguageModel.load(HUB_ID, dtype=torch.bfloat16)
    assert language_model.max_seconds == 30
    for name, tensor in published.state_dict().items():
        assert torch.equal(tensor, language_model.model.state_dict()[name]), name
    inputs = language_model.inputs(chirp(12), PROMPT)
    assert language_model.tokenizer.decode(inputs["input_ids"][0]) == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        f"<|im_start|>user\nAudio 1: <|audio_bos|>{'<|AUDIO|>' * 300}<|audio_eos|>\n"
        "Generate the caption in English:<|im_end|>\n<|im_start|>assistant\n"
    )
    stock = language_model.model(**inputs).logits
    encoded = language_model.encode(chirp(12), PROMPT)
    ours = language_model.model(inputs_embeds=encoded.inputs_embeds, attention_mask=encoded.attention_mask).logits
    assert torch.equal(ours, stock)
    assert language_model.eos_token_ids == (0, 2) and language_model.forbidden_token_ids == (3, 4, 5)


def test_a_bundle_on_it_captions_30_seconds(bundle_folder):
    captioner = Captioner.load(load_bundle(bundle_folder), device="cpu", dtype=torch.float32)
    *_, final = captioner.compare(AudioClip(chirp(31), 16_000))
    assert final.done and (final.window.end, final.window.duration, final.window.cut) == (30, 31, True)
    assert len(set(final.captions("hypothesis"))) == 3
    assert final.column("beam").label == "Beam search (base)"
