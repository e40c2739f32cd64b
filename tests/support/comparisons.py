"""Comparisons in tests: their last snapshot and its texts, and what PEFT and transformers generate instead."""

from peft import PeftModel
from PIL import Image
from transformers import AutoProcessor, LlavaNextForConditionalGeneration, Qwen2AudioForConditionalGeneration

from lora_mcl.audio import load_audio
from tests.support.tiny_audio import SAMPLING_RATE

HYPOTHESES = ["hypothesis-0", "hypothesis-1", "hypothesis-2"]
IDS = [*HYPOTHESES, "beam", "diverse-beam"]
MODEL_CLASSES = {"image": LlavaNextForConditionalGeneration, "audio": Qwen2AudioForConditionalGeneration}
MEDIA_TOKENS = {"image": [3], "audio": [3, 4, 5]}


def last(iterator):
    *_, final = iterator
    return final


def texts(comparison):
    return {column.id: [caption.text for caption in column.captions] for column in comparison.columns}


def generate(modality, base, media, folder, **options):
    """What transformers and PEFT answer for one adapter; of ours is only the reading of a sound file.

    Args:
        folder: of the adapter; None for the bare base.
    """
    model = MODEL_CLASSES[modality].from_pretrained(base)
    if folder is not None:
        model = PeftModel.from_pretrained(model, folder)
    processor = AutoProcessor.from_pretrained(base)
    message = {"role": "user", "content": [{"type": modality}, {"type": "text", "text": "Describe."}]}
    prompt = processor.apply_chat_template([message], add_generation_prompt=True)
    if modality == "image":
        with Image.open(media) as image:
            inputs = processor(images=image, text=prompt, return_tensors="pt")
    else:
        samples = load_audio(media, SAMPLING_RATE)[:SAMPLING_RATE]
        inputs = processor(audio=[samples], sampling_rate=SAMPLING_RATE, text=prompt, return_tensors="pt")
    limits = {"max_new_tokens": 12, "suppress_tokens": MEDIA_TOKENS[modality]}
    output = model.eval().generate(**inputs, do_sample=False, **limits, **options)
    answers = processor.batch_decode(output[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    return [text.rstrip("\ufffd").strip() for text in answers]
