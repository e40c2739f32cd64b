"""Every strategy in one request, on every decoder and under every rule, against ``generate`` one by one."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from lora_mcl.adapters import BASE_ROW
from lora_mcl.decoding import BeamSearch, ColumnRequest, DiverseBeamSearch, Greedy, LogitsOptions, Sampling
from lora_mcl.decoding.sampling import sample_seeds
from lora_mcl.models import AudioLanguageModel
from tests.support.reference import generate
from tests.support.tiny_audio import save_tiny_audio_base, tone
from tests.support.tiny_decoders import (
    DECODERS,
    SHARING,
    EmbeddedPrompt,
    assert_same,
    decode,
    engine_of,
    prompt_of,
)

LOGITS_OPTIONS = {
    "none": LogitsOptions(),
    "repetition": LogitsOptions(repetition_penalty=1.4),
    "ngrams": LogitsOptions(no_repeat_ngram_size=2),
    "min length": LogitsOptions(min_new_tokens=6),
    "forbidden": LogitsOptions(forbidden_token_ids=(1, 8, 20)),
    "all": LogitsOptions(repetition_penalty=0.8, no_repeat_ngram_size=3, min_new_tokens=4, forbidden_token_ids=(2, 7)),
}
ENDS = {
    "none": (5, 13, 24, 29),
    "repetition": (3, 11, 27),
    "ngrams": (3, 11),
    "min length": (3, 9, 11, 18, 27),
    "forbidden": (3, 11),
    "all": (3, 11, 24),
}
LENGTH = 14
BEAMS = {
    "beam": BeamSearch(3),
    "beam-early": BeamSearch(4, early_stopping=True),
    "beam-best": BeamSearch(5, num_return_sequences=2, length_penalty=0.0),
    "beam-never": BeamSearch(2, length_penalty=0.7, early_stopping="never"),
}
SAMPLED = {"temperature": 0.9, "top_k": 20, "top_p": 0.9}
REQUEST = [
    ColumnRequest("greedy", BASE_ROW, Greedy()),
    *(ColumnRequest(id, BASE_ROW, strategy) for id, strategy in BEAMS.items()),
    ColumnRequest("diverse-beam", BASE_ROW, DiverseBeamSearch(4, 2, 0.7)),
    ColumnRequest("samples", BASE_ROW, Sampling(2, seed=1, **SAMPLED)),
]


@pytest.mark.parametrize("setting", LOGITS_OPTIONS)
@pytest.mark.parametrize("name", DECODERS)
def test_a_mixed_request_equals_generate(name, setting):
    ended = 0
    for seed in (1, 2):
        model = DECODERS[name](seed)
        prompt, eos = prompt_of(model, 8, seed=seed), ENDS[setting]
        engine = engine_of(model, None, eos)
        mixed = decode(engine, prompt, REQUEST, LENGTH, LOGITS_OPTIONS[setting]).columns

        def reference(model=model, prompt=prompt, eos=eos, **options):
            return generate(model, prompt, eos, LENGTH, LOGITS_OPTIONS[setting], **options)

        assert [list(candidate.tokens) for candidate in mixed["greedy"]] == reference()[0]
        for id, strategy in BEAMS.items():
            sequences, scores = reference(
                num_beams=strategy.num_beams,
                num_return_sequences=strategy.num_return_sequences or strategy.num_beams,
                length_penalty=strategy.length_penalty,
                early_stopping=strategy.early_stopping,
            )
            assert [list(candidate.tokens) for candidate in mixed[id]] == sequences
            assert [candidate.score for candidate in mixed[id]] == pytest.approx(scores, abs=1e-4)
        for candidate, sample_seed in zip(mixed["samples"], sample_seeds(1, 2), strict=True):
            torch.manual_seed(sample_seed)
            assert [list(candidate.tokens)] == reference(do_sample=True, **SAMPLED)[0]
        # transformers 5 has no diverse beam search: alone, ours equals stored answers of transformers 4.
        alone = decode(engine, prompt, [REQUEST[-2]], LENGTH, LOGITS_OPTIONS[setting]).columns
        assert_same(mixed["diverse-beam"], alone["diverse-beam"])
        ended += sum(len(candidate.tokens) < LENGTH for candidates in mixed.values() for candidate in candidates)
    assert ended > 0


def test_sounds_in_one_padded_call_equal_the_stock_model_one_by_one(tmp_path):
    """A whole Qwen2-Audio, tower and all: two clips of unlike length, every strategy, one decode."""
    save_tiny_audio_base(tmp_path)
    audio = AudioLanguageModel.load(tmp_path)
    model, clips = audio.model, [tone(300, 0.3), tone(500, 0.9)]
    prompts = [audio.encode(clip, "Describe the sound.") for clip in clips]
    lengths = [prompt.inputs_embeds.shape[1] for prompt in prompts]
    assert lengths[0] < lengths[1]
    padded = [
        functional.pad(p.inputs_embeds, (0, 0, max(lengths) - n, 0)) for p, n in zip(prompts, lengths, strict=True)
    ]
    mask = torch.tensor([[0] * (max(lengths) - n) + [1] * n for n in lengths])
    columns = [replace(request, prompt=m, id=f"{request.id}-{m}") for m in (0, 1) for request in REQUEST]
    engine = engine_of(model, None, audio.eos_token_ids)
    decoded = decode(engine, EmbeddedPrompt(torch.cat(padded), mask), columns, 8).columns
    for medium, clip in enumerate(clips):
        inputs = audio.inputs(clip, "Describe the sound.")
        for id, num_beams in (("greedy", 1), ("beam", 3)):
            stock = model.generate(
                **inputs,
                do_sample=False,
                max_new_tokens=8,
                num_beams=num_beams,
                num_return_sequences=num_beams,
                eos_token_id=list(audio.eos_token_ids),
                pad_token_id=audio.pad_token_id,
            )[:, inputs["input_ids"].shape[1] :].tolist()
            ours = [list(candidate.tokens) for candidate in decoded[f"{id}-{medium}"]]
            ends = [min((row.index(eos) for eos in audio.eos_token_ids if eos in row), default=8) for row in stock]
            assert ours == [row[:end] for row, end in zip(stock, ends, strict=True)]


def test_the_decoders_are_of_both_kinds():
    assert set(SHARING) < set(DECODERS)
