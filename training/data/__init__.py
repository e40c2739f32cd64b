"""What adapters learn from: media with reference captions, read from wherever they lie, as batches for the Trainer.

options = DataOptions(kind="folder", path="my-photos", validation_share=0.1)
train, validation = open_examples(options), open_examples(options, "validation")
"""

from training.data.example import DataError, Example
from training.data.opening import open_examples
from training.data.options import DataOptions

__all__ = ["DataError", "DataOptions", "Example", "open_examples"]
