"""The only doors to TensorFlow, Keras and LiteRT, and the processes that they run in."""
