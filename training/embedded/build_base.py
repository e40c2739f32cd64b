"""Build an embedded model before any training: pretrained tower, everything else at random.

The result, in ``build/image/untrained`` or ``build/audio/untrained``, is a folder that transformers' stock classes
load: fp16 weights, processor, chat template, and a tokenizer trained on the captions the model is going to learn.

    python -m training.embedded.build_base image
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from pathlib import Path

import torch
from transformers import GenerationConfig, PreTrainedModel, ProcessorMixin

from training.embedded.common.domain import Domain, LanguageModelSize, load_domain, sample_captions, stage_parser
from training.embedded.common.tokenizer import train_tokenizer


def build_base(
    domain: Domain,
    out: Path,
    captions: Iterable[str],
    size: LanguageModelSize | None = None,
    *,
    tower: PreTrainedModel | None = None,
    seed: int = 0,
) -> None:
    """Write the untrained model to ``out``.

    Args:
        captions: the corpus to train the tokenizer on; put the prompt in it too.
        size: the language model's; by default the domain's.
        tower: the media tower; by default the pretrained one, fetched if needed.
        seed: of the random projector and language model.
    """
    size = size or domain.architecture.language_model
    tower = domain.architecture.pretrained_tower() if tower is None else tower
    tokenizer = train_tokenizer(captions, size.vocab_size, domain.architecture.special_tokens)
    torch.manual_seed(seed)
    model, processor = domain.architecture.build_model(tokenizer, size, tower)
    getattr(model.model, domain.architecture.tower).load_state_dict(tower.state_dict())
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    save_half(model, processor, out)


def save_half(model: PreTrainedModel, processor: ProcessorMixin, out: Path) -> None:
    """Write a model and its processor to ``out`` with fp16 weights, leaving ``model`` as it is."""
    copy.deepcopy(model).half().save_pretrained(out)
    processor.save_pretrained(out)


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--scenes", type=int, help="scenes whose captions train the tokenizer")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    domain = load_domain(args.domain)
    captions = sample_captions(domain, args.scenes or domain.architecture.tokenizer_scenes, args.seed)
    build_base(domain, domain.untrained_dir, captions, seed=args.seed)


if __name__ == "__main__":
    main()
