"""Run every stage of an embedded model in order, from the first that is not done.

    python -m training.embedded.all_stages image

What is done is listed in ``build/image/stages.json``; delete that folder to start over. A stage that was cut short goes
on where it stopped when this is started again, as each of them does on its own. The README.md in ``image/`` and in
``audio/`` say what each command is for.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from training.embedded.common.domain import load_domain, stage_parser
from training.paths import ROOT

MATERIAL = {
    "image": ("training.embedded.image.material.sprites", "training.embedded.image.material.photos"),
    "audio": (
        "training.embedded.audio.material.sounds --pack",
        "training.embedded.audio.annotation.clip_difficulty",
    ),
}
FEATURES = {
    "image": (
        "--split test --shards 2 --per-shard 500",
        "--split seen --shards 2 --per-shard 250",
        "--split empty --shards 2 --per-shard 400",
        "--split photographs --shards 2 --per-shard 200",
        "--split train --shards 32 --per-shard 500",
    ),
    "audio": (
        "--split test --shards 2 --per-shard 500",
        "--split seen --shards 1 --per-shard 250",
        "--split train --shards 12 --per-shard 500",
        "--split train-short --shards 32 --per-shard 500",
        "--split augmented --shards 8 --per-shard 500",
        "--split augmented-short --shards 24 --per-shard 500",
    ),
}
FURTHER_ROUNDS = {
    "image": (),
    "audio": ("training.embedded.train_base audio --round 2",),
}
TOWER = {"image": ("training.embedded.image.drawings",), "audio": ()}
"""What is added to the tower of the finished base."""
MEASURED = {"image": ("training.embedded.image.doubt",), "audio": ()}
"""What else is measured on the finished bundle."""
MALLOC = ("hugetlb=1", f"mmap_threshold={4 << 30}", f"trim_threshold={16 << 30}")
ENVIRONMENT = {
    "GLIBC_TUNABLES": ":".join(f"glibc.malloc.{setting}" for setting in MALLOC),
    "OMP_WAIT_POLICY": "PASSIVE",
}
"""Of the stages, where it is not set already. A step allocates the same large tensors as the one before: they stay with
the process, in large pages, so that the kernel need not clear them again each time. Threads that wait leave the core to
the process that loads the data."""
RUNS = ("caption-gate", "relaxed", "mle", "mle-wide")


def commands(name: str) -> tuple[str, ...]:
    """The commands of one model's stages, each as what follows ``python -m``."""
    return (
        *MATERIAL[name],
        f"training.embedded.build_base {name}",
        *(f"training.embedded.features {name} {options}" for options in FEATURES[name]),
        f"training.embedded.probe {name}",
        f"training.embedded.align {name}",
        f"training.embedded.train_base {name}",
        *FURTHER_ROUNDS[name],
        *TOWER[name],
        *(f"training.train training/configs/embedded/{name}/{run}.yaml" for run in RUNS),
        f"training.embedded.evaluate {name}",
        f"training.embedded.bundle {name}",
        *MEASURED[name],
        f"training.embedded.examples {name}",
        f"training.embedded.card {name}",
    )


def run_stages(stages: Sequence[str], record: Path) -> None:
    """Run the stages that are not done yet, one after the other, from the project's root.

    Args:
        stages: what follows ``python -m`` for each.
        record: lists those that are done. Only its first ones that are as in ``stages`` count: where a command was
            changed, it and all after it run again.

    Raises:
        subprocess.CalledProcessError: a stage failed.
    """
    done = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else []
    kept = next((n for n, pair in enumerate(zip(done, stages, strict=False)) if pair[0] != pair[1]), len(done))
    record.parent.mkdir(parents=True, exist_ok=True)
    for number, stage in enumerate(stages[kept:], start=kept + 1):
        print(f"[{number}/{len(stages)}] python -m {stage}", flush=True)
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", *stage.split()], cwd=ROOT, check=True, env=ENVIRONMENT | os.environ)
        record.write_text(json.dumps(stages[:number], indent=2) + "\n", encoding="utf-8")
        print(f"[{number}/{len(stages)}] took {(time.perf_counter() - started) / 60:.1f} min", flush=True)
    print(f"all {len(stages)} stages are done; delete {record.parent} to start over", flush=True)


def main() -> int:
    name = stage_parser(__doc__).parse_args().domain
    try:
        run_stages(commands(name), load_domain(name).work / "stages.json")
    except subprocess.CalledProcessError as error:
        print(f"python -m {' '.join(error.cmd[2:])} failed: when it is put right, start this again", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
