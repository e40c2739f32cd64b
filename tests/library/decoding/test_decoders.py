"""Strategies without a model: given scores in, next tokens and candidates out; and the options they refuse."""

import math
import random

import pytest
import torch
from transformers import NoRepeatNGramLogitsProcessor

from lora_mcl.decoding import BeamSearch, DecodeContext, DiverseBeamSearch, Greedy, LogitsOptions, Sampling
from lora_mcl.decoding.beam import Beam, expand
from lora_mcl.decoding.logits_processor import DEFAULT_LOGITS_OPTIONS, LogitsProcessor
from lora_mcl.errors import LoraMclError, OptionsError

A, B, C, EOS = range(4)


def context(
    max_new_tokens: int = 5, logits_options: LogitsOptions = DEFAULT_LOGITS_OPTIONS, eos: tuple[int, ...] = (EOS,)
) -> DecodeContext:
    bound = LogitsProcessor(logits_options, eos, torch.device("cpu"))
    return DecodeContext(bound, eos, pad_token_id=9, max_new_tokens=max_new_tokens)


def scores(*rows: dict[int, float], vocab_size: int = 10) -> torch.Tensor:
    """[R, V] log-probabilities: these probabilities, next to nothing for the other tokens."""
    table = torch.full((len(rows), vocab_size), 1e-9)
    for row, probabilities in enumerate(rows):
        for token, probability in probabilities.items():
            table[row, token] = probability
    return table.log()


def update(decoder, *rows: dict[int, float]):
    table = scores(*rows)
    return decoder.update(table, table)


@pytest.mark.parametrize(
    "options", [Greedy(), BeamSearch(1), BeamSearch(2), DiverseBeamSearch(2, 2, 0.5), Sampling(2)], ids=repr
)
def test_a_new_decoder_has_all_before_it(options):
    decoder = options.token_decoder(context())
    assert decoder.finished is False
    assert all(candidate.tokens == () and not candidate.finished for candidate in decoder.candidates())
    update(decoder, {A: 0.5, B: 0.4})
    assert decoder.finished is False and {candidate.length for candidate in decoder.candidates()} == {1}


def test_greedy_takes_the_best_token_until_the_end_of_sequence():
    decoder = Greedy().token_decoder(context())
    chosen = update(decoder, {A: 0.3, B: 0.6})
    assert (chosen.tokens, chosen.beam_idx) == ((B,), (0,))
    assert not decoder.finished and not decoder.candidates()[0].finished
    assert update(decoder, {EOS: 0.5, A: 0.4}).tokens == ()
    (candidate,) = decoder.candidates()
    assert decoder.finished and candidate.finished
    assert candidate.tokens == (B,) and candidate.length == 2
    assert candidate.log_prob == pytest.approx(math.log(0.6) + math.log(0.5))
    assert candidate.mean_log_prob == pytest.approx(candidate.log_prob / 2)


def test_greedy_keeps_the_least_of_its_log_probabilities():
    """Also where the end of the sequence is the least likely; 0 before the first token."""
    decoder = Greedy().token_decoder(context())
    assert decoder.candidates()[0].least_log_prob == 0
    for row, least in (({A: 0.6}, 0.6), ({B: 0.9}, 0.6), ({EOS: 0.3, A: 0.2}, 0.3)):
        update(decoder, row)
        assert decoder.candidates()[0].least_log_prob == pytest.approx(math.log(least))


def test_greedy_is_cut_at_max_new_tokens():
    decoder = Greedy().token_decoder(context(max_new_tokens=2))
    update(decoder, {A: 0.9})
    update(decoder, {B: 0.9})
    (candidate,) = decoder.candidates()
    assert decoder.finished and candidate.finished
    assert candidate.tokens == (A, B) and candidate.length == 2


def test_beam_search_keeps_the_best_sums_and_names_their_parents():
    decoder = BeamSearch(2, length_penalty=0.0).token_decoder(context())
    chosen = update(decoder, {A: 0.6, B: 0.4})
    assert (list(chosen.tokens), list(chosen.beam_idx)) == ([A, B], [0, 0])
    # A is better so far, but what follows B is surer: both survivors continue row 1.
    chosen = update(decoder, {A: 0.3, B: 0.3, C: 0.3}, {A: 0.52, C: 0.48})
    assert (list(chosen.tokens), list(chosen.beam_idx)) == ([A, C], [1, 1])
    first, second = decoder.candidates()
    assert (first.tokens, second.tokens) == ((B, A), (B, C))
    assert first.score == pytest.approx(math.log(0.4 * 0.52))
    assert first.log_prob == pytest.approx(first.score)
    assert not first.finished


def test_beam_search_ends_when_no_open_beam_can_win():
    decoder = BeamSearch(2, length_penalty=0.0).token_decoder(context())
    update(decoder, {EOS: 0.6, A: 0.4})
    assert decoder.candidates()[0].tokens == ()
    assert [candidate.finished for candidate in decoder.candidates()] == [True, False]
    chosen = update(decoder, {EOS: 0.9, B: 0.1}, {EOS: 1e-9})
    assert decoder.finished and chosen.tokens == ()
    assert [candidate.tokens for candidate in decoder.candidates()] == [(), (A,)]
    assert decoder.candidates()[1].log_prob == pytest.approx(math.log(0.4 * 0.9))


@pytest.mark.parametrize("strategy", [BeamSearch(2, early_stopping="never"), DiverseBeamSearch(4, 2, 0.0)], ids=str)
def test_beams_stay_open_though_a_caption_may_end_in_many_ways(strategy):
    decoder = strategy.token_decoder(context(eos=(EOS, 4, 5)))
    chosen = update(decoder, {EOS: 0.3, 4: 0.25, 5: 0.2, A: 0.15, B: 0.1})
    assert list(chosen.tokens) == [A, B] * (strategy.num_beams // 2)


def test_one_beam_is_greedy():
    steps = [{A: 0.5, EOS: 0.4}, {B: 0.7, EOS: 0.3}, {EOS: 0.6, A: 0.4}]
    greedy, beam = Greedy().token_decoder(context()), BeamSearch(1).token_decoder(context())
    for probabilities in steps:
        update(greedy, probabilities)
        update(beam, probabilities)
        assert greedy.finished == beam.finished
        assert greedy.candidates()[0].tokens == beam.candidates()[0].tokens
        assert greedy.candidates()[0].log_prob == pytest.approx(beam.candidates()[0].log_prob)
    assert beam.candidates()[0].score == pytest.approx(beam.candidates()[0].log_prob / 3)


def test_one_beam_ends_with_its_sequence_though_a_longer_one_would_score_better():
    """Length 2 at log 0.25 a token beats length 1 at log 0.4, as beams are ranked; one beam does not look further."""
    for strategy in (Greedy(), BeamSearch(1), BeamSearch(1, early_stopping="never"), DiverseBeamSearch(1, 1, 0.0)):
        decoder = strategy.token_decoder(context())
        assert update(decoder, {EOS: 0.4, A: 0.39}).tokens == ()
        assert decoder.finished and decoder.candidates()[0].tokens == ()


def test_one_beam_penalises_logits_as_generate_does():
    """A logit above 0 is divided and one below multiplied; a log-probability is always below."""
    logits = torch.tensor([[2.0, 1.5, -1.0, -3.0]])
    processor = LogitsProcessor(LogitsOptions(repetition_penalty=1.5), (EOS,), torch.device("cpu"))
    decoder = BeamSearch(1).token_decoder(DecodeContext(processor, (EOS,), pad_token_id=3, max_new_tokens=2))
    decoder.update(logits, logits.log_softmax(dim=-1))
    decoder.update(logits, logits.log_softmax(dim=-1))
    assert decoder.candidates()[0].tokens == (A, B)  # 2 / 1.5 < 1.5, but 1.5 * log p(A) > log p(B)
    assert 1.5 * logits.log_softmax(dim=-1)[0, A] > logits.log_softmax(dim=-1)[0, B]


def test_one_group_is_beam_search_and_not_a_group_of_transformers_4():
    """A group of transformers 4 goes on here: its best continuation, though just ended, beats its worst candidate."""
    beam = BeamSearch(2, length_penalty=0.0).token_decoder(context())
    group = DiverseBeamSearch(2, 1, 0.5, length_penalty=0.0).token_decoder(context())
    for decoder in (beam, group):
        update(decoder, {A: 0.5, EOS: 0.3, B: 0.2})
        update(decoder, {EOS: 0.9, C: 0.1}, {C: 1.0})
        assert decoder.finished
        assert [candidate.tokens for candidate in decoder.candidates()] == [(A,), ()]


def test_every_beam_of_a_finished_group_penalises_the_padding_token():
    """Both beams of the first group end at the second step; then each chooses the padding token, 9, at every step."""
    decoder = DiverseBeamSearch(4, 2, diversity_penalty=0.5, early_stopping=True).token_decoder(context())
    update(decoder, {A: 0.5, B: 0.4})
    chosen = update(decoder, *[{EOS: 0.9}] * 2, *[{C: 0.9}] * 2)
    assert list(chosen.beam_idx) == [2, 3] and not decoder.finished
    chosen = update(decoder, *[{9: 0.5, C: 0.25}] * 2)
    # log 0.5 - 2 * 0.5 < log 0.25 < log 0.5 - 0.5
    assert chosen.tokens[0] == C


def test_a_small_vocabulary_leaves_fewer_beams():
    logits_options = LogitsOptions(forbidden_token_ids=(C, 4, 5, 6, 7, 8, 9))
    decoder = BeamSearch(4).token_decoder(context(logits_options=logits_options, max_new_tokens=1))
    update(decoder, {A: 0.5, B: 0.3, EOS: 0.2})
    assert [candidate.tokens for candidate in decoder.candidates()] == [(A,), (B,), ()]


def test_groups_of_diverse_beam_search_avoid_each_others_tokens():
    decoder = DiverseBeamSearch(2, 2, diversity_penalty=1.0).token_decoder(context())
    chosen = update(decoder, {A: 0.6, B: 0.3, C: 0.1})
    assert (list(chosen.tokens), list(chosen.beam_idx)) == ([A, B], [0, 0])
    # The second group pays 1 nat for C, and takes it all the same: nothing else is near.
    chosen = update(decoder, {C: 0.9}, {C: 0.9})
    assert (list(chosen.tokens), list(chosen.beam_idx)) == ([C, C], [0, 1])
    first, second = decoder.candidates()
    assert first.score == pytest.approx(math.log(0.6 * 0.9) / 2)
    assert second.score == pytest.approx((math.log(0.3 * 0.9) - 1.0) / 2)
    assert second.log_prob == pytest.approx(math.log(0.3 * 0.9))  # the model's own, without the penalty


def test_groups_end_one_by_one_and_leave_their_rows():
    decoder = DiverseBeamSearch(2, 2, diversity_penalty=0.5, early_stopping=True).token_decoder(context())
    update(decoder, {A: 0.6, B: 0.4})
    chosen = update(decoder, {EOS: 0.9, C: 0.1}, {C: 0.9})
    assert (list(chosen.tokens), list(chosen.beam_idx)) == ([C], [1])
    assert not decoder.finished
    assert update(decoder, {EOS: 0.9}).tokens == []
    assert decoder.finished
    assert {candidate.tokens for candidate in decoder.candidates()} == {(A,), (B, C)}


@pytest.mark.parametrize(
    ("logits_options", "tokens", "expected"),
    [
        (LogitsOptions(), (0, 1), [2.0, -1.0, 0.5]),
        (LogitsOptions(repetition_penalty=2.0), (), [2.0, -1.0, 0.5]),
        (LogitsOptions(repetition_penalty=2.0), (0, 1, 0), [1.0, -2.0, 0.5]),
        (LogitsOptions(forbidden_token_ids=(0,)), (), [-math.inf, -1.0, 0.5]),
        # 1 after 0 would be the second (0, 1), and 0 after 1 is new; one token alone can be repeated too.
        (LogitsOptions(no_repeat_ngram_size=2), (0, 1, 0), [2.0, -math.inf, 0.5]),
        (LogitsOptions(no_repeat_ngram_size=2), (0, 0, 1), [2.0, -1.0, 0.5]),
        (LogitsOptions(no_repeat_ngram_size=2), (0,), [2.0, -1.0, 0.5]),
        (LogitsOptions(no_repeat_ngram_size=1), (0, 1), [-math.inf, -math.inf, 0.5]),
        (LogitsOptions(no_repeat_ngram_size=3), (0, 1, 1, 0, 1), [2.0, -math.inf, 0.5]),
        (LogitsOptions(no_repeat_ngram_size=4), (0, 1, 1, 0, 1), [2.0, -1.0, 0.5]),
        (LogitsOptions(min_new_tokens=2), (0,), [2.0, -1.0, -math.inf]),
        (LogitsOptions(min_new_tokens=2), (0, 0), [2.0, -1.0, 0.5]),
    ],
)
def test_rules_by_hand(logits_options, tokens, expected):
    given = torch.tensor([[2.0, -1.0, 0.5]])
    assert LogitsProcessor(logits_options, (2,), torch.device("cpu"))(given, [tokens]).tolist() == [expected]
    assert given.tolist() == [[2.0, -1.0, 0.5]]


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_repeated_ngrams_are_those_of_transformers(size):
    draw = random.Random(size)
    rows = [tuple(draw.randrange(4) for _ in range(12)) for _ in range(30)]
    scores = torch.randn(len(rows), 6, generator=torch.Generator().manual_seed(size))
    ours = LogitsProcessor(LogitsOptions(no_repeat_ngram_size=size), (5,), torch.device("cpu"))(scores, rows)
    assert torch.equal(ours, NoRepeatNGramLogitsProcessor(size)(torch.tensor(rows), scores.clone()))
    assert size == 5 or torch.isinf(ours).any()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BeamSearch(0), "num_beams must be a whole number of at least 1, not 0"),
        (lambda: BeamSearch(2.0), "num_beams must be a whole number"),
        (lambda: BeamSearch(True), "num_beams must be a whole number"),
        (lambda: BeamSearch(2, 3), "num_return_sequences must be at most num_beams: 3 > 2"),
        (lambda: BeamSearch(2, 0), "num_return_sequences must be a whole number of at least 1"),
        (lambda: BeamSearch(2, length_penalty=math.nan), "length_penalty must be a finite number"),
        (lambda: BeamSearch(2, early_stopping="always"), 'early_stopping must be True, False or "never"'),
        (lambda: DiverseBeamSearch(4, 3, 0.5), "num_beam_groups must divide num_beams: 3 does not divide 4"),
        (lambda: DiverseBeamSearch(2, 4, 0.5), "num_beam_groups must divide num_beams: 4 does not divide 2"),
        (lambda: DiverseBeamSearch(4, 2, -0.5), "diversity_penalty must be a finite number from 0 to 1000"),
        (lambda: LogitsOptions(repetition_penalty=0.0), "repetition_penalty must be above 0"),
        (lambda: LogitsOptions(no_repeat_ngram_size=-1), "no_repeat_ngram_size must be a whole number of at least 0"),
        (lambda: LogitsOptions(min_new_tokens=-1), "min_new_tokens must be a whole number of at least 0"),
        (lambda: LogitsOptions(forbidden_token_ids=[1]), "forbidden_token_ids must be a tuple"),
        (lambda: LogitsOptions(forbidden_token_ids=(1, -2)), "forbidden_token_ids must hold token ids"),
        (lambda: LogitsOptions(forbidden_token_ids=(1, 1)), "forbidden_token_ids names a token twice"),
    ],
)
def test_options_are_refused_with_the_reason(make, message):
    with pytest.raises(OptionsError, match=message) as error:
        make()
    assert isinstance(error.value, LoraMclError)


def test_no_more_continuations_than_there_are():
    """A vocabulary of three tokens, one of which may not come next."""
    scores = torch.tensor([[-1.0, -torch.inf, -0.5]])
    found = expand([Beam()], scores, scores, keep=10)
    assert [(one.token, one.parent, one.beam.total) for one in found] == [(2, 0, -0.5), (0, 0, -1.0)]
    assert [one.token for one in expand([Beam()], scores, scores, keep=1)] == [2]
