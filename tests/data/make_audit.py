"""Make the `audit_*.tflite` files of this folder (seeded): python tests/data/make_audit.py. They are committed.

One small network in float32, and what ai-edge-quantizer makes of it; `audit_dynamic_int4_spoilt` has one layer at int8.
Beside it a lookup in a table, as the converter makes it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import make_tiny
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from ai_edge_quantizer import quantizer
from ai_edge_quantizer.qtyping import QuantGranularity, TFLOperationName

FLOAT = make_tiny.FOLDER / "audit_float32.tflite"
SIDE = 6
ALL, CONV, DENSE = TFLOperationName.ALL_SUPPORTED, TFLOperationName.CONV_2D, TFLOperationName.FULLY_CONNECTED
WITH_INT4 = (CONV, DENSE)


def network() -> Any:
    """All kinds of weights; the depth of one dense layer is a multiple of 32, that of the other is not."""
    layers = keras.layers
    inputs = keras.Input((SIDE, SIDE, 2), name="image")
    # Two layers whose names differ by a number, as Keras makes them itself: `conv_1` is also the first call of `conv`.
    stem = layers.Conv2D(8, 3, activation="relu", name="conv")(inputs)
    spread = layers.DepthwiseConv2D(3, name="spread")(stem)
    mixed = layers.Conv2D(8, 1, activation="relu", name="conv_1")(spread)
    twin = layers.Conv2D(8, 1, name="twin")(mixed)
    joined = layers.Flatten(name="flat")(layers.Add(name="add")([mixed, twin]))
    wide = layers.Dense(6, activation="relu", name="wide")(joined)
    return keras.Model(inputs, layers.Softmax(name="scores")(layers.Dense(4, name="narrow")(wide)))


def lookup() -> Any:
    """A table whose rows the converter dequantizes after they were picked."""
    layers = keras.layers
    rows = layers.Embedding(64, 16, name="table")(ids := keras.Input((4,), name="ids"))
    return keras.Model(ids, layers.Dense(16, name="scores")(layers.Flatten()(rows)))


def calibrate() -> dict[str, Any]:
    """Ranges of all activations over one random sample; weights must not be among them."""
    interpreter = Interpreter(
        str(FLOAT), experimental_preserve_all_tensors=True, experimental_op_resolver_type=OpResolverType.BUILTIN_REF
    )
    interpreter.allocate_tensors()
    sample = np.random.default_rng(0).normal(size=(1, SIDE, SIDE, 2)).astype(np.float32)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], sample)
    interpreter.invoke()
    numbers = {index for op in interpreter._get_ops_details() for index in op["outputs"]} | {0}
    ranges = {}
    for row in interpreter.get_tensor_details():
        if row["index"] in numbers:
            values = interpreter.get_tensor(row["index"])
            ends = {"min": values.min(), "max": values.max()}
            ranges[row["name"]] = {key: np.reshape(end, [1] * values.ndim) for key, end in ends.items()}
    return ranges


def write(name: str, choose: Callable[[quantizer.Quantizer], None], ranges: Any = None) -> None:
    engine = quantizer.Quantizer(FLOAT.read_bytes())
    choose(engine)
    result = engine.quantize(ranges, enable_progress_report=False, enable_progress_bar=False)
    Path(make_tiny.FOLDER / f"audit_{name}.tflite").write_bytes(bytes(result.quantized_model))


def dynamic_int4(engine: quantizer.Quantizer) -> None:
    engine.add_dynamic_config(".*", ALL, 8)
    for op in WITH_INT4:
        engine.add_dynamic_config(".*", op, 4)


def blocks(engine: quantizer.Quantizer) -> None:
    dynamic_int4(engine)
    engine.add_dynamic_config(".*wide.*", DENSE, 4, granularity=QuantGranularity.BLOCKWISE_32)


def spoilt(engine: quantizer.Quantizer) -> None:
    dynamic_int4(engine)
    engine.add_dynamic_config(".*twin.*", CONV, 8)


def weight_int4(engine: quantizer.Quantizer) -> None:
    engine.add_weight_only_config(".*", ALL, 8)
    for op in WITH_INT4:
        engine.add_weight_only_config(".*", op, 4)


def int8x4(engine: quantizer.Quantizer) -> None:
    engine.add_static_config(".*", ALL, 8, 8)
    for op in WITH_INT4:
        engine.add_static_config(".*", op, 8, 4)


def per_tensor(engine: quantizer.Quantizer) -> None:
    engine.add_static_config(".*", ALL, 8, 8)
    engine.add_static_config(".*", DENSE, 8, 8, QuantGranularity.TENSORWISE)


def float_tail(engine: quantizer.Quantizer) -> None:
    """The last two ops stay float."""
    for op in (CONV, TFLOperationName.DEPTHWISE_CONV_2D, TFLOperationName.ADD, TFLOperationName.RESHAPE):
        engine.add_static_config(".*", op, 8, 8)
    engine.add_static_config(".*wide.*", DENSE, 8, 8)


def mixed(engine: quantizer.Quantizer) -> None:
    """Of every kind one: int8, int16, int4 on the fly, int8 turned to float, float."""
    engine.add_static_config(".*conv_1/.*", CONV, 8, 8)
    engine.add_static_config(".*spread.*", TFLOperationName.DEPTHWISE_CONV_2D, 8, 8)
    engine.add_static_config(".*conv_1_2.*", CONV, 16, 8)
    engine.add_dynamic_config(".*twin.*", CONV, 4)
    engine.add_weight_only_config(".*wide.*", DENSE, 8)


def main() -> None:
    keras.utils.set_random_seed(0)
    make_tiny.convert(network(), "audit_float32")
    make_tiny.convert(lookup(), "audit_dynamic_int8_lookup", optimizations=[tf.lite.Optimize.DEFAULT])
    ranges = calibrate()
    write("dynamic_int8", lambda engine: engine.add_dynamic_config(".*", ALL, 8))
    write("dynamic_int4", dynamic_int4)
    write("dynamic_int4_block32", blocks)
    write("dynamic_int4_spoilt", spoilt)
    write("weight_int8", lambda engine: engine.add_weight_only_config(".*", ALL, 8))
    write("weight_int4", weight_int4)
    write("int8x4", int8x4, ranges)
    write("full_int8_per_tensor", per_tensor, ranges)
    write("full_int8_float_tail", float_tail, ranges)
    write("mixed", mixed, ranges)


if __name__ == "__main__":
    main()
