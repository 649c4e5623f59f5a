"""From a YAML recipe to a proven `.tflite` file."""

__version__ = "0.1.0"
