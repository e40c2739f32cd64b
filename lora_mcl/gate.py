"""The caption gate: g(k | caption), a guess of the owning hypothesis from the caption's words alone.

Winner-takes-all is invariant to permuting hypotheses per medium, so an adapter may speak French for one
picture and English for the next: a column then means nothing. The gate removes that freedom. It sees no
medium and no label, only which tokens the caption has, and multiplies the assignment weights
(`lora_mcl.objectives.caption_gate`); so hypotheses can only part along differences that show in the words.
This is variational EM with an amortised, restricted posterior.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lora_mcl.errors import BundleError, OptionsError

GATE_FILE = "gate.safetensors"


class CaptionGate(nn.Module):
    """log g(k | caption) = log softmax_k (W c / |c| + b).

    c [V] holds the caption's bag-of-token counts and |c| is their L2 norm. W [K, V] is drawn with
    standard deviation init_std, which breaks the initial tie of identical hypotheses; b [K] starts at 0.
    Train it beside the adapters, with AdamW at 3e-2 and `loss`.

    Args:
        vocab_size: V.
        num_hypotheses: K.
        excluded_token_ids: tokens that are not words (end, padding, media placeholders); not counted.
        init_std: spread of the initial weights.
        generator: source of the draws; the global one by default.

    Raises:
        OptionsError: an argument is out of range.
    """

    def __init__(
        self,
        vocab_size: int,
        num_hypotheses: int,
        *,
        excluded_token_ids: Sequence[int] = (),
        init_std: float = 0.5,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        if vocab_size < 1 or num_hypotheses < 1:
            raise OptionsError(f"vocab_size and num_hypotheses must be positive; got {vocab_size}, {num_hypotheses}")
        if any(not 0 <= token < vocab_size for token in excluded_token_ids):
            raise OptionsError(f"excluded_token_ids must be in [0, {vocab_size}); got {list(excluded_token_ids)}")
        self.weight = nn.Parameter(torch.empty(num_hypotheses, vocab_size).normal_(0, init_std, generator=generator))
        self.bias = nn.Parameter(torch.zeros(num_hypotheses))
        counted = torch.ones(vocab_size)
        counted[list(excluded_token_ids)] = 0.0
        self.register_buffer("counted", counted)
        self.register_buffer("occurrences", torch.zeros(vocab_size))

    def counts(self, labels: Tensor) -> Tensor:
        """labels [B, T] -> bags of tokens [B, V], without negative labels (-100) and excluded tokens."""
        bags = torch.zeros(len(labels), self.weight.shape[1], device=labels.device)
        bags.scatter_add_(1, labels.clamp_min(0), (labels >= 0).to(bags.dtype))
        return bags * self.counted

    def forward(self, labels: Tensor) -> Tensor:
        """labels [B, T], -100 where a token is not of the caption -> log g [K, B].

        In training mode the tokens seen are counted, for `telling_tokens`.
        """
        bags = self.counts(labels)
        if self.training:
            self.occurrences += bags.sum(dim=0)
        features = bags / bags.norm(dim=1, keepdim=True).clamp_min(1.0)  # a non-empty bag has norm >= 1
        return (features @ self.weight.T + self.bias).log_softmax(dim=1).T

    def loss(self, log_gate: Tensor, q: Tensor, valid: Tensor | None = None) -> Tensor:
        """Mean over examples of -sum_k q_k log g_k, plus KL(mean of g over the batch || uniform).

        The first term makes the gate predict the assignment, the second keeps every hypothesis in use.

        Args:
            log_gate: [K, B], from `forward`, with gradient.
            q: [K, B], detached assignment weights.
            valid: [B] bool; examples without target tokens are left out. All count by default.
        """
        if valid is not None:
            log_gate, q = log_gate[:, valid], q[:, valid]
        if log_gate.shape[1] == 0:
            return log_gate.sum()  # 0, with a gradient of 0
        fit = -(q * log_gate).sum(dim=0).mean()
        # In logarithms: the gradient stays finite when a hypothesis gets a share that underflows.
        log_share = log_gate.logsumexp(dim=1) - math.log(log_gate.shape[1])
        return fit + (log_share.exp() * log_share).sum() + math.log(len(log_share))

    @torch.no_grad()
    def telling_tokens(self, n: int) -> list[list[int]]:
        """For each hypothesis the (at most) `n` token ids that speak most for it, best first.

        A token's score for hypothesis k is its share of the tokens seen in training times its weight for k
        above the mean of all hypotheses: frequent and distinctive tokens first, never one that was not seen.
        """
        frequency = self.occurrences / self.occurrences.sum().clamp_min(1)
        evidence = (self.weight - self.weight.mean(dim=0)) * frequency
        best = evidence.topk(min(n, evidence.shape[1]), dim=1)
        return [
            [token for token, score in zip(tokens, scores, strict=True) if score > 0]
            for tokens, scores in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ]

    def save(self, folder: Path | str) -> None:
        """Write gate.safetensors in `folder`."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        state = {name: tensor.detach().cpu().contiguous() for name, tensor in self.state_dict().items()}
        save_file(state, folder / GATE_FILE, metadata={"format": "pt"})

    @classmethod
    def load(cls, folder: Path | str) -> "CaptionGate":
        """Read what `save` wrote.

        Raises:
            BundleError: the file is missing, unreadable or not a gate.
        """
        path = Path(folder) / GATE_FILE
        try:
            state = load_file(path)
        except FileNotFoundError:
            raise BundleError(f"{path} is missing") from None
        except (SafetensorError, OSError) as error:
            raise BundleError(f"{path} cannot be read: {error}") from error
        weight = state.get("weight")
        if weight is None or weight.ndim != 2:
            raise BundleError(f"{path}: weight [hypotheses, vocabulary] is missing")
        gate = cls(weight.shape[1], weight.shape[0])
        try:
            gate.load_state_dict(state)
        except RuntimeError as error:
            raise BundleError(f"{path} is not a caption gate: {error}") from error
        return gate
