"""A short training run, started by torchrun in test_distributed: saves the learned tensors at the given path."""

import sys

from safetensors.torch import save_file

from tests.support.tiny_trainer import MASKED, SOFT, examples, trained

if __name__ == "__main__":
    folder, out = sys.argv[1:]
    trainer = trained(
        folder,
        SOFT,
        data=examples(24, masked=MASKED),
        per_device_train_batch_size=2,
        train_sampling_strategy="sequential",
        ddp_backend="gloo",
    )
    if trainer.args.should_save:
        save_file({name: tensor.contiguous() for name, tensor in trainer.model.trainable_state_dict().items()}, out)
        logs = [entry for entry in trainer.state.log_history if "loss" in entry]
        print("LOGS", [(entry["wins_0"], entry["wins_1"], entry["skipped"]) for entry in logs])
    trainer.accelerator.wait_for_everyone()
    trainer.accelerator.end_training()  # a process that leaves the group unannounced may be aborted
