"""Stages that train: Keras model in, Keras model out."""
