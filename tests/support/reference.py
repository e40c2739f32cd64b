"""What transformers' own ``generate`` answers: the reference of the decoding tests."""

from __future__ import annotations

import warnings

from transformers import PreTrainedModel

from lora_mcl.decoding import LogitsOptions
from tests.support.tiny_decoders import EmbeddedPrompt


def generate(
    model: PreTrainedModel,
    prompt: EmbeddedPrompt,
    eos: tuple[int, ...],
    max_new_tokens: int,
    logits_options: LogitsOptions,
    **options,
) -> tuple[list[list[int]], list[float] | None]:
    """transformers' generated tokens, without padding and end of sequence, and the scores of its beams."""
    with warnings.catch_warnings():
        # With embeddings these apply to generated tokens only: that is what is compared.
        for option in ("repetition_penalty", "no_repeat_ngram_size"):
            warnings.filterwarnings("ignore", message=f"Passing `{option}` with `inputs_embeds`")
        output = model.generate(
            inputs_embeds=prompt.inputs_embeds,
            attention_mask=prompt.attention_mask,
            max_new_tokens=max_new_tokens,
            eos_token_id=list(eos) or None,
            pad_token_id=0,
            repetition_penalty=logits_options.repetition_penalty,
            no_repeat_ngram_size=logits_options.no_repeat_ngram_size or None,
            min_new_tokens=logits_options.min_new_tokens or None,
            suppress_tokens=list(logits_options.forbidden_token_ids) or None,
            return_dict_in_generate=True,
            output_scores=True,
            **{"do_sample": False, **options},
        )
    stripped = []
    for row in output.sequences.tolist():
        ends = [index for index, token in enumerate(row) if token in eos]
        stripped.append(row[: ends[0]] if ends else row)
    is_beam = options.get("num_beams", 1) > 1
    return stripped, output.sequences_scores.tolist() if is_beam else None
