"""The captioner on a tiny random bundle: what it answers, how it streams, stops and shares the model."""

import json
import threading
import time
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from PIL import Image
from torch import nn
from transformers import AutoProcessor, LlavaNextForConditionalGeneration

from lora_mcl.adapters import AdapterStack
from lora_mcl.bundle import BaseRef, load_bundle
from lora_mcl.captioner import Captioner
from lora_mcl.decoding import SchedulerOptions
from lora_mcl.errors import BundleError, MediaError
from lora_mcl.models import ImageLanguageModel
from lora_mcl.types import CompareOptions
from tests.support.comparisons import HYPOTHESES, IDS, last, texts


@pytest.fixture(scope="module")
def snapshots(tiny_captioner, picture):
    return list(tiny_captioner.compare(picture))


def test_the_final_result(snapshots):
    final = snapshots[-1]
    assert final.done and not final.stopped
    assert (final.media, final.model) == ("picture.png", "bundle")
    assert [column.id for column in final.columns] == IDS
    assert [len(column.captions) for column in final.columns] == [1, 1, 1, 4, 4]
    for column in final.columns:
        assert column.done and 0 < column.seconds <= final.seconds
        for caption in column.captions:
            assert 1 <= caption.tokens <= 12
            assert caption.log_prob < 0
            assert caption.mean_log_prob == pytest.approx(caption.log_prob / caption.tokens)
            assert (caption.score is None) == (column.method == "hypothesis")
    for id in ("beam", "diverse-beam"):
        scores = [caption.score for caption in final.column(id).captions]
        assert scores == sorted(scores, reverse=True)
    for caption in final.column("beam").captions:
        assert caption.score == pytest.approx(caption.log_prob / caption.tokens)


def test_hypotheses_differ(snapshots):
    assert len(set(snapshots[-1].captions("hypothesis"))) == 3


def test_all_columns_fill_together(snapshots):
    first, second = snapshots[:2]
    assert not any(column.captions for column in first.columns) and not first.done
    assert all(column.captions and not column.done for column in second.columns)
    assert [snapshot.done for snapshot in snapshots] == [False] * (len(snapshots) - 1) + [True]
    for one, two in pairwise(snapshots):
        for name in HYPOTHESES:
            before = one.column(name).captions[0].text if one.column(name).captions else ""
            assert two.column(name).captions[0].text.startswith(before)


def test_half_written_characters_are_not_shown(snapshots):
    for snapshot in snapshots:
        for column in snapshot.columns:
            assert not any(caption.text.endswith("\ufffd") for caption in column.captions)


def test_the_result_is_valid_json(snapshots):
    table = json.loads(json.dumps(snapshots[-1].to_dict(), allow_nan=False))
    assert [column["id"] for column in table["columns"]] == IDS


def test_a_single_hypothesis(snapshots, tiny_bundle, picture):
    bundle = load_bundle(tiny_bundle)
    captioner = Captioner.load(replace(bundle, hypotheses=bundle.hypotheses[1:2]), device="cpu")
    final = last(captioner.compare(picture))
    assert [column.id for column in final.columns] == ["hypothesis-0", "beam", "diverse-beam"]
    assert texts(final)["hypothesis-0"] == texts(snapshots[-1])["hypothesis-1"]


def test_columns_describe_themselves(tiny_captioner, snapshots):
    columns = tiny_captioner.columns(CompareOptions(num_beams=6, num_beam_groups=3))
    assert [column.id for column in columns] == IDS
    assert columns[0].label == "Hypothesis 0" and columns[0].description == "Random."
    assert "6 beams" in columns[3].description and "One adapter" in columns[3].description
    assert "3 groups" in columns[4].description and "One adapter" in columns[4].description
    assert [column.revises for column in columns] == [False, False, False, True, True]
    with_beams = tiny_captioner.columns(CompareOptions(hypothesis_beams=2, num_samples=1))
    assert [column.revises for column in with_beams] == [True, True, True, True, True, False]
    shown = [(column.id, column.method, column.label) for column in snapshots[-1].columns]
    assert shown == [(column.id, column.method, column.label) for column in tiny_captioner.columns()]


def test_the_bundle_gives_the_defaults(tiny_captioner):
    assert tiny_captioner.defaults == CompareOptions(num_beams=4, num_beam_groups=2, max_new_tokens=12)
    assert tiny_captioner.name == "bundle"


def test_an_image_in_memory(tiny_captioner, picture, snapshots):
    with Image.open(picture) as image:
        final = last(tiny_captioner.compare(image))
    assert final.media == "image"
    assert texts(final) == texts(snapshots[-1])


def test_options_reach_the_decoding(tiny_captioner, picture, snapshots):
    options = CompareOptions(num_beams=2, num_beam_groups=2, hypothesis_beams=3, max_new_tokens=5)
    final = last(tiny_captioner.compare(picture, options))
    assert [len(column.captions) for column in final.columns] == [1, 1, 1, 2, 2]
    assert max(caption.tokens for column in final.columns for caption in column.captions) <= 5
    for changed in ({"repetition_penalty": 50.0}, {"hypothesis_beams": 4}):
        other = last(tiny_captioner.compare(picture, replace(tiny_captioner.defaults, **changed)))
        assert other.captions("hypothesis") != snapshots[-1].captions("hypothesis")


def test_no_caption_ends_before_its_shortest_length(tiny_bundle, picture):
    captioner = Captioner.load(tiny_bundle, device="cpu")
    with Image.open(picture) as image:
        prompt = captioner._encode(image.convert("RGB"))
    (event,) = captioner._engine.decode(prompt, captioner._requests(captioner.defaults), max_new_tokens=1)
    # From now on, what the first hypothesis begins with ends a caption.
    captioner._model.model.generation_config.eos_token_id = list(event.columns["hypothesis-0"][0].tokens)
    captioner = Captioner(captioner.bundle, captioner._model, captioner._stack)

    def lengths(**options):
        final = last(captioner.compare(picture, replace(captioner.defaults, **options)))
        return [caption.tokens for column in final.columns for caption in column.captions]

    assert min(lengths()) == 1
    assert min(lengths(min_new_tokens=8)) > 8


def test_diverse_beams_differ_from_beams_by_the_penalty_only(tiny_captioner, picture):
    options = replace(tiny_captioner.defaults, num_beams=4, num_beam_groups=4, diversity_penalty=50.0)
    final = last(tiny_captioner.compare(picture, options))
    assert len({caption.text[:1] for caption in final.column("diverse-beam").captions}) == 4
    one_group = replace(options, num_beam_groups=1)
    final = last(tiny_captioner.compare(picture, one_group))
    assert texts(final)["diverse-beam"] == texts(final)["beam"]


def test_a_sampling_column_leaves_the_others_as_they_are(tiny_captioner, picture, snapshots):
    options = replace(tiny_captioner.defaults, num_samples=3, temperature=2.0)
    spec = tiny_captioner.columns(options)[-1]
    assert (spec.id, spec.method, spec.label) == ("sampling", "sampling", "Sampling")
    assert "drawn at random with One adapter" in spec.description
    final = last(tiny_captioner.compare(picture, options))
    *others, drawn = texts(final).items()
    assert dict(others) == texts(snapshots[-1])
    assert drawn[0] == "sampling" and len(set(drawn[1])) == 3
    assert texts(last(tiny_captioner.compare(picture, options)))["sampling"] == drawn[1]
    other_seed = last(tiny_captioner.compare(picture, replace(options, seed=1)))
    assert texts(other_seed)["sampling"] != drawn[1]


def test_acceleration_changes_no_caption(tiny_bundle, picture, snapshots):
    captioner = Captioner.load(tiny_bundle, device="cpu", acceleration="static")
    assert captioner._engine.options.acceleration == "static"
    for _ in range(2):
        assert texts(last(captioner.compare(picture))) == texts(snapshots[-1])


def test_what_is_loaded_has_the_dtype_and_the_revision_that_were_given(tiny_bundle, monkeypatch):
    captioner = Captioner.load(tiny_bundle, device="cpu", dtype=torch.bfloat16)
    layers = captioner._stack.layers.values()
    assert captioner._model.model.dtype == torch.bfloat16
    assert {tensor.dtype for layer in layers for tensor in (layer.lora_A, layer.lora_B)} == {torch.bfloat16}
    bundle, seen = load_bundle(tiny_bundle), []
    monkeypatch.setattr(
        ImageLanguageModel, "load", lambda base, **given: seen.append((base, given)) or captioner._model
    )
    monkeypatch.setattr(AdapterStack, "from_peft", lambda *_, **__: captioner._stack)
    Captioner.load(replace(bundle, base=BaseRef(id="owner/base", revision="abc123")), device="cpu")
    ((base, given),) = seen
    assert (base, given["revision"]) == ("owner/base", "abc123")


def test_what_load_is_given_arrives(tiny_bundle, tiny_captioner, picture, monkeypatch):
    bundle, asked, seen = replace(load_bundle(tiny_bundle), chat_template="its own"), [], []
    monkeypatch.setattr(
        "lora_mcl.captioner.load_bundle", lambda source, revision: asked.append((source, revision)) or bundle
    )
    monkeypatch.setattr(ImageLanguageModel, "load", lambda base, **given: seen.append(given) or tiny_captioner._model)
    monkeypatch.setattr(AdapterStack, "from_peft", lambda *_, **__: tiny_captioner._stack)
    shared = SchedulerOptions(max_rows=7)
    captioner = Captioner.load(
        "owner/bundle",
        revision="v2",
        dtype=torch.float16,
        device_map="auto",
        load_in_4bit=True,
        scheduler_options=shared,
        keep_prompts=1,
    )
    assert asked == [("owner/bundle", "v2")]
    (given,) = seen
    wanted = {"dtype": torch.float16, "device_map": "auto", "load_in_4bit": True, "chat_template": "its own"}
    assert given | wanted == given and captioner._scheduler._options is shared
    with Image.open(picture) as image:
        assert captioner._encode(image) is captioner._encode(image)
        for other in (tiny_captioner, Captioner(bundle, tiny_captioner._model, tiny_captioner._stack)):
            assert other._encode(image) is not other._encode(image)  # nothing is kept unless it is asked for


def test_a_placement_takes_the_place_of_a_device(tiny_bundle, picture, snapshots):
    assert texts(last(Captioner.load(tiny_bundle, device_map="cpu").compare(picture))) == texts(snapshots[-1])


def test_the_length_penalty_ranks_every_beam_column(tiny_captioner, picture):
    """Scores are sums over length ** penalty: with a penalty of 0 the order is that of the sums."""
    options = replace(tiny_captioner.defaults, length_penalty=0.0, hypothesis_beams=2)
    requests = {request.id: request.strategy for request in tiny_captioner._requests(options)}
    assert [requests[id].length_penalty for id in IDS] == [0.0] * 5
    final = last(tiny_captioner.compare(picture, options))
    sums = [caption.log_prob for caption in final.column("beam").captions]
    assert sums == sorted(sums, reverse=True)


def test_the_seconds_of_a_column_leave_out_the_encoding(tiny_captioner, picture, monkeypatch):
    encode = tiny_captioner._model.encode

    def slow_encode(*args, **kwargs):
        time.sleep(0.4)
        return encode(*args, **kwargs)

    monkeypatch.setattr(tiny_captioner._model, "encode", slow_encode)
    started = time.perf_counter()
    final = last(tiny_captioner.compare(picture))
    # The same clock, so the pause lies between the two however slow the machine is.
    assert all(0 < column.seconds <= final.seconds - 0.4 for column in final.columns)
    assert final.seconds <= time.perf_counter() - started


def test_placeholders_are_never_written_however_likely(tiny_bundle, picture, snapshots, monkeypatch):
    captioner = Captioner.load(tiny_bundle, device="cpu")
    model, (placeholder,) = captioner._model, captioner._model.media_token_ids
    with Image.open(picture) as image:
        prompt = captioner._encode(image.convert("RGB"))
    requests = captioner._requests(captioner.defaults)
    (event,) = captioner._engine.decode(prompt, requests, max_new_tokens=1)
    first = event.columns["hypothesis-0"][0].tokens[0]
    with torch.no_grad():
        output = model.model.lm_head.weight
        output[placeholder] = 2 * output[first]
    (event,) = captioner._engine.decode(prompt, requests, max_new_tokens=1)
    assert event.columns["hypothesis-0"][0].tokens == (placeholder,)
    written, text = [], model.text
    monkeypatch.setattr(model, "text", lambda tokens: written.extend(tokens) or text(tokens))
    final = last(captioner.compare(picture, replace(captioner.defaults, num_samples=3)))
    assert first in written and placeholder not in written
    assert final.captions("hypothesis") == snapshots[-1].captions("hypothesis")


def test_a_step_of_the_whole_page_is_one_forward(tiny_bundle, picture):
    captioner = Captioner.load(tiny_bundle, device="cpu")
    rows = []
    layer = captioner._model.model.model.language_model.layers[0]
    layer.register_forward_pre_hook(lambda module, args: rows.append(args[0].shape[:2]))
    options = replace(captioner.defaults, num_samples=2, hypothesis_beams=2)
    snapshots = list(captioner.compare(picture, options))
    # The first snapshot is empty; the prompt is read for three hypotheses and the baseline.
    assert len(rows) == len(snapshots) - 1
    assert rows[0][0] == 4 and max(count for count, _ in rows) == 3 * 2 + 4 + 4 + 2


def test_stop_keeps_what_is_written(tiny_captioner, picture, snapshots):
    asked = []

    def should_stop():
        asked.append(1)
        return len(asked) > 4

    stopped = list(tiny_captioner.compare(picture, should_stop=should_stop))
    final = stopped[-1]
    assert final.stopped and not final.done
    assert len(stopped) < len(snapshots)
    assert all(column.captions for column in final.columns)
    assert final.column("hypothesis-1").captions[0].tokens <= 4
    assert texts(last(tiny_captioner.compare(picture))) == texts(snapshots[-1])


def test_closing_early_frees_its_rows(tiny_captioner, picture, snapshots):
    iterator = tiny_captioner.compare(picture)
    for _ in range(3):
        next(iterator)
    iterator.close()
    assert texts(last(tiny_captioner.compare(picture))) == texts(snapshots[-1])


def test_an_error_while_decoding_frees_its_rows(tiny_captioner, picture, snapshots):
    def broken():
        raise RuntimeError("the page is gone")

    with pytest.raises(RuntimeError, match="the page is gone"):
        list(tiny_captioner.compare(picture, should_stop=broken))
    assert texts(last(tiny_captioner.compare(picture))) == texts(snapshots[-1])


def test_a_waiting_request_can_be_stopped(tiny_captioner, picture):
    busy = tiny_captioner.compare(picture)
    next(busy)
    next(busy)
    waiting = list(tiny_captioner.compare(picture, should_stop=lambda: True))
    assert waiting[-1].stopped and not any(column.captions for column in waiting[-1].columns)
    assert last(busy).done


def test_requests_from_many_threads_share_steps(tiny_captioner, picture, snapshots):
    longer = replace(tiny_captioner.defaults, max_new_tokens=20)
    expected = {12: texts(snapshots[-1]), 20: texts(last(tiny_captioner.compare(picture, longer)))}
    found = []

    def ask(options):
        found.append((options.max_new_tokens, texts(last(tiny_captioner.compare(picture, options)))))

    threads = [threading.Thread(target=ask, args=(options,)) for options in [tiny_captioner.defaults, longer] * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert len(found) == 6
    assert all(answer == expected[length] for length, answer in found)


def test_a_generator_may_be_resumed_by_another_thread(tiny_captioner, picture, snapshots):
    iterator = tiny_captioner.compare(picture)
    next(iterator)
    next(iterator)
    found = []
    thread = threading.Thread(target=lambda: found.append(last(iterator)))
    thread.start()
    thread.join(timeout=60)
    assert texts(found[0]) == texts(snapshots[-1])
    assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()


def test_weights_of_convolutions_are_laid_out_for_captioning_alone(tiny_captioner, tiny_base):
    """Other layouts than the plain one cannot be trained in shards."""
    for model, is_laid_out in ((tiny_captioner._model, True), (ImageLanguageModel.load(tiny_base), False)):
        weights = [module.weight for module in model.model.modules() if isinstance(module, nn.Conv2d)]
        assert weights
        for weight in weights:
            assert weight.is_contiguous(memory_format=torch.channels_last) == is_laid_out


def test_a_picture_of_one_colour_is_refused_by_name(tiny_captioner, tmp_path):
    Image.new("RGB", (40, 30), "red").save(tmp_path / "red.png")
    for ask in (tiny_captioner.compare, lambda media: tiny_captioner.score(media, "A cat.")):
        with pytest.raises(MediaError, match="red.png is one colour throughout"):
            ask(tmp_path / "red.png")


def test_a_bad_image_is_refused_at_once(tiny_captioner, tmp_path):
    (tmp_path / "empty.jpg").write_bytes(b"")
    with pytest.raises(MediaError, match="empty.jpg is empty"):
        tiny_captioner.compare(tmp_path / "empty.jpg")


def test_an_adapter_of_another_base_is_refused(tiny_bundle, tiny_base, tmp_path):
    config = json.loads((tiny_base / "config.json").read_text())
    config["text_config"]["intermediate_size"] = 48
    other = LlavaNextForConditionalGeneration.config_class.from_dict(config)
    LlavaNextForConditionalGeneration(other).save_pretrained(tmp_path / "base")
    AutoProcessor.from_pretrained(tiny_base).save_pretrained(tmp_path / "base")
    bundle = load_bundle(tiny_bundle)
    moved = replace(bundle, base=replace(bundle.base, path=str(tmp_path / "base")))
    with pytest.raises(BundleError, match="expected"):
        Captioner.load(moved, device="cpu")


def test_the_first_snapshot_comes_before_any_work(tiny_captioner, picture):
    first, *_, last = tiny_captioner.compare(picture)
    assert first.seconds == 0 and not first.done
    assert {(column.seconds, column.captions, column.done) for column in first.columns} == {(0, (), False)}
    assert [column.id for column in first.columns] == [column.id for column in last.columns] and last.seconds > 0
