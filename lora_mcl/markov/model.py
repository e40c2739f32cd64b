"""The small frozen model of the Markov experiments: a GPT-Neo with random weights and local attention.

Nothing but the adapters is ever trained. What such a frozen random model can express has a limit that the
adapters cannot lift: the output layer is the token embedding, and the last layer norm hands it vectors of a
fixed length, so the odds between two tokens are bounded (`log_odds_limit`).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import GPTNeoConfig, GPTNeoForCausalLM

from lora_mcl.adapters import AdapterSpec, AdapterStack
from lora_mcl.errors import OptionsError

TARGETS = ("q_proj", "k_proj", "v_proj", "out_proj")


@dataclass(frozen=True)
class ModelOptions:
    """Defaults are the LoRA-MCL paper's.

    Attributes:
        hidden_size, layers, heads: of the GPT-Neo.
        window: tokens that each layer's local attention sees, the current one included.
        initializer_range: standard deviation of the frozen weights, the token embedding's included.
        rank, alpha: of every adapter.

    Raises:
        OptionsError: a field is out of range.
    """

    hidden_size: int = 64
    layers: int = 2
    heads: int = 2
    window: int = 5
    initializer_range: float = 0.02
    rank: int = 64
    alpha: float = 64.0

    def __post_init__(self) -> None:
        for name in ("hidden_size", "layers", "heads", "window", "rank"):
            if getattr(self, name) < 1:
                raise OptionsError(f"{name} must be at least 1; got {getattr(self, name)}")
        if self.hidden_size % self.heads:
            raise OptionsError(f"hidden_size {self.hidden_size} must be a multiple of heads {self.heads}")
        for name in ("initializer_range", "alpha"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise OptionsError(f"{name} must be a positive number; got {getattr(self, name)}")

    @property
    def visible(self) -> int:
        """Number of tokens that a prediction can depend on: 1 + layers * (window - 1)."""
        return 1 + self.layers * (self.window - 1)


def build_model(num_states: int, hypotheses: int, options: ModelOptions, seed: int) -> AdapterStack:
    """K fresh adapters on a frozen random model over S states; the model is the stack's.

    The same seed gives the same frozen model for every K.
    """
    config = GPTNeoConfig(
        vocab_size=num_states,
        hidden_size=options.hidden_size,
        num_layers=options.layers,
        num_heads=options.heads,
        window_size=options.window,
        attention_types=[[["local"], options.layers]],
        activation_function="gelu_pytorch_tanh",  # gelu_new, the default, in one operation
        max_position_embeddings=1024,
        initializer_range=options.initializer_range,
        bos_token_id=None,
        eos_token_id=None,
        use_cache=False,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = GPTNeoForCausalLM(config)
    specs = [AdapterSpec(f"hypothesis-{k}", options.rank, options.alpha, 0.0, TARGETS) for k in range(hypotheses)]
    return AdapterStack.attach(model, specs, generator=torch.Generator().manual_seed(seed))


def log_odds_limit(model: GPTNeoForCausalLM) -> Tensor:
    """The largest |log p_i - log p_j| that any input and any adapter can reach, [S, S].

    The output layer sees h with mean 0 and norm at most sqrt(D) (layer norm without trained gain), so
    |(w_i - w_j) . h| <= sqrt(D) |w_i - w_j| with the difference taken without its mean.
    """
    weight = model.lm_head.weight.detach()
    centred = weight - weight.mean(dim=1, keepdim=True)
    return torch.cdist(centred, centred) * math.sqrt(weight.shape[1])
