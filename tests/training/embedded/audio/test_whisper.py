"""The Whisper encoder's weights: the file format, and the same numbers as transformers' own Whisper encoder."""

import struct

import numpy as np
import pytest
import torch
from transformers import Qwen2AudioEncoder, WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from training.embedded.audio.probe import pooled, positions_in
from training.embedded.audio.whisper import encoder_state, read_ctranslate2, standardise, whisper_config

DTYPES = {np.dtype("<f4"): 0, np.dtype("<i1"): 1, np.dtype("<i2"): 2, np.dtype("<i4"): 3, np.dtype("<f2"): 4}


def model_file(variables: dict[str, np.ndarray], version: int = 6) -> bytes:
    """A CTranslate2 model file, written by its specification."""

    def text(value: str) -> bytes:
        raw = value.encode() + b"\0"
        return struct.pack("<H", len(raw)) + raw

    blob = struct.pack("<I", version) + text("WhisperSpec") + struct.pack("<II", 3, len(variables))
    for name, value in variables.items():
        blob += text(name) + struct.pack("<B", value.ndim) + struct.pack(f"<{value.ndim}I", *value.shape)
        blob += struct.pack("<BI", DTYPES[value.dtype], value.nbytes) + value.tobytes()
    return blob


def test_variables_come_back(tmp_path):
    variables = {
        "a/weight": np.arange(6, dtype="<f2").reshape(2, 3),
        "b": np.array([1.5, -2], "<f4"),
        "c": np.array(7, "<i4"),
    }
    path = tmp_path / "model.bin"
    path.write_bytes(model_file(variables))
    read = read_ctranslate2(path)
    assert list(read) == list(variables)
    for name, value in variables.items():
        assert read[name].dtype == value.dtype and np.array_equal(read[name], value) and read[name].shape == value.shape


def test_other_versions_and_cut_files_are_refused(tmp_path):
    path = tmp_path / "model.bin"
    path.write_bytes(model_file({}, version=5))
    with pytest.raises(ValueError, match="version 5"):
        read_ctranslate2(path)
    whole = model_file({"a": np.zeros(9, "<f4")})
    for cut in (len(whole) - 3, 30, 2):
        path.write_bytes(whole[:cut])
        with pytest.raises(ValueError, match="cut short"):
            read_ctranslate2(path)


def ctranslate2_variables(encoder: WhisperEncoder) -> dict[str, np.ndarray]:
    """A transformers Whisper encoder's weights as CTranslate2 stacks them."""
    state, out = {name: value.numpy() for name, value in encoder.state_dict().items()}, {}

    def put(name: str, value: np.ndarray) -> None:
        out[f"encoder/{name}"] = value.astype("<f4")

    for name in ("conv1", "conv2"):
        put(f"{name}/weight", state[f"{name}.weight"])
        put(f"{name}/bias", state[f"{name}.bias"])
    put("position_encodings/encodings", state["embed_positions.weight"])
    put("layer_norm/gamma", state["layer_norm.weight"])
    put("layer_norm/beta", state["layer_norm.bias"])
    for i in range(encoder.config.encoder_layers):
        ours = f"layers.{i}"
        for norm, theirs in (("self_attn_layer_norm", "self_attention"), ("final_layer_norm", "ffn")):
            put(f"layer_{i}/{theirs}/layer_norm/gamma", state[f"{ours}.{norm}.weight"])
            put(f"layer_{i}/{theirs}/layer_norm/beta", state[f"{ours}.{norm}.bias"])
        attention = f"{ours}.self_attn"
        weights = [state[f"{attention}.{name}_proj.weight"] for name in "qkv"]
        biases = [state[f"{attention}.q_proj.bias"], np.zeros_like(weights[0][0]), state[f"{attention}.v_proj.bias"]]
        put(f"layer_{i}/self_attention/linear_0/weight", np.concatenate(weights))
        put(f"layer_{i}/self_attention/linear_0/bias", np.concatenate(biases))
        put(f"layer_{i}/self_attention/linear_1/weight", state[f"{attention}.out_proj.weight"])
        put(f"layer_{i}/self_attention/linear_1/bias", state[f"{attention}.out_proj.bias"])
        for number in (0, 1):
            put(f"layer_{i}/ffn/linear_{number}/weight", state[f"{ours}.fc{number + 1}.weight"])
            put(f"layer_{i}/ffn/linear_{number}/bias", state[f"{ours}.fc{number + 1}.bias"])
    return out


def test_the_encoder_computes_what_whisper_does():
    torch.manual_seed(0)
    config = WhisperConfig(
        num_mel_bins=80,
        d_model=384,
        encoder_layers=2,
        encoder_attention_heads=6,
        encoder_ffn_dim=1536,
        max_source_positions=40,
        decoder_layers=1,
    )
    whisper = WhisperEncoder(config).eval()
    ours = whisper_config(layers=2, positions=40)
    encoder = Qwen2AudioEncoder(ours).eval()
    encoder.load_state_dict(encoder_state(ctranslate2_variables(whisper), ours))
    features = torch.randn(2, 80, 80)
    with torch.no_grad():
        hidden = []
        handle = whisper.layers[-1].register_forward_hook(lambda _m, _i, out: hidden.append(out))
        whisper(features)
        handle.remove()
        last = hidden[0][0] if isinstance(hidden[0], tuple) else hidden[0]
        # Qwen2-Audio pools pairs of positions before the last norm.
        pooled = whisper.layer_norm((last[:, 0::2] + last[:, 1::2]) / 2)
        assert torch.allclose(encoder(features).last_hidden_state, pooled, atol=1e-4)


def test_positions_are_cut_not_interpolated():
    torch.manual_seed(0)
    config = WhisperConfig(d_model=384, encoder_layers=1, encoder_attention_heads=6, encoder_ffn_dim=1536)
    config.max_source_positions = 60
    whisper = WhisperEncoder(config)
    state = encoder_state(ctranslate2_variables(whisper), whisper_config(layers=1, positions=20))
    assert torch.equal(state["embed_positions.weight"], whisper.embed_positions.weight[:20])


def tiny_encoder(layers: int = 2) -> Qwen2AudioEncoder:
    torch.manual_seed(0)
    return Qwen2AudioEncoder(whisper_config(layers=layers, positions=40)).eval()


def test_a_standardised_encoder_answers_with_mean_0_and_variance_1():
    encoder, clips = tiny_encoder(), list(torch.randn(3, 80, 80))
    before = encoder.layers[0].fc1.weight.clone()
    standardise(encoder, clips)
    with torch.no_grad():
        outputs = encoder(torch.stack(clips)).last_hidden_state.flatten(0, 1)
    assert torch.allclose(outputs.mean(0), torch.zeros(384), atol=1e-3)
    assert torch.allclose(outputs.std(0), torch.ones(384), atol=1e-3)
    assert torch.equal(encoder.layers[0].fc1.weight, before)


def test_the_probe_averages_over_the_time_a_sound_lasts():
    assert positions_in(((0.0, 0.05), (0.2, 0.21)), 8).tolist() == [True, True, False, False, True, True, False, False]
    encoder, log_mel = tiny_encoder(), torch.randn(1, 80, 80)
    # Twenty positions of 40 ms; the last layer's answers are the encoder's own, but for the scale of its last norm.
    with torch.no_grad():
        layers = pooled(encoder, log_mel, ((0.12, 0.36),), 0.8)
        outputs = encoder(log_mel).last_hidden_state[0]
    assert layers.shape == (2, 384)
    assert torch.allclose(layers[1], outputs[positions_in(((0.12, 0.36),), 20)].mean(0), atol=1e-5)
    assert not torch.allclose(layers[0], layers[1], atol=1e-2)
