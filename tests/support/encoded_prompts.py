"""What must hold of an encoded prompt of either modality."""

import torch

from lora_mcl.models.base import MediaLanguageModel


@torch.no_grad()
def assert_stock_generation(language_model: MediaLanguageModel, media, prompt: str) -> None:
    """From the encoded prompt the model generates, with two beams, what it does from the processor's inputs."""
    inputs = language_model.inputs(media, prompt)
    encoded = language_model.encode(media, prompt)
    settings = {"max_new_tokens": 8, "do_sample": False, "num_beams": 2}
    stock = language_model.model.generate(**inputs, **settings)[:, inputs["input_ids"].shape[1] :]
    ours = language_model.model.generate(
        inputs_embeds=encoded.inputs_embeds, attention_mask=encoded.attention_mask, **settings
    )
    assert torch.equal(ours, stock)
