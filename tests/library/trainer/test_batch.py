"""Batches: which labels are targets, positions under padding, data types, and what a collator may leave out."""

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from lora_mcl.errors import OptionsError
from lora_mcl.trainer import Batch, PromptBatch
from lora_mcl.trainer.batch import caption_nll, pad_left, pad_right, shared_prompt_nll


def gpt2() -> GPT2LMHeadModel:
    """Positions are embedded, so that a wrong one shows; rotary models see differences alone."""
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=20, n_embd=8, n_layer=1, n_head=2, n_positions=16, bos_token_id=0, eos_token_id=0)
    return GPT2LMHeadModel(config).eval()


def test_the_first_label_is_no_target():
    """Nothing predicts it."""
    labels = torch.tensor([[4, 5, 6, 7], [4, -100, -100, -100], [-100, -100, -100, 7]])
    assert Batch({}, labels).num_targets.tolist() == [3, 0, 1]


def test_a_row_with_a_target_at_position_0_alone_has_no_loss():
    nll = Batch({"input_ids": torch.tensor([[4, 5]])}, torch.tensor([[4, -100]])).nll(gpt2())
    assert nll.mean.tolist() == [0.0] and nll.tokens.tolist() == [0]


def test_collated_batches():
    ids = torch.tensor([[1, 2]])
    batch = Batch.from_collated({"input_ids": ids, "labels": ids, "token_type_ids": None})
    assert list(batch.inputs) == ["input_ids"] and len(batch) == 1
    for labels in ({}, {"labels": None}):
        with pytest.raises(OptionsError, match="the batch has no labels"):
            Batch.from_collated({"input_ids": ids} | labels)
    with pytest.raises(OptionsError, match=r"'names' in the batch is a list, not a tensor: .*prepare_batch"):
        Batch.from_collated({"names": ["a"], "labels": ids})


def test_repeated_batches_keep_their_order():
    batch = Batch({"input_ids": torch.tensor([[1, 2], [3, 4]])}, torch.tensor([[1, 2], [3, 4]])).repeat(3)
    assert batch.inputs["input_ids"].tolist() == batch.labels.tolist() == [[1, 2], [3, 4]] * 3


def test_positions_count_real_tokens():
    embeds, mask = pad_left([torch.randn(3, 8), torch.randn(1, 8)])
    batch = PromptBatch(embeds, mask).with_captions(gpt2(), pad_right([[5, 6], [7]]))
    assert batch.inputs["position_ids"].tolist() == [[0, 1, 2, 3, 4], [0, 0, 0, 1, 1]]
    assert batch.inputs["attention_mask"].tolist() == [[1, 1, 1, 1, 1], [0, 0, 1, 1, 0]]
    assert batch.labels.tolist() == [[-100, -100, -100, 5, 6], [-100, -100, -100, 7, -100]]


def test_left_padding_changes_nothing_where_positions_are_embedded():
    model, captions = gpt2(), [[5, 6, 7], [8, 9]]
    prompts = [torch.randn(4, 8), torch.randn(2, 8)]
    with torch.no_grad():
        together = caption_nll(model, PromptBatch(*pad_left(prompts)), pad_right(captions))
        alone = [
            caption_nll(model, PromptBatch(*pad_left([prompt])), pad_right([caption]))
            for prompt, caption in zip(prompts, captions, strict=True)
        ]
    torch.testing.assert_close(together, torch.cat(alone))


def test_captions_of_prompts_read_once_stand_where_they_would_alone():
    model, captions = gpt2(), [pad_right([[5, 6, 7], [8]]), pad_right([[9], [10, 11]])]
    prompts = PromptBatch(*pad_left([torch.randn(4, 8), torch.randn(2, 8)]))
    with torch.no_grad():
        for found, caption in zip(shared_prompt_nll(model, prompts, captions), captions, strict=True):
            torch.testing.assert_close(found, caption_nll(model, prompts, caption))


def test_the_first_token_of_the_vocabulary_is_a_token_like_others():
    """Only -100 is padding."""
    model, caption = gpt2(), torch.tensor([[0, 6, 0, -100]])
    prompts = PromptBatch(*pad_left([torch.randn(2, 8)]))
    batch = prompts.with_captions(model, caption)
    assert batch.inputs["inputs_embeds"][0, 2:5].equal(model.get_input_embeddings().weight[[0, 6, 0]])
    assert batch.inputs["attention_mask"].tolist() == [[1, 1, 1, 1, 1, 0]] and batch.num_targets.tolist() == [3]
    with torch.no_grad():
        torch.testing.assert_close(
            shared_prompt_nll(model, prompts, [caption])[0], caption_nll(model, prompts, caption)
        )


def test_training_keeps_no_keys_and_values():
    model, kept = gpt2(), []
    model.register_forward_hook(lambda module, args, output: kept.append(output.past_key_values))
    ids = torch.tensor([[4, 5, 6]])
    Batch({"input_ids": ids}, ids).nll(model)
    caption_nll(model, PromptBatch(*pad_left([torch.randn(2, 8)])), ids)
    assert kept == [None, None]


def test_padding_is_zero_unless_another_value_is_asked_for():
    sequences = [torch.ones(2, 1), torch.ones(1, 1)]
    assert pad_left(sequences)[0].tolist() == [[[1], [1]], [[0], [1]]]
    assert pad_left(sequences, 7)[0].tolist() == [[[1], [1]], [[7], [1]]]


def test_captions_take_the_data_type_of_the_prompts():
    prompts = PromptBatch(torch.zeros(1, 2, 8, dtype=torch.bfloat16), torch.ones(1, 2, dtype=torch.long))
    batch = prompts.with_captions(gpt2(), torch.tensor([[5]]))
    assert batch.inputs["inputs_embeds"].dtype == torch.bfloat16
