"""What an app names to get a runtime that holds everything up to a TensorFlow Lite release, as data."""

from __future__ import annotations

_TFLM = "no release: register the file's ops; versions are not looked at"
_NO_POD = "TensorFlowLiteSwift stops at 2.17: add the Swift package LiteRT, branch release/2.3.0"

PACKAGES: tuple[tuple[str, dict[str, str]], ...] = (
    (
        "2.14",
        {
            "gradle": "org.tensorflow:tensorflow-lite:2.14.0",
            "pod": "TensorFlowLiteSwift, ~> 2.14.0",
            "pip": "tflite-runtime==2.14.0",
            "tflm": _TFLM,
        },
    ),
    (
        "2.16",
        {
            "gradle": "org.tensorflow:tensorflow-lite:2.16.1",
            "pod": "TensorFlowLiteSwift, ~> 2.17.0",
            "pip": "ai-edge-litert>=1.4.0",
            "tflm": _TFLM,
        },
    ),
    (
        "2.17",
        {
            "gradle": "org.tensorflow:tensorflow-lite:2.17.0",
            "pod": "TensorFlowLiteSwift, ~> 2.17.0",
            "pip": "ai-edge-litert>=1.4.0",
            "tflm": _TFLM,
        },
    ),
    (
        "2.19",
        {
            "gradle": "com.google.ai.edge.litert:litert:1.4.0",
            "pod": _NO_POD,
            "pip": "ai-edge-litert>=1.4.0",
            "tflm": _TFLM,
        },
    ),
    (
        "2.20",
        {
            "gradle": "com.google.ai.edge.litert:litert:2.1.0",
            "pod": _NO_POD,
            "pip": "ai-edge-litert>=2.0.2",
            "tflm": _TFLM,
        },
    ),
    (
        "2.23",
        {
            "gradle": "com.google.ai.edge.litert:litert, no release was asked yet that holds it",
            "pod": _NO_POD,
            "pip": "ai-edge-litert>=2.3.0",
            "tflm": _TFLM,
        },
    ),
)
"""The last release that a row serves, and its lines. The pip packages were asked for every op and version.

An Android or iOS artifact is taken to hold what TensorFlow or the pip package of the same number holds.
"""
