"""Reads files as the page does and prints, for each, by how much that raised the process's peak memory (in MB)."""

import json
import resource
import sys
from pathlib import Path

from lora_mcl.audio import load_window
from lora_mcl.errors import MediaError
from lora_mcl.images import load_image


def peak() -> float:
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kilobytes / 1_000 if sys.platform != "darwin" else kilobytes / 1e6


if __name__ == "__main__":
    modality, *files = sys.argv[1:]
    for file in map(Path, files):
        before = peak()
        try:
            if modality == "image":
                load_image(file)
            else:
                load_window(file, 0, sampling_rate=16_000, max_seconds=30)
            outcome = "read"
        except MediaError as error:
            outcome = str(error)
        print(json.dumps({"name": file.name, "outcome": outcome, "megabytes": peak() - before}))
