"""Keras model to float reference, reference to quantized file."""
