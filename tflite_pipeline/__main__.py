"""`python -m tflite_pipeline` is the same as `tflite-pipeline`."""

from tflite_pipeline.cli import main

if __name__ == "__main__":
    main()
