"""The caption gate: its formula, its loss, what it learns, its file."""

import json
import math

import pytest
import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

from lora_mcl.adapters import AdapterSpec, AdapterStack, hypothesis_rows
from lora_mcl.errors import BundleError, OptionsError
from lora_mcl.gate import CaptionGate
from lora_mcl.loss import mean_token_nll
from lora_mcl.objectives import ObjectiveOptions, caption_gate, weighted_loss, winner_counts

TARGETS = r"lm_head|.*_proj"


def gate_with(weight, excluded=()):
    gate = CaptionGate(len(weight[0]), len(weight), excluded_token_ids=excluded)
    with torch.no_grad():
        gate.weight.copy_(torch.tensor(weight))
    return gate


def test_gate_by_hand():
    gate = gate_with([[0.0, 0.0, 5.0], [1.0, 2.0, 5.0]])
    labels = torch.tensor([[0, 0, 0, 1, 1, 1, 1, -100], [-100] * 8])
    log_gate = gate(labels)
    # Counts (3, 4, 0), norm 5: the second hypothesis scores (3 * 1 + 4 * 2) / 5 = 2.2, the first 0.
    second = 1 / (1 + math.exp(-2.2))
    assert log_gate.exp()[:, 0].tolist() == pytest.approx([1 - second, second])
    assert log_gate.exp()[:, 1].tolist() == pytest.approx([0.5, 0.5])  # no words: no opinion
    assert log_gate.shape == (2, 2)


def test_gate_sees_which_words_not_their_order_nor_the_excluded_ones():
    gate = CaptionGate(6, 3, excluded_token_ids=(5,))
    a, b = gate(torch.tensor([[1, 2, 3, 5, 5], [3, 1, 2, -100, -100]])).T
    torch.testing.assert_close(a, b)


def test_gate_loss_by_hand():
    g = torch.tensor([[0.5, 0.9], [0.5, 0.1]])
    q = torch.tensor([[1.0, 0.5], [0.0, 0.5]])
    fit = -(math.log(0.5) + 0.5 * math.log(0.9) + 0.5 * math.log(0.1)) / 2
    balance = 0.7 * math.log(0.7) + 0.3 * math.log(0.3) + math.log(2)
    gate = CaptionGate(4, 2)
    assert gate.loss(g.log(), q).item() == pytest.approx(fit + balance)
    only_first = -math.log(0.5)  # the balance of one half each is 0
    assert gate.loss(g.log(), q, torch.tensor([True, False])).item() == pytest.approx(only_first)
    assert gate.loss(g.log(), q, torch.tensor([False, False])).item() == 0


@pytest.mark.parametrize("balance", ["uniform", "estimated"])
def test_parts_of_a_batch_give_the_gradient_of_the_whole(balance):
    """What each process computes from its part, as the Trainer weighs it; one part has nothing to learn."""
    generator = torch.Generator().manual_seed(0)
    labels, q = torch.randint(0, 6, (7, 4), generator=generator), torch.rand(3, 7, generator=generator).softmax(0)
    valid = torch.tensor([True, True, False, True, True, True, False])
    parts = [slice(0, 4), slice(4, 6), slice(6, 7)]
    gates = [CaptionGate(6, 3, balance=balance, momentum=0.5) for _ in range(4)]
    for gate in gates[1:]:
        gate.load_state_dict(gates[0].state_dict())
    whole = gates[0]
    loss = whole.loss(whole(labels), q, valid)
    loss.backward()
    gathered = [[] for _ in parts]  # first every process' tensors; then, with all of them, each one's results
    for all_tensors in (None, gathered):
        mean, copies = 0.0, gates[1:]
        for number, (gate, part) in enumerate(zip(copies, parts, strict=True)):
            state = {name: tensor.clone() for name, tensor in gate.state_dict().items()}
            calls = iter(range(2))

            def gather(tensor, number=number, all_tensors=all_tensors, calls=calls):
                call = next(calls)
                if all_tensors is None:
                    gathered[number].append(tensor)
                    return tensor[None]
                return torch.stack([of_one[call] for of_one in gathered])

            own = gate.loss(gate(labels[part], gather), q[:, part], valid[part], gather)
            if all_tensors is None:
                gate.load_state_dict(state)
            else:
                weight = valid[part].sum() / valid.sum()
                mean = mean + own * weight
    mean.backward()
    assert mean.item() == pytest.approx(loss.item(), abs=1e-5)
    for name in ("weight", "bias"):
        summed = sum(getattr(gate, name).grad for gate in gates[1:])
        torch.testing.assert_close(summed, getattr(whole, name).grad, rtol=1e-4, atol=1e-6)
    for gate in gates[1:]:
        torch.testing.assert_close(gate.share, whole.share)
        assert torch.equal(gate.occurrences, whole.occurrences)


def test_gate_loss_has_a_finite_gradient_when_a_hypothesis_is_forgotten():
    gate = gate_with([[0.0, 1000.0], [0.0, 0.0]])
    gate.loss(gate(torch.tensor([[1, 1]])), torch.tensor([[1.0], [0.0]])).backward()
    assert gate.weight.grad.isfinite().all()


def test_gate_of_one_hypothesis_is_sure_and_costs_nothing():
    gate = CaptionGate(4, 1)
    log_gate = gate(torch.tensor([[1, 2]]))
    assert log_gate.tolist() == [[0.0]]
    assert gate.loss(log_gate, torch.ones(1, 1)).item() == pytest.approx(0)


def test_gate_breaks_the_initial_tie_of_identical_hypotheses():
    torch.manual_seed(0)
    gate = CaptionGate(100, 3)
    q = caption_gate(torch.ones(3, 200), gate(torch.randint(100, (200, 8))), 0.3, 1.0)
    assert min(winner_counts(q).tolist()) > 20


def test_gate_learns_two_vocabularies_and_lists_their_words():
    torch.manual_seed(0)
    gate = CaptionGate(21, 2, excluded_token_ids=(20,))
    optimizer = torch.optim.AdamW(gate.parameters(), lr=3e-2)
    for _ in range(100):
        mode = torch.randint(2, (32, 1))
        words = torch.randint(5, (32, 6)) + 5 * mode  # tokens 0-4 or 5-9; 10-19 never appear; all end with 20
        labels = torch.cat([words, torch.full((32, 1), 20)], dim=1)
        q = torch.cat([mode, 1 - mode], dim=1).T.float()
        log_gate = gate(labels)
        optimizer.zero_grad()
        gate.loss(log_gate, q).backward()
        optimizer.step()
    assert (log_gate.argmax(0) == q.argmax(0)).all()
    first, second = gate.distinctive_tokens(5)
    assert sorted(first) == [(5,), (6,), (7,), (8,), (9,)]
    assert sorted(second) == [(0,), (1,), (2,), (3,), (4,)]
    assert [sorted(tokens) for tokens in gate.distinctive_tokens(50)] == [sorted(first), sorted(second)]


def test_two_hypotheses_take_one_vocabulary_each():
    """The whole training step, on a frozen random decoder and sentences of two made-up languages."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=21, **sizes))
    num_hypotheses, batch_size, steps = 2, 16, 60
    stack = AdapterStack.attach(model, [AdapterSpec(f"h{k}", 8, 16.0, target_modules=TARGETS) for k in range(2)])
    gate = CaptionGate(21, num_hypotheses)
    objective = ObjectiveOptions("caption-gate")
    optimizer = torch.optim.AdamW(
        [{"params": stack.parameters(), "lr": 3e-2}, {"params": gate.parameters(), "lr": 3e-2}]
    )
    for step in range(steps):
        language = torch.randint(2, (batch_size,))
        words = torch.randint(10, (batch_size, 3)) + 10 * language[:, None]
        tokens = torch.nn.functional.pad(words, (1, 0), value=20)  # the same start for both languages
        labels = torch.nn.functional.pad(words, (1, 0), value=-100)
        with stack.rows(hypothesis_rows(num_hypotheses, batch_size)):
            logits = model(input_ids=tokens.repeat(num_hypotheses, 1)).logits
        nll = mean_token_nll(logits, labels.repeat(num_hypotheses, 1)).mean.view(num_hypotheses, batch_size)
        log_gate = gate(labels)
        q = objective.weights(nll, step, steps, log_gate)
        optimizer.zero_grad()
        (weighted_loss(nll, q) + gate.loss(log_gate, q)).backward()
        optimizer.step()
    owner = nll.argmin(dim=0)
    assert (owner == language).all() or (owner == 1 - language).all()
    first, second = ({token for (token,) in tokens} for tokens in gate.distinctive_tokens(10))
    assert {frozenset(first), frozenset(second)} == {frozenset(range(10)), frozenset(range(10, 20))}


def test_pairs_are_counted_within_captions_and_not_across_excluded_tokens():
    gate = CaptionGate(4, 2, order=2, excluded_token_ids=(3,))
    bags = gate.counts(torch.tensor([[0, 1, 0, 1, -100], [1, 3, 2, 2, -100], [-100, 1, 2, -100, 1]]))
    pairs = [{divmod(i, 4): n for i, n in enumerate(bag) if n} for bag in bags.tolist()]
    assert pairs == [{(0, 1): 2, (1, 0): 1}, {(2, 2): 1}, {(1, 2): 1}]


def test_pairs_separate_what_single_tokens_cannot():
    """Two modes with the same words in another order: only the gate of order 2 learns to part them."""
    torch.manual_seed(0)
    mode = torch.arange(64) % 2
    labels = torch.stack([torch.tensor([0, 1, 2] * 3 if m else [0, 2, 1] * 3) for m in mode])
    q = torch.stack([1.0 - mode, mode * 1.0])
    fitted = {}
    for order in (1, 2):
        gate = CaptionGate(3, 2, order=order)
        optimizer = torch.optim.AdamW(gate.parameters(), lr=3e-2)
        for _ in range(100):
            optimizer.zero_grad()
            gate.loss(gate(labels), q).backward()
            optimizer.step()
        fitted[order] = (gate(labels).argmax(0) == mode).float().mean().item()
    assert fitted == {1: 0.5, 2: 1.0}
    assert sorted(gate.distinctive_tokens(3)[0]) == [(0, 2), (1, 0), (2, 1)]


def test_estimated_balance_by_hand():
    gate = CaptionGate(4, 2, balance="estimated", momentum=0.5)
    g = torch.tensor([[0.7, 0.7], [0.3, 0.3]])
    q = torch.tensor([[1.0, 0.8], [0.0, 0.2]])
    fit = -(1.8 * math.log(0.7) + 0.2 * math.log(0.3)) / 2
    # Shares (.5, .5) move half way to (.9, .1): (.7, .3); nine tenths of that and one tenth of the uniform shares.
    target = [0.9 * 0.7 + 0.1 * 0.5, 0.9 * 0.3 + 0.1 * 0.5]
    balance = 0.7 * math.log(0.7 / target[0]) + 0.3 * math.log(0.3 / target[1])
    assert gate.loss(g.log(), q).item() == pytest.approx(fit + balance)
    assert gate.target().tolist() == pytest.approx(target)
    gate.eval().loss(g.log(), q)  # measured, not learned from
    assert gate.share.tolist() == pytest.approx([0.7, 0.3])
    assert CaptionGate(4, 2).target().tolist() == [0.5, 0.5]


def test_estimated_balance_lets_shares_be_unequal_and_never_forgets_a_hypothesis():
    gate = CaptionGate(4, 2, balance="estimated", momentum=0.0)
    gate.loss(gate(torch.tensor([[1]])), torch.tensor([[1.0], [0.0]]))
    assert gate.target().tolist() == pytest.approx([0.95, 0.05])


def test_distinctive_words_are_whole_and_different():
    gate = gate_with([[9.0, 8.0, 7.0, 6.0, 0.0], [0.0, 0.0, 0.0, 0.0, 5.0]])
    gate.occurrences.fill_(1.0)
    spelled = {0: " red", 1: ".", 2: "red ", 3: " apple", 4: "pomme"}
    words = gate.distinctive_words(2, lambda tokens: "".join(spelled[token] for token in tokens))
    assert words == [["red", "apple"], ["pomme"]]


def test_tokens_are_counted_in_training_only():
    gate = CaptionGate(4, 2).eval()
    gate(torch.tensor([[1, 2, 2]]))
    assert gate.distinctive_tokens(3) == [[], []]
    gate.train()(torch.tensor([[1, 2, 2, -100]]))
    assert gate.occurrences.tolist() == [0, 1, 2, 0]


def test_a_seeded_gate_is_reproducible():
    a, b = (CaptionGate(50, 3, generator=torch.Generator().manual_seed(4)) for _ in range(2))
    assert a.weight.equal(b.weight)
    assert a.weight.std().item() == pytest.approx(0.5, abs=0.1)


def test_save_and_load_round_trip(tmp_path):
    gate = CaptionGate(7, 3, excluded_token_ids=(0,))
    labels = torch.tensor([[0, 1, 2, 2, -100]])
    gate(labels)
    gate.save(tmp_path / "gate")
    assert [file.name for file in (tmp_path / "gate").iterdir()] == ["gate.safetensors"]
    loaded = CaptionGate.load(tmp_path / "gate")
    assert loaded.distinctive_tokens(2) == gate.distinctive_tokens(2)
    assert loaded(labels).equal(gate(labels))


def test_order_estimated_shares_and_words_are_saved(tmp_path):
    gate = CaptionGate(5, 2, order=2, balance="estimated")
    labels = torch.tensor([[0, 1, 2, 2, -100]])
    gate.loss(gate(labels), torch.tensor([[1.0], [0.0]]))
    gate.save(tmp_path, [["rouge"], ["été", "red"]])
    loaded = CaptionGate.load(tmp_path)
    assert (loaded.order, loaded.balance) == (2, "estimated")
    assert loaded.share.equal(gate.share) and loaded.share[0] > 0.5
    assert loaded(labels).equal(gate(labels))
    assert json.loads((tmp_path / "words.json").read_text("utf-8")) == [["rouge"], ["été", "red"]]


@pytest.mark.parametrize("content", [None, b"junk", "other tensors", "one NaN"])
def test_a_bad_file_gives_one_clear_error(tmp_path, content):
    path = tmp_path / "gate.safetensors"
    if content == "one NaN":
        gate = CaptionGate(5, 2)
        gate.weight.data[1, 3] = torch.nan
        gate.save(tmp_path)
    elif content == "other tensors":
        save_file({"weight": torch.zeros(2, 3)}, path)
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(BundleError, match="gate.safetensors"):
        CaptionGate.load(tmp_path)


@pytest.mark.parametrize("arguments", [(0, 2), (4, 0)])
def test_sizes_must_be_positive(arguments):
    with pytest.raises(OptionsError, match="positive"):
        CaptionGate(*arguments)


def test_excluded_tokens_must_be_in_the_vocabulary():
    for tokens in ((4,), (1, 4, 2), (0, -1)):
        with pytest.raises(OptionsError, match="excluded_token_ids"):
            CaptionGate(4, 2, excluded_token_ids=tokens)
    assert CaptionGate(4, 2, excluded_token_ids=(0, 3)).counted.tolist() == [0, 1, 1, 0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"order": 3}, "order must be 1"),
        ({"order": 2, "vocab_size": 1001}, "at most 1,000"),
        ({"balance": "fair"}, "balance must be uniform or estimated"),
        ({"momentum": 1.0}, "momentum"),
    ],
)
def test_other_options_are_checked(arguments, message):
    with pytest.raises(OptionsError, match=message):
        CaptionGate(**{"vocab_size": 4, "num_hypotheses": 2, **arguments})


def test_a_vocabulary_exactly_at_the_bound_of_pairs():
    assert CaptionGate(1_000, 1, order=2).weight.shape == (1, 1_000_000)
    with pytest.raises(OptionsError, match="at most 1,000 tokens; got 1001"):
        CaptionGate(1_001, 1, order=2)


@pytest.mark.parametrize("balance", ["uniform", "estimated"])
def test_the_balance_survives_saving(tmp_path, balance):
    CaptionGate(5, 2, balance=balance).save(tmp_path)
    loaded = CaptionGate.load(tmp_path)
    assert loaded.balance == balance
    loaded.train()
    log_gate = torch.tensor([[0.9], [0.1]]).log()
    loaded.loss(log_gate, torch.tensor([[1.0], [0.0]]))
    assert (loaded.target() == 0.5).all() == (balance == "uniform")


def test_a_gate_is_saved_into_folders_new_and_old(tmp_path):
    for _ in range(2):
        CaptionGate(5, 2).save(tmp_path / "run" / "gate", [["a"], ["b"]])
    assert (tmp_path / "run" / "gate" / "words.json").is_file()


def test_least_options():
    gate = CaptionGate(1, 1, momentum=0.0)
    assert gate(torch.tensor([[0]])).tolist() == [[0.0]]
    assert CaptionGate(4, 2).momentum == 0.99 and CaptionGate(4, 2).order == 1
    with pytest.raises(OptionsError, match="momentum"):
        CaptionGate(4, 2, momentum=-0.1)


def test_the_most_distinctive_come_first_and_no_more_than_asked():
    gate = gate_with([[3.0, 2.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    gate(torch.tensor([[0, 1, 2]]))
    assert gate.distinctive_tokens(2) == [[(0,), (1,)], []]
    gate(torch.tensor([[1, 1, 1]]))  # more often than any other: share times lead counts
    assert gate.distinctive_tokens(1) == [[(1,)], []]


def test_distinctive_words_differ_and_need_a_letter():
    """Four times as many tokens are looked at as words are wanted, because several give one word."""
    texts = ["the", " the", "the ", "--", "it's", "snow", "rain"]
    gate = gate_with([[7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0], [0.0] * 7])
    gate(torch.arange(7)[None])

    def text(tokens):
        return texts[tokens[0]]

    assert gate.distinctive_words(1, text) == [["the"], []]
    assert gate.distinctive_words(2, text) == [["the", "it's"], []]
    assert gate.distinctive_words(5, text) == [["the", "it's", "snow", "rain"], []]


def test_only_four_times_as_many_tokens_are_looked_at():
    texts = ["--", "...", "!", "?", "snow"]
    gate = gate_with([[5.0, 4.0, 3.0, 2.0, 1.0], [0.0] * 5])
    gate(torch.arange(5)[None])
    assert gate.distinctive_words(1, lambda tokens: texts[tokens[0]]) == [[], []]
    assert gate.distinctive_words(2, lambda tokens: texts[tokens[0]]) == [["snow"], []]


def test_words_are_written_as_they_are(tmp_path):
    CaptionGate(5, 2).save(tmp_path, [["été"], []])
    assert (tmp_path / "words.json").read_text("utf-8") == '[\n  [\n    "été"\n  ],\n  []\n]\n'
    CaptionGate(5, 2).save(tmp_path / "without", [])
    assert (tmp_path / "without" / "words.json").read_text("utf-8") == "[]\n"


def test_shares_are_learned_in_training_alone():
    gate = CaptionGate(4, 2, balance="estimated", momentum=0.5)
    log_gate, q = torch.tensor([[0.5], [0.5]]).log(), torch.tensor([[1.0], [0.0]])
    gate.eval().loss(log_gate, q)
    assert gate.share.tolist() == [0.5, 0.5]
    gate.train().loss(log_gate, q)
    assert gate.share.tolist() == [0.75, 0.25]
    gate.loss(log_gate, q, torch.tensor([False]))
    assert gate.share.tolist() == [0.75, 0.25]
    uniform = CaptionGate(4, 2, momentum=0.5)
    uniform.loss(log_gate, q)
    assert uniform.share.tolist() == [0.5, 0.5] and "share" not in uniform.state_dict()


@pytest.mark.parametrize("missing", ["weight", "counted"])
def test_each_tensor_is_needed_and_has_its_form(tmp_path, missing):
    CaptionGate(5, 2).save(tmp_path)
    path = tmp_path / "gate.safetensors"
    tensors = {"weight": torch.zeros(2, 5), "counted": torch.ones(5), "bias": torch.zeros(2)}
    for changed in (None, torch.zeros(5, 1, 1)):
        state = (
            tensors | {missing: changed} if changed is not None else {n: t for n, t in tensors.items() if n != missing}
        )
        save_file(state, path)
        with pytest.raises(BundleError, match=r"weight \[hypotheses, features\] or counted \[vocabulary\] is missing"):
            CaptionGate.load(tmp_path)
