"""The training program in several processes on CPUs, as test_train_distributed calls it and test_launch starts it.

With DeepSpeed it prints the environment that `accelerate launch` gave it.

train_full.py CONFIG.yaml plain|fsdp2|zero3
"""

import json
import os
import sys

from accelerate import FullyShardedDataParallelPlugin
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType
from torch.distributed.tensor import DTensor
from transformers import TrainerCallback

from lora_mcl.trainer.distributed import is_sharded
from training import train as program
from training.run.config import load_config
from training.run.options import TrainConfig

_build = program.build
seen = set()  # types that logits had


def say(*words):
    """One line in one piece: processes write at the same time."""
    sys.stdout.write(f"{' '.join(map(str, words))}\n")
    sys.stdout.flush()


class Sharded(TrainerCallback):
    """Says, after the last step, which weights the processes do share out."""

    def on_step_end(self, args, state, control, model, **kwargs):
        if state.global_step == state.max_steps:
            names = [name for name, weight in model.named_parameters() if isinstance(weight, DTensor)]
            say("SHARDED", len(names), *(any(part in name for name in names) for part in ("lora_A", "base")))


class Partitioned(TrainerCallback):
    """Says, before the last step, whether DeepSpeed shares out adapters and base, which then have no values here."""

    def on_step_begin(self, args, state, control, model, **kwargs):
        if state.global_step == state.max_steps - 1:
            away = [name for name, weight in model.named_parameters() if is_sharded(weight) and not weight.numel()]
            say("PARTITIONED", *(any(part in name for name in away) for part in ("lora_A", "base")))
            weights = {weight.dtype for weight in model.parameters() if weight.requires_grad}
            say("AUTOCAST", *seen, *weights)


def build_partitioned(config, callbacks=(), **arguments):
    """With weights shared out however small: by default DeepSpeed leaves those of less than 100,000 values whole."""
    trainer, media = _build(config, callbacks, **arguments)
    plugin = trainer.accelerator.state.deepspeed_plugin
    plugin.deepspeed_config["zero_optimization"]["stage3_param_persistence_threshold"] = 0
    trainer.add_callback(Partitioned())
    head = media.model.get_output_embeddings()
    head.register_forward_hook(lambda module, given, logits: seen.add(logits.dtype))
    return trainer, media


def prepare_deepspeed():
    import deepspeed.ops

    # On CPUs it would compile an extension for messages between processes; gloo sends them too.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False


def build_sharded(config, callbacks=(), **arguments):
    """As ``accelerate launch`` with fsdp2.yaml prepares it; accelerate itself offers FSDP on GPUs only."""
    trainer, media = _build(config, callbacks, **arguments)
    plugin = FullyShardedDataParallelPlugin(
        fsdp_version=2,
        reshard_after_forward=True,
        auto_wrap_policy="transformer_based_wrap",
        transformer_cls_names_to_wrap=["LlamaDecoderLayer"],
        cpu_ram_efficient_loading=False,
        state_dict_type="SHARDED_STATE_DICT",
    )
    AcceleratorState._shared_state |= {"distributed_type": DistributedType.FSDP, "fsdp_plugin": plugin}
    trainer.is_fsdp_enabled = True
    trainer.add_callback(Sharded())
    return trainer, media


def train(file, way):
    more = {}
    if way == "fsdp2":
        program.build = build_sharded
    if way == "zero3":
        prepare_deepspeed()
        program.build = build_partitioned
        more = {"use_cpu": False}  # with it, transformers does not ask for DeepSpeed
    program.train(load_config(TrainConfig, file), ddp_backend="gloo", **more)


if __name__ == "__main__":
    *_, way = sys.argv
    if way == "zero3":
        given = {name: value for name, value in os.environ.items() if name.startswith("ACCELERATE_")}
        say("ENVIRONMENT", json.dumps(given))
    train(*sys.argv[1:])
