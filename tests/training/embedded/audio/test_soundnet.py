"""SoundNet's first layers from the published file's form: no code in it runs, and the network computes what it says."""

import io
import pickle

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from training.embedded.audio.render.dsp import RATE
from training.embedded.audio.soundnet import (
    BATCH_NORM_EPSILON,
    CONVOLUTIONS,
    LOUDEST,
    SECONDS,
    SOUNDNET_RATE,
    convert,
    network_input,
    pooled,
    read_arrays,
)


@pytest.fixture(scope="module")
def arrays() -> dict[str, dict[str, np.ndarray]]:
    """Random weights in the published layout [K, 1, in, out]."""
    rng, width, found = np.random.default_rng(0), 1, {}
    for number, (channels, kernel, *_) in enumerate(CONVOLUTIONS, start=1):
        found[f"conv{number}"] = {
            "weights": rng.normal(0, 1 / (width * kernel) ** 0.5, (kernel, 1, width, channels)).astype(np.float32),
            "biases": rng.normal(size=channels).astype(np.float32),
            "gamma": rng.uniform(0.5, 1.5, channels).astype(np.float32),
            "beta": rng.normal(size=channels).astype(np.float32),
            "mean": rng.normal(size=channels).astype(np.float32),
            "var": rng.uniform(0.5, 1.5, channels).astype(np.float32),
        }
        width = channels
    return found


def published(content: dict) -> bytes:
    """As an old numpy saved a dictionary: a header, then a pickle that names its former modules."""
    stream = io.BytesIO()
    array = np.array(content, dtype=object)
    np.lib.format.write_array_header_1_0(stream, np.lib.format.header_data_from_array_1_0(array))
    return stream.getvalue() + pickle.dumps(array, protocol=3).replace(b"numpy._core.", b"numpy.core.")


def test_arrays_are_read_and_anything_else_in_the_pickle_is_refused(arrays):
    read = read_arrays(published(arrays))
    assert np.array_equal(read["conv1"]["weights"], arrays["conv1"]["weights"]) and set(read) == set(arrays)

    class Harmful:
        def __reduce__(self):
            return (print, ("executed",))

    with pytest.raises(pickle.UnpicklingError, match=r"print is no part of an array"):
        read_arrays(published({"conv1": Harmful()}))


def test_folded_weights_compute_convolution_then_batch_norm(arrays):
    samples = LOUDEST * torch.randn(1, 40_000).clamp(-1, 1)
    outputs = convert(arrays)(samples)
    hidden = samples[:, None]
    for number, (_, kernel, size, stride) in enumerate(CONVOLUTIONS):
        layer = {name: torch.from_numpy(value) for name, value in arrays[f"conv{number + 1}"].items()}
        weight = layer["weights"][:, 0].permute(2, 1, 0)
        hidden = F.conv1d(hidden, weight, layer["biases"], stride=2, padding=kernel // 2)
        norm = [layer[name] for name in ("mean", "var", "gamma", "beta")]
        hidden = F.batch_norm(hidden, *norm, eps=BATCH_NORM_EPSILON).relu()
        torch.testing.assert_close(outputs[number], hidden, rtol=1e-3, atol=1e-3)
        hidden = F.max_pool1d(hidden, size, stride) if size > 1 else hidden


def test_a_short_sound_is_repeated_and_its_peak_fixed():
    second = np.sin(np.arange(RATE) * 0.05).astype(np.float32) * 0.01
    samples = network_input(second)
    assert samples.shape == (1, SECONDS * SOUNDNET_RATE)
    assert samples.abs().max() == pytest.approx(LOUDEST)
    torch.testing.assert_close(samples[0, :SOUNDNET_RATE], samples[0, SOUNDNET_RATE : 2 * SOUNDNET_RATE])


def test_outputs_are_averaged_over_the_time_of_the_sound(arrays):
    network = convert(arrays)
    quiet, loud = np.zeros(RATE, np.float32), np.random.default_rng(1).normal(size=RATE).astype(np.float32)
    clip = np.concatenate([loud, quiet, quiet, quiet])
    with_sound, without = pooled(network, clip, ((0.2, 0.8),)), pooled(network, clip, ((2.2, 2.8),))
    assert with_sound["conv5"].shape == (256,) and with_sound["conv6"].shape == (512,)
    silent = pooled(network, np.zeros(4 * RATE, np.float32), ((2.2, 2.8),))
    torch.testing.assert_close(without["conv5"], silent["conv5"], rtol=1e-3, atol=1e-3)
    assert not torch.allclose(with_sound["conv5"], without["conv5"], atol=1e-2)
