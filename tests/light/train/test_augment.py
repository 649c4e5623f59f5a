"""What can be augmented, told before TensorFlow starts."""

from __future__ import annotations

import pytest

from tflite_pipeline.errors import StageError
from tflite_pipeline.train.augment import image_input


def test_the_only_image_is_found_when_there_are_other_inputs():
    assert image_input({"photo": (9, 8, 8, 3), "age": (9, 1)}, {"": (9,)}) == "photo"


@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        ({"": (9, 49)}, "Got the input (49)."),
        ({"left": (9, 8, 8, 3), "right": (9, 8, 8, 3)}, "Got left (8, 8, 3), right (8, 8, 3)."),
        ({"sound": (9, 16, 2), "age": (9, 1)}, "Got sound (16, 2), age (1)."),
    ],
)
def test_shapes_are_named_when_there_is_not_one_image(inputs, text):
    with pytest.raises(StageError) as caught:
        image_input(inputs, {})
    wanted = "training.augment needs exactly one input of images, (height, width, channels). "
    assert str(caught.value) == f"{wanted}{text}\nLeave training.augment out."


def test_masks_are_refused():
    with pytest.raises(StageError, match=r"not the labels of shape \(8, 8\) of mask, which tell where it is"):
        image_input({"": (9, 8, 8, 3)}, {"mask": (9, 8, 8)})
