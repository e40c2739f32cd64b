"""The caption gate: g(k | caption), a guess of the owning hypothesis from the caption's words alone.

Winner-takes-all is invariant to permuting hypotheses per example, so an adapter may speak French for one
picture and English for the next: a column then means nothing. The gate removes that freedom. It sees no
image, no sound and no label, only which tokens the caption has, and multiplies the assignment weights
(`lora_mcl.objectives.caption_gate`); so hypotheses can only part along differences that show in the words.
This is variational EM with an amortised, restricted posterior.
"""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, get_args

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from lora_mcl.bundle.bundle import GATE_FILE, WORDS_FILE
from lora_mcl.errors import BundleError, OptionsError

Balance = Literal["uniform", "estimated"]
LEAST_SHARE = 0.1
"""Under the estimated balance the target of a hypothesis is never below this part of its equal share."""
_MAX_FEATURES = 1_000_000


class CaptionGate(nn.Module):
    """log g(k | caption) = log softmax_k (W c / |c| + b).

    c [F] counts what the caption is made of and |c| is its L2 norm: its tokens (order 1, F = V), or its pairs of
    successive tokens (order 2, F = V * V, for small vocabularies) where modes share their words and differ in how
    these follow one another. W [K, F] is drawn with standard deviation init_std, which breaks the initial tie of
    identical hypotheses; b [K] starts at 0. Train it with the adapters, with AdamW at 3e-2 and `loss`.

    Args:
        vocab_size: V.
        num_hypotheses: K.
        order: 1 or 2.
        balance: the shares of captions that `loss` pulls hypotheses to. "uniform": 1 / K each. "estimated": a
            running mean of the shares they do take, for modes of unequal frequency; never less than `LEAST_SHARE`
            of 1 / K, so that no hypothesis is forgotten.
        momentum: of that running mean, per call of `loss` in training mode.
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
        order: int = 1,
        balance: Balance = "uniform",
        momentum: float = 0.99,
        excluded_token_ids: Sequence[int] = (),
        init_std: float = 0.5,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        if vocab_size < 1 or num_hypotheses < 1:
            raise OptionsError(f"vocab_size and num_hypotheses must be positive; got {vocab_size}, {num_hypotheses}")
        if any(not 0 <= token < vocab_size for token in excluded_token_ids):
            raise OptionsError(f"excluded_token_ids must be in [0, {vocab_size}); got {list(excluded_token_ids)}")
        if order not in (1, 2):
            raise OptionsError(f"order must be 1 (tokens) or 2 (pairs of successive tokens); got {order!r}")
        if order == 2 and vocab_size**2 > _MAX_FEATURES:
            raise OptionsError(f"order 2 needs a vocabulary of at most 1,000 tokens; got {vocab_size}")
        if balance not in get_args(Balance):
            raise OptionsError(f"balance must be uniform or estimated; got {balance!r}")
        if not 0 <= momentum < 1:
            raise OptionsError(f"momentum must be in [0, 1); got {momentum}")
        self.order, self.balance, self.momentum = order, balance, momentum
        features = vocab_size**order
        self.weight = nn.Parameter(torch.empty(num_hypotheses, features).normal_(0, init_std, generator=generator))
        self.bias = nn.Parameter(torch.zeros(num_hypotheses))
        counted = torch.ones(vocab_size)
        counted[list(excluded_token_ids)] = 0.0
        self.register_buffer("counted", counted)
        self.register_buffer("occurrences", torch.zeros(features))
        share = torch.full((num_hypotheses,), 1 / num_hypotheses)
        self.register_buffer("share", share, persistent=balance == "estimated")

    def features(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """labels [B, T] -> the feature at each position, and which count: negative (-100) and excluded ones do not.

        Both are [B, T] for order 1 and [B, T - 1] for order 2.
        """
        features, kept = labels.clamp_min(0), (labels >= 0) & self.counted[labels.clamp_min(0)].bool()
        if self.order == 2:  # a pair (i, j) of V tokens is feature i V + j
            features = features[:, :-1] * len(self.counted) + features[:, 1:]
            kept = kept[:, :-1] & kept[:, 1:]
        return features, kept

    def counts(self, labels: Tensor) -> Tensor:
        """labels [B, T] -> how often each caption has each feature [B, F]; negative (-100) and excluded left out."""
        features, kept = self.features(labels)
        bags = torch.zeros(len(labels), self.weight.shape[1], device=labels.device)
        return bags.scatter_add_(1, features, kept.to(bags.dtype))

    def forward(self, labels: Tensor, gather: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """labels [B, T], -100 where a token is not of the caption -> log g [K, B].

        In training mode the features are counted for `distinctive_tokens`, those of every process with `gather`
        (see `loss`).
        """
        bags = self.counts(labels)  # [B, F]
        if self.training:
            seen = bags.sum(dim=0)  # [F]
            self.occurrences += seen if gather is None else gather(seen).sum(dim=0)
        features = bags / bags.norm(dim=1, keepdim=True).clamp_min(1.0)  # a non-empty bag has norm >= 1
        return (features @ self.weight.T + self.bias).log_softmax(dim=1).T  # [B, F] @ [F, K] -> [B, K] -> [K, B]

    def loss(
        self, log_gate: Tensor, q: Tensor, valid: Tensor | None = None, gather: Callable[[Tensor], Tensor] | None = None
    ) -> Tensor:
        """Mean over examples of -sum_k q_k log g_k, plus KL(mean of g over the batch || target shares).

        The first term makes the gate predict the assignment, the second keeps every hypothesis in use.

        Args:
            log_gate: [K, B], from `forward`, with gradient.
            q: [K, B], detached assignment weights.
            valid: [B] bool; examples without target tokens are left out. All count by default.
            gather: stacks a tensor of every process, [...] -> [P, ...], where the batch is spread over P processes.
                The second term is then the whole batch's, and the mean of the processes' gradients, each weighed by
                its number of examples, is the gradient that one process would have.
        """
        if valid is not None:
            log_gate, q = log_gate[:, valid], q[:, valid]
        count, log_sums = log_gate.shape[1], log_gate.logsumexp(dim=1) if log_gate.shape[1] else log_gate.sum(dim=1)
        with torch.no_grad():  # of every process: log sum of g [K], sum of q [K], examples [1]
            here = log_sums if count else torch.full_like(log_sums, -math.inf)
            sums = torch.cat([here, q.sum(dim=1).to(here.dtype), here.new_tensor([count])])
            everywhere = sums[None] if gather is None else gather(sums)  # [P, 2 K + 1]
            of_gate, of_q, counts = everywhere.split([len(here), len(here), 1], dim=1)
            log_share, total = of_gate.logsumexp(dim=0) - counts.sum().log(), float(counts.sum())
            if total and self.training and self.balance == "estimated":
                self.share.lerp_((of_q.sum(dim=0) / total).to(self.share.dtype), 1 - self.momentum)
            gap = log_share - self.target().log()
        if count == 0:
            return log_gate.sum()  # 0, with a gradient of 0
        fit = -(q * log_gate).sum(dim=0).mean()
        # The divergence's gradient is that of sum_k (1 + gap_k) share_k, which is a mean over examples. In logarithms:
        # it stays finite when a hypothesis gets a share that underflows.
        linear = ((1 + gap) * (log_sums - math.log(count)).exp()).sum()
        return fit + linear + ((log_share.exp() * gap).sum() - linear).detach()

    def target(self) -> Tensor:
        """Shares of captions [K] that `loss` pulls the hypotheses to."""
        uniform = torch.full_like(self.share, 1 / len(self.share))
        return uniform if self.balance == "uniform" else uniform.lerp(self.share, 1 - LEAST_SHARE)

    @torch.no_grad()
    def distinctive_tokens(self, n: int) -> list[list[tuple[int, ...]]]:
        """For each hypothesis the (at most) `n` features that are most typical of it, best first.

        A feature is the tuple of its token ids: one, or two for order 2. Its score for hypothesis k is how often it
        was seen in training times its weight for k above the mean of all hypotheses: frequent and distinctive ones
        first, never one that was not seen.
        """
        evidence = (self.weight - self.weight.mean(dim=0)) * self.occurrences
        best = evidence.topk(min(n, evidence.shape[1]), dim=1)
        return [
            [self._tokens(feature) for feature, score in zip(features, scores, strict=True) if score > 0]
            for features, scores in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ]

    def _tokens(self, feature: int) -> tuple[int, ...]:
        return (feature,) if self.order == 1 else divmod(feature, len(self.counted))

    def distinctive_words(self, n: int, text: Callable[[Sequence[int]], str]) -> list[list[str]]:
        """Words of `distinctive_tokens`: at most `n` different ones per hypothesis, pieces without letters left out.

        Args:
            text: decodes token ids, such as a tokenizer's `decode`.
        """
        several = 4 * n  # pieces of one word, its capitalised form and signs fall together or away
        words = []
        for features in self.distinctive_tokens(several):
            texts = [text(tokens).strip() for tokens in features]
            words.append(list(dict.fromkeys(t for t in texts if any(map(str.isalnum, t))))[:n])
        return words

    def save(self, folder: Path | str, words: Sequence[Sequence[str]] | None = None) -> None:
        """Write gate.safetensors in `folder`, and `words` (of `distinctive_words`) as words.json."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        state = {name: tensor.detach().cpu().contiguous() for name, tensor in self.state_dict().items()}
        save_file(state, folder / GATE_FILE, metadata={"format": "pt", "order": str(self.order)})
        if words is not None:
            text = json.dumps([list(of_one) for of_one in words], indent=2, ensure_ascii=False)
            (folder / WORDS_FILE).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path | str) -> "CaptionGate":
        """Read what `save` wrote.

        Raises:
            BundleError: the file is missing, unreadable or not a gate.
        """
        path = Path(folder) / GATE_FILE
        if not path.is_file():
            raise BundleError(f"{path} is missing")
        try:
            with safe_open(path, framework="pt") as file:
                state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                order = int((file.metadata() or {}).get("order", "1"))
        except (SafetensorError, OSError, ValueError) as error:
            raise BundleError(f"{path} cannot be read: {error}") from error
        weight, counted = state.get("weight"), state.get("counted")
        if weight is None or weight.ndim != 2 or counted is None or counted.ndim != 1:
            raise BundleError(f"{path}: weight [hypotheses, features] or counted [vocabulary] is missing")
        if broken := [name for name, tensor in state.items() if not tensor.isfinite().all()]:
            raise BundleError(f"{path}: {broken[0]} has values that are not finite")
        try:
            gate = cls(len(counted), len(weight), order=order, balance="estimated" if "share" in state else "uniform")
            gate.load_state_dict(state)
        except (RuntimeError, OptionsError) as error:
            raise BundleError(f"{path} is not a caption gate: {error}") from error
        return gate
