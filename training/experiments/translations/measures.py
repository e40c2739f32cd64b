"""Measures of translations: likelihood and who wins which language, then quality and coverage of what is written."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import log
from statistics import fmean
from typing import Any

import torch
from py3langid.langid import MODEL_DIR, MODEL_FILE, LanguageIdentifier
from sacrebleu.metrics import BLEU, CHRF
from torch import Tensor

from lora_mcl.decoding import BeamSearch, ColumnRequest, DiverseBeamSearch, Engine, Greedy, Sampling
from lora_mcl.metrics import distinct_n, mutual_bleu, words
from lora_mcl.metrics.likelihood import likelihood
from lora_mcl.trainer import MultipleChoiceLearner
from lora_mcl.trainer.batch import Batch
from training.embedded.common.stability import stability
from training.experiments.translations.catalogues import LANGUAGES, Message
from training.experiments.translations.model import Encoder, collate, encode_prompts

AT_ONCE = 32
MAX_NEW_TOKENS = 24
PENALTIES = (0.5, 0.8, 1.0)
_LOOP = re.compile(r"(\b\w+(?:\W+\w+){0,2})(?:\W+\1\b){2}")
_CHRF, _BLEU = CHRF(), BLEU(effective_order=True)


@torch.no_grad()
def reference_nll(
    learner: MultipleChoiceLearner, encoder: Encoder, messages: Sequence[Message]
) -> tuple[Tensor, Tensor]:
    """NLL [K, languages, N] of every reference under every hypothesis, nats per token; and their lengths."""
    parts, lengths, languages = [], [], len(messages[0].translations)
    for start in range(0, len(messages), AT_ONCE):
        some = messages[start : start + AT_ONCE]
        pairs = [
            {"prompt": encoder.prompt(message.text), "target": encoder.target(message.translations[language])}
            for language in range(languages)
            for message in some
        ]
        parts.append(learner.nll(Batch.from_collated(collate(pairs))).unflatten(1, (languages, len(some))))
        lengths.append(torch.tensor([len(pair["target"]) for pair in pairs]).unflatten(0, (languages, len(some))))
    return torch.cat(parts, dim=2), torch.cat(lengths, dim=1)


def specialisation(nll: Tensor) -> dict[str, Any]:
    """Which hypothesis wins which language, from NLL [K, languages, N].

    ``share``: [languages][K]; ``entropy_of_hypothesis``: H(winner | language), nats, 0 where a language has one
    hypothesis; ``entropy_of_language``: H(language | winner), 0 where a hypothesis has one language.
    """
    found = stability(nll)
    shares = torch.tensor(found.win_share)  # [languages, K], every language equally often
    joint = shares / len(shares)
    of_winner = joint.sum(0)
    entropy_joint = -sum(p * log(p) for p in joint.flatten().tolist() if p > 0)
    entropy_winner = -sum(p * log(p) for p in of_winner.tolist() if p > 0)
    return {
        "share": [list(row) for row in found.win_share],
        "main": list(found.main),
        "distinct": found.distinct,
        "entropy_of_hypothesis": round(entropy_joint - log(len(shares)), 4),
        "entropy_of_language": round(entropy_joint - entropy_winner, 4),
    }


def columns_of(hypotheses: int, budget: int, seed: int) -> list[ColumnRequest]:
    """What a run decodes: each hypothesis greedily, or with one adapter every baseline with ``budget`` rows."""
    if hypotheses > 1:
        return [ColumnRequest(f"hypothesis-{k}", k, Greedy()) for k in range(hypotheses)]
    baselines = {
        "beam": BeamSearch(budget),
        **{f"diverse-beam-{penalty}": DiverseBeamSearch(budget, budget, penalty) for penalty in PENALTIES},
        "nucleus": Sampling(budget, top_p=0.95, seed=seed),
        "top-k": Sampling(budget, top_k=50, seed=seed),
        "typical": Sampling(budget, typical_p=0.95, seed=seed),
    }
    return [ColumnRequest(name, 0, strategy) for name, strategy in baselines.items()]


def translate(
    learner: MultipleChoiceLearner, encoder: Encoder, messages: Sequence[Message], columns: Sequence[ColumnRequest]
) -> dict[str, list[list[str]]]:
    """Every column's texts of each message, best first."""
    tokenizer = encoder.tokenizer
    engine = Engine(learner.model, learner.stack, (tokenizer.eos_token_id,), tokenizer.pad_token_id)
    texts: dict[str, list[list[str]]] = {column.id: [] for column in columns}
    for start in range(0, len(messages), AT_ONCE):
        some = messages[start : start + AT_ONCE]
        placed = [
            ColumnRequest(f"{number}/{column.id}", column.adapter, column.strategy, prompt=number)
            for number in range(len(some))
            for column in columns
        ]
        written: dict[str, Any] = {}
        with torch.inference_mode():
            prompts = encode_prompts(learner.model, encoder, some)
            for event in engine.decode(prompts, placed, max_new_tokens=MAX_NEW_TOKENS):
                written |= event.columns
        for column in columns:
            for number in range(len(some)):
                texts[column.id].append([encoder.text(one.tokens) for one in written[f"{number}/{column.id}"]])
    return texts


def system_report(sets: Sequence[Sequence[str]], messages: Sequence[Message]) -> dict[str, Any]:
    """Quality, coverage and diversity of the K texts of each message; chrF and BLEU are 0 to 100.

    ``chrf`` and ``bleu``: sentence scores against the translation that fits best, ``best`` of the K texts, their
    ``mean`` and the ``worst``. ``coverage``: each reference's best score among the K texts, a mean over languages: high
    only if all languages are among them. ``languages``: share of the texts that are nearest (by chrF) to each
    language's reference; ``languages_per_message``: how many different ones the K texts of a message are in;
    ``loops``: share of the texts that repeat themselves.
    """
    chrf, bleu = [], []  # [N][K][languages]
    for texts, message in zip(sets, messages, strict=True):
        chrf.append([[_CHRF.sentence_score(text, [one]).score for one in message.translations] for text in texts])
        bleu.append([[_BLEU.sentence_score(text, [one]).score for one in message.translations] for text in texts])
    languages = [[_nearest(scores) for scores in of_message] for of_message in chrf]
    flat = [language for of_message in languages for language in of_message]
    split = [[words(text) for text in texts] for texts in sets]
    more = len(sets[0]) > 1
    return {
        "texts": len(sets[0]),
        "chrf": _best_mean_worst(chrf),
        "bleu": _best_mean_worst(bleu),
        "coverage": {"chrf": _coverage(chrf), "bleu": _coverage(bleu)},
        "coverage_by_language": [round(value, 4) for value in _covered(chrf)],
        "languages": [round(flat.count(language) / len(flat), 4) for language in range(len(messages[0].translations))],
        "languages_per_message": round(fmean(len(set(of_message) - {None}) for of_message in languages), 3),
        "loops": round(fmean(loops(text) for texts in sets for text in texts), 4),
        "mutual_bleu": round(mutual_bleu(split), 4) if more else None,
        "distinct_1": round(distinct_n(split, 1), 4) if more else None,
    }


def identified(texts: Sequence[str], codes: Sequence[str]) -> list[float]:
    """The share of the texts in each of these languages, by py3langid."""
    found = [str(_identifier(tuple(codes)).classify(text)[0]) for text in texts]
    return [round(found.count(code) / len(found), 4) for code in codes]


@lru_cache(maxsize=4)
def _identifier(codes: tuple[str, ...]) -> LanguageIdentifier:
    identifier = LanguageIdentifier.from_model_file(MODEL_DIR / MODEL_FILE, norm_probs=True)
    identifier.set_languages(list(codes))
    return identifier


def loops(text: str) -> bool:
    """Whether up to three words come three times or more in a row."""
    return _LOOP.search(text.lower()) is not None


def run_report(
    learner: MultipleChoiceLearner,
    encoder: Encoder,
    test: Sequence[Message],
    seed: int,
    budgets: Sequence[int] = (1, 2, 3, 5, 6),
    examples: Sequence[str] = (),
    codes: Sequence[str] = LANGUAGES,
) -> dict[str, Any]:
    """All measures of one run.

    One adapter is decoded by every baseline with as many rows as there are languages, and by beam search and diverse
    beam search also with ``budgets``. ``examples``: what is written for these prompts, by the hypotheses or by
    beam search. ``codes``: of the languages.

    ``identified``: [K][languages] which share of each hypothesis' texts a language identifier finds in each language;
    ``identified_references``: the share of the references whose language it finds, which is as good as it can be.
    """
    languages = len(test[0].translations)
    nll, lengths = reference_nll(learner, encoder, test)
    hypotheses = len(learner.stack)
    report: dict[str, Any] = {
        "likelihood": _rounded(likelihood(nll, lengths).to_dict()),
        "specialisation": specialisation(nll) if hypotheses > 1 else None,
        "systems": {},
    }
    systems = report["systems"]
    if hypotheses > 1:
        texts = translate(learner, encoder, test, columns_of(hypotheses, 1, seed))
        together = [[one for column in texts.values() for one in column[number]] for number in range(len(test))]
        systems[f"hypotheses x {hypotheses}"] = system_report(together, test)
        alone = [system_report(column, test) for column in texts.values()]
        report["by_hypothesis"] = [one["languages"] for one in alone]
        report["loops_by_hypothesis"] = [one["loops"] for one in alone]
        report["identified"] = [identified([one for (one,) in column], codes) for column in texts.values()]
        references = [identified([one.translations[number] for one in test], codes) for number in range(languages)]
        report["identified_references"] = round(fmean(row[number] for number, row in enumerate(references)), 4)
        report["examples"] = _examples(learner, encoder, examples, columns_of(hypotheses, 1, seed))
        return report
    columns = columns_of(1, languages, seed)
    columns += [ColumnRequest(f"beam x {budget}", 0, BeamSearch(budget)) for budget in budgets]
    columns += [
        ColumnRequest(f"diverse-beam-0.8 x {budget}", 0, DiverseBeamSearch(budget, budget, 0.8))
        for budget in budgets
        if budget > 1
    ]
    for name, sets in translate(learner, encoder, test, columns).items():
        systems[name if " x " in name else f"{name} x {languages}"] = system_report(sets, test)
    report["examples"] = _examples(learner, encoder, examples, columns_of(1, languages, seed)[:1])
    return report


def _examples(
    learner: MultipleChoiceLearner, encoder: Encoder, prompts: Sequence[str], columns: Sequence[ColumnRequest]
) -> list[dict[str, Any]]:
    """Each prompt with the texts of all columns."""
    texts = translate(learner, encoder, [Message(prompt, ()) for prompt in prompts], columns)
    return [
        {"message": prompt, "texts": [text for column in texts.values() for text in column[number]]}
        for number, prompt in enumerate(prompts)
    ]


def _nearest(scores: Sequence[float]) -> int | None:
    """The language of the highest score; None if a text has nothing in common with any."""
    return max(range(len(scores)), key=scores.__getitem__) if max(scores) > 0 else None


def _best_mean_worst(scores: Sequence[Sequence[Sequence[float]]]) -> dict[str, float]:
    fits = [[max(of_text) for of_text in of_message] for of_message in scores]
    return _rounded({"best": fmean(map(max, fits)), "mean": fmean(map(fmean, fits)), "worst": fmean(map(min, fits))})


def _covered(scores: Sequence[Sequence[Sequence[float]]]) -> list[float]:
    """Of each language, the mean over messages of the best score among the K texts."""
    best = [[max(of_language) for of_language in zip(*of_message, strict=True)] for of_message in scores]
    return [fmean(of_language) for of_language in zip(*best, strict=True)]


def _coverage(scores: Sequence[Sequence[Sequence[float]]]) -> float:
    return round(fmean(_covered(scores)), 4)


def _rounded(figures: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in figures.items()}
