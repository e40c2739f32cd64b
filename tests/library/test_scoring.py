"""Scores of given captions: those of PEFT and transformers, those of decoding, and what is refused."""

import json
import threading
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from peft import PeftModel
from PIL import Image
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import AutoProcessor, PreTrainedTokenizerFast

from lora_mcl import scoring
from lora_mcl.audio import load_audio
from lora_mcl.bundle import load_bundle
from lora_mcl.captioner import Captioner
from lora_mcl.errors import MediaError, OptionsError
from lora_mcl.scores import CaptionScore, SystemScore
from lora_mcl.scoring import MAX_CAPTION_TOKENS, caption_ids, caption_log_probs, token_texts
from tests.support.comparisons import MODEL_CLASSES, last
from tests.support.tiny_audio import SAMPLING_RATE
from tests.support.tiny_bundle import TinyModel
from tests.support.tiny_decoders import EmbeddedPrompt

CAPTION = "Two cats on a table."
# What ends an answer in the tiny bases' chat templates.
ENDS = {"image": "</s>", "audio": "<|im_end|>"}


@torch.no_grad()
def stock_log_probs(tiny_model: TinyModel, folder: Path | None, caption: str) -> list[float]:
    """What transformers and PEFT give each token of the caption, the end mark last."""
    model = MODEL_CLASSES[tiny_model.modality].from_pretrained(tiny_model.base).eval()
    if folder is not None:
        model = PeftModel.from_pretrained(model, folder)
    processor = AutoProcessor.from_pretrained(tiny_model.base)
    message = {"role": "user", "content": [{"type": tiny_model.modality}, {"type": "text", "text": "Describe."}]}
    prompt = processor.apply_chat_template([message], add_generation_prompt=True)
    if tiny_model.modality == "image":
        with Image.open(tiny_model.media) as image:
            inputs = processor(images=image, text=prompt, return_tensors="pt")
    else:
        samples = load_audio(tiny_model.media, SAMPLING_RATE)[:SAMPLING_RATE]
        inputs = processor(audio=[samples], sampling_rate=SAMPLING_RATE, text=prompt, return_tensors="pt")
    end = processor.tokenizer.convert_tokens_to_ids(ENDS[tiny_model.modality])
    ids = [*processor.tokenizer(caption, add_special_tokens=False)["input_ids"], end]
    before = inputs["input_ids"].shape[1]
    inputs["input_ids"] = torch.cat([inputs["input_ids"], torch.tensor([ids])], dim=1)
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    log_probs = model(**inputs).logits[0].log_softmax(dim=-1)
    return [float(log_probs[before + index - 1, token]) for index, token in enumerate(ids)]


@pytest.mark.parametrize("row", range(4))
def test_each_system_gives_what_peft_and_transformers_give(tiny_model, row):
    folder = "baseline" if row == 3 else f"hypotheses/{row}"
    score = tiny_model.captioner.score(tiny_model.media, CAPTION)
    expected = stock_log_probs(tiny_model, tiny_model.bundle / folder, CAPTION)
    assert score.systems[row].log_probs == pytest.approx(expected, abs=2e-4)
    assert score.systems[row].nll == pytest.approx(-sum(expected), abs=1e-3)


def test_without_a_baseline_the_bare_base_is_scored(tiny_model):
    captioner = Captioner.load(replace(load_bundle(tiny_model.bundle), baseline=None), device="cpu")
    baseline = captioner.score(tiny_model.media, CAPTION).baseline
    assert (baseline.id, baseline.label) == ("baseline", "Base model")
    assert baseline.log_probs == pytest.approx(stock_log_probs(tiny_model, None, CAPTION), abs=2e-4)


def test_the_result(tiny_model):
    started = time.perf_counter()
    score = tiny_model.captioner.score(tiny_model.media, "  Two  cats\non a table. ")
    assert 0 < score.seconds <= time.perf_counter() - started
    assert score.caption == CAPTION and "".join(score.tokens) == CAPTION and score.tokens[-1] == ""
    assert [system.id for system in score.systems] == ["hypothesis-0", "hypothesis-1", "hypothesis-2", "baseline"]
    assert [system.label for system in score.systems] == [*(f"Hypothesis {k}" for k in range(3)), "One adapter"]
    assert all(len(system.log_probs) == len(score.tokens) for system in score.systems)
    assert len({system.nll for system in score.systems}) == 4
    table = json.loads(json.dumps(score.to_dict(), allow_nan=False))
    assert table["media"] == tiny_model.media.name and table["model"] == score.model and table["caption"] == CAPTION
    assert table["winner"] == min(table["systems"][:3], key=lambda system: system["nll"])["id"]
    assert ("window" in table) == (tiny_model.modality == "audio")
    for system in table["systems"]:
        assert system["mean_nll"] == pytest.approx(-sum(system["log_probs"]) / len(table["tokens"]))


def test_what_was_noticed_and_what_has_no_token_arrive(tiny_captioner, monkeypatch):
    monkeypatch.setattr("lora_mcl.captioner.token_texts", lambda model, ids: (("x",) * len(ids), ("§",)))
    ramp = Image.fromarray(np.linspace(0, 1, 400, dtype=np.float32).reshape(20, 20))
    score = tiny_captioner.score(ramp, "A cat.")
    assert score.unknown == ("§",) and set(score.tokens) == {"x"} and score.caption == "A cat."
    assert "0 to 1 was taken for black to white" in score.notices[0] and score.window is None
    assert (score.media, score.model) == ("image", tiny_captioner.name) and score.seconds > 0


def test_what_greedy_decoding_wrote_scores_what_it_had(tiny_model):
    captioner = tiny_model.captioner
    content, *_ = captioner._read(tiny_model.media, None)
    prompt = captioner._encode(content)
    candidates = {}
    for event in captioner._engine.decode(prompt, captioner._requests(captioner.defaults)[:3], max_new_tokens=12):
        candidates |= event.columns
    for k in range(3):
        (candidate,) = candidates[f"hypothesis-{k}"]
        ids = (*candidate.tokens, captioner._model.eos_token_ids[0])
        log_probs = caption_log_probs(captioner._model.model, captioner._stack, prompt, captioner._adapters(), ids)
        assert log_probs.shape == (4, len(ids))
        own = log_probs[k, : candidate.length]  # without an end mark where the length cut it
        assert float(own.sum()) == pytest.approx(candidate.log_prob, abs=1e-4)


@pytest.mark.parametrize("modality", ["image", "audio"])
def test_captions_of_the_embedded_models_score_what_decoding_gave_them(request, modality, picture, clip):
    name, media = {"image": ("embedded_captioner", picture), "audio": ("embedded_audio_captioner", clip)}[modality]
    captioner = request.getfixturevalue(name)
    final = last(captioner.compare(media))
    for column in final.columns[:3]:
        (caption,) = column.captions
        score = captioner.score(media, caption.text)
        own = next(system for system in score.systems if system.id == column.id)
        assert len(score.tokens) == caption.tokens
        assert -own.nll == pytest.approx(caption.log_prob, abs=2e-3)
        assert min(own.log_probs) == pytest.approx(caption.least_log_prob, abs=1e-3)


def test_a_score_in_company_is_the_score_alone(tiny_model):
    """While comparisons run in other threads, which it must not disturb either."""
    captioner, media = tiny_model.captioner, tiny_model.media
    alone, captions = captioner.score(media, CAPTION), last(captioner.compare(media)).captions("hypothesis")
    found = []
    threads = [threading.Thread(target=lambda: found.append(last(captioner.compare(media)))) for _ in range(2)]
    running = captioner.compare(media)
    next(running), next(running)
    for thread in threads:
        thread.start()
    together = [captioner.score(media, CAPTION) for _ in range(3)]
    for thread in threads:
        thread.join()
    assert last(running).captions("hypothesis") == captions
    assert [comparison.captions("hypothesis") for comparison in found] == [captions] * 2
    for score in together:
        for one, two in zip(score.systems, alone.systems, strict=True):
            assert one.log_probs == pytest.approx(two.log_probs, abs=1e-5)


@pytest.mark.parametrize(
    ("caption", "message"),
    [
        ("", "The caption is empty: type a few words."),
        (" \n", "The caption is empty: type a few words."),
        (None, "The caption must be text, not NoneType."),
        ("cat " * MAX_CAPTION_TOKENS, "The caption is too long: at most 255 tokens"),
        ("cat" * 10**6, "The caption is too long: at most 255 tokens"),
        ("A cat.</s>", "contains '</s>', which the model takes for a command"),
        ("<image>", "contains '<image>', which the model takes for a command"),
    ],
)
def test_captions_that_are_refused(tiny_captioner, picture, caption, message):
    with pytest.raises(OptionsError) as refusal:
        tiny_captioner.score(picture, caption)
    assert message in str(refusal.value) and len(str(refusal.value)) < 200


@pytest.mark.parametrize(("limit", "count"), [("MAX_CAPTION_TOKENS", "tokens"), ("_MAX_CHARACTERS", "characters")])
def test_a_caption_may_be_as_long_as_the_limit(tiny_captioner, picture, monkeypatch, limit, count):
    model = tiny_captioner._model
    longest = {"tokens": len(caption_ids(model, "Describe.", CAPTION)), "characters": len(CAPTION)}[count]
    monkeypatch.setattr(scoring, limit, longest)
    assert caption_ids(model, "Describe.", CAPTION)
    monkeypatch.setattr(scoring, limit, longest - 1)
    with pytest.raises(OptionsError, match="The caption is too long"):
        caption_ids(model, "Describe.", CAPTION)


def test_the_longest_caption():
    assert (scoring.MAX_CAPTION_TOKENS, scoring._MAX_CHARACTERS) == (256, 10_240)


def test_a_caption_beyond_the_models_positions(tiny_captioner, picture):
    prompt = tiny_captioner._encode(Image.open(picture))
    ids = [5] * (512 - prompt.inputs_embeds.shape[1] + 2)
    model, stack = tiny_captioner._model.model, tiny_captioner._stack
    with pytest.raises(OptionsError, match="too long for the model, which has 512 positions: shorten the caption"):
        caption_log_probs(model, stack, prompt, [0], ids)
    assert caption_log_probs(model, stack, prompt, [0], ids[1:]).shape == (1, len(ids) - 1)


@pytest.mark.parametrize("count", [2, 3])
def test_each_adapter_may_have_a_prompt_of_its_own(tiny_captioner, picture, count):
    model, stack, ids = tiny_captioner._model.model, tiny_captioner._stack, [5, 6, 7]
    with Image.open(picture) as image:
        prompt = tiny_captioner._encode(image.convert("RGB"))
    embeds = torch.cat([prompt.inputs_embeds.roll(shift, dims=1) for shift in range(count)])
    together = EmbeddedPrompt(embeds, prompt.attention_mask.repeat(count, 1))
    found = caption_log_probs(model, stack, together, range(count), ids)
    for row in range(count):
        own = EmbeddedPrompt(embeds[row : row + 1], prompt.attention_mask)
        expected = caption_log_probs(model, stack, own, [row], ids)
        torch.testing.assert_close(found[row], expected[0], rtol=0, atol=1e-4)


def test_a_score_keeps_no_keys_and_values(tiny_captioner, picture):
    kept = []
    model = tiny_captioner._model.model
    with model.register_forward_hook(lambda module, args, output: kept.append(output.past_key_values)):
        tiny_captioner.score(picture, CAPTION)
    assert kept == [None]


def test_media_that_are_refused(tiny_captioner, tiny_audio_captioner, picture, clip):
    with pytest.raises(MediaError):
        tiny_captioner.score(clip, CAPTION)
    with pytest.raises(MediaError):
        tiny_audio_captioner.score(Path("missing.wav"), CAPTION)
    with pytest.raises(OptionsError, match="start"):
        tiny_captioner.score(picture, CAPTION, start=2.0)
    # As clients send it that fill in every parameter.
    assert tiny_captioner.score(picture, CAPTION, start=0).window is None


@pytest.mark.parametrize(
    ("caption", "texts", "unknown"),
    [
        ("A cat.", ("A", " cat", ".", ""), ()),
        # Bytes: the last one of a character has its text.
        ("Un œuf ☃.", None, ("☃",)),
        ("日 本", None, ("日", "本")),
    ],
)
def test_texts_of_tokens_and_characters_without_one(embedded_captioner, caption, texts, unknown):
    model = embedded_captioner._model
    found, without = token_texts(model, caption_ids(model, "Caption:", caption))
    assert "".join(found) == caption and without == unknown
    assert texts is None or found == texts


def score_of(tokens: tuple[str, ...], *rows: tuple[float, ...]) -> CaptionScore:
    systems = [SystemScore(f"hypothesis-{k}", str(k), row) for k, row in enumerate(rows[:-1])]
    return CaptionScore("a.png", "m", "".join(tokens), tokens, tuple(systems), SystemScore("baseline", "b", rows[-1]))


def test_winner_and_margin_by_hand():
    score = score_of(("A", " cat", ""), (-1.0, -4.0, -1.0), (-0.5, -2.0, -0.5), (-1.0, -1.0, -4.0), (0.0, 0.0, 0.0))
    assert [system.nll for system in score.systems] == [6.0, 3.0, 6.0, 0.0]
    # The baseline takes no part.
    assert score.winner.id == "hypothesis-1" and score.runner_up.id == "hypothesis-0"
    table = score.to_dict()
    assert (table["winner"], table["margin"], table["mean_margin"]) == ("hypothesis-1", 3.0, 1.0)
    alone = score_of(("A", ""), (-1.0, -1.0), (-1.0, -1.0))
    assert alone.runner_up is None and alone.to_dict()["margin"] is None


def test_words_are_runs_of_tokens():
    score = score_of(("A", " c", "at", ".", ""), (0.0,) * 5, (0.0,) * 5)
    words = list(score.words())
    assert ["".join(score.tokens[word]) for word in words] == ["A", " cat.", ""]
    assert all(one.stop == two.start for one, two in pairwise(words)) and words[-1].stop == 5


def test_a_word_that_the_tokenizer_does_not_know_is_shown_as_its_mark():
    """The mark is a special token, unlike the words; the last token is the end."""
    words = Tokenizer(WordLevel({"<unk>": 0, "</s>": 1, "a": 2, "cat": 3}, unk_token="<unk>"))
    words.pre_tokenizer = WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>", eos_token="</s>")
    ids = [*tokenizer("a zebra cat")["input_ids"], tokenizer.eos_token_id]
    assert ids == [2, 0, 3, 1]
    texts, unknown = token_texts(SimpleNamespace(tokenizer=tokenizer), ids)
    assert [text.strip() for text in texts] == ["a", "<unk>", "cat", ""] and unknown == ("<unk>",)
