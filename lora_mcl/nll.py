"""Token-mean negative log-likelihood of each batch row: what the objectives compare."""

from typing import NamedTuple

from torch import Tensor
from torch.nn import functional as F


class RowNll(NamedTuple):
    """`mean` [R], nats per target token (0 for a row without targets); `tokens` [R], how many there are."""

    mean: Tensor
    tokens: Tensor

    @property
    def valid(self) -> Tensor:
        """[R] bool: the row has at least one target token."""
        return self.tokens > 0


def mean_token_nll(logits: Tensor, labels: Tensor, ignore_index: int = -100) -> RowNll:
    """Mean over a row's target tokens of -log p(token | those before), in float32.

    Short and long captions so weigh the same, as in the paper's code. The shift is that of Hugging Face
    causal models: logits at position t predict the label at t + 1. To compute logits only where captions are,
    keep the last n positions of both (`model(..., logits_to_keep=n).logits` and `labels[:, -n:]`), n being at
    least the distance from the first target to the end of the row, plus one.

    Args:
        logits: [R, T, V].
        labels: [R, T], `ignore_index` where a token is no target (prompt, media, padding).
    """
    targets = labels[:, 1:]
    losses = F.cross_entropy(
        logits[:, :-1].float().flatten(0, 1), targets.flatten(), ignore_index=ignore_index, reduction="none"
    ).view(targets.shape)
    tokens = (targets != ignore_index).sum(dim=1)
    return RowNll(losses.sum(dim=1) / tokens.clamp_min(1), tokens)
