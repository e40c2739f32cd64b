"""The score head: which hypothesis is likely to win, predicted from the prompt before anything is written.

    p(k | image or sound, prompt) = softmax_k (W h + b)

h is the bare base's last hidden state, without any adapter, as a mean over the prompt. The head is trained after the
adapters to predict which of them gives a reference the least loss, as the score heads of resilient multiple choice
learning (Letzelter et al. 2023, arXiv 2311.01052), here with base and adapters frozen:
``python -m training.score_head``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedModel

from lora_mcl.adapters import BASE_ROW, AdapterStack
from lora_mcl.bundle import Bundle
from lora_mcl.decoding.request import Prompt
from lora_mcl.decoding.shared_layers import decoder_of
from lora_mcl.errors import BundleError, first_line


@dataclass(frozen=True, eq=False)
class ScoreHead:
    """log p(k | h) = log softmax_k (W h + b), for K hypotheses and states of D channels.

    Attributes:
        weight: W, float32 [K, D].
        bias: b, float32 [K].

    Raises:
        ValueError: the shapes do not belong together, or a number is not finite.
    """

    weight: Tensor
    bias: Tensor

    def __post_init__(self) -> None:
        if self.weight.ndim != 2 or self.bias.shape != self.weight.shape[:1]:
            raise ValueError(
                f"weight must be [K, D] and bias [K], not {list(self.weight.shape)} and {list(self.bias.shape)}"
            )
        if not (self.weight.isfinite().all() and self.bias.isfinite().all()):
            raise ValueError("a weight is not a finite number")

    def log_probabilities(self, states: Tensor) -> Tensor:
        """States [N, D] -> log-probabilities [N, K] that each hypothesis wins."""
        return (states.float().to(self.weight.device) @ self.weight.T + self.bias).log_softmax(dim=1)

    def save(self, file: Path) -> None:
        """Write both tensors as safetensors."""
        save_file({"weight": self.weight.contiguous(), "bias": self.bias.contiguous()}, file)


def load_score_head(bundle: Bundle, width: int) -> ScoreHead | None:
    """The score head of a bundle; None if it has none.

    Args:
        width: channels of the base's hidden states, D.

    Raises:
        BundleError: the file cannot be read, or is not a head for so many hypotheses and channels.
    """
    if bundle.score_head is None:
        return None
    path = bundle.score_head.path
    try:
        state = load_file(bundle.folder / path)
    except (SafetensorError, OSError) as error:
        raise BundleError(f"The score head {path} cannot be read: {first_line(error)}") from error
    if set(state) != {"weight", "bias"}:
        raise BundleError(
            f"The score head {path} must hold weight and bias, not {', '.join(sorted(state)) or 'nothing'}."
        )
    try:
        head = ScoreHead(state["weight"].float(), state["bias"].float())
    except ValueError as error:
        raise BundleError(f"The score head {path} cannot be used: {error}.") from error
    hypotheses, channels = head.weight.shape
    if (hypotheses, channels) != (len(bundle.hypotheses), width):
        raise BundleError(
            f"The score head {path} is for {hypotheses} hypotheses and {channels} channels; this bundle has "
            f"{len(bundle.hypotheses)} and its base {width}. Train one for it: python -m training.score_head."
        )
    return head


def state_width(model: PreTrainedModel) -> int:
    """Channels of the states that ``prompt_states`` gives, D."""
    return decoder_of(model).config.hidden_size


@torch.no_grad()
def prompt_states(model: PreTrainedModel, stack: AdapterStack, prompt: Prompt) -> Tensor:
    """The bare base's last hidden state of B left-padded prompts, as a mean over their positions, float32 [B, D]."""
    mask = prompt.attention_mask
    with stack.rows([BASE_ROW] * len(mask)):
        states = decoder_of(model)(
            inputs_embeds=prompt.inputs_embeds,
            attention_mask=None if bool(mask.all()) else mask,
            # Left padding: the first real position of every prompt is position 0.
            position_ids=(mask.cumsum(dim=1) - 1).clamp_min(0),
            use_cache=False,
        ).last_hidden_state.float()  # [B, T, D]
    kept = mask[..., None].to(states.device)
    return (states * kept).sum(dim=1) / kept.sum(dim=1)
