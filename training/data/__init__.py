"""Training data: media with reference captions, from folders, tables, published data sets and the Hub.

options = DataOptions(kind="folder", path="my-photos", validation_share=0.1)
train, validation = load_examples(options), load_examples(options, "validation")
"""

from training.data.example import DataError, Example
from training.data.loading import load_examples
from training.data.options import DataOptions

__all__ = ["DataError", "DataOptions", "Example", "load_examples"]
