"""Passes that take back what quantization loses, without labels and without training."""
