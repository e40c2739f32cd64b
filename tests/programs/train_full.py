"""The training program in several processes on CPUs, started by torchrun in test_train_distributed.

train_full.py CONFIG.yaml plain|fsdp2
"""

import sys

from accelerate import FullyShardedDataParallelPlugin
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType
from torch.distributed.tensor import DTensor
from transformers import TrainerCallback

from training import train as program
from training.config import load_config
from training.options import TrainConfig

_build = program.build


class Sharded(TrainerCallback):
    """Says, after the last step, which weights the processes do share out."""

    def on_step_end(self, args, state, control, model, **kwargs):
        if state.global_step == state.max_steps:
            names = [name for name, weight in model.named_parameters() if isinstance(weight, DTensor)]
            print("SHARDED", len(names), any("lora_A" in name for name in names), any("base" in name for name in names))


def build_sharded(config, **arguments):
    """As ``accelerate launch`` with fsdp2.yaml prepares it; accelerate itself offers FSDP on GPUs only."""
    trainer, media = _build(config, **arguments)
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


if __name__ == "__main__":
    file, way = sys.argv[1:]
    if way == "fsdp2":
        program.build = build_sharded
    program.train(load_config(TrainConfig, file), ddp_backend="gloo")
