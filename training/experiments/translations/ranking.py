"""Which hypothesis will be right? A score head on the frozen prompt against the hypotheses' own log-probabilities.

    python -m training.experiments.translations.ranking

K = 4 hypotheses of ``training.experiments.translations`` (caption gate). A linear score head on the bare base's mean
hidden state over the prompt learns, after the adapters, which hypothesis wins the reference (``lora_mcl.score_head``;
resilient multiple choice learning, arXiv 2311.01052). It competes with the softmax over hypotheses of the mean
log-probability per token of what each writes. Two kinds of reference: in any of the four languages at random, where
nothing about the winner can be known, and in a language that the number of words decides. Writes
``assets/results/ranking.json``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from sacrebleu.metrics import CHRF
from torch import Tensor

from lora_mcl.decoding import ColumnRequest, Engine, Greedy
from lora_mcl.score_head import prompt_states
from lora_mcl.trainer import MultipleChoiceLearner
from training.evaluation.winners import Winners, calibration, fit_score_head, win_frequency
from training.experiments.translations.catalogues import Message
from training.experiments.translations.measures import AT_ONCE, MAX_NEW_TOKENS, reference_nll
from training.experiments.translations.model import Encoder, Size, encode_prompts
from training.experiments.translations.runs import GATE, KEPT, Setting, Variant, parsed, trained
from training.paths import RESULTS

RESULTS_FILE = RESULTS / "ranking.json"
VARIANT = Variant(4, GATE)
HEAD_MESSAGES = 1500
# Of the head's messages every so many is kept for its calibration.
HELD_OUT = 5
_CHRF = CHRF()


def random_language(number: int, message: Message) -> int:
    """The languages in turn: independent of the message, whose order is that of a hash."""
    return number % len(message.translations)


def language_by_words(number: int, message: Message) -> int:
    """French for one word, German for two, Spanish for three."""
    return min(len(message.text.split()), 3) - 1


REFERENCES = {"any language": random_language, "language by words": language_by_words}


@dataclass(frozen=True)
class Hypotheses:
    """What the hypotheses make of N messages.

    Attributes:
        prompts: [N, D] the bare base's mean hidden state over the prompt.
        nll: [K, languages, N] of every reference, nats per token.
        log_prob: [N, K] mean log-probability per token of the text that each hypothesis writes; empty if none was
            asked for.
        texts: [N][K], these texts.
    """

    prompts: Tensor
    nll: Tensor
    log_prob: Tensor
    texts: list[list[str]]


@torch.no_grad()
def states_of(learner: MultipleChoiceLearner, encoder: Encoder, messages: Sequence[Message]) -> Tensor:
    """[N, D] mean over the prompt of the bare base's last hidden state."""
    return torch.cat(
        [
            prompt_states(
                learner.model, learner.stack, encode_prompts(learner.model, encoder, messages[start : start + AT_ONCE])
            )
            for start in range(0, len(messages), AT_ONCE)
        ]
    )


def write_texts(
    learner: MultipleChoiceLearner, encoder: Encoder, messages: Sequence[Message]
) -> tuple[list[list[str]], Tensor]:
    """Each hypothesis' greedy text, [N][K], and its mean log-probability per token [N, K]."""
    tokenizer = encoder.tokenizer
    engine = Engine(learner.model, learner.stack, (tokenizer.eos_token_id,), tokenizer.pad_token_id)
    texts, scores = [], []
    for start in range(0, len(messages), AT_ONCE):
        some = messages[start : start + AT_ONCE]
        columns = [
            ColumnRequest(f"{number}/{k}", k, Greedy(), prompt=number)
            for number in range(len(some))
            for k in range(len(learner.stack))
        ]
        written: dict[str, Any] = {}
        with torch.inference_mode():
            prompts = encode_prompts(learner.model, encoder, some)
            for event in engine.decode(prompts, columns, max_new_tokens=MAX_NEW_TOKENS):
                written |= event.columns
        for number in range(len(some)):
            of_message = [written[f"{number}/{k}"][0] for k in range(len(learner.stack))]
            texts.append([encoder.text(one.tokens) for one in of_message])
            scores.append([one.log_prob / max(one.length, 1) for one in of_message])
    return texts, torch.tensor(scores)


def ask(
    learner: MultipleChoiceLearner, encoder: Encoder, messages: Sequence[Message], texts: bool = False
) -> Hypotheses:
    """All that a ranking can use, and what it is measured by."""
    written, log_prob = write_texts(learner, encoder, messages) if texts else ([], torch.empty(0))
    return Hypotheses(
        states_of(learner, encoder, messages), reference_nll(learner, encoder, messages)[0], log_prob, written
    )


def winners(nll: Tensor, languages: Sequence[int]) -> Tensor:
    """[N] the hypothesis of least NLL for each message's reference; nll is [K, languages, N]."""
    return nll[:, torch.tensor(languages), torch.arange(len(languages))].argmin(dim=0)


def ranking_report(
    train: Hypotheses, test: Hypotheses, messages: tuple[Sequence[Message], Sequence[Message]]
) -> dict[str, Any]:
    """Of each kind of reference and each ranking: calibration, and chrF of the text that it puts first."""
    report: dict[str, Any] = {}
    hypotheses = len(test.nll)
    for name, language_of in REFERENCES.items():
        chosen = [[language_of(number, message) for number, message in enumerate(part)] for part in messages]
        known, winner = winners(train.nll, chosen[0]), winners(test.nll, chosen[1])
        # Their order is that of a hash.
        count = max(2, len(known) // HELD_OUT)
        held_out, fit = (Winners(train.prompts[part], known[part]) for part in (slice(count), slice(count, None)))
        head = fit_score_head(fit, held_out, hypotheses)
        learned = head.log_probabilities(test.prompts).exp()
        frequent = win_frequency(known, hypotheses)
        rankings = {
            "score head": learned,
            "log-probability": test.log_prob.softmax(dim=1),
            "frequency": frequent.expand(len(winner), -1),
        }
        report[name] = {}
        for ranking, probability in rankings.items():
            first = probability.argmax(dim=1).tolist()
            scores = [
                _CHRF.sentence_score(texts[k], [message.translations[language]]).score
                for texts, k, message, language in zip(test.texts, first, messages[1], chosen[1], strict=True)
            ]
            report[name][ranking] = calibration(probability, winner) | {"chrf_first": round(fmean(scores), 4)}
    return report


def run(seed: int, setting: Setting) -> dict[str, Any]:
    """Fit the head to the hypotheses of the translation experiment, and measure."""
    learner, encoder = trained(VARIANT, seed, setting)
    some = setting.train[:HEAD_MESSAGES]
    report = ranking_report(
        ask(learner, encoder, some), ask(learner, encoder, setting.test, texts=True), (some, setting.test)
    )
    return {"seed": seed, "references": report}


def main(argv: Sequence[str] | None = None, out: Path = RESULTS_FILE) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    seeds, train, test, base = parsed(parser, argv)
    setting = Setting(base, train, test, Size(), KEPT / "runs")
    runs = [run(seed, setting) for seed in range(seeds)]
    content = {
        "hypotheses": VARIANT.hypotheses,
        "messages": {"head": min(HEAD_MESSAGES, len(train)), "test": len(test)},
        "runs": runs,
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
