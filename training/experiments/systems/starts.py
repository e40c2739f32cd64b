"""Hypotheses, LoRA-MLE and LoRA-MoE on an embedded model, several starts of each; two languages; numbers of hypotheses.

    python -m training.experiments.systems.starts image
    python -m training.experiments.systems.starts image --seeds 1 --only moe-3

Trains adapters on the committed base by the embedded configurations, each start with another seed of first weights and
samples, and measures them on the first test scenes. Needs the cached features of the model. Writes
``assets/results/starts-image.json`` after every run, in which the runs of earlier calls on the same base stay; what a
run cut short has finished is kept under ``build/experiments/starts``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from lora_mcl.adapters import AdapterStack
from lora_mcl.decoding import BeamSearch, ColumnRequest, DiverseBeamSearch, Greedy
from lora_mcl.metrics.likelihood import likelihood
from lora_mcl.models.base import MediaLanguageModel
from lora_mcl.objectives import ObjectiveOptions
from training import train as program
from training.data.example import DataError
from training.embedded.common.comparison import DIVERSITY_PENALTY, MAX_NEW_TOKENS
from training.embedded.common.dataset import CachedFeatures
from training.embedded.common.domain import NAMES, PROMPT, Domain, load_domain, reference_caption
from training.embedded.common.generation import generate
from training.embedded.common.likelihood import likelihoods
from training.embedded.common.reports import NAMING, ScoredCaption, diversity_report, mean, set_report
from training.embedded.common.stability import mode_matrix, stability
from training.embedded.common.weight_files import committed_base
from training.experiments.lora_moe import route_tokens
from training.experiments.translations.measures import loops
from training.paths import BUILD, RESULTS, ROOT
from training.run.config import load_config
from training.run.options import TrainConfig

CONFIGS = ROOT / "training" / "configs" / "embedded"
KEPT = BUILD / "experiments" / "starts"
SCENES = 200
USED = 0.01
"""A hypothesis that wins a smaller share of the captions is not in use."""


@dataclass(frozen=True)
class System:
    """What is trained.

    Attributes:
        objective: of several hypotheses; that of one adapter has no choice.
        rank: of each adapter.
        experts: number of experts that the adapter is split into (LoRA-MoE); 0 for none.
        bilingual: half of the captions are of an English, half of a French annotator of the same things.
    """

    hypotheses: int
    objective: str = "relaxed"
    rank: int = 8
    experts: int = 0
    bilingual: bool = False


SYSTEMS = {
    "caption-gate-3": System(3, "caption-gate"),
    "mle": System(1),
    "moe-3": System(1, rank=24, experts=3),
    "mle-wide": System(1, rank=24),
    "relaxed-3": System(3),
}
LANGUAGES = {
    "bilingual-caption-gate-2": System(2, "caption-gate", bilingual=True),
    "bilingual-mle": System(1, bilingual=True),
    "bilingual-relaxed-2": System(2, bilingual=True),
}
BILINGUAL_MODES = {"image": ("en-place", "fr-place"), "audio": ("en-events", "fr-events")}
NUMBERS = {f"{objective}-{k}": System(k, objective) for k in (2, 4, 5, 6) for objective in ("caption-gate", "relaxed")}
EPSILON = 0.1
GROUPS = (SYSTEMS, LANGUAGES, NUMBERS)
ALL = SYSTEMS | LANGUAGES | NUMBERS


def modes_of(domain: Domain, system: System) -> tuple[str, ...]:
    """The annotators whose captions are learnt."""
    return BILINGUAL_MODES[domain.name] if system.bilingual else domain.annotators.modes


def configured(domain: Domain, system: System, seed: int, folder: Path, steps: int | None) -> TrainConfig:
    """The embedded configuration of the caption gate with what the system changes of it."""
    config = load_config(TrainConfig, CONFIGS / domain.name / "caption-gate.yaml")
    gate = system.objective == "caption-gate"
    objective = config.objective if gate else ObjectiveOptions(system.objective, epsilon=EPSILON)
    training = replace(config.training, seed=seed, steps=steps or config.training.steps)
    shares = tuple(float(mode in modes_of(domain, system)) for mode in domain.annotators.modes)
    return replace(
        config,
        output=folder,
        model=replace(config.model, base=str(domain.model_dir)),
        adapters=replace(config.adapters, hypotheses=system.hypotheses, rank=system.rank, alpha=2.0 * system.rank),
        objective=objective,
        data=replace(config.data, path=str(domain.features_dir), mode_shares=shares),
        training=training,
    )


def trained(config: TrainConfig, experts: int) -> tuple[MediaLanguageModel, AdapterStack]:
    """The adapters on their base, trained or as an earlier call left them in ``config.output``."""
    trainer, model = program.build(config)
    learner = trainer.model
    if experts:
        route_tokens(learner.stack, experts, torch.Generator().manual_seed(config.training.seed))
    saved = config.output / "trained.safetensors"
    if saved.is_file():
        learner.load_trainable_state_dict(load_file(saved))
    else:
        trainer.train_or_resume()
        save_file({name: one.contiguous() for name, one in learner.trainable_state_dict().items()}, saved)
    learner.eval()
    return model, learner.stack


def requests(stack: AdapterStack, beams: int) -> dict[str, list[ColumnRequest]]:
    """The columns of each method: greedy for hypotheses, beam and diverse beam search for a single adapter."""
    if len(stack) > 1:
        return {"hypotheses": [ColumnRequest(f"greedy/{k}", k, Greedy()) for k in range(len(stack))]}
    return {
        "beam": [ColumnRequest("beam", 0, BeamSearch(beams))],
        "diverse-beam": [ColumnRequest("diverse-beam", 0, DiverseBeamSearch(beams, beams, DIVERSITY_PENALTY))],
    }


def likelihood_figures(nll: torch.Tensor, lengths: torch.Tensor) -> dict[str, Any]:
    """From the NLL [K, M, N], nats per token, of K hypotheses on a caption of each of M modes of N scenes.

    Args:
        lengths: tokens of each caption [M, N].
    """
    found: dict[str, Any] = {
        name: round(value, 4) for name, value in likelihood(nll, lengths).to_dict().items() if name != "perplexity"
    }
    found["mode_matrix"] = mode_matrix(nll)
    if len(nll) > 1:
        stable = stability(nll)
        wins = torch.tensor(stable.win_share).mean(dim=0)
        found |= {
            "main": list(stable.main),
            "stability": list(stable.share),
            "distinct": stable.distinct,
            "wins": [round(share, 4) for share in wins.tolist()],
            "used": int((wins >= USED).sum()),
        }
    return found


def measure(
    domain: Domain, model: MediaLanguageModel, stack: AdapterStack, modes: Sequence[str], scenes: int
) -> dict[str, Any]:
    """Likelihood and captions on the first test scenes, by the references of ``modes``."""
    cached = CachedFeatures.open(domain, "test")
    count = min(scenes, len(cached))
    cached = replace(cached, items=cached.items[:count], shard_of=cached.shard_of[:count])
    lengths = torch.tensor(
        [
            [len(model.tokenizer(reference_caption(domain, item, n, mode), add_special_tokens=False)["input_ids"]) + 1]
            for mode in modes
            for n, item in enumerate(cached.items)
        ]
    ).view(len(modes), count)  # [M, N], the end included
    of_modes = [domain.annotators.modes.index(mode) for mode in modes]
    figures = likelihood_figures(likelihoods(domain, model, stack, cached)[:, of_modes], lengths)
    # As many beams as annotators: the budget of a hypothesis for each.
    methods = requests(stack, len(modes))
    material = domain.rendering.load_material(domain.rendering.material_split("test"))
    rendered = [domain.rendering.render("test", number, material) for number in range(count)]
    columns = [column for some in methods.values() for column in some]
    rows = list(generate(model, stack, columns, [one for _, one in rendered], PROMPT, MAX_NEW_TOKENS))
    captions = {}
    for method, of_method in methods.items():
        sets = [[text for column in of_method for text in row[column.id]] for row in rows]
        judged = [
            [domain.annotators.judge(item.scene, text) for text in texts]
            for (item, _), texts in zip(rendered, sets, strict=True)
        ]
        captions[method] = {
            **set_report(judged),
            "diversity": diversity_report(sets),
            "loops": mean(loops(text) for texts in sets for text in texts),
            "modes": [mode_figures(judged, mode) for mode in modes],
        }
    return {"modes": list(modes), "likelihood": figures, "captions": captions}


def mode_figures(judged: Sequence[Sequence[ScoredCaption]], mode: str) -> dict[str, Any]:
    """The captions in the form of a mode: their share at each place of the sets, and how right they are."""
    of_mode = [caption for captions in judged for caption in captions if caption.mode == mode]
    return {
        "share": [mean(caption.mode == mode for caption in column) for column in zip(*judged, strict=True)],
        "media": mean(any(caption.mode == mode for caption in captions) for captions in judged),
        **{name: mean(getattr(caption.score, name) for caption in of_mode) for name in NAMING},
    }


def run(domain: Domain, name: str, seed: int, steps: int | None, scenes: int) -> dict[str, Any]:
    """Train and measure one start, or read what an earlier call with the same arguments left."""
    system = ALL[name]
    folder = (
        KEPT / domain.name / committed_base(domain) / f"{name}-seed{seed}{'' if steps is None else f'-steps{steps}'}"
    )
    file = folder / f"measures-{scenes}.json"
    if file.is_file():
        return json.loads(file.read_text(encoding="utf-8"))
    config = configured(domain, system, seed, folder, steps)
    model, stack = trained(config, system.experts)
    found = {"system": name, "seed": seed, "steps": config.training.steps, **asdict(system)}
    found |= measure(domain, model, stack, modes_of(domain, system), scenes)
    file.write_text(json.dumps(found), encoding="utf-8")
    return found


def earlier_runs(about: dict[str, Any], out: Path) -> list[dict[str, Any]]:
    """What earlier calls left in the results file.

    Args:
        about: ``base``, as ``committed_base`` names it, and ``scenes``, their number.

    Raises:
        ValueError: the file is of another base or number of scenes.
    """
    if not out.is_file():
        return []
    content = json.loads(out.read_text(encoding="utf-8"))
    for name, value in about.items():
        if content[name] != value:
            raise ValueError(f"{out} has {name} {content[name]}, not {value}: move it away, or give another --out")
    return content["runs"]


def write(runs: Sequence[dict[str, Any]], about: dict[str, Any], out: Path) -> None:
    """The results file: one line for each run. Runs of earlier calls stay unless they are here again.

    Raises:
        ValueError: as ``earlier_runs``.
    """
    found = {(one["system"], one["seed"]): one for one in (*earlier_runs(about, out), *runs)}
    order = list(ALL)
    lines = ",\n  ".join(json.dumps(found[key]) for key in sorted(found, key=lambda key: (order.index(key[0]), key[1])))
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(f'{json.dumps(about)[:-1]},\n "runs": [\n  {lines}]}}\n', encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("domain", choices=NAMES)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, help="instead of the configuration's")
    parser.add_argument("--scenes", type=int, default=SCENES)
    parser.add_argument("--only", nargs="+", metavar="SYSTEM", help="these systems, by name")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args(argv)
    for name in ("seeds", "steps", "scenes"):
        value = getattr(args, name)
        if value is not None and value < 1:
            parser.error(f"--{name} must be at least 1, not {value}")
    if unknown := set(args.only or ()) - set(ALL):
        parser.error(f"no system {', '.join(sorted(unknown))}; there are: {', '.join(ALL)}")
    domain = load_domain(args.domain)
    names = [name for name in ALL if not args.only or name in args.only]
    groups = [[name for name in names if name in group] for group in GROUPS]
    out, runs = args.out or RESULTS / f"starts-{domain.name}.json", []
    about = {"base": committed_base(domain), "scenes": args.scenes}
    try:
        earlier_runs(about, out)  # before anything is trained
    except ValueError as error:
        parser.error(str(error))
    for group in groups:
        for seed in range(args.seeds):
            for name in group:
                try:
                    runs.append(run(domain, name, seed, args.steps, args.scenes))
                except (DataError, FileNotFoundError) as error:  # no features, or no material to draw scenes of
                    parser.error(str(error))
                write(runs, about, out)
                print(name, seed, runs[-1]["likelihood"]["best"], runs[-1]["likelihood"]["mixture"], flush=True)


if __name__ == "__main__":
    main()
