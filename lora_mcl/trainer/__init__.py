"""Training K hypotheses: the learner and its step, its Trainer, batches, checkpoints and saving a bundle."""

from lora_mcl.trainer.batch import Batch, PromptBatch
from lora_mcl.trainer.save_bundle import save_bundle_of
from lora_mcl.trainer.step import MultipleChoiceLearner, MultipleChoiceOutput, StepOptions
from lora_mcl.trainer.trainer import MultipleChoiceTrainer

__all__ = [
    "Batch",
    "MultipleChoiceLearner",
    "MultipleChoiceOutput",
    "MultipleChoiceTrainer",
    "PromptBatch",
    "StepOptions",
    "save_bundle_of",
]
