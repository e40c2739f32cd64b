"""From files to what the Trainer learns from: both forms of batches and the cache agree; broken files are skipped."""

import logging
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from peft import LoraConfig
from PIL import Image
from torch.utils.data import DataLoader
from transformers import TrainingArguments

from lora_mcl.audio import load_window
from lora_mcl.errors import OptionsError
from lora_mcl.models import AudioLanguageModel, ImageLanguageModel
from lora_mcl.objectives import ObjectiveOptions
from lora_mcl.trainer import Batch, MultipleChoiceLearner, MultipleChoiceTrainer
from tests.support.clip_base import clip_base
from tests.support.tiny_audio import chirp, tone
from training.data import DataError, DataOptions, load_examples
from training.data.cache import open_cache
from training.data.collator import ModelCollator, PromptCollator, encode_prompts
from training.data.dataset import train_dataset, validation_dataset
from training.data.example import Example
from training.data.preprocess import estimate_positions, load_media_inputs

CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def photos(folder: Path) -> None:
    """Six pictures of several shapes and texts of several lengths."""
    folder.mkdir()
    for number, (width, height) in enumerate([(40, 40), (64, 32), (32, 64), (90, 50), (48, 48), (33, 70)]):
        noise = np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{number}.png")
        lines = ["A red apple and two cats.", "Une pomme."][: 1 + number % 2]
        (folder / f"{number}.txt").write_text("\n".join(lines), encoding="utf-8")


def sounds(folder: Path) -> None:
    """Six sounds of several lengths, one longer than the model's input, and rates."""
    folder.mkdir()
    for number, seconds in enumerate([0.3, 0.8, 1.6, 0.5, 0.9, 0.4]):
        rate = (8_000, 44_100)[number % 2]
        soundfile.write(folder / f"{number}.wav", chirp(seconds, rate), rate)
        lines = ["A dog barks twice while it rains.", "Un chien."][: 1 + number % 2]
        (folder / f"{number}.txt").write_text("\n".join(lines), encoding="utf-8")


@pytest.fixture(scope="module", params=["image", "audio"])
def model(request):
    base = request.getfixturevalue("tiny_base" if request.param == "image" else "tiny_audio_base")
    return (ImageLanguageModel if request.param == "image" else AudioLanguageModel).load(base)


@pytest.fixture
def folder(model, tmp_path) -> Path:
    (photos if model.modality == "image" else sounds)(tmp_path / "data")
    return tmp_path / "data"


def batch_of(dataset, collator, numbers=None):
    return collator([dataset[number] for number in (numbers or range(len(dataset)))])


@torch.no_grad()
def nll_of_prompts(model, batch, cache=None):
    return encode_prompts(model, batch, cache).with_captions(model.model, batch["captions"]).nll(model.model)


def test_both_forms_of_a_batch_and_the_cache_give_the_same_likelihood(model, folder, tmp_path):
    options = DataOptions("folder", str(folder))
    examples = load_examples(options)
    dataset = validation_dataset(examples, options, model, "Describe.")
    assert len(dataset) == 9
    prompts, collated = batch_of(dataset, PromptCollator(model)), batch_of(dataset, ModelCollator(model))
    with torch.no_grad():
        stock = Batch.from_collated(collated).nll(model.model)
    ours = nll_of_prompts(model, prompts)
    torch.testing.assert_close(ours.mean, stock.mean, **CLOSE)
    assert ours.tokens.equal(stock.tokens)
    # One by one, without any padding.
    for number in range(9):
        alone = nll_of_prompts(model, batch_of(dataset, PromptCollator(model), [number]))
        torch.testing.assert_close(alone.mean[0], ours.mean[number], **CLOSE)
    cache = open_cache(str(tmp_path / "cache"), 1, model)
    dataset = validation_dataset(examples, options, model, "Describe.", cache=cache)
    first = batch_of(dataset, PromptCollator(model))
    assert not any(first["cached"])
    torch.testing.assert_close(nll_of_prompts(model, first, cache).mean, stock.mean, **CLOSE)
    again = batch_of(dataset, PromptCollator(model))
    assert all(again["cached"]) and len(list((tmp_path / "cache").rglob("*.safetensors"))) == 6
    assert again["input_ids"].equal(first["input_ids"])
    torch.testing.assert_close(nll_of_prompts(model, again, cache).mean, stock.mean, **CLOSE)


def test_a_share_of_the_features_is_hidden_in_training_only(model, folder, tmp_path):
    options = DataOptions("folder", str(folder), feature_cache=str(tmp_path / "cache"))
    cache = open_cache(options.feature_cache, 1, model)
    dataset = validation_dataset(load_examples(options), options, model, "Describe.", cache=cache)
    batch = batch_of(dataset, PromptCollator(model))
    with torch.no_grad():
        plain = encode_prompts(model, batch, cache).inputs_embeds
        assert encode_prompts(model, batch, cache, dropout=0.5).inputs_embeds.equal(plain)
        model.model.train()
        hidden = encode_prompts(model, batch, cache, dropout=0.5).inputs_embeds
        model.model.eval()
        # What is kept for later is whole.
        assert encode_prompts(model, batch_of(dataset, PromptCollator(model)), cache).inputs_embeds.allclose(
            plain, atol=1e-6
        )
    assert not hidden.equal(plain) and hidden.shape == plain.shape


def test_images_of_several_tiles(tmp_path):
    """Laid out as the published LLaVA-1.6 models are: batches hold images of different numbers of tiles."""
    clip_base(tmp_path / "base", -2)
    model = ImageLanguageModel.load(tmp_path / "base")
    photos(tmp_path / "data")
    options = DataOptions("folder", str(tmp_path / "data"))
    cache = open_cache(str(tmp_path / "cache"), 1, model)
    dataset = validation_dataset(load_examples(options), options, model, "Caption:", cache=cache)
    first = batch_of(dataset, PromptCollator(model))
    assert len({len(medium["pixel_values"]) for medium in first["media"]}) > 1
    ours = nll_of_prompts(model, first, cache)
    plain = validation_dataset(load_examples(options), options, model, "Caption:")
    with torch.no_grad():
        stock = Batch.from_collated(batch_of(plain, ModelCollator(model))).nll(model.model)
    torch.testing.assert_close(ours.mean, stock.mean, **CLOSE)
    again = batch_of(dataset, PromptCollator(model))
    assert all(again["cached"])
    torch.testing.assert_close(nll_of_prompts(model, again).mean, stock.mean, **CLOSE)


def test_targets_are_the_caption_in_the_prompt_that_captioning_gives(model, folder):
    options = DataOptions("folder", str(folder))
    dataset = train_dataset(load_examples(options), options, model, "Describe.", epochs=2, batch_size=2, seed=1)
    assert len(dataset) == 12 == 2 * dataset.epoch_length
    for number in (0, 5, 11):
        sample, (index, caption) = dataset[number], dataset.sampler.example_and_caption(number)
        example = dataset.examples[index]
        assert sample.caption[:-1] == dataset.caption_ids(number) and sample.caption[-1] in model.eos_token_ids
        assert model.text(dataset.caption_ids(number)) == example.captions[caption]
        if model.modality == "image":
            expected = model.inputs(Image.open(example.media), "Describe.")
        else:
            samples, rate = soundfile.read(example.media, dtype="float32")
            seconds = min(len(samples) / rate, model.max_seconds)
            expected = {"input_ids": model.prompt_ids(round(seconds * model.sampling_rate), "Describe.")}
        assert sample.prompt.equal(expected["input_ids"][0])


def test_positions_are_estimated_from_the_header(model, folder):
    examples = load_examples(DataOptions("folder", str(folder)))
    guesses = [estimate_positions(model, example) for example in examples]
    assert all(guess > 0 for guess in guesses)
    if model.modality == "audio":
        assert guesses == [8, 20, 25, 12, 22, 10]  # 25 a second, and 1 s at most
    (folder / "0.png").write_bytes(b"")
    (folder / "0.wav").write_bytes(b"no sound")
    assert estimate_positions(model, examples[0]) == 0


def spoil(folder: Path, number: int) -> str:
    """Damage one file; return its name."""
    (file,) = (file for file in folder.glob(f"{number}.*") if file.suffix != ".txt")
    file.write_bytes(file.read_bytes()[:30])
    return file.name


def test_a_broken_file_is_named_skipped_and_counted(model, folder, caplog):
    names = {spoil(folder, number) for number in (1, 4)}
    options = DataOptions("folder", str(folder), max_broken=2)
    dataset = train_dataset(load_examples(options), options, model, "Describe.", epochs=3, batch_size=6, seed=0)
    with caplog.at_level(logging.WARNING, logger="training.data"):
        batch = batch_of(dataset, PromptCollator(model), range(6))
        batch_of(dataset, PromptCollator(model), range(6, 12))
    assert {Path(name).name for name in dataset.broken} == names
    warnings = [record.getMessage() for record in caplog.records if record.name.startswith("training")]
    assert len(warnings) == 2  # once each, in two epochs
    assert all(any(name in text and "of at most 2" in text for text in warnings) for name in names)
    result = nll_of_prompts(model, batch)
    assert result.valid.sum() == 4 and result.mean.isfinite().all()
    alone = [dataset.sampler.example_and_caption(number)[0] in (1, 4) for number in range(6)].index(True)
    assert nll_of_prompts(model, batch_of(dataset, PromptCollator(model), [alone])).tokens.tolist() == [0]
    strict = DataOptions("folder", str(folder), max_broken=1)
    dataset = train_dataset(load_examples(strict), strict, model, "Describe.", epochs=1, batch_size=6, seed=0)
    with pytest.raises(
        DataError, match=r"2 media cannot be decoded, and max_broken is 1; the last is .*[14]\.(png|wav)"
    ):
        batch_of(dataset, PromptCollator(model))


def test_validation_is_filled_up_with_visits_that_teach_nothing(model, folder):
    options = DataOptions("folder", str(folder))
    examples = load_examples(options)
    plain = validation_dataset(examples, options, model, "Describe.")
    filled = validation_dataset(examples, options, model, "Describe.", multiple_of=4)
    assert (len(plain), len(filled)) == (9, 12)
    tokens = nll_of_prompts(model, batch_of(filled, PromptCollator(model))).tokens.tolist()
    assert tokens == [len(plain[number].caption) for number in range(9)] + [0, 0, 0]
    assert filled.broken == []


def test_the_length_of_training_is_set_in_one_way(model, folder):
    options = DataOptions("folder", str(folder))
    examples = load_examples(options)
    assert len(train_dataset(examples, options, model, "Describe.", length=7, batch_size=1, seed=0)) == 7
    for both in ({}, {"epochs": 1, "length": 7}):
        with pytest.raises(OptionsError, match="either epochs or length"):
            train_dataset(examples, options, model, "Describe.", batch_size=1, seed=0, **both)


def test_workers_are_sent_no_weights(model, folder):
    options = DataOptions("folder", str(folder))
    dataset = train_dataset(load_examples(options), options, model, "Describe.", epochs=1, batch_size=1, seed=0)
    light = dataset._model
    assert type(light) is type(model) and all(weight.is_meta for weight in light.model.parameters())
    assert light.eos_token_ids == model.eos_token_ids and light.model.name_or_path == model.model.name_or_path
    assert not any(
        value is model or value is model.model for value in [*vars(dataset).values(), *vars(dataset.labels).values()]
    )


def test_workers_count_broken_files_together(model, folder):
    for number in (0, 2, 3):
        spoil(folder, number)
    options = DataOptions("folder", str(folder), max_broken=2)
    dataset = train_dataset(load_examples(options), options, model, "Describe.", epochs=1, batch_size=1, seed=0)
    loader = DataLoader(dataset, batch_size=1, collate_fn=PromptCollator(model), num_workers=2)
    with pytest.raises(DataError, match=r"3 media cannot be decoded, and max_broken is 2"):
        list(loader)
    assert len(dataset.broken) == 3


def test_a_command_in_a_caption_is_refused_before_training(model, folder):
    (folder / "3.txt").write_text(f"A {model.placeholder} b")
    options = DataOptions("folder", str(folder))
    with pytest.raises(DataError, match="which the model takes for a command"):
        train_dataset(load_examples(options), options, model, "Describe.", epochs=1, batch_size=1, seed=0)


def test_media_of_a_dataset(model, folder, tmp_path):
    import datasets

    files = sorted(file for file in folder.iterdir() if file.suffix != ".txt")
    kind = datasets.Image if model.modality == "image" else datasets.Audio
    rows = {model.modality: [{"bytes": file.read_bytes(), "path": None} for file in files], "caption": ["A cat."] * 6}
    rows = datasets.Dataset.from_dict(rows).cast_column(model.modality, kind(decode=False))
    rows.save_to_disk(tmp_path / "saved")
    options = DataOptions("hub", str(tmp_path / "saved"))
    dataset = validation_dataset(load_examples(options), options, model, "Describe.")
    direct = DataOptions("folder", str(folder), bucket_by_length=False)
    of_files = validation_dataset(load_examples(direct), direct, model, "Describe.")
    firsts = [number for number in range(9) if of_files.sampler.example_and_caption(number)[1] == 0]
    for ours, number in zip(range(6), firsts, strict=True):
        for name, tensor in of_files[number].tensors.items():
            assert dataset[ours].tensors[name].equal(tensor)


def test_the_cache_keeps_to_its_limit_and_to_what_made_it(model, folder, tmp_path, caplog):
    options = DataOptions("folder", str(folder))
    examples = load_examples(options)

    def run(gib: float, processes: int = 1, model=model) -> int:
        cache = open_cache(str(tmp_path / "cache"), gib, model, processes=processes)
        dataset = validation_dataset(examples, options, model, "Describe.", cache=cache)
        batch = batch_of(dataset, PromptCollator(model))
        nll_of_prompts(model, batch, cache)
        return sum(batch["cached"])

    def files() -> list[Path]:
        return list((tmp_path / "cache").rglob("*.safetensors"))

    with caplog.at_level(logging.WARNING, logger="training.data"):
        assert run(1e-9) == 0 and not files()
    assert [record.getMessage() for record in caplog.records if "is full" in record.getMessage()]
    run(1)
    size = max(file.stat().st_size for file in files())
    for file in files():
        file.unlink()
    limit = 3.5 * size / 2**30

    def taken() -> int:
        return sum(file.stat().st_size for file in files())

    run(limit, processes=2)
    assert 0 < taken() <= 3.5 * size / 2
    run(limit)
    assert 3 <= len(files()) < 6 and taken() <= 3.5 * size
    # An unreadable answer is computed again; another tower has answers of its own.
    run(1)
    assert run(1) == 9
    files()[0].write_bytes(b"cut off")
    assert 7 <= run(1) < 9 and run(1) == 9
    other = type(model).load(model.model.name_or_path)
    with torch.no_grad():
        next(other.model.get_submodule(model.media_modules[0]).parameters()).add_(1)
    assert run(1, model=other) == 0


def test_a_cache_that_cannot_be(model, folder):
    (folder / "file").write_text("")
    with pytest.raises(OptionsError, match=r"feature_cache .*file.* cannot be written to"):
        open_cache(str(folder / "file"), 1, model)
    assert open_cache("", 1, model) is None
    tower = model.model.get_submodule(model.media_modules[0])
    tower.requires_grad_(True)
    with pytest.raises(OptionsError, match="the media tower learns or carries adapters"):
        open_cache(str(folder / "cache"), 1, model)
    tower.requires_grad_(False)


@pytest.mark.parametrize("form", ["prompts", "model"])
def test_the_trainer_learns_from_a_folder_with_a_broken_file(model, folder, tmp_path, form):
    spoil(folder, 2)
    options = DataOptions("folder", str(folder), workers=2, feature_cache=str(tmp_path / "cache"))
    examples = load_examples(options)
    fresh = type(model).load(model.model.name_or_path)
    config = LoraConfig(r=4, lora_alpha=8, target_modules=r"model\.language_model\..*(q|v)_proj")
    relaxed = ObjectiveOptions("relaxed", epsilon=0.1)
    learner = MultipleChoiceLearner.attach(fresh.model, config, 2, relaxed)
    cache = open_cache(options.feature_cache, 1, fresh) if form == "prompts" else None
    if form == "prompts":
        more = {
            "encode_prompts": lambda batch: encode_prompts(fresh, batch, cache),
            "data_collator": PromptCollator(fresh),
        }
    else:
        more = {"data_collator": ModelCollator(fresh)}
    trainer = MultipleChoiceTrainer(
        learner,
        TrainingArguments(
            str(tmp_path / "run"),
            num_train_epochs=1,
            per_device_train_batch_size=3,
            learning_rate=2e-2,
            logging_steps=4,
            train_sampling_strategy="sequential",
            dataloader_num_workers=options.workers if form == "prompts" else 0,
            remove_unused_columns=False,
            report_to=[],
            use_cpu=True,
        ),
        train_dataset=train_dataset(examples, options, fresh, "Describe.", epochs=8, batch_size=3, seed=0, cache=cache),
        eval_dataset=validation_dataset(examples, options, fresh, "Describe.", cache=cache),
        **more,
    )
    before = trainer.evaluate()
    trainer.train()
    after = trainer.evaluate()
    logs = [entry for entry in trainer.state.log_history if "loss" in entry]
    assert sum(entry["skipped"] for entry in logs) == 8 and before["eval_skipped"] == 1
    assert after["eval_loss"] < before["eval_loss"] - 0.5
    if form == "prompts":
        assert len(list((tmp_path / "cache").rglob("*.safetensors"))) == 5


def test_a_sound_is_learned_from_where_captioning_begins(tiny_audio_base, tmp_path):
    """The model takes 1 s: not the silence before the first sound."""
    model = AudioLanguageModel.load(tiny_audio_base)
    file = tmp_path / "late.wav"
    soundfile.write(file, np.concatenate([np.zeros(32_000), tone(440, 1.5)]), 16_000)
    inputs = load_media_inputs(model, Example(file, ("A tone.",)))
    samples, window = load_window(file, sampling_rate=model.sampling_rate, max_seconds=model.max_seconds)
    assert window.start == 2.0
    expected = model.inputs(samples, "prompt")["input_features"][0]
    assert torch.equal(inputs.tensors["input_features"], expected)


def test_silence_is_no_sound_to_learn_from(tiny_audio_base, tmp_path):
    model = AudioLanguageModel.load(tiny_audio_base)
    soundfile.write(tmp_path / "a.wav", tone(440, 0.5) * 0, 16_000)
    (tmp_path / "a.txt").write_text("Nothing.")
    options = DataOptions("folder", str(tmp_path), max_broken=0)
    dataset = train_dataset(load_examples(options), options, model, "Describe.", epochs=1, batch_size=1, seed=0)
    with pytest.raises(DataError, match="a.wav: .*silent"):
        dataset[0]
