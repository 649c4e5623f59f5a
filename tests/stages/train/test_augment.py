"""Augmentation: what it may do to an image and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from tflite_pipeline.train.spec import Augment

pytestmark = pytest.mark.tf


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (64, 10, 12, 3)).astype(np.uint8)


def moved(image, down, right):
    """The image moved by whole pixels, its edge repeated."""
    rows = np.clip(np.arange(image.shape[0]) - down, 0, image.shape[0] - 1)
    columns = np.clip(np.arange(image.shape[1]) - right, 0, image.shape[1] - 1)
    return image[rows][:, columns]


@pytest.mark.parametrize(
    ("flip", "forms"),
    [
        ("horizontal", [(1, 1), (1, -1)]),
        ("vertical", [(1, 1), (-1, 1)]),
        ("both", [(1, 1), (1, -1), (-1, 1), (-1, -1)]),
    ],
)
def test_each_image_is_mirrored_or_not(workers, training, images, flip, forms):
    result = workers.run("keras2", training.augmented, Augment(flip=flip), images, 1)
    found = [
        [form for form in forms if np.array_equal(got, image[:: form[0], :: form[1]])]
        for got, image in zip(result, images, strict=True)
    ]
    assert all(len(each) == 1 for each in found)
    assert {each[0] for each in found} == set(forms)


def test_images_move_by_at_most_the_share_and_repeat_their_edge(workers, training, images):
    result = workers.run("keras2", training.augmented, Augment(shift=0.2), images, 1)
    steps = [(down, right) for down in range(-2, 3) for right in range(-2, 3)]
    found = [
        [step for step in steps if np.array_equal(got, moved(image, *step))]
        for got, image in zip(result, images, strict=True)
    ]
    assert all(len(each) == 1 for each in found)
    assert len({each[0] for each in found}) > 15


def test_crop_is_a_window_of_the_share_resized_back(workers, training):
    """On a ramp, a window of the share is a ramp of that share of the slope, wherever it is."""
    ramp = np.broadcast_to(np.arange(16, dtype=np.float32)[None, None, :, None], (32, 8, 16, 1))
    result = workers.run("keras2", training.augmented, Augment(crop=0.5), np.ascontiguousarray(ramp), 1)
    np.testing.assert_allclose(np.diff(result[:, :, :, 0], axis=2), 7 / 15, rtol=1e-3)
    assert len(np.unique(result[:, 0, 0, 0].round(3))) > 16
    assert result.min() >= 0
    assert result.max() <= 15


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.float16, np.float32])
def test_dtype_and_range_stay(workers, training, dtype):
    low, high = (-1.0, 1.0) if np.dtype(dtype).kind == "f" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    images = np.random.default_rng(0).choice(np.array([low, high]), (8, 9, 9, 1)).astype(dtype)
    result = workers.run("keras3", training.augmented, Augment(flip="both", shift=0.3, crop=0.7), images, 1)
    assert result.dtype == dtype
    assert result.shape == images.shape
    assert result.min() >= low
    assert result.max() <= high


def test_what_is_drawn_goes_by_key_and_batch(workers, training, images):
    spec = Augment(flip="both", shift=0.2, crop=0.8)
    first = workers.run("keras2", training.augmented, spec, images, 1, 0)
    np.testing.assert_array_equal(workers.run("keras2", training.augmented, spec, images, 1, 0), first)
    assert not np.array_equal(workers.run("keras2", training.augmented, spec, images, 2, 0), first)
    assert not np.array_equal(workers.run("keras2", training.augmented, spec, images, 1, 1), first)


def test_image_of_one_pixel_stays(workers, training):
    images = np.full((3, 1, 1, 1), 7, np.uint8)
    result = workers.run("keras2", training.augmented, Augment(flip="both", shift=0.5, crop=0.5), images, 1)
    np.testing.assert_array_equal(result, images)
