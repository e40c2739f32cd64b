"""Run every stage of an embedded model in order, from the first that is not done; of several models at the same time.

    python -m training.embedded.all_stages image
    python -m training.embedded.all_stages image audio

What is done, and the minutes it took, is in ``build/image/stages.json``; delete that folder to start over. A stage
that was cut short goes on where it stopped when this is started again, as each of them does on its own. The README.md
in ``image/`` and in ``audio/`` say what each command is for. When a model is done, its minutes are written to
``assets/results``.

Two models share the cores: a model this small trains less than twice as fast on two cores as on one, so that both are
done sooner with one core each than one after the other. What their stages print, progress too, is then in
``build/image/stages.log`` and ``build/audio/stages.log``. When one model is done, the other's next stage
has all cores.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from threading import Lock
from typing import Any

from training.embedded.common.domain import NAMES, load_domain
from training.paths import RESULTS, ROOT

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


class Cores:
    """The cores that models at the same time share evenly.

    Args:
        models: how many start.
    """

    def __init__(self, models: int) -> None:
        self.models = models
        self._lock = Lock()

    def threads(self) -> int:
        """Of torch, for the next stage of one of the models that are not done yet."""
        return max(1, (os.cpu_count() or 1) // max(1, self.models))

    def model_done(self) -> None:
        """From now on there is one model fewer."""
        with self._lock:
            self.models -= 1


def read_record(record: Path, stages: Sequence[str]) -> list[dict[str, Any]]:
    """What was run of the stages: each ``{"stage", "minutes", "done"}``, of which only the last may be cut short.

    Where a command was changed, it and all after it are left out.
    """
    entries = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else []
    pairs = zip(entries, stages, strict=False)
    kept = next((n for n, (entry, stage) in enumerate(pairs) if entry["stage"] != stage), len(entries))
    return entries[:kept]


def run_stages(
    stages: Sequence[str], record: Path, log: Path | None = None, cores: Cores | None = None
) -> list[dict[str, Any]]:
    """Run the stages that are not done yet, one after the other, from the project's root.

    Args:
        stages: what follows ``python -m`` for each.
        record: the stages that are done and their minutes, with those of attempts that were cut short.
        log: file that takes what the stages print; by default it is printed.
        cores: gives each stage its number of torch's threads, where ``OMP_NUM_THREADS`` is not set; by default there
            are as many as cores.

    Returns:
        What ``record`` holds: each stage, and its minutes.

    Raises:
        subprocess.CalledProcessError: a stage failed.
    """
    entries = read_record(record, stages)
    record.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        output = None if log is None else stack.enter_context(log.open("a", encoding="utf-8"))
        for number, stage in enumerate(stages, start=1):
            if number > len(entries):
                entries.append({"stage": stage, "minutes": 0.0, "done": False})
            entry = entries[number - 1]
            if entry["done"]:
                continue
            heading = f"{record.parent.name} [{number}/{len(stages)}]"
            print(f"{heading} python -m {stage}", flush=True)
            threads = {} if cores is None else {"OMP_NUM_THREADS": str(cores.threads())}
            started, before = time.perf_counter(), entry["minutes"]
            command = [sys.executable, "-m", *stage.split()]
            environment = ENVIRONMENT | threads | os.environ
            try:
                subprocess.run(command, cwd=ROOT, check=True, env=environment, stdout=output, stderr=output)
                entry["done"] = True
            finally:
                entry["minutes"] = round(before + (time.perf_counter() - started) / 60, 1)
                record.write_text(json.dumps(entries, indent=2) + "\n", encoding="utf-8")
            print(f"{heading} took {entry['minutes']} min", flush=True)
    minutes = sum(entry["minutes"] for entry in entries)
    print(f"all {len(stages)} stages are done, {minutes:.0f} min; delete {record.parent} to start over", flush=True)
    return entries


def run_model(name: str, models: int, cores: Cores) -> bool:
    """Run the stages of one of so many models at the same time; whether all of them succeeded."""
    folder = load_domain(name).work
    log = folder / "stages.log" if models > 1 else None
    if log is not None:
        print(f"{name}: what its stages print is in {log}", flush=True)
    try:
        entries = run_stages(commands(name), folder / "stages.json", log, cores if models > 1 else None)
    except subprocess.CalledProcessError as error:
        stage = f"python -m {' '.join(error.cmd[2:])}"
        if error.returncode == -signal.SIGINT:
            print(f"{stage} was interrupted: start this again to go on", file=sys.stderr)
        else:
            reason = "" if log is None else f" (see {log})"
            print(f"{stage} failed{reason}: when it is put right, start this again", file=sys.stderr)
        return False
    finally:
        cores.model_done()
    write_minutes(name, models, entries)
    return True


def write_minutes(name: str, models: int, entries: Sequence[Mapping[str, Any]]) -> None:
    """The results file with each stage's minutes, on so many cores and with so many models at the same time."""
    minutes = {entry["stage"]: entry["minutes"] for entry in entries}
    total = round(sum(minutes.values()), 1)
    results = {"cpu_cores": os.cpu_count(), "models": models, "total": total, "minutes": minutes}
    (RESULTS / f"stages-{name}.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", choices=NAMES, help="which models")
    names = dict.fromkeys(parser.parse_args(argv).names)
    try:
        with ThreadPoolExecutor(len(names)) as pool:
            cores = Cores(len(names))
            return 0 if all(list(pool.map(lambda name: run_model(name, len(names), cores), names))) else 1
    except KeyboardInterrupt:  # the stages get it too, and say so
        return 128 + signal.SIGINT


if __name__ == "__main__":
    sys.exit(main())
