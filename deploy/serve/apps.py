"""The Serve applications: one for each model, with its replicas, and one for the page.

Each is also what ``import_path`` names in ``serve.yaml``, with ``args`` for its builder.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from fastapi import FastAPI
from ray import serve
from ray.serve import Application

from deploy.serve.replica import MAX_REQUESTS, CaptionReplica, ReplicaConfig
from lora_mcl.errors import OptionsError
from lora_mcl.option_checks import is_number, is_whole_number

CAPTIONER, PAGE = "captioner", "page"
# Comparisons that a replica has in progress before another is started, where their number follows the load.
TARGET_REQUESTS = 4


@dataclass(frozen=True)
class Scale:
    """How many replicas a model has, and what each takes.

    Attributes:
        replicas: how many; at least that many where ``most`` is given.
        most: where their number follows the load, the most.
        gpus: GPUs of each; a part of one lets several share it.
        cpus: CPUs set aside for each.

    Raises:
        OptionsError: a value is out of range.
    """

    replicas: int = 1
    most: int | None = None
    gpus: float = 0.0
    cpus: float = 1.0

    def __post_init__(self) -> None:
        if not is_whole_number(self.replicas) or self.replicas < 1:
            raise OptionsError(f"replicas must be a whole number of at least 1, not {self.replicas!r}.")
        if self.most is not None and (not is_whole_number(self.most) or self.most < self.replicas):
            raise OptionsError(f"autoscale must be MIN:MAX with MIN at most MAX, not {self.replicas}:{self.most}.")
        for name in ("gpus", "cpus"):
            value = getattr(self, name)
            if not is_number(value) or value < 0:
                raise OptionsError(f"{name} per replica must be a number of at least 0, not {value!r}.")

    def options(self) -> dict[str, Any]:
        """Options of a Serve deployment."""
        options: dict[str, Any] = {"ray_actor_options": {"num_cpus": self.cpus, "num_gpus": self.gpus}}
        if self.most is None:
            return {**options, "num_replicas": self.replicas}
        bounds = {"min_replicas": self.replicas, "max_replicas": self.most}
        return {**options, "autoscaling_config": {**bounds, "target_ongoing_requests": TARGET_REQUESTS}}


def captioner_app(config: ReplicaConfig | None, scale: Scale) -> Application:
    """The replicas of one model; without a configuration, one comes from the ``user_config`` of a file."""
    fixed: dict[str, Any] = {
        "max_ongoing_requests": MAX_REQUESTS,
        "user_config": config and {name: value for name, value in asdict(config).items() if value is not None},
        # A check is a comparison; long enough for one that waits behind others.
        "health_check_period_s": 30,
        "health_check_timeout_s": 60,
        "graceful_shutdown_timeout_s": 60,
    }
    deployment = serve.deployment(CaptionReplica, name=CAPTIONER)
    return deployment.options(**fixed, **scale.options()).bind()


def captioner(args: Mapping[str, str]) -> Application:
    """Builder for ``serve.yaml``, which sets all in its ``deployments``: other ``args`` would restart the replicas.

    Raises:
        OptionsError: there are ``args``.
    """
    if args:
        raise OptionsError("A captioner takes no args: its bundle is in user_config of its deployment.")
    return captioner_app(None, Scale())


def page_app(modalities: tuple[str, ...], fetch_urls: bool = False, root_path: str = "") -> Application:
    """The page, in one replica, since its queue and its sessions are in one process.

    Args:
        modalities: "image", "audio" or both: the names of the applications whose captioners it shows.
    """

    def build() -> FastAPI:
        # Not at the head of the file: the replicas of models need no Gradio.
        from deploy.serve.page import page_asgi

        # Serve builds in the thread of its event loop, where nothing may wait for a replica's answer.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(page_asgi, modalities, fetch_urls, root_path).result()

    deployment = serve.deployment(serve.ingress(build)(), name=PAGE)
    # Each open event stream of a browser is a request.
    return deployment.options(num_replicas=1, max_ongoing_requests=1_000).bind()


def page(args: Mapping[str, str]) -> Application:
    """Builder for ``serve.yaml``: ``modalities`` separated by commas."""
    modalities = tuple(part.strip() for part in args.get("modalities", "image,audio").split(","))
    return page_app(modalities, args.get("fetch_urls", "") in ("1", "true"), args.get("root_path", ""))
