"""Serve the page in front of several replicas of the models, on this machine or on a Ray cluster::

    python -m deploy.serve [--replicas N | --autoscale MIN:MAX] [--gpus-per-replica G] [--image-model BUNDLE] ...

Needs ``pip install -r requirements-serve.txt``. On a cluster that is managed by a file: ``deploy/serve/serve.yaml``.
See docs/serving.md.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lora_mcl.bundle.bundle import EMBEDDED_AUDIO_BUNDLE, EMBEDDED_BUNDLE
from lora_mcl.errors import LoraMclError, OptionsError

ROOT = Path(__file__).resolve().parents[2]
USER_ERROR = 2
NO_MODEL = "none"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="python -m deploy.serve", description="Serve the page with several replicas.")
    number = made.add_mutually_exclusive_group()
    number.add_argument("--replicas", type=int, default=1, metavar="N", help="of each model (default 1)")
    number.add_argument("--autoscale", metavar="MIN:MAX", help="as many replicas as the load asks for, within these")
    made.add_argument("--gpus-per-replica", type=float, default=0.0, metavar="G", help="0.5 lets two share a GPU")
    made.add_argument("--cpus-per-replica", type=float, default=1.0, metavar="C", help="set aside for each (default 1)")
    for name, default in (("image", EMBEDDED_BUNDLE), ("audio", EMBEDDED_AUDIO_BUNDLE)):
        option = f"--{name}-model"
        made.add_argument(option, default=str(default), metavar="BUNDLE", help=f"folder or Hub id, or {NO_MODEL}")
    made.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), help="of the base models' weights")
    made.add_argument("--load-in-4bit", action="store_true", help="language models in 4 bits (needs bitsandbytes)")
    made.add_argument("--max-rows", type=int, default=256, metavar="ROWS", help="as for app.py, for each replica")
    made.add_argument("--max-cache", type=float, metavar="GB", help="as for app.py, for each replica")
    made.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    made.add_argument("--port", type=int, default=8000, help="port to listen on (default 8000)")
    made.add_argument("--root-path", default="", metavar="PATH", help="below which a proxy serves the page")
    made.add_argument("--address", help="of a Ray cluster that runs: auto, or ray://HOST:10001 (default: starts one)")
    return made


def bounds(text: str | None, replicas: int) -> tuple[int, int | None]:
    """Least and most replicas; raises OptionsError if it is not MIN:MAX."""
    if text is None:
        return replicas, None
    least, colon, most = text.partition(":")
    if not (colon and least.isdigit() and most.isdigit()):
        raise OptionsError(f"autoscale must be MIN:MAX, such as 1:4, not {text!r}.")
    return int(least), int(most)


def main(argv: list[str] | None = None) -> int:
    """Serve until the program is ended; 2 where an option or a model cannot be used."""
    args = parser().parse_args(argv)
    if find_spec("ray") is None:
        print("deploy.serve: Ray is not installed: pip install -r requirements-serve.txt", file=sys.stderr)
        return USER_ERROR
    try:
        start(args)
    except (LoraMclError, RuntimeError) as error:
        print(f"deploy.serve: {error}", file=sys.stderr)
        return USER_ERROR
    print(f"LoRA-MCL Studio is at http://{args.host}:{args.port}", flush=True)
    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    over.wait()
    from ray import serve

    serve.shutdown()
    return 0


def start(args: argparse.Namespace) -> None:
    """Start the models, then the page.

    Raises:
        OptionsError: an option is out of range.
        RuntimeError: a model cannot be loaded; Ray's message gives the reason.
    """
    from ray import serve

    from deploy.serve.apps import Scale, captioner_app, page_app
    from deploy.serve.replica import ReplicaConfig

    models = {"image": args.image_model, "audio": args.audio_model}
    models = {modality: bundle for modality, bundle in models.items() if bundle != NO_MODEL}
    if not models:
        raise OptionsError("There is nothing to serve without --image-model and --audio-model.")
    scale = Scale(*bounds(args.autoscale, args.replicas), args.gpus_per_replica, args.cpus_per_replica)
    cache = None if args.max_cache is None else int(args.max_cache * 1e9)
    held: dict[str, Any] = {"dtype": args.dtype, "load_in_4bit": args.load_in_4bit}
    held |= {"max_rows": args.max_rows, "max_cache_bytes": cache}
    configs = {modality: ReplicaConfig(bundle, **held) for modality, bundle in models.items()}
    connect(args.address)
    serve.start(http_options={"host": args.host, "port": args.port})
    for modality, config in configs.items():
        serve.run(captioner_app(config, scale), name=modality, route_prefix=None)
    serve.run(page_app(tuple(models), root_path=args.root_path), name="page", route_prefix="/")


def connect(address: str | None, **options: Any) -> None:
    """Connect to a Ray cluster, or start one on this machine whose programs find this repository; once in a process.

    Args:
        address: of the cluster; None starts one.
        options: further ones of ``ray.init``.

    Raises:
        RuntimeError: it cannot be started or reached.
    """
    # Nothing of ours calls out to other hosts unasked.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # On a busy machine Ray's own processes need longer than it waits for them by default.
    os.environ.setdefault("RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S", "60")
    os.environ.setdefault("RAY_agent_register_timeout_ms", "300000")
    import ray

    if ray.is_initialized():
        return
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    # On a cluster the machines have the repository in their image, or get it by working_dir.
    environment = {"env_vars": {"PYTHONPATH": paths}} if address is None else {}
    ray.init(address=address, runtime_env=environment, include_dashboard=False if address is None else None, **options)


if __name__ == "__main__":
    sys.exit(main())
