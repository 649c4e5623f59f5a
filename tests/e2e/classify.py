"""The class that the Task Library names, which prepares images as the metadata say: classify.py FILE IMAGES.npy."""

from __future__ import annotations

import json
import sys

import numpy as np
from tflite_support.task import vision


def classify(path: str, images: np.ndarray) -> list[tuple[str, float]]:
    classifier = vision.ImageClassifier.create_from_file(path)
    answers = [classifier.classify(vision.TensorImage.create_from_array(image)) for image in images]
    best = [answer.classifications[0].categories[0] for answer in answers]
    return [(category.category_name, category.score) for category in best]


if __name__ == "__main__":
    sys.stdout.write(json.dumps(classify(sys.argv[1], np.load(sys.argv[2]))))
