"""Variants of images and spectrograms for test-time augmentation."""

import numpy as np
import torch
from PIL import Image

from training.evaluation.augment import image_variants, mask_spectrogram


def test_images_are_mirrored_and_cropped():
    image = Image.fromarray(np.arange(40 * 60 * 3, dtype=np.uint32).astype(np.uint8).reshape(40, 60, 3))
    plain, mirrored, corner, *_ = variants = image_variants(image, 5)
    assert len(variants) == 5 and plain is image
    assert np.array_equal(np.asarray(mirrored), np.asarray(image)[:, ::-1])
    assert corner.size == (51, 34)
    assert np.array_equal(np.asarray(corner), np.asarray(image)[:34, :51])


def test_a_pixel_can_be_varied():
    assert {one.size for one in image_variants(Image.new("RGB", (1, 1)), 12)} == {(1, 1)}


def test_more_variants_than_there_are_begin_again():
    image = Image.new("RGB", (20, 20), "red")
    assert len(image_variants(image, 30)) == 30


def test_a_stretch_of_time_and_a_band_are_silenced():
    log_mel = torch.rand(20, 50, generator=torch.Generator().manual_seed(0)) + 1
    masked = mask_spectrogram(log_mel, 40, np.random.default_rng(3))
    floor = log_mel[:, :40].min()
    changed = masked != log_mel
    assert (masked[changed] == floor).all()
    frames, bins = changed[:, :40].float().mean(0), changed.float().mean(1)
    assert 0 < (frames > 0.9).sum() <= 16 and 0 < (bins > 0.9).sum() <= 12
    # A cell outside of both is as it was.
    assert (~changed[bins <= 0.9][:, :40][:, frames <= 0.9]).all()


def test_no_masks_change_nothing():
    log_mel = torch.rand(8, 9)
    assert torch.equal(mask_spectrogram(log_mel, 9, np.random.default_rng(0), time=0, frequency=0), log_mel)


def test_variants_are_the_same_for_the_same_seed():
    log_mel = torch.rand(20, 50)
    one, other = (mask_spectrogram(log_mel, 50, np.random.default_rng([7, n])) for n in (1, 1))
    assert torch.equal(one, other)
    assert not torch.equal(one, mask_spectrogram(log_mel, 50, np.random.default_rng([7, 2])))
