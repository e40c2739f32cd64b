"""Caption a folder or a table of images or sounds on many machines, by Ray Data::

    python -m deploy.caption_dataset photos/ --out captions.jsonl --workers 2
    python -m deploy.caption_dataset table.parquet --column image --out captions.parquet --bundle BUNDLE \\
        --address auto --gpus-per-worker 1

Needs ``pip install -r requirements-serve.txt``. A run that was cut short goes on where it was. See docs/serving.md.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from deploy.dataset_files import FORMATS, Parts, Run, listed, row
from deploy.serve.__main__ import connect
from deploy.serve.replica import ReplicaConfig
from lora_mcl.allocator import share_arenas
from lora_mcl.batch import BatchCaptioner, BatchFile, caption_batch
from lora_mcl.bundle import load_bundle
from lora_mcl.bundle.bundle import EMBEDDED_AUDIO_BUNDLE, EMBEDDED_BUNDLE
from lora_mcl.errors import LoraMclError, OptionsError
from lora_mcl.images import modality_of
from lora_mcl.types import CompareOptions

USER_ERROR, SOME_LEFT_OUT = 2, 1
# Files of a part: a part is computed by one worker, and captioned anew if it was not finished.
FILES_A_PART = 16
# Of more parts than these, several are one task.
MAX_TASKS = 1_000


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="python -m deploy.caption_dataset", description="Caption a folder or a table of media on many machines."
    )
    made.add_argument("media", type=Path, help="folder, or table that ends in .csv, .jsonl or .parquet")
    made.add_argument("--column", default="file", metavar="NAME", help="of the table, that holds the paths")
    made.add_argument("--out", type=Path, required=True, metavar="FILE", help="that ends in .jsonl or .parquet")
    made.add_argument("--bundle", metavar="BUNDLE", help="folder or Hub id (default: the embedded one)")
    made.add_argument(
        "--set", nargs=2, action="append", default=[], metavar=("OPTION", "VALUE"), help="such as: --set num_beams 4"
    )
    made.add_argument("--workers", type=int, metavar="N", help="default: as many as the machines hold")
    made.add_argument("--gpus-per-worker", type=float, default=0.0, metavar="G", help="0.5 lets two share a GPU")
    made.add_argument("--cpus-per-worker", type=float, default=1.0, metavar="C", help="set aside for each (default 1)")
    made.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), help="of the base model's weights")
    made.add_argument("--load-in-4bit", action="store_true", help="language model in 4 bits (needs bitsandbytes)")
    made.add_argument("--address", help="of a Ray cluster that runs: auto, or ray://HOST:10001 (default: starts one)")
    return made


class CaptionWorker:
    """One replica of the captioner, which captions a part at a time."""

    def __init__(self, config: Mapping[str, Any], options: Mapping[str, Any]) -> None:
        share_arenas()
        self._captioner = ReplicaConfig.of(config).load()
        self._options = CompareOptions(**options)

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[Any]]:
        """The rows of each part as JSON, since Ray would guess types that differ from part to part."""
        rows = [json.dumps(self._caption([str(file) for file in files])) for files in batch["files"]]
        return {"number": list(batch["number"]), "rows": rows}

    def _caption(self, files: list[str]) -> list[dict[str, Any]]:
        captioners = {self._captioner.bundle.modality: BatchCaptioner(self._captioner, self._options)}
        items = [BatchFile(file, Path(file)) for file in files]
        found = dict(caption_batch(items, captioners))
        return [row(found[index]) for index in range(len(items))]


def main(argv: list[str] | None = None) -> int:
    """Caption what is not captioned yet; 1 if some files could not be, 2 where an option cannot be used."""
    args = parser().parse_args(argv)
    if find_spec("ray") is None:
        print("deploy.caption_dataset: Ray is not installed: pip install -r requirements-serve.txt", file=sys.stderr)
        return USER_ERROR
    try:
        left_out = run(args)
    except (LoraMclError, RuntimeError) as error:
        print(f"deploy.caption_dataset: {error}", file=sys.stderr)
        return USER_ERROR
    if left_out:
        print(f"{left_out} files have no captions: their rows say why.", file=sys.stderr)
    return SOME_LEFT_OUT if left_out else 0


def run(args: argparse.Namespace) -> int:
    """Caption the missing parts and write the output; returns how many files have an error.

    Raises:
        LoraMclError: the media, the bundle or an option cannot be used.
        RuntimeError: Ray cannot be started, or a worker fails; what is done is kept.
    """
    if args.out.suffix not in FORMATS:
        raise OptionsError(f"--out must end in {' or '.join(FORMATS)}, not {args.out.name!r}.")
    if args.workers is not None and args.workers < 1:
        raise OptionsError(f"--workers must be at least 1, not {args.workers}.")
    files = listed(args.media, args.column)
    source = args.bundle or str(EMBEDDED_AUDIO_BUNDLE if modality_of(Path(files[0])) == "audio" else EMBEDDED_BUNDLE)
    options = load_bundle(source).generation.with_changes({name: _number(value) for name, value in args.set})
    config = ReplicaConfig(source, dtype=args.dtype, load_in_4bit=args.load_in_4bit)
    parts = Parts(args.out, Run(source, asdict(options), files, FILES_A_PART))
    missing = [{"number": number, "files": names} for number, names in parts.missing()]
    if missing:
        connect(args.address)
        _caption_parts(parts, missing, config, options, args)
    return parts.finish()


def _caption_parts(
    parts: Parts,
    missing: list[dict[str, Any]],
    config: ReplicaConfig,
    options: CompareOptions,
    args: argparse.Namespace,
) -> None:
    import ray

    ray.data.DataContext.get_current().enable_progress_bars = False
    fitting = _workers_that_fit(ray.cluster_resources(), args.cpus_per_worker, args.gpus_per_worker)
    workers = min(args.workers or fitting, len(missing))
    known = {name: value for name, value in asdict(config).items() if value is not None}
    done = ray.data.from_items(missing, override_num_blocks=min(len(missing), MAX_TASKS)).map_batches(
        CaptionWorker,
        fn_constructor_args=(known, asdict(options)),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=workers),
        num_cpus=args.cpus_per_worker,
        num_gpus=args.gpus_per_worker or None,
    )
    # Written here and not by the workers, which need no folder in common.
    for count, part in enumerate(done.iter_rows(), start=parts.count - len(missing) + 1):
        parts.add(int(part["number"]), json.loads(part["rows"]))
        print(f"[{count}/{parts.count}] part {part['number']}", file=sys.stderr, flush=True)


def _workers_that_fit(resources: Mapping[str, float], cpus: float, gpus: float) -> int:
    """How many workers the cluster's CPUs and GPUs hold; at least one."""
    fits = [resources.get(kind, 0.0) // each for kind, each in (("CPU", cpus), ("GPU", gpus)) if each]
    return max(1, int(min(fits, default=1)))


def _number(text: str) -> int | float:
    """The number that an option is set to; raises OptionsError."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    raise OptionsError(f"--set takes numbers, not {text!r}.")


if __name__ == "__main__":
    sys.exit(main())
