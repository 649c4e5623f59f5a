"""The targets that a recipe may name, importable without any runtime."""

from __future__ import annotations

TARGET_SUMMARIES = {
    "litert": "loaded and run here by the installed ai-edge-litert",
    "tflite-2.14": "TensorFlow Lite 2.14: versions of ops and known limits of kernels, by rule",
    "android-tflite-2.16": "Android apps with org.tensorflow:tensorflow-lite:2.16.1, by rule",
    "ios-tflite-2.17": "iOS apps with TensorFlowLiteSwift 2.17, by rule",
    "litert-2.x": "the first release of LiteRT 2, by rule",
    "web": "LiteRT.js in a browser: fixed shapes, float32, uint8 or int32 io, by rule",
    "gpu": "the GPU delegate takes the whole file, by rule",
    "edgetpu": "Coral's Edge TPU compiler maps the whole file, by rule",
    "tflm": "TensorFlow Lite Micro has a kernel for every op, by rule",
    "ethos-u55": "all ops on an Arm Ethos-U55, 128 MACs, compiled by Vela (extra [vela])",
    "ethos-u65": "all ops on an Arm Ethos-U65, 256 MACs, compiled by Vela (extra [vela])",
    "ethos-u85": "all ops on an Arm Ethos-U85, 256 MACs, compiled by Vela (extra [vela])",
}
