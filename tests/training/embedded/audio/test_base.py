"""The embedded audio model before training, its data stream, and each training stage at a tiny scale."""

import importlib.util
import json
import random
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from transformers import Qwen2AudioEncoder, Qwen2AudioForConditionalGeneration, Qwen2AudioProcessor

from lora_mcl.bundle import load_bundle
from lora_mcl.models.qwen2_audio import AudioLanguageModel
from lora_mcl.trainer.batch import caption_nll
from tests.support.paths import ROOT
from training.embedded.audio import (
    align,
    base,
    bundle,
    card,
    evaluate,
    examples,
    features,
)
from training.embedded.audio.batches import PROMPT, VisitCollator, encode_prompts
from training.embedded.audio.build_base import LanguageModelSize, build_base, sample_captions
from training.embedded.audio.captions.grammar import MODES, load_grammar
from training.embedded.audio.captions.reader import read
from training.embedded.audio.features import Item
from training.embedded.audio.material.assets import Material
from training.embedded.audio.material.recordings import PACK_DIR
from training.embedded.audio.render.dsp import RATE
from training.embedded.audio.visits import CachedClips, CaptionVisits, Visit
from training.embedded.audio.whisper import whisper_config
from training.embedded.audio.world.lexicon import load_lexicon
from training.embedded.audio.world.scene import Event, Scene
from training.embedded.common.alignment import AlignmentLearner, naming_matrix
from training.embedded.common.base import BaseLearner, with_dropout
from training.embedded.common.comparison import RUNS, run_summary
from training.embedded.common.tables import filled
from training.embedded.common.tokenizer import train_tokenizer
from training.train import main as train

LEXICON = load_lexicon()
CONFIGS = ROOT / "training" / "configs" / "embedded" / "audio"


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    """The model with a tiny random tower that hears ten seconds, and a tiny language model."""
    folder = tmp_path_factory.mktemp("untrained")
    torch.manual_seed(0)
    config = whisper_config(layers=1)
    config.d_model, config.encoder_attention_heads, config.encoder_ffn_dim = 32, 2, 64
    size = LanguageModelSize(hidden_size=32, layers=1, heads=2, kv_heads=1, intermediate_size=48, vocab_size=600)
    build_base(folder, sample_captions(150, 0), size, encoder=Qwen2AudioEncoder(config))
    return folder


def test_stock_classes_load_it_and_nothing_is_missing(untrained):
    model, loading = Qwen2AudioForConditionalGeneration.from_pretrained(untrained, output_loading_info=True)
    assert not loading["missing_keys"] and not loading["unexpected_keys"]
    processor = Qwen2AudioProcessor.from_pretrained(untrained)
    extractor = processor.feature_extractor
    assert (extractor.nb_max_frames, extractor.sampling_rate, extractor.feature_size) == (1000, RATE, 80)
    assert (
        model.config.audio_token_id
        == processor.audio_token_id
        == processor.tokenizer.convert_tokens_to_ids("<|AUDIO|>")
    )
    stored = json.loads((untrained / "config.json").read_text(encoding="utf-8"))
    assert stored["dtype"] == "float16" and stored["audio_config"]["max_source_positions"] == 500


def test_any_text_survives_the_tokenizer(untrained):
    tokenizer = AudioLanguageModel.load(untrained).tokenizer
    for text in ("Un cœur bat, l'été : « ça grésille » — où ?", "日本 😀", *sample_captions(5, 1)):
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert tokenizer.decode(ids) == text
    small = train_tokenizer(["abab"], 280, {"audio_token": "<a>"})
    assert small.audio_token == "<a>" and small.convert_ids_to_tokens([0, 1, 2, 3]) == ["<pad>", "<s>", "</s>", "<a>"]


@pytest.mark.parametrize(("seconds", "positions"), [(10, 250), (5, 125), (0.5, 12)])
def test_a_prompt_holds_a_token_for_every_forty_milliseconds(untrained, seconds, positions):
    media = AudioLanguageModel.load(untrained)
    ids = media.prompt_ids(round(seconds * RATE), PROMPT)[0]
    assert (ids == media.model.config.audio_token_id).sum() == positions
    text = media.tokenizer.decode(ids)
    assert text.startswith("<s><|audio_bos|>") and text.endswith(f"<|audio_eos|>{PROMPT}\n")


def test_a_training_example_is_what_the_chat_template_makes_of_the_conversation(untrained):
    """Prompt and caption as trained on are the ids of the whole exchange: the app asks what training taught."""
    media = AudioLanguageModel.load(untrained)
    visit = Visit(torch.zeros(12, 32), 8000, "A dog barks.", "en-events", Item(Scene(None, (Event("dog"),)), ()))
    batch = VisitCollator(media)([visit])
    turns = [
        {
            "role": "user",
            "content": [{"type": "audio", "audio": np.zeros(8000, np.float32)}, {"type": "text", "text": PROMPT}],
        },
        {"role": "assistant", "content": [{"type": "text", "text": visit.caption}]},
    ]
    whole = media.processor.apply_chat_template(turns, tokenize=True, return_dict=True, return_tensors="pt")[
        "input_ids"
    ]
    assert torch.equal(torch.cat([batch["input_ids"], batch["captions"]], dim=1), whole)


def test_cached_features_give_the_stock_models_loss(untrained):
    media = AudioLanguageModel.load(untrained)
    rng = np.random.default_rng(0)
    waves = [(0.1 * rng.standard_normal(80_000)).astype(np.float32) for _ in range(2)]
    tokens = torch.from_numpy(features.encode_clips(media, waves).astype(np.float32))
    item = Item(Scene(None, (Event("dog"),)), (((0.0, 1.0),),))
    texts = ["A dog barks.", "Un chien aboie."]
    found = [Visit(t, 80_000, text, "en-events", item) for t, text in zip(tokens, texts, strict=True)]
    batch = VisitCollator(media)(found)
    nll = caption_nll(media.model, encode_prompts(media.model, batch), batch["captions"])
    for row, (wave, text) in enumerate(zip(waves, texts, strict=True)):
        inputs = media.inputs(wave, PROMPT)
        caption = torch.tensor(
            [[*media.tokenizer(text, add_special_tokens=False)["input_ids"], media.eos_token_ids[0]]]
        )
        ids = torch.cat([inputs["input_ids"], caption], dim=1)
        labels = torch.cat([torch.full_like(inputs["input_ids"], -100), caption], dim=1)
        loss = media.model(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            input_features=inputs["input_features"],
            feature_attention_mask=inputs["feature_attention_mask"],
            labels=labels,
        ).loss
        assert nll[row] == pytest.approx(float(loss), abs=2e-3)


# The stream.


def clips(count: int, samples: int, seed: int = 0) -> CachedClips:
    rng = random.Random(seed)
    items = tuple(Item(Scene("rain", (Event(rng.choice(LEXICON.events)),)), (((0.5, 1.0),),)) for _ in range(count))
    array = np.random.default_rng(seed).standard_normal((count, samples // 640, 32)).astype(np.float16)
    return CachedClips(items, (array,), tuple((0, row) for row in range(count)), samples)


def test_batches_hold_clips_of_one_length_and_every_clip_has_its_turn():
    long, short = clips(10, 160_000), clips(6, 80_000, 1)
    stream = CaptionVisits([(long, 0.5), (short, 0.5)], load_grammar(), 400, 4, 0)
    heard = {160_000: [], 80_000: []}
    for start in range(0, 400, 4):
        block = [stream[number] for number in range(start, start + 4)]
        assert len({visit.num_samples for visit in block}) == 1
        heard[block[0].num_samples] += [visit.item for visit in block]
    for source in (long, short):
        found = heard[source.num_samples]
        assert len(found) > 40
        for lap in range(len(found) // len(source)):
            assert set(map(id, found[lap * len(source) : (lap + 1) * len(source)])) == set(map(id, source.items))


def test_a_visit_depends_on_its_number_alone():
    sources = [(clips(10, 160_000), 0.4), (clips(6, 80_000, 1), 0.6)]
    one, other = (CaptionVisits(sources, load_grammar(), 60, 4, seed=3) for _ in range(2))
    numbers = list(range(60))
    forward = [(one[n].caption, one[n].mode) for n in numbers]
    random.Random(0).shuffle(numbers)
    assert all((other[n].caption, other[n].mode) == forward[n] for n in numbers)
    assert {mode for _, mode in forward} == set(MODES)
    unequal = CaptionVisits(sources, load_grammar(), 60, 4, 3, mode_shares=(0.0, 0.0, 1.0))
    assert {unequal[n].mode for n in range(60)} == {"fr-events"}
    another = CaptionVisits(sources, load_grammar(), 60, 4, seed=4)
    assert [another[n].caption for n in range(60)] != [caption for caption, _ in forward]
    with pytest.raises(IndexError):
        one[60]


def test_all_annotators_caption_a_clip_that_is_read_once(untrained):
    sources = [(clips(6, 80_000), 1.0)]
    one, all_three = (CaptionVisits(sources, load_grammar(), 8, 4, 0, all_modes=every) for every in (False, True))
    visits = [all_three[number] for number in range(4)]
    assert [visit.caption for visit in visits] == [one[number].caption for number in range(4)]
    for visit in visits:
        rest = {read(text).mode for text in visit.others}
        assert {visit.mode, *rest} == set(MODES) and len(rest) == 2
    media = AudioLanguageModel.load(untrained)
    collate, learner = VisitCollator(media), BaseLearner(media.model, media.model.model.audio_tower, encode_prompts, 0)
    loss = learner.eval()(**collate(visits))
    apart = [
        learner(**collate([replace(visit, caption=text, others=()) for visit, text in zip(visits, texts, strict=True)]))
        for texts in zip(*((visit.caption, *visit.others) for visit in visits), strict=True)
    ]
    assert loss.item() == pytest.approx(torch.stack(apart).mean().item(), abs=1e-5) and len(apart) == 3
    loss.backward()
    shared = {name: weight.grad.clone() for name, weight in learner.trainable_parameters()}
    learner.zero_grad()
    torch.stack(apart).mean().backward()
    assert all(torch.allclose(weight.grad, shared[name], atol=1e-6) for name, weight in learner.trainable_parameters())


def test_shares_must_sum_to_one_and_features_must_be_there(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="sum to 1"):
        CaptionVisits([(clips(2, 80_000), 0.4)], load_grammar(), 8, 4, 0)
    monkeypatch.setattr(features, "CACHE_DIR", tmp_path)
    with pytest.raises(FileNotFoundError, match="--split train"):
        CachedClips.open("train")


# Alignment.


def test_names_have_no_articles():
    assert align.names(LEXICON.sounds["dog"].clause) == ("dog barks", "chien aboie")
    assert align.names(LEXICON.sounds["drip"].clause) == ("water drips", "eau goutte")
    assert align.names(LEXICON.sounds["spark"].clause) == ("electricity crackles", "électricité grésille")


def test_alignment_knows_when_a_sound_is_heard():
    scene = Scene("rain", (Event("dog", 2), Event("saw")))
    item = Item(scene, (((1.0, 1.2), (2.0, 2.2)), ((3.0, 4.0),)))
    visits = [
        Visit(torch.zeros(125, 8), 80_000, "", "en-events", item),
        Visit(torch.zeros(125, 8), 80_000, "", "en-events", Item(Scene("sea", ()), ())),
    ]
    batch = align.AlignmentCollator(("cat", "dog", "saw"), ("wind", "rain"))(visits)
    assert batch["medium"].tolist() == [0, 0] and batch["thing"].tolist() == [1, 2]
    assert batch["place"].tolist() == [1, -100] and batch["here"].shape == (2, 125)
    # Positions are 40 ms: number 26 is at 1.06 s, 40 at 1.62 s, 52 at 2.1 s, 87 at 3.5 s.
    dog, saw = batch["here"]
    assert dog[[26, 52]].all() and not dog[[0, 40, 87]].any() and saw[87] and not saw[[26, 52, 110]].any()
    alone = align.AlignmentCollator(("dog",), ("wind",))(visits[1:])
    assert alone["here"].shape == (0, 125) and alone["medium"].dtype == torch.long


def alignment_learner(folder):
    media = AudioLanguageModel.load(folder)
    torch.manual_seed(0)
    vocab = media.model.get_input_embeddings().weight.shape[0]
    matrix = naming_matrix([("dog barks", "chien aboie"), ("cat meows", "chat miaule")], media.tokenizer, vocab)
    assert torch.allclose(matrix.sum(1), torch.ones(2))
    return AlignmentLearner(media.model, matrix, matrix, dropout=0.1)


def test_alignment_learns_what_is_heard_among_noise(untrained):
    learner = alignment_learner(untrained).train()
    directions = torch.randn(2, 32)
    optimizer = torch.optim.Adam([weight for _, weight in learner.trainable_parameters()], lr=3e-3)

    def batch(generator):
        """One telling position of ten, somewhere where the sound may be heard."""
        sounds = torch.randint(0, 2, (16,), generator=generator)
        tokens = torch.randn(16, 10, 32, generator=generator)
        at = torch.randint(0, 10, (16,), generator=generator)
        tokens[torch.arange(16), at] = 3 * directions[sounds]
        return tokens, torch.arange(16), sounds, torch.ones(16, 10, dtype=torch.bool), torch.full((16,), -100)

    generator = torch.Generator().manual_seed(1)
    first = learner(*batch(generator)).item()
    for _ in range(120):
        optimizer.zero_grad()
        learner(*batch(generator)).backward()
        optimizer.step()
    learner.eval()
    tokens, medium, sounds, here, place = batch(generator)
    assert learner(tokens, medium, sounds, here, place).item() < 0.3 * first
    assert (learner.scores(tokens, medium, here)[0].argmax(1) == sounds).float().mean() > 0.9
    assert not any("audio_tower" in name for name, _ in learner.trainable_parameters())


def test_alignment_of_nothing_known_is_zero_with_a_gradient(untrained):
    learner = alignment_learner(untrained)
    empty = torch.zeros(0, dtype=torch.long)
    here = torch.zeros(0, 10, dtype=torch.bool)
    loss = learner(torch.randn(2, 10, 32), empty, empty, here, torch.tensor([-100, -100]))
    loss.backward()
    assert loss.item() == 0
    placed = learner(torch.randn(2, 10, 32), empty, empty, here, torch.tensor([1, -100]))
    assert placed.item() > 0


def test_a_share_of_the_features_is_hidden_in_training_only():
    torch.manual_seed(0)
    batch = {"features": [torch.ones(40, 50), torch.ones(20, 50)], "captions": torch.ones(2, 3)}
    hidden = with_dropout(batch, 0.2, training=True)
    assert hidden["captions"] is batch["captions"]
    for one in hidden["features"]:
        assert set(one.unique().tolist()) == {0.0, 1.25}, "what is left is scaled up"
        assert 0.15 < (one == 0).float().mean() < 0.25
    heard = with_dropout(batch, 0.2, training=False)["features"]
    assert all(torch.equal(one, two) for one, two in zip(heard, batch["features"], strict=True))


# The whole road, once, on the committed pack: what the commands do, cut to a few clips and steps.


@pytest.mark.slow
def test_every_stage_runs_and_goes_on_where_it_stopped(untrained, tmp_path, monkeypatch):
    home = tmp_path / "audio"
    for module, names in (
        (features, {"CACHE_DIR": "features", "UNTRAINED_DIR": "untrained"}),
        (align, {"ALIGNED_DIR": "aligned", "CHECKPOINTS_DIR": "align-checkpoints", "UNTRAINED_DIR": "untrained"}),
        (base, {"BASE_DIR": "base", "CHECKPOINTS_DIR": "base-checkpoints", "ALIGNED_DIR": "aligned"}),
        (evaluate, {"ADAPTERS_DIR": "adapters", "BASE_DIR": "base", "ALIGNED_DIR": "aligned", "RESULTS": "audio.json"}),
        (bundle, {"ADAPTERS_DIR": "adapters", "BASE_DIR": "base", "MODEL_DIR": "models", "BUNDLE_DIR": "bundles"}),
    ):
        for name, folder in names.items():
            monkeypatch.setattr(module, name, home / folder)
    monkeypatch.setattr(bundle, "BASE_FROM_BUNDLE", "../models")
    for module in (features, evaluate):
        monkeypatch.setattr(module, "load_material", lambda split: Material(split, PACK_DIR))
    monkeypatch.setattr(evaluate, "MAX_NEW_TOKENS", 4)
    home.mkdir()
    (home / "untrained").symlink_to(untrained)
    for split, count in (("train", 6), ("train-short", 6), ("test", 4), ("seen", 4)):
        folder = features.write_shard(split, 0, count)
        stamp = (folder / "tokens.npy").stat().st_mtime_ns
        assert features.write_shard(split, 0, count) == folder and (folder / "tokens.npy").stat().st_mtime_ns == stamp
        digest = folder / features.TOLD_DIGEST
        digest.write_text((made_with := digest.read_text()) + "0")
        with pytest.raises(ValueError, match=rf"another told.csv: delete .*{split} .*--split {split}`"):
            features.read_shard(folder)
        digest.write_text(made_with)
        items, tokens = features.read_shard(folder)
        assert len(items) == len(tokens) == count and tokens.shape[1:] == (125 if split == "train-short" else 250, 32)
    align.train(steps=2, batch_size=2, learning_rate=1e-3, seed=0)
    base.train(steps=2, batch_size=2, learning_rate=1e-3, seed=0)
    for name in [
        *RUNS,
        "mle",
    ]:  # a finished run is not run again: it resumes from its last checkpoint, which is its end
        words = [f"output={home}/adapters/{name}", f"model.base={home}/base", f"data.path={home}/features"]
        words += ["data.workers=0", "training.steps=2", "training.batch_size=2", "training.log_every=1"]
        assert train([str(CONFIGS / f"{name}.yaml"), *words]) == 0
    media = AudioLanguageModel.load(home / "base")
    stack = evaluate.load_stack(media, home / "adapters")
    results = {split: evaluate.evaluate(media, stack, split, 2) for split in ("test", "seen")}
    results["training"] = {
        "align": json.loads((home / "aligned" / "training.json").read_text(encoding="utf-8")),
        "caption-gate": run_summary(home / "adapters", "caption-gate"),
    }
    assert results["test"]["clips"] == 4 and results["test"]["captioned"] == 2
    bundle.write_bundle(results)
    made = load_bundle(home / "bundles")
    main = results["test"]["likelihood"]["caption-gate"]["stability"]["main"]
    assert made.modality == "audio" and made.baseline is not None and made.gate == "gate"
    assert made.hypotheses == bundle.hypothesis_refs(main)
    assert (home / "models" / "model.safetensors").is_file() and not (home / "models" / "training.json").exists()
    passages = card.blocks(results)
    for template in card.CARDS:
        text = template.read_text(encoding="utf-8")
        whole = filled(text, passages)
        assert set(re.findall(r"<!-- (audio_\w+) -->", text)) <= set(passages)
        assert "English, scene and mood" in whole and filled(whole, passages) == whole
    assert "On 2 test clips" in passages["audio_headline"]


def test_hypotheses_are_named_after_what_they_win():
    labels = [ref.label for ref in bundle.hypothesis_refs([2, 0, 1])]
    assert labels == ["English, scene and mood", "French, events", "English, events"]
    assert [ref.label for ref in bundle.hypothesis_refs([1, 1, 0])][2] == "Hypothesis 3"


def test_cards_leave_other_passages_alone():
    text = "a <!-- mine -->\nold\n<!-- /mine --> b <!-- other -->\nkept\n<!-- /other -->"
    assert filled(text, {"mine": "new"}) == text.replace("old", "new")
    assert filled("<!-- mine -->\n<!-- /mine -->", {"mine": "new"}) == "<!-- mine -->\nnew\n<!-- /mine -->"


def test_examples_are_ten_clips_of_the_pack(tmp_path):
    assert len(examples.EXAMPLES) >= 8 and len({one.title for one in examples.EXAMPLES}) == len(examples.EXAMPLES)
    listed = json.loads((examples.EXAMPLES_DIR / "examples.json").read_text(encoding="utf-8"))
    assert [entry["title"] for entry in listed] == [one.title for one in examples.EXAMPLES]
    one = examples.EXAMPLES[0]
    entry = examples.write(one, Material("test" if one.split == "test" else "train", PACK_DIR), tmp_path)
    waves = [soundfile.read(folder / entry["file"])[0] for folder in (tmp_path, examples.EXAMPLES_DIR)]
    # Opus decoders may differ in the last bits.
    assert waves[0].shape == waves[1].shape == (160_000,) and np.abs(waves[0] - waves[1]).max() < 0.01


def test_every_documented_command_is_there():
    text = (Path(align.__file__).with_name("README.md")).read_text(encoding="utf-8")
    commands = re.findall(r"^python -m (training\.audio\.\w+)((?: --?[\w-]+(?: [\w-]+)?)*)", text, re.M)
    assert len(commands) == 14
    for module, options in commands:
        source = Path(importlib.util.find_spec(module).origin).read_text(encoding="utf-8")
        for flag in re.findall(r"--[\w-]+", options):
            assert f'"{flag}"' in source, f"{module} has no {flag}"
    listed = set(re.findall(r"`(\w+\.(?:py|csv))`", text))
    folder = {path.name for path in Path(align.__file__).parent.iterdir() if path.suffix in (".py", ".csv")}
    assert listed == folder - {"__init__.py"}
