"""Which tokens are prompt and which are targets, token by token, in the chat templates of the published models.

The LLaVA-1.6 templates are those that the checkpoints of llava-hf were given: the Vicuna one ends no turn, and the
Mistral one ends an answer with ``<\\s>``, which is no token.
"""

import json

import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer, decoders, models, normalizers, processors, trainers
from transformers import LlavaNextImageProcessorPil, LlavaNextProcessor, PreTrainedTokenizerFast

from lora_mcl.errors import OptionsError
from lora_mcl.models import AudioLanguageModel, ImageLanguageModel
from lora_mcl.models.labels import ChatLabels
from lora_mcl.trainer.batch import IGNORE_INDEX
from tests.support.tiny_audio import PUBLISHED_CHAT_TEMPLATE, chirp, tiny_audio_model, tiny_audio_processor
from tests.support.tiny_image import IMAGE_SIDE, PATCH_SIDE, tiny_image_model
from training.embedded.image.model import CHAT_TEMPLATE as EMBEDDED

VICUNA = (
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ message['content'][0]['text'] }}"
    "{% else %}{{ message['role'].upper() + ': '}}{% endif %}"
    "{# Render all images first #}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\n' }}{% endfor %}"
    "{# Render all text next #}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}{{ content['text'] + ' '}}"
    "{% endfor %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
MISTRAL = (
    "{% for message in messages %}{% if message['role'] == 'user' %}{{ '[INST] ' }}"
    "{# Render all images first #}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\n' }}{% endfor %}"
    "{# Render all text next #}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}{{ content['text'] }}{% endfor %}"
    "{{' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}"
    r"{{ ' ' + message['content'][0]['text'] + '<\s> '}}"
    "{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}"
)
MISTRAL_ENDED = MISTRAL.replace(r"<\s> ", "</s>")
WORDS = ["USER: Describe. ASSISTANT: A red cat.", "[INST] Describe. [/INST] A red cat."]
PLACES = (IMAGE_SIDE // PATCH_SIDE) ** 2 * 2 + IMAGE_SIDE // PATCH_SIDE
"""Overview and tile, with a newline after each row of the tile."""


def llama_tokenizer() -> PreTrainedTokenizerFast:
    """Like Llama's: spaces become ``▁``, one is put before each stretch of text, bytes as a last resort, <s> first."""
    special = ["<unk>", "<s>", "</s>", "<image>", "<pad>"]
    learner = Tokenizer(models.BPE())
    # Words are learned one by one, so that no token spans two.
    pieces = [f"▁{word}" for text in WORDS for word in text.split()]
    learner.train_from_iterator(pieces * 3, trainers.BpeTrainer(vocab_size=300, special_tokens=special))
    learned = json.loads(learner.to_str())["model"]
    vocabulary = learned["vocab"] | {f"<0x{byte:02X}>": len(learned["vocab"]) + byte for byte in range(256)}
    merges = [tuple(pair) for pair in learned["merges"]]
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    tokenizer.add_special_tokens(special)
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.post_processor = processors.TemplateProcessing("<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    )


def image_model(template: str) -> ImageLanguageModel:
    tokenizer = llama_tokenizer()
    processor = LlavaNextProcessor(
        image_processor=LlavaNextImageProcessorPil(
            size={"shortest_edge": IMAGE_SIDE},
            crop_size={"height": IMAGE_SIDE, "width": IMAGE_SIDE},
            image_grid_pinpoints=[[IMAGE_SIDE, IMAGE_SIDE]],
        ),
        tokenizer=tokenizer,
        patch_size=PATCH_SIDE,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=template,
    )
    return ImageLanguageModel(tiny_image_model(len(tokenizer)), processor)


def audio_model(template: str | None = None) -> AudioLanguageModel:
    processor = tiny_audio_processor()
    if template is not None:
        processor.chat_template = template
    return AudioLanguageModel(tiny_audio_model(len(processor.tokenizer)), processor)


def input_ids_and_labels(labels: ChatLabels, positions: int, caption: str) -> tuple[torch.Tensor, torch.Tensor]:
    """``input_ids`` and ``labels`` [T] of prompt and caption, as a batch holds them: -100 on the prompt."""
    prompt, target = labels.prompt_ids(positions), torch.tensor(labels.caption_ids(caption))
    return torch.cat([prompt, target]), torch.cat([torch.full_like(prompt, IGNORE_INDEX), target])


def rows(model, labels: ChatLabels, positions: int, caption: str) -> list[tuple[str, bool]]:
    """Of each token its text and whether it is a target."""
    ids, targets = input_ids_and_labels(labels, positions, caption)
    assert targets[targets != IGNORE_INDEX].equal(ids[targets != IGNORE_INDEX])
    return list(zip(model.tokenizer.convert_ids_to_tokens(ids), (targets != IGNORE_INDEX).tolist(), strict=True))


@pytest.mark.parametrize(
    ("template", "before", "after"),
    [
        (VICUNA, ["▁USER:", "▁"], ["▁<0x0A>", "Describe.", "▁ASSISTANT:"]),
        (MISTRAL, ["▁[INST]", "▁"], ["▁<0x0A>", "Describe.", "▁[/INST]"]),
        (MISTRAL_ENDED, ["▁[INST]", "▁"], ["▁<0x0A>", "Describe.", "▁[/INST]"]),
    ],
    ids=["vicuna", "mistral", "mistral, ended"],
)
@pytest.mark.filterwarnings(r"ignore:.*invalid escape sequence")
def test_llava_next(template, before, after):
    model = image_model(template)
    labels = ChatLabels(model, "Describe.")
    expected = [(token, False) for token in ["<s>", *before, *["<image>"] * PLACES]]
    got = rows(model, labels, PLACES, "A red cat.")
    start, end = len(expected), got.index(("▁A", True))
    assert got[:start] == expected
    # The pieces of "Describe." are the tokenizer's affair; its letters are not.
    assert "".join(token for token, _ in got[start:end]) == "".join(after)
    assert not any(target for _, target in got[start:end])
    assert got[end:] == [("▁A", True), ("▁red", True), ("▁cat.", True), ("</s>", True)]
    prompt = model.inputs(Image.new("RGB", (40, 40)), "Describe.")["input_ids"][0]
    assert labels.prompt_ids(PLACES).equal(prompt)


@pytest.mark.filterwarnings(r"ignore:.*invalid escape sequence")
@pytest.mark.parametrize("template", [VICUNA, MISTRAL])
def test_the_sequence_begins_once_where_the_template_writes_its_beginning(template):
    model = image_model("<s>" + template)
    labels = ChatLabels(model, "Describe.")
    prompt = labels.prompt_ids(PLACES)
    assert prompt.tolist().count(model.tokenizer.bos_token_id) == 1
    assert prompt.equal(model.inputs(Image.new("RGB", (40, 40)), "Describe.")["input_ids"][0])
    assert labels.caption_ids("A red cat.") == ChatLabels(image_model(template), "Describe.").caption_ids("A red cat.")


@pytest.mark.parametrize("template", [None, PUBLISHED_CHAT_TEMPLATE], ids=["transformers'", "published"])
def test_qwen2_audio(template):
    model = audio_model(template)
    labels = ChatLabels(model, "Describe the sound.")
    samples = chirp(0.8)
    prompt = model.inputs(samples, "Describe the sound.")["input_ids"][0]
    ids, targets = input_ids_and_labels(labels, 20, "A dog barks twice.")
    assert ids[: len(prompt)].equal(prompt) and (targets[: len(prompt)] == IGNORE_INDEX).all()
    decode = model.tokenizer.decode
    assert decode(prompt) == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        f"<|im_start|>user\nAudio 1: <|audio_bos|>{'<|AUDIO|>' * 20}<|audio_eos|>\nDescribe the sound.<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    written = targets[len(prompt) :]
    assert (written != IGNORE_INDEX).all() and decode(written) == "A dog barks twice.<|im_end|>"
    # Token by token what the processor makes of the whole conversation, up to the end of the turn.
    turn = model.conversation(samples, "Describe the sound.")
    answered = [*turn, {"role": "assistant", "content": [{"type": "text", "text": "A dog barks twice."}]}]
    whole = model.processor.apply_chat_template(answered, tokenize=True, return_dict=True, return_tensors="pt")
    whole = whole["input_ids"][0]
    assert ids.equal(whole[: len(ids)]) and decode(whole[len(ids) :]) == "\n"


def test_the_embedded_template_gives_what_the_embedded_models_were_trained_on():
    model = image_model(EMBEDDED)
    ids, targets = input_ids_and_labels(ChatLabels(model, "Caption:"), PLACES, "A cat.")
    assert model.tokenizer.decode(ids[: -int((targets != IGNORE_INDEX).sum())]).endswith("Caption:\n")
    assert model.tokenizer.decode(targets[targets != IGNORE_INDEX]) == "A cat.</s>"


@pytest.mark.filterwarnings(r"ignore:.*invalid escape sequence")
@pytest.mark.parametrize("model", [image_model(VICUNA), image_model(MISTRAL), audio_model()], ids=["v", "m", "q"])
@pytest.mark.parametrize("caption", ["Été: «\u00a0là\u00a0»!", "(laughs) 3 cats", "é", "\N{CAT} asleep", "...and then"])
def test_any_caption_comes_back_from_its_targets(model, caption):
    labels = ChatLabels(model, "Describe.")
    *ids, end = labels.caption_ids(caption)
    assert end in model.eos_token_ids
    assert model.text(ids) == caption
    # What follows the prompt is what the tokenizer makes of both together.
    both = torch.cat([labels.prompt_ids(1), torch.tensor(ids)])
    assert model.tokenizer.decode(both).endswith(caption)


def test_captions_and_templates_that_are_refused():
    labels = ChatLabels(audio_model(), "Describe.")
    with pytest.raises(OptionsError, match=r"'A <\|im_end\|> b' contains '<\|im_end\|>'"):
        labels.check_caption("A <|im_end|> b")
    with pytest.raises(OptionsError, match=r"does not let an answer follow its prompt: it makes .* 'caption'"):
        ChatLabels(audio_model("{% for m in messages %}<{{ m['role'] }}><|AUDIO|>prompt{% endfor %}"), "Describe.")


class Merging:
    """A tokenizer that makes one token of the last token before a text's end of prompt and the first one after it."""

    def __init__(self, tokenizer, prompt: str) -> None:
        self.tokenizer, self.prompt, self.bos_token = tokenizer, prompt, tokenizer.bos_token

    def __call__(self, text: str, **options) -> dict:
        ids = self.tokenizer(text, **options)["input_ids"]
        length = len(self.tokenizer(self.prompt, **options)["input_ids"])
        if text.startswith(self.prompt) and len(ids) > length:
            ids = [*ids[: length - 1], 1, *ids[length + 1 :]]
        return {"input_ids": ids}


@pytest.mark.filterwarnings(r"ignore:.*invalid escape sequence")
@pytest.mark.parametrize("make", [lambda: image_model(VICUNA), audio_model])
def test_a_tokenizer_that_merges_across_the_prompts_end(make):
    """The targets are then the answer's own tokens, without a beginning of sequence."""
    model = make()
    labels = ChatLabels(model, "Describe.")
    alone = model.tokenizer(labels._lead + "A dog.", add_special_tokens=False)["input_ids"]
    labels._tokenizer = Merging(model.tokenizer, labels.prompt_text)
    assert labels.caption_ids("A dog.") == [*alone, labels.end]
    assert model.tokenizer.bos_token_id is None or alone[0] != model.tokenizer.bos_token_id


@pytest.mark.filterwarnings(r"ignore:.*invalid escape sequence")
def test_the_tokenizers_own_end_is_preferred_among_several():
    model = image_model(VICUNA)
    own = model.tokenizer.eos_token_id
    model.model.generation_config.eos_token_id = [own + 1, own]
    assert model.eos_token_ids == (own + 1, own)
    assert ChatLabels(model, "Describe.").end == own
    model.model.generation_config.eos_token_id = [own + 1, own + 2]
    assert ChatLabels(model, "Describe.").end == own + 1


@pytest.mark.filterwarnings(r"ignore:.*invalid escape sequence")
def test_the_templates_end_is_preferred_to_the_tokenizers_own():
    """Also where the tokenizer begins every text with a token: the end is the first one after that."""
    model = image_model(MISTRAL.replace(r"<\s> ", "<pad>"))
    own, written = model.tokenizer.eos_token_id, model.tokenizer.pad_token_id
    model.model.generation_config.eos_token_id = [own, written]
    assert ChatLabels(model, "Describe.").end == written
    model.model.generation_config.eos_token_id = [own, own + 20]
    assert ChatLabels(model, "Describe.").end == own


def test_a_template_that_puts_words_before_the_answer_is_refused():
    """They would be taught as part of each caption."""
    template = (
        "{% for m in messages %}{% if m['role'] == 'user' %}<|AUDIO|>prompt"
        "{% else %}Sure: {{ m['content'][0]['text'] }}{% endif %}{% endfor %}"
    )
    with pytest.raises(OptionsError, match="does not let an answer follow its prompt"):
        ChatLabels(audio_model(template), "Describe.")


@pytest.mark.filterwarnings(r"ignore:.*invalid escape sequence")
def test_the_unknown_token_may_stand_in_a_caption():
    model = image_model(VICUNA)
    assert model.tokenizer.unk_token == "<unk>"
    ChatLabels(model, "Describe.").check_caption("A <unk> dog")
