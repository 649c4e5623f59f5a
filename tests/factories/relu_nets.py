"""The project's own MobileNetV2, its activations without the cap of RELU6."""

from __future__ import annotations

from pathlib import Path

DIGITS = Path(__file__).parents[2] / "data" / "mobilenet_digits.keras"


def mobilenet_v2():
    """Its weights are those trained with the cap, without which it still knows nearly all digits."""
    import keras

    def uncapped(layer):
        config = layer.get_config()
        if isinstance(layer, keras.layers.ReLU):
            config["max_value"] = None
        return type(layer).from_config(config)

    trained = keras.models.load_model(DIGITS, compile=False)
    model = keras.models.clone_model(trained, clone_function=uncapped)
    model.set_weights(trained.get_weights())
    return model
