"""Run every stage of an embedded model in order, from the first that is not done; of several models at the same time.

    python -m training.embedded.all_stages image
    python -m training.embedded.all_stages image audio

What is done is listed in ``build/image/stages.json``; delete that folder to start over. A stage that was cut short goes
on where it stopped when this is started again, as each of them does on its own. The README.md in ``image/`` and in
``audio/`` say what each command is for.

Two models share the cores: a model this small trains less than twice as fast on two cores as on one, so that both are
done sooner with one core each than one after the other. What their stages print, progress too, is then in
``build/image/stages.log`` and ``build/audio/stages.log``.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from training.embedded.common.domain import NAMES, load_domain
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


def run_stages(stages: Sequence[str], record: Path, log: Path | None = None, threads: int | None = None) -> None:
    """Run the stages that are not done yet, one after the other, from the project's root.

    Args:
        stages: what follows ``python -m`` for each.
        record: lists those that are done. Only its first ones that are as in ``stages`` count: where a command was
            changed, it and all after it run again.
        log: file that takes what the stages print; by default it is printed.
        threads: of torch in each stage, where ``OMP_NUM_THREADS`` is not set; by default as many as there are cores.

    Raises:
        subprocess.CalledProcessError: a stage failed.
    """
    done = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else []
    kept = next((n for n, pair in enumerate(zip(done, stages, strict=False)) if pair[0] != pair[1]), len(done))
    record.parent.mkdir(parents=True, exist_ok=True)
    environment = ENVIRONMENT | ({} if threads is None else {"OMP_NUM_THREADS": str(threads)}) | os.environ
    with ExitStack() as stack:
        output = None if log is None else stack.enter_context(log.open("a", encoding="utf-8"))
        for number, stage in enumerate(stages[kept:], start=kept + 1):
            heading = f"{record.parent.name} [{number}/{len(stages)}]"
            print(f"{heading} python -m {stage}", flush=True)
            started = time.perf_counter()
            command = [sys.executable, "-m", *stage.split()]
            subprocess.run(command, cwd=ROOT, check=True, env=environment, stdout=output, stderr=output)
            record.write_text(json.dumps(stages[:number], indent=2) + "\n", encoding="utf-8")
            print(f"{heading} took {(time.perf_counter() - started) / 60:.1f} min", flush=True)
    print(f"all {len(stages)} stages are done; delete {record.parent} to start over", flush=True)


def run_model(name: str, models: int) -> bool:
    """Run the stages of one of so many models at the same time; whether all of them succeeded."""
    folder = load_domain(name).work
    log = folder / "stages.log" if models > 1 else None
    if log is not None:
        print(f"{name}: what its stages print is in {log}", flush=True)
    threads = max(1, (os.cpu_count() or 1) // models) if models > 1 else None
    try:
        run_stages(commands(name), folder / "stages.json", log, threads)
    except subprocess.CalledProcessError as error:
        stage = f"python -m {' '.join(error.cmd[2:])}"
        if error.returncode == -signal.SIGINT:
            print(f"{stage} was interrupted: start this again to go on", file=sys.stderr)
        else:
            reason = "" if log is None else f" (see {log})"
            print(f"{stage} failed{reason}: when it is put right, start this again", file=sys.stderr)
        return False
    return True


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", choices=NAMES, help="which models")
    names = dict.fromkeys(parser.parse_args(argv).names)
    try:
        with ThreadPoolExecutor(len(names)) as pool:
            return 0 if all(list(pool.map(lambda name: run_model(name, len(names)), names))) else 1
    except KeyboardInterrupt:  # the stages get it too, and say so
        return 128 + signal.SIGINT


if __name__ == "__main__":
    sys.exit(main())
