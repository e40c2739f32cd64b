"""Models of LLaVA-1.6-vicuna-7B's and Qwen2-Audio-7B-Instruct's true shape with random weights, for ``benchmarks.gpu``.

All but the weights is like the published models: media tower, language model, size of vocabulary, chat template, 30 s
of 128 mel bins. Base and bundle, with three adapters of rank 8, are written to disk in bfloat16, to be loaded as the
page loads them. Nothing ends a caption but its length.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import transformers
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedModel, ProcessorMixin

from benchmarks.gpu_steps import RANK, made_as
from lora_mcl.adapters import AdapterSpec, AdapterStack
from lora_mcl.bundle import AdapterRef, BaseRef, Bundle, save_bundle
from lora_mcl.modality import Modality
from lora_mcl.types import AudioClip, CompareOptions, Media

SECONDS, SAMPLING_RATE, MEL_BINS = 30, 16_000, 128
# Tokens with a role; the prompts; and what the chat templates add, so that a prompt is about as many tokens as with the
# published tokenizers.
SPECIAL_TOKENS = {
    "image": ["<unk>", "<s>", "</s>", "<image>"],
    "audio": ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>"],
}
PROMPTS = {"image": "Generate a caption:", "audio": "Generate the caption in English:"}
_WORDS = {
    "image": ("USER: ", PROMPTS["image"], " ASSISTANT:"),
    "audio": ("system\nYou are a helpful assistant.", "user\nAudio 1: ", PROMPTS["audio"], "assistant\n"),
}
# llava-v1.6-vicuna's, without its system message.
_IMAGE_TEMPLATE = (
    "{% for message in messages %}USER: {% for part in message['content'] %}{% if part['type'] == 'image' %}<image>\n"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endfor %} ASSISTANT:"
)


@dataclass(frozen=True)
class ModelShape:
    """The fields of the configuration that make a model as large as it is, and how long its captions are.

    Attributes:
        tower, text: of the media tower and of the language model.
        tile: side of a tile of a picture, in pixels.
        positions: of a prompt whose decoding steps are timed.
    """

    modality: Modality
    tower: dict[str, int]
    text: dict[str, int]
    new_tokens: int
    positions: int
    tile: int = 0

    def config(self) -> transformers.PreTrainedConfig:
        """The model's configuration."""
        text = {**self.text, "max_position_embeddings": 8_192, "rms_norm_eps": 1e-5}
        media_token = self.media_token
        if self.modality == "audio":
            window = {"num_mel_bins": MEL_BINS, "max_source_positions": 50 * SECONDS}
            return transformers.Qwen2AudioConfig(
                audio_config=transformers.Qwen2AudioEncoderConfig(**self.tower, **window),
                text_config=transformers.Qwen2Config(**text),
                audio_token_index=media_token,
            )
        vision = transformers.CLIPVisionConfig(**self.tower, image_size=self.tile, patch_size=14)
        return transformers.LlavaNextConfig(
            vision_config=vision,
            text_config=transformers.LlamaConfig(**text),
            image_token_index=media_token,
            image_grid_pinpoints=self.tiles(),
        )

    @property
    def media_token(self) -> int:
        """Id of the token that stands for a position of the picture or sound."""
        return SPECIAL_TOKENS[self.modality].index("<image>" if self.modality == "image" else "<|AUDIO|>")

    def tiles(self) -> list[list[int]]:
        """Sizes in pixels (height, width) that a picture is cut into tiles at."""
        return [[self.tile * rows, self.tile * columns] for rows, columns in ((1, 2), (2, 1), (2, 2), (3, 1), (1, 3))]

    def model(self) -> PreTrainedModel:
        """The model, in eval mode, with weights of PyTorch's default type on its default device."""
        kind = {"image": "LlavaNextForConditionalGeneration", "audio": "Qwen2AudioForConditionalGeneration"}
        return getattr(transformers, kind[self.modality])(self.config()).eval()


_TEXT_7B = {"hidden_size": 4_096, "intermediate_size": 11_008, "num_hidden_layers": 32, "num_attention_heads": 32}
_TEXT_7B |= {"num_key_value_heads": 32}
# 4 bits come in blocks of 64: the language model's widths are multiples of it.
_TEXT_TINY = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
_TEXT_TINY |= {"num_key_value_heads": 2}

PUBLISHED = {
    "image": ModelShape(
        "image",
        {"hidden_size": 1_024, "intermediate_size": 4_096, "num_hidden_layers": 24, "num_attention_heads": 16}
        | {"projection_dim": 768},
        {**_TEXT_7B, "vocab_size": 32_064},
        new_tokens=48,
        positions=2_880 + 32,
        tile=336,
    ),
    "audio": ModelShape(
        "audio",
        {"d_model": 1_280, "encoder_layers": 32, "encoder_attention_heads": 20, "encoder_ffn_dim": 5_120},
        {**_TEXT_7B, "vocab_size": 156_032},
        new_tokens=48,
        positions=750 + 32,
    ),
}
TINY = {
    "image": ModelShape(
        "image",
        {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
        | {"projection_dim": 32},
        {**_TEXT_TINY, "vocab_size": 512},
        new_tokens=6,
        positions=24,
        tile=28,
    ),
    "audio": ModelShape(
        "audio",
        {"d_model": 32, "encoder_layers": 2, "encoder_attention_heads": 2, "encoder_ffn_dim": 48},
        {**_TEXT_TINY, "vocab_size": 512},
        new_tokens=6,
        positions=12,
    ),
}


def processor_of(shape: ModelShape) -> ProcessorMixin:
    """A processor with a tokenizer of the model's size: pieces of the prompt, the rest words made up."""
    special = SPECIAL_TOKENS[shape.modality]
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer, trained.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    options = {"initial_alphabet": pre_tokenizers.ByteLevel.alphabet(), "show_progress": False}
    trained.train_from_iterator(
        _WORDS[shape.modality], trainers.BpeTrainer(vocab_size=384, special_tokens=special, **options)
    )
    table = json.loads(trained.to_str())
    pieces = table["model"]["vocab"]
    # A random model writes any token of its vocabulary, so each needs a text. "Ġ" is how the byte of a space is spelt.
    pieces |= {f"Ġw{token}": token for token in range(len(pieces), shape.text["vocab_size"])}
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(table)), pad_token=special[0], eos_token=special[2]
    )
    if shape.modality == "audio":
        extractor = transformers.WhisperFeatureExtractor(feature_size=MEL_BINS, chunk_length=SECONDS)
        return transformers.Qwen2AudioProcessor(extractor, tokenizer)
    return transformers.LlavaNextProcessor(
        image_processor=transformers.LlavaNextImageProcessorPil(
            size={"shortest_edge": shape.tile},
            crop_size={"height": shape.tile, "width": shape.tile},
            image_grid_pinpoints=shape.tiles(),
        ),
        tokenizer=tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=_IMAGE_TEMPLATE,
    )


def write_base(folder: Path, shape: ModelShape, device: torch.device) -> None:
    """Write a base model into the folder, with random weights in bfloat16, drawn on ``device``."""
    torch.manual_seed(0)
    with made_as(torch.bfloat16, device):
        model = shape.model()
    model.generation_config = transformers.GenerationConfig(eos_token_id=[0, 2], pad_token_id=0)
    # Several files with an index, as the published models are.
    model.save_pretrained(folder, max_shard_size="4GB")
    processor_of(shape).save_pretrained(folder)


def write_bundle(model: PreTrainedModel, base: str | Path, folder: Path, shape: ModelShape) -> Bundle:
    """Write a bundle of three random adapters on ``base``, whose model this is; the model is left as it was."""
    refs = [AdapterRef(f"hypotheses/{k}", f"Hypothesis {k}", "Random.") for k in range(3)]
    stack = AdapterStack.attach(model, [AdapterSpec(r.path, RANK, 2.0 * RANK) for r in refs], dtype=torch.bfloat16)
    for ref in refs:
        for _, b in stack.tensors(ref.path).values():
            # It starts at 0, where all hypotheses would write the same.
            torch.nn.init.normal_(b, std=0.05)
        stack.save(ref.path, folder / ref.path)
    per_adapter = stack.num_parameters(refs[0].path)
    stack.detach()
    bundle = Bundle(
        folder=folder,
        name="bundle",
        base=BaseRef.of(base, folder),
        prompt=PROMPTS[shape.modality],
        hypotheses=tuple(refs),
        modality=shape.modality,
        # No caption may end early: every step has all its rows.
        generation=CompareOptions(max_new_tokens=shape.new_tokens, min_new_tokens=shape.new_tokens),
        training={
            "shape": asdict(shape),
            "parameters": model.num_parameters(),
            "parameters_per_adapter": per_adapter,
        },
    )
    save_bundle(bundle)
    return bundle


def media_of(shape: ModelShape, count: int) -> list[Media]:
    """Different media of noise: pictures that are cut into most tiles, or 30 s of sound."""
    draws = np.random.default_rng(0)
    if shape.modality == "image":
        size = (2 * shape.tile, 2 * shape.tile, 3)
        return [Image.fromarray(draws.integers(0, 255, size, dtype=np.uint8)) for _ in range(count)]
    samples = (draws.normal(0, 0.1, SECONDS * SAMPLING_RATE).astype(np.float32) for _ in range(count))
    return [AudioClip(sound, SAMPLING_RATE) for sound in samples]
