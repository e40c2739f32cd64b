"""Load and caption with a model of Qwen2-Audio-7B-Instruct's true shape on a GPU: time and memory.

    python -m benchmarks.audio_7b --out assets/results/audio_7b.json
    python -m benchmarks.audio_7b --load-in-4bit --folder build/audio-7b   # keeps the 17 GB written, for another run
    python -m benchmarks.audio_7b --tiny                                   # the same on a tiny model, on the CPU

The weights are random, in bfloat16; all else is like the published model: tower, language model, size of vocabulary,
chat template, 30 s of 128 mel bins. Base and bundle, with three adapters of rank 8, are written to disk and loaded as
the page loads them. Then 30 s of noise are captioned twice, by K = 3 hypotheses (greedy), beam 3 and diverse beam 3
(both on the base alone), always in as many tokens:

    load_seconds          base and adapters; of files just written, the computer still has most in its memory
    loaded_gib, peak_gib  on all GPUs together, after loading and at most; null on the CPU
    first_token_seconds   from the request to the first words: mel spectrogram, tower, prompt, one token in all rows
    ms_per_token          median from one streamed event to the next, each with one more token in all nine rows
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from benchmarks.decode_gpu import RANK, made_as, wait
from lora_mcl.adapters import AdapterSpec, AdapterStack
from lora_mcl.bundle import (
    BUNDLE_FILE,
    AdapterRef,
    BaseRef,
    Bundle,
    load_bundle,
    save_bundle,
)
from lora_mcl.captioner import Captioner
from lora_mcl.decoding.options import Acceleration
from lora_mcl.types import AudioClip, CompareOptions, Comparison

SECONDS, SAMPLING_RATE, MEL_BINS = 30, 16_000, 128
PROMPT = "Generate the caption in English:"
SPECIAL_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>"]
# What the chat template adds, so that a prompt is about as many tokens as with the published tokenizer.
WORDS = ("system\nYou are a helpful assistant.", "user\nAudio 1: ", PROMPT, "assistant\n")


@dataclass(frozen=True)
class ModelShape:
    """The fields of the configuration that make the model as large as it is, and how long its captions are."""

    audio: dict[str, int]
    text: dict[str, int]
    new_tokens: int

    def config(self) -> transformers.Qwen2AudioConfig:
        """The model's configuration."""
        window = {"num_mel_bins": MEL_BINS, "max_source_positions": 50 * SECONDS}
        return transformers.Qwen2AudioConfig(
            audio_config=transformers.Qwen2AudioEncoderConfig(**self.audio, **window),
            text_config=transformers.Qwen2Config(**self.text, max_position_embeddings=8_192, rms_norm_eps=1e-5),
            audio_token_index=SPECIAL_TOKENS.index("<|AUDIO|>"),
        )


PUBLISHED = ModelShape(
    {"d_model": 1_280, "encoder_layers": 32, "encoder_attention_heads": 20, "encoder_ffn_dim": 5_120},
    {"hidden_size": 4_096, "intermediate_size": 11_008, "num_hidden_layers": 32}
    | {"num_attention_heads": 32, "num_key_value_heads": 32, "vocab_size": 156_032},
    new_tokens=48,
)
TINY = ModelShape(  # 4 bits come in blocks of 64: the language model's widths are multiples of it
    {"d_model": 32, "encoder_layers": 2, "encoder_attention_heads": 2, "encoder_ffn_dim": 48},
    {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}
    | {"num_attention_heads": 2, "num_key_value_heads": 2, "vocab_size": 512},
    new_tokens=6,
)


def processor_of(vocabulary: int) -> transformers.Qwen2AudioProcessor:
    """A processor with a tokenizer of the model's size: pieces of the prompt, the rest words made up."""
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer, trained.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    options = {"initial_alphabet": pre_tokenizers.ByteLevel.alphabet(), "show_progress": False}
    trained.train_from_iterator(WORDS, trainers.BpeTrainer(vocab_size=384, special_tokens=SPECIAL_TOKENS, **options))
    table = json.loads(trained.to_str())
    pieces = table["model"]["vocab"]
    # A random model writes any token of its vocabulary, so each needs a text. "Ġ" is how the byte of a space is spelt.
    pieces |= {f"Ġw{token}": token for token in range(len(pieces), vocabulary)}
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(table)), pad_token="<|endoftext|>", eos_token="<|im_end|>"
    )
    extractor = transformers.WhisperFeatureExtractor(feature_size=MEL_BINS, chunk_length=SECONDS)
    return transformers.Qwen2AudioProcessor(extractor, tokenizer)


def build(folder: Path, shape: ModelShape, device: torch.device) -> None:
    """Write ``base`` and ``bundle`` into the folder, with random weights in bfloat16, drawn on ``device``."""
    torch.manual_seed(0)
    with made_as(torch.bfloat16, device):
        model = transformers.Qwen2AudioForConditionalGeneration(shape.config()).eval()
    model.generation_config = transformers.GenerationConfig(eos_token_id=[0, 2], pad_token_id=0)
    # Several files with an index, as the published model is.
    model.save_pretrained(folder / "base", max_shard_size="4GB")
    processor_of(shape.text["vocab_size"]).save_pretrained(folder / "base")
    parameters = model.num_parameters()
    refs = [AdapterRef(f"hypotheses/{k}", f"Hypothesis {k}", "Random.") for k in range(3)]
    stack = AdapterStack.attach(model, [AdapterSpec(r.path, RANK, 2.0 * RANK) for r in refs], dtype=torch.bfloat16)
    for ref in refs:
        for _, b in stack.tensors(ref.path).values():
            # It starts at 0, where all hypotheses would write the same.
            torch.nn.init.normal_(b, std=0.05)
        stack.save(ref.path, folder / "bundle" / ref.path)
    per_adapter = stack.num_parameters(refs[0].path)
    bundle = Bundle(
        folder=folder / "bundle",
        name="bundle",
        base=BaseRef.of(folder / "base", folder / "bundle"),
        prompt=PROMPT,
        hypotheses=tuple(refs),
        modality="audio",
        # No caption may end early: every step has all its rows.
        generation=CompareOptions(max_new_tokens=shape.new_tokens, min_new_tokens=shape.new_tokens),
        training={"shape": asdict(shape), "parameters": parameters, "parameters_per_adapter": per_adapter},
    )
    save_bundle(bundle)


def on_gpus(allocated: Callable[[int], int], device: torch.device) -> float | None:
    """GiB on all GPUs together; nothing where the model is on the CPU."""
    return None if device.type == "cpu" else round(sum(map(allocated, range(torch.cuda.device_count()))) / 2**30, 2)


def timing(started: float, events: list[float]) -> dict[str, float]:
    """How long a request took that was made at ``started``, by the times of its events."""
    return {
        "first_token_seconds": round(events[0] - started, 3),
        "ms_per_token": round(1000 * statistics.median(later - earlier for earlier, later in pairwise(events)), 2),
        "total_seconds": round(events[-1] - started, 3),
    }


def caption(captioner: Captioner, clip: AudioClip) -> tuple[Comparison, dict[str, float]]:
    """The finished comparison, and how long it took."""
    started, events = time.perf_counter(), []
    for comparison in captioner.compare(clip):
        # The first snapshot comes before the sound is encoded. The others hold tokens: what computed these is done.
        if comparison.seconds:
            events.append(time.perf_counter())
    return comparison, timing(started, events)


def measure(bundle: Bundle, device: torch.device, how: dict[str, Any]) -> dict[str, Any]:
    """Load the bundle and caption noise with it, twice: the first request also warms up, compiles and records."""
    if device.type == "cuda":
        torch.cuda.init()
        for gpu in range(torch.cuda.device_count()):
            torch.cuda.reset_peak_memory_stats(gpu)
    started = time.perf_counter()
    captioner = Captioner.load(bundle, device=None if how["device_map"] else device, dtype=torch.bfloat16, **how)
    wait(device)
    load_seconds = round(time.perf_counter() - started, 2)
    loaded = on_gpus(torch.cuda.memory_allocated, device)
    noise = np.random.default_rng(0).normal(0, 0.1, SECONDS * SAMPLING_RATE).astype(np.float32)
    _, first = caption(captioner, AudioClip(noise, SAMPLING_RATE))
    comparison, second = caption(captioner, AudioClip(noise, SAMPLING_RATE))
    return {
        "load_seconds": load_seconds,
        "loaded_gib": loaded,
        "peak_gib": on_gpus(torch.cuda.max_memory_allocated, device),
        "first_request": first,
        "second_request": second,
        "columns": [column.to_dict() for column in comparison.columns],
    }


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; 2 where there is no GPU for it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="a tiny model, on the CPU: to see that it runs")
    parser.add_argument("--folder", type=Path, help="write the model there, or load what an earlier run wrote")
    parser.add_argument("--device-map", metavar="MAP", help="auto spreads the model over several GPUs")
    parser.add_argument("--load-in-4bit", action="store_true", help="the language model (needs bitsandbytes)")
    parser.add_argument("--acceleration", choices=get_args(Acceleration), default="off")
    parser.add_argument("--out", type=Path, help="also write the results there")
    args = parser.parse_args(argv)
    if not args.tiny and not torch.cuda.is_available():
        print("There is no CUDA device. --tiny runs the same on a tiny model, on the CPU.")
        return 2
    device, shape = (torch.device("cpu"), TINY) if args.tiny else (torch.device("cuda"), PUBLISHED)
    how = {name: vars(args)[name] for name in ("device_map", "load_in_4bit", "acceleration")}
    with nullcontext(args.folder) if args.folder else tempfile.TemporaryDirectory() as folder:
        bundle_folder = Path(folder) / "bundle"
        # It is written last: where it is, the rest is complete.
        if not (bundle_folder / BUNDLE_FILE).exists():
            build(Path(folder), shape, device)
            # The model written must not count in the memory of the one loaded.
            gc.collect()
            torch.cuda.empty_cache()
        bundle = load_bundle(bundle_folder)
        if bundle.training["shape"] != asdict(shape):
            parser.error(f"{folder} holds a model of another shape")
        measured = measure(bundle, device, how)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    about = {"device": name, "torch": torch.__version__, "transformers": transformers.__version__}
    text = json.dumps({**about, **bundle.training, **how, **measured}, indent=2)
    print(text)
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
