"""Token-mean negative log-likelihood of each batch row: what the objectives compare."""

import inspect
from functools import cache
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel


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
    keep the last n positions of both (`last_logits(model, n, ...)` and `labels[:, -n:]`), n being at least the
    distance from the first target to the end of the row, plus one.

    Args:
        logits: [R, T, V].
        labels: [R, T], `ignore_index` where a token is no target (prompt, media, padding).
    """
    targets = labels[:, 1:]  # [R, T - 1]: logits at position t predict the label at t + 1
    # [R, T - 1, V] as one list of predictions, in float32: bfloat16 log-probabilities have two digits.
    losses = F.cross_entropy(
        logits[:, :-1].float().flatten(0, 1), targets.flatten(), ignore_index=ignore_index, reduction="none"
    ).view(targets.shape)
    tokens = (targets != ignore_index).sum(dim=1)  # [R]; losses [R, T - 1] are 0 where there is no target
    return RowNll(losses.sum(dim=1) / tokens.clamp_min(1), tokens)


def last_logits(model: nn.Module, n: int, **inputs: Any) -> Tensor:
    """The logits [R, n, V] of the last n positions, without computing the others where the model allows.

    Captions are short compared with their prompts (a picture is 576 or more positions, 30 seconds of sound 750) and
    vocabularies large, so the output layer can cost more memory than the rest of the model.

    Args:
        model: a causal language model of transformers.
        n: number of positions, at least 1.
        inputs: arguments of its forward.
    """
    if _takes_logits_to_keep(type(model)):
        return model(**inputs, logits_to_keep=n).logits
    output_layer = model.get_output_embeddings() if isinstance(model, PreTrainedModel) else None
    if output_layer is None:
        return model(**inputs).logits[:, -n:]
    # A forward that scores every position (Qwen2-Audio's) finds its output layer shown the last ones only. It is still
    # the model that is called, so what hangs on its call, such as a placement over several devices, holds.
    showing_last = output_layer.register_forward_pre_hook(lambda module, args: (args[0][:, -n:],))
    try:
        return model(**inputs).logits
    finally:
        showing_last.remove()


@cache
def _takes_logits_to_keep(model_class: type[nn.Module]) -> bool:
    return "logits_to_keep" in inspect.signature(model_class.forward).parameters
