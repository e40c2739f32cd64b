"""The files that configure a Space: README with front matter, requirements, .gitattributes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from huggingface_hub import SpaceCardData

# That a folder was assembled here, and may be replaced.
MARK = "<!-- Assembled by: python -m deploy.space -->"
PAPER = "2507.10419"
PYTHON_VERSION = "3.12"
# Spaces installs gradio[oauth,mcp] of ``sdk_version`` with the requirements, in one resolution. The mcp extra wants
# an older pydantic than the one pinned here, so of these packages the SDK chooses the versions.
SDK_INSTALLS = ("gradio", "gradio_client", "fastapi", "starlette", "pydantic", "uvicorn")
# The Hub takes no binary file, and none above 10 MB, outside LFS.
LFS_SUFFIXES = ("safetensors", "png", "jpg", "jpeg", "webp", "flac", "wav", "ogg", "mp3")


class SpaceError(Exception):
    """A Space cannot be assembled; the message gives the reason and what to do."""


@dataclass(frozen=True)
class Hardware:
    """A kind of machine that Spaces offers.

    Attributes:
        flavor: what Spaces calls it.
        app_file: what is run.
        suggest: whether ``flavor`` may stand in the front matter, for those who duplicate the Space.
        torch: version in place of the repository's, where the machine does not offer that.
        index: where else to look for packages.
        startup: how long the Space may take to start, where the default (30 minutes) may be too short.
    """

    flavor: str
    app_file: str = "app.py"
    suggest: bool = True
    torch: str | None = None
    index: str | None = None
    startup: str | None = None


HARDWARE = {
    "cpu-basic": Hardware("cpu-basic", index="https://download.pytorch.org/whl/cpu"),
    # 24 GB: the smallest that holds a 7B model in 16 bits.
    "gpu": Hardware("l4x1", startup="1h"),
    # Of torch, ZeroGPU offered 2.8.0, 2.9.1, 2.10.0 and 2.11.0 in August 2026. Its flavor may not be suggested.
    "zero-gpu": Hardware("zero-a10g", "app_zero_gpu.py", suggest=False, torch="2.11.0", startup="1h"),
}


def pins(requirements: str) -> dict[str, str]:
    """Package to version, of a requirements file in which every line is ``name==version``, a comment or empty.

    Raises:
        SpaceError: a line is something else.
    """
    found = {}
    for line in requirements.splitlines():
        line = line.partition("#")[0].strip()
        if not line:
            continue
        name, equals, version = line.partition("==")
        if not equals or not version:
            raise SpaceError(f"requirements.txt: {line!r} pins no version; a Space needs name==version.")
        found[name] = version
    missing = {"gradio", "torch"} - set(found)
    if missing:
        raise SpaceError(f"requirements.txt pins no {' and no '.join(sorted(missing))}.")
    return found


def requirements(repository: dict[str, str], hardware: Hardware) -> str:
    """The Space's requirements.txt, of the repository's pins."""
    kept = {name: version for name, version in repository.items() if name not in SDK_INSTALLS}
    if hardware.torch is not None:
        kept["torch"] = hardware.torch
    index = [f"--extra-index-url {hardware.index}"] if hardware.index else []
    about = "# Gradio and what it is made of come with the SDK, of the version in README.md."
    return "\n".join([about, *index, *(f"{name}=={version}" for name, version in kept.items())]) + "\n"


def attributes() -> str:
    """The Space's .gitattributes."""
    return "".join(f"*.{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in LFS_SUFFIXES)


# Variables of a Space with their values, and the hardware they apply to; host, port and path are the Space's own.
_VARIABLES = (
    ("IMAGE_MODEL", "Hub id of a bundle of an image model, or `none` for no such tab", tuple(HARDWARE)),
    ("AUDIO_MODEL", "Hub id of a bundle of an audio model, or `none` for no such tab", tuple(HARDWARE)),
    ("MORE_MODELS", "further bundles, between commas: choices in their tabs", tuple(HARDWARE)),
    ("DTYPE", "`bfloat16`, `float16` or `float32`, of the base model's weights", tuple(HARDWARE)),
    ("DEVICE_MAP", "`auto` spreads a model over several GPUs", ("gpu",)),
    ("LOAD_IN_4BIT", "`1` holds the language model in 4 bits; add `bitsandbytes` to the requirements", ("gpu",)),
    ("ACCELERATION", "`cuda-graph` or `compile`: faster steps after a slower first comparison", ("gpu",)),
    ("MAX_ROWS", "rows of all running comparisons, where a beam is a row; others wait", ("cpu-basic", "gpu")),
    ("MAX_CACHE", "gigabytes of their keys and values", ("cpu-basic", "gpu")),
    ("KEEP_PROMPTS", "pictures or sounds whose encoding is kept, for those who ask again", ("cpu-basic", "gpu")),
    ("MODEL_PROCESSES", "`0` keeps all models in the page's process, in less memory", ("cpu-basic", "gpu")),
    ("LEASE_START", "seconds asked of ZeroGPU before any token", ("zero-gpu",)),
    ("LEASE_PER_TOKEN", "seconds asked of ZeroGPU for each token", ("zero-gpu",)),
    ("FETCH_URLS", "`1` lets API clients give addresses of pictures and sounds", tuple(HARDWARE)),
    ("VOTES", "file of the blind votes; without it there is no vote", tuple(HARDWARE)),
    ("MCP", "`1` offers the endpoints as tools for language models", tuple(HARDWARE)),
    ("AUTH_FILE", "a file in the Space with a line `name:password` for each user", tuple(HARDWARE)),
)


def _variables(hardware: Hardware) -> str:
    """The table of the variables that apply to a kind of machine."""
    rows = [
        f"| `LORA_MCL_{name}` | {value} |"
        for name, value, kinds in _VARIABLES
        if any(HARDWARE[kind] == hardware for kind in kinds)
    ]
    return "\n".join(["| variable | value |", "| --- | --- |", *rows])


def readme(hardware: Hardware, sdk_version: str, modalities: Sequence[str], models: Sequence[str]) -> str:
    """The Space's README.md.

    Args:
        sdk_version: of Gradio.
        modalities: of the embedded models that come with it, "image" and "audio".
        models: Hub ids of bundles and base models that it loads, if any.
    """
    front = SpaceCardData(
        title="LoRA-MCL Studio",
        emoji="🌿",
        colorFrom="indigo",
        colorTo="pink",
        sdk="gradio",
        sdk_version=sdk_version,
        python_version=PYTHON_VERSION,
        app_file=hardware.app_file,
        fullWidth=True,
        license="apache-2.0",
        short_description="One captioning model, K ways of answering",
        suggested_hardware=hardware.flavor if hardware.suggest else None,
        startup_duration_timeout=hardware.startup,
        models=list(models) or None,
        tags=["lora-mcl", "multiple-choice-learning", "captioning", f"arxiv:{PAPER}"],
    )
    embedded = " and ".join(f"`{modality}`" for modality in modalities)
    sections = [
        f"---\n{front.to_yaml()}\n---",
        MARK,
        "# LoRA-MCL Studio",
        "A language model asked for a caption gives one average answer, though many are right. LoRA-MCL "
        f"([arXiv {PAPER}](https://arxiv.org/abs/{PAPER})) trains K small adapters, the *hypotheses*, on one frozen "
        "model, so that each learns another plausible way to answer. This page shows one caption column per "
        "hypothesis, next to beam search and diverse beam search.",
        f"It comes with small models ({embedded}). The Space's variables choose others:",
        _variables(hardware),
        "A private bundle needs a secret `HF_TOKEN` that may read it. Code: Apache-2.0 (`LICENSE`, `NOTICE`); the "
        "examples are credited one by one in `assets/examples/*/examples.json`.",
    ]
    return "\n\n".join(sections) + "\n"
