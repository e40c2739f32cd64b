"""Qwen2-Audio models: loading them, and turning a clip and a prompt into embeddings once.

The embedded small model and the published 7B checkpoints are the same class, transformers'
``Qwen2AudioForConditionalGeneration``, and go through the same code. Like ``llava_next``, this module splits
its forward pass: the audio tower (frozen, so its output may be cached in training), then everything up to the
language model's input, with exactly the numbers of the stock forward.

Adapters on the tower itself (the paper's audio runs have them, section 3.1) are possible when decoding: then
one copy of the clip is encoded for each adapter, in one batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import (
    BatchFeature,
    Qwen2AudioConfig,
    Qwen2AudioForConditionalGeneration,
    Qwen2AudioProcessor,
)
from transformers.masking_utils import create_bidirectional_mask

from lora_mcl.errors import BundleError
from lora_mcl.models.base import EncodedPrompt, MediaLanguageModel


class AudioLanguageModel(MediaLanguageModel):
    """A Qwen2-Audio model with its processor.

    Clips are mono float samples [N] at ``sampling_rate``, at most ``max_seconds`` long: the processor would cut
    a longer one without a word, so it is refused here.
    """

    modality = "audio"
    config_class = Qwen2AudioConfig
    model_class = Qwen2AudioForConditionalGeneration
    media_modules = ("model.audio_tower", "model.multi_modal_projector")

    def __init__(self, model: Qwen2AudioForConditionalGeneration, processor: Qwen2AudioProcessor):
        super().__init__(model, processor)
        # The tower's two convolutions have strides 1 and 2.
        given, read = processor.feature_extractor.nb_max_frames, 2 * model.config.audio_config.max_source_positions
        if given != read:
            raise BundleError(
                f"{model.name_or_path}: the processor gives {given} frames a clip, but the audio tower reads {read}: "
                "chunk_length and max_source_positions do not belong together."
            )

    @classmethod
    def _load_processor(cls, base: str | Path, revision: str | None) -> Qwen2AudioProcessor:
        return Qwen2AudioProcessor.from_pretrained(base, revision=revision, trust_remote_code=False)

    @property
    def sampling_rate(self) -> int:
        """Samples a second that the model takes, in Hz."""
        return self.processor.feature_extractor.sampling_rate

    @property
    def max_seconds(self) -> float:
        """The longest clip that the model takes, in seconds."""
        return self.processor.feature_extractor.n_samples / self.sampling_rate

    @property
    def placeholder(self) -> str:
        return self.processor.audio_token

    @property
    def media_token_ids(self) -> tuple[int, ...]:
        processor = self.processor
        words = (processor.audio_token, processor.audio_bos_token, processor.audio_eos_token)
        return tuple(self.tokenizer.convert_tokens_to_ids(list(words)))

    def log_mel(self, samples: np.ndarray) -> np.ndarray:
        """Log-mel spectrogram of a clip as the model gets it: [mel bins, frames], lowest pitch first, no padding.

        Raises:
            ValueError: if the samples are not a mono clip of at most ``max_seconds``.
        """
        self._check_samples(samples)
        extractor = self.processor.feature_extractor
        features = extractor(samples, sampling_rate=self.sampling_rate, return_attention_mask=True, return_tensors="np")
        return features["input_features"][0][:, features["attention_mask"][0].astype(bool)]

    def inputs(self, samples: np.ndarray, prompt: str) -> BatchFeature:
        """Return the stock model's inputs for one user turn, the clip then ``prompt``, in the chat template.

        They are ``input_ids`` and ``attention_mask`` [1, T] (one placeholder token per audio position),
        ``input_features`` [1, M, F] (log-mel, padded to the longest clip) and ``feature_attention_mask`` [1, F],
        on the CPU.

        Raises:
            ValueError: if the samples are not a mono clip of at most ``max_seconds``.
            OptionsError: if the prompt contains the audio placeholder.
        """
        self._check_samples(samples)
        return self.processor.apply_chat_template(
            self.conversation(samples, prompt),
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        )

    def prompt_ids(self, num_samples: int, prompt: str) -> Tensor:
        """Return the token ids [1, T] of ``prompt`` on any clip of ``num_samples`` samples."""
        return self.inputs(np.zeros(num_samples, np.float32), prompt)["input_ids"]

    @torch.no_grad()
    def encode(self, samples: np.ndarray, prompt: str, *, copies: int = 1) -> EncodedPrompt:
        """Run tower and projector once and return the embedded prompt.

        Args:
            copies: number of equal rows to encode, for adapters that change the tower or the projector: call it
                with one adapter routed per row. Where they do not, one row is enough for all of them.

        Raises:
            ValueError: if the samples are not a mono clip of at most ``max_seconds``.
            OptionsError: if the prompt contains the audio placeholder.
        """
        inputs = {
            name: values.to(self.model.device).expand(copies, *values.shape[1:])
            for name, values in self.inputs(samples, prompt).items()
        }
        features = tower_features(self.model, inputs["input_features"], inputs["feature_attention_mask"])
        return EncodedPrompt(embed_prompt(self.model, inputs["input_ids"], features), inputs["attention_mask"])

    def _check_samples(self, samples: np.ndarray) -> None:
        if samples.ndim != 1 or not np.issubdtype(samples.dtype, np.floating):
            raise ValueError(f"samples must be a vector of floats, not {samples.dtype} {list(samples.shape)}")
        most = self.processor.feature_extractor.n_samples
        if not 0 < len(samples) <= most:
            raise ValueError(f"the model takes 1 to {most} samples, not {len(samples)}: cut the clip first")


def tower_features(
    model: Qwen2AudioForConditionalGeneration, input_features: Tensor, feature_attention_mask: Tensor
) -> list[Tensor]:
    """Return what the projector reads of each clip: B tensors [P, C], P depending on the clip's length.

    Args:
        input_features: [B, M, F], log-mel of clips padded at their end.
        feature_attention_mask: [B, F], 1 where there is a clip.
    """
    tower = model.model.audio_tower
    input_features = input_features.to(tower.device, tower.dtype)
    convolved, pooled = tower._get_feat_extract_output_lengths(feature_attention_mask.to(tower.device).sum(-1))
    positions = torch.arange((input_features.shape[-1] - 1) // 2 + 1, device=tower.device)
    mask = create_bidirectional_mask(
        config=tower.config,
        inputs_embeds=input_features.new_zeros(len(convolved), len(positions), 1),
        attention_mask=(positions < convolved[:, None]).long(),
    )
    hidden = tower(input_features, attention_mask=mask).last_hidden_state
    return [clip[:length] for clip, length in zip(hidden, pooled.tolist(), strict=True)]


def embed_prompt(model: Qwen2AudioForConditionalGeneration, input_ids: Tensor, features: Sequence[Tensor]) -> Tensor:
    """Return the language model's input embeddings [B, T, D], as the stock forward computes them.

    Gradients reach the projector and the token embeddings where these require them.

    Args:
        input_ids: [B, T], with one placeholder token per audio position.
        features: for each clip its ``tower_features`` [P, C].

    Raises:
        ValueError: if placeholders and audio positions differ in number.
    """
    core = model.model
    padded = pad_sequence([clip.to(model.device, model.dtype) for clip in features], batch_first=True)
    projected = core.multi_modal_projector(padded)
    embeds = core.get_input_embeddings()(input_ids)
    positions = torch.cat([clip[: len(own)] for clip, own in zip(projected, features, strict=True)])
    placeholders = input_ids == model.config.audio_token_id
    if placeholders.sum() != len(positions):
        raise ValueError(f"{int(placeholders.sum())} audio tokens in the prompts, but {len(positions)} audio positions")
    return embeds.masked_scatter(placeholders[..., None].to(embeds.device), positions.to(embeds.device, embeds.dtype))
