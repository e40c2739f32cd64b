"""Train LoRA-MCL adapters from a configuration file, on a CPU, a GPU or several, and write a bundle for the app.

    python -m training.train training/configs/own-images.yaml
    python -m training.train CONFIG.yaml training.learning_rate=1e-4 adapters.hypotheses=5
    python -m training.train CONFIG.yaml --print-config
    python -m training.train CONFIG.yaml --dry-run        # one step: its time and memory
    accelerate launch --config_file training/configs/accelerate/ddp.yaml -m training.train CONFIG.yaml

Started again with the same configuration, a run goes on from its last checkpoint. The guide: ``docs/training-full.md``.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import EarlyStoppingCallback, PrinterCallback, TrainerCallback
from transformers.utils import logging as transformers_logging

from lora_mcl.adapters import AdapterStack
from lora_mcl.bundle import Bundle, load_bundle
from lora_mcl.errors import BundleError, LoraMclError, OptionsError
from lora_mcl.gate import CaptionGate
from lora_mcl.gate_init import start_gate
from lora_mcl.models.base import MediaLanguageModel, use_eager_attention_on_cpu
from lora_mcl.output_paths import make_output_folder
from lora_mcl.trainer import MultipleChoiceLearner
from lora_mcl.trainer.batch import pad_right
from lora_mcl.trainer.checkpoints import last_checkpoint
from training.data import DataError, load_examples
from training.data.cache import open_cache
from training.data.collator import ModelCollator, PromptCollator, encode_prompts
from training.data.dataset import CaptionDataset, train_dataset, validation_dataset
from training.embedded.data_source import SceneSamples, SceneSource
from training.paths import SUMMARY_FILE
from training.run.arguments import configure_deepspeed, training_arguments
from training.run.config import load_config, to_plain, to_yaml
from training.run.finish import save_run, summary_of
from training.run.options import START_CAPTIONS, TrainConfig
from training.run.progress import RunCallback, peak_memory
from training.run.run_trainer import RunTrainer, out_of_memory_advice

TrainDataset = CaptionDataset | SceneSamples
CONFIG_FILE = "config.yaml"
USER_ERROR = 2
INTERRUPTED = 130
# What may change between a run's start and its continuation.
_FREE = ("about", "bundle", "data.workers", "data.max_broken", "training.log_every", "training.checkpoints")


def load_model(config: TrainConfig) -> MediaLanguageModel:
    """The frozen base, on the CPU: the Trainer moves it (in 4 bits, it is loaded to this process' GPU)."""
    options = config.model
    model = options.kind.load(
        options.base,
        revision=options.revision,
        dtype=getattr(torch, options.dtype),
        device=f"cuda:{torch.cuda.current_device()}" if options.load_in_4bit and torch.cuda.is_available() else "cpu",
        load_in_4bit=options.load_in_4bit,
        chat_template=options.chat_template,
    )
    use_eager_attention_on_cpu(model.model)
    return model


def attach(config: TrainConfig, model: MediaLanguageModel, dataset: TrainDataset) -> MultipleChoiceLearner:
    """New adapters on the base, and the caption gate if the objective has one."""
    seed = config.training.seed
    torch.manual_seed(seed)
    specs = config.adapters.specs()
    stack = AdapterStack.attach(model.model, specs, generator=torch.Generator().manual_seed(seed))
    gate = None
    if config.objective.needs_gate and len(specs) > 1:
        vocabulary = model.model.get_input_embeddings().num_embeddings
        special = [token for token in model.tokenizer.all_special_ids if token < vocabulary]
        gate = CaptionGate(vocabulary, len(specs), balance=config.gate.balance, excluded_token_ids=special)
        if config.adapters.init_from is None and config.gate.start == "mixture":
            # Of an epoch, where the run is shorter.
            numbers = range(min(START_CAPTIONS, max(len(dataset), dataset.epoch_length)))
            start_gate(gate, pad_right([dataset.caption_ids(n) for n in numbers]), torch.Generator().manual_seed(seed))
    if config.adapters.init_from is not None:
        load_weights(stack, gate, load_bundle(config.adapters.init_from))
    return MultipleChoiceLearner(model.model, stack, config.objective, gate, config.step)


def load_weights(stack: AdapterStack, gate: CaptionGate | None, bundle: Bundle) -> None:
    """Copy the weights of a bundle's hypotheses, and of its gate if both have one, into new adapters.

    Raises:
        BundleError: the bundle has another number of hypotheses, or adapters or a gate of another shape.
    """
    folders = [bundle.folder / reference.path for reference in bundle.hypotheses]
    if len(folders) != len(stack):
        raise BundleError(
            f"adapters.init_from: {bundle.folder} has {len(folders)} hypotheses; adapters.hypotheses is {len(stack)}"
        )
    for name, folder in zip(stack.names, folders, strict=True):
        stack.load(name, folder)
    if gate is not None and bundle.gate is not None:
        saved = CaptionGate.load(bundle.folder / bundle.gate).state_dict()
        if {name: tensor.shape for name, tensor in saved.items()} != {
            name: tensor.shape for name, tensor in gate.state_dict().items()
        }:
            raise BundleError(f"adapters.init_from: the gate of {bundle.folder} has another shape")
        gate.load_state_dict(saved)


def adapts_media(model: MediaLanguageModel, stack: AdapterStack) -> bool:
    """Whether adapters change the tower or the projector: media are then encoded once per hypothesis."""
    return any(name.startswith(model.media_modules) for name in stack.layers)


def steps_of(config: TrainConfig, epoch_length: int | None, step_size: int) -> int:
    """The number of steps of the run.

    Args:
        epoch_length: samples of an epoch; None for data without end.
        step_size: samples of a step, over all processes.

    Raises:
        OptionsError: epochs of data without end, or not enough samples for one step.
    """
    options = config.training
    if options.steps is not None:
        return options.steps
    if epoch_length is None:
        raise OptionsError(f"data of kind {config.data.kind} have no end: give training.steps")
    assert options.epochs is not None
    steps = options.epochs * epoch_length // step_size
    if steps < 1:
        raise OptionsError(
            f"{options.epochs * epoch_length} examples do not fill one step of {step_size}: lower "
            "training.batch_size or training.accumulation, or train for more epochs"
        )
    return steps


def build(
    config: TrainConfig, callbacks: Sequence[TrainerCallback] = (), **arguments: Any
) -> tuple[RunTrainer, MediaLanguageModel]:
    """The run's trainer, ready to start, and its base.

    Args:
        callbacks: of transformers' Trainer, in addition to the run's own.
        arguments: of transformers' ``TrainingArguments``, which override the configuration.

    Raises:
        LoraMclError: something is missing, or options contradict each other.
    """
    options, data, prompt = config.training, config.data, config.model.prompt
    if data.modality is None:
        data = replace(data, modality=config.model.modality)
    scenes = data.kind == "scenes"
    # Before any weights are read: a wrong path should not cost minutes.
    examples = [] if scenes else load_examples(data)
    validation = load_examples(data, "validation") if data.validates else None
    make_output_folder(config.output, "output")
    world = training_arguments(config, 1, **arguments).world_size
    model = load_model(config)
    cache = open_cache(data.feature_cache, data.feature_cache_gib, model, config.model.revision, processes=world)
    step_size = options.batch_size * options.accumulation * world
    dataset: TrainDataset
    if scenes:
        steps = steps_of(config, None, step_size)
        source = SceneSource(model)
        dataset = source.samples(data, steps * step_size, step_size, options.seed + 1)
    else:
        dataset = train_dataset(
            examples, data, model, prompt, epochs=1, batch_size=step_size, seed=options.seed, cache=cache
        )
        steps = steps_of(config, dataset.epoch_length, step_size)
        dataset.length = steps * step_size
    learner = attach(config, model, dataset)
    if adapts_media(model, learner.stack):
        if scenes or cache is not None or data.feature_dropout:
            wrong = "kind scenes" if scenes else "feature_dropout" if data.feature_dropout else "feature_cache"
            raise OptionsError(f"data.{wrong} is of no use here: adapters.target_modules change the media tower")
        collation: dict[str, Any] = {"data_collator": ModelCollator(model)}
    elif scenes:
        collation = source.trainer_arguments(prompt, data.feature_dropout)
    else:
        collation = {
            "data_collator": PromptCollator(model),
            "encode_prompts": partial(encode_prompts, model, cache=cache, dropout=data.feature_dropout),
        }
    eval_dataset = None
    if validation is not None:
        # Several processes split a validation evenly; one needs no filling.
        multiple_of = options.batch_size * world if world > 1 else 1
        eval_dataset = validation_dataset(validation, data, model, prompt, multiple_of=multiple_of, cache=cache)
    own: list[TrainerCallback] = [RunCallback(options.save_every, data.validates)]
    if options.patience is not None:
        own.append(EarlyStoppingCallback(options.patience))
    trainer = RunTrainer(
        learner,
        training_arguments(config, steps, **arguments),
        gate_learning_rate=config.gate.learning_rate,
        train_dataset=dataset,
        eval_dataset=eval_dataset,
        callbacks=[*own, *callbacks],
        **collation,
    )
    if trainer.is_deepspeed_enabled:
        plugin = trainer.accelerator.state.deepspeed_plugin
        configure_deepspeed(config, plugin.deepspeed_config, plugin.zero_stage)
    trainer.remove_callback(PrinterCallback)
    return trainer, model


def save_config(config: TrainConfig) -> None:
    """Write the configuration into the run's folder, or check that a run there has the same.

    Raises:
        OptionsError: another run is there.
    """
    file = config.output / CONFIG_FILE
    # A run that failed before its first checkpoint has nothing to go on from: its settings may change.
    started = last_checkpoint(config.output / "checkpoints") is not None or (config.output / SUMMARY_FILE).is_file()
    if file.is_file() and started:
        before, now = (_flat(to_plain(one)) for one in (load_config(TrainConfig, file), config))
        free = tuple(_FREE)
        changed = [k for k in now.keys() | before.keys() if now.get(k) != before.get(k) and not k.startswith(free)]
        if changed:
            some = ", ".join(f"{key} was {before.get(key)!r} and is {now.get(key)!r}" for key in sorted(changed)[:3])
            raise OptionsError(
                f"{config.output} holds a run with other settings ({some}): give another output, or delete that folder"
            )
    config.output.mkdir(parents=True, exist_ok=True)
    file.write_text(to_yaml(config), encoding="utf-8")


def _flat(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat = {}
    for key, value in table.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def train(config: TrainConfig, callbacks: Sequence[TrainerCallback] = (), **arguments: Any) -> Path:
    """Train, or go on with, a run; returns the bundle's folder. Other arguments are as for ``build``.

    Raises:
        LoraMclError: with a message for the user.
    """
    trainer, model = build(config, callbacks, **arguments)
    if trainer.args.should_save:
        save_config(config)
    trainer.accelerator.wait_for_everyone()
    summary_file = config.output / SUMMARY_FILE
    if summary_file.is_file() and trainer.load_finished():
        print("This run is finished: its bundle is written again, without further steps.", flush=True)
        folder = save_run(config, trainer, model, json.loads(summary_file.read_text(encoding="utf-8")))
        trainer.accelerator.end_training()
        return folder
    started = time.perf_counter()
    try:
        trainer.train_or_resume()
    except torch.OutOfMemoryError as error:
        raise OptionsError(out_of_memory_advice(config, trainer.is_fsdp_enabled)) from error
    except DataError as error:  # from a worker it comes with the worker's traceback in its message
        raise DataError(
            str(error).strip().splitlines()[-1].removeprefix(f"{DataError.__module__}.DataError: ")
        ) from error
    folder = save_run(config, trainer, model, summary_of(config, trainer, time.perf_counter() - started))
    trainer.accelerator.end_training()  # a process that leaves its group unannounced may be aborted
    return folder


def dry_run(config: TrainConfig) -> str:
    """Take one step and report its time and memory; nothing is written into the run's folder.

    Raises:
        LoraMclError: as for ``train``.
    """
    with tempfile.TemporaryDirectory() as folder:
        one_step = replace(
            config,
            output=Path(folder),
            data=replace(config.data, workers=0),
            training=replace(config.training, steps=1, epochs=None, log_every=1),
        )
        arguments = {"save_strategy": "no", "eval_strategy": "no", "load_best_model_at_end": False, "report_to": []}
        trainer, _ = build(one_step, **arguments)
        trainer.remove_callback(RunCallback)
        started = time.perf_counter()
        try:
            trainer.train()
        except torch.OutOfMemoryError as error:
            raise OptionsError(out_of_memory_advice(config, trainer.is_fsdp_enabled)) from error
        examples = config.training.batch_size * config.training.accumulation * trainer.args.world_size
        seconds = time.perf_counter() - started
        return f"One step of {examples} examples: {seconds:.1f} s, at most {peak_memory() / 2**30:.2f} GiB"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0, 2 for a user's error, 130 when interrupted."""
    parser = argparse.ArgumentParser(
        prog="python -m training.train", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", metavar="CONFIG.yaml")
    parser.add_argument("changes", nargs="*", metavar="KEY=VALUE", help="such as training.learning_rate=1e-4")
    parser.add_argument("--print-config", action="store_true", help="print every setting and stop")
    parser.add_argument("--dry-run", action="store_true", help="take one step, print its time and memory, and stop")
    args = parser.parse_intermixed_args(argv)
    transformers_logging.disable_progress_bar()
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    try:
        config = load_config(TrainConfig, args.config, args.changes)
        if args.print_config:
            print(to_yaml(config), end="")
        elif args.dry_run:
            print(dry_run(config))
        else:
            train(config)
    except LoraMclError as error:
        print(f"train: {error}", file=sys.stderr)
        return USER_ERROR
    except KeyboardInterrupt:
        print("train: interrupted; the same command goes on from the last checkpoint", file=sys.stderr)
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
