"""What a network on the graph of a reference learns from: labels, the float reference as its teacher, or both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tflite_pipeline.errors import StageError
from tflite_pipeline.runtime.tensorflow import keras, tensorflow
from tflite_pipeline.train.spec import Tune
from tflite_pipeline.train.tune.graph import FloatGraph

CLASSES = "sparse_categorical_crossentropy"
_SCORES = {"SOFTMAX": "softmax", "LOGISTIC": "sigmoid"}
_LABELLED = {CLASSES: "softmax", "categorical_crossentropy": "softmax", "binary_crossentropy": "sigmoid"}


@dataclass(frozen=True)
class Output:
    """One output of the graph: what the labels of this name are compared with; `shape` is that of one sample's batch.

    `scores` is softmax or sigmoid where the output is made by it, and then `logits` is the number of the tensor before;
    else it is empty, and `logits` the number of the output itself.
    """

    name: str
    shape: tuple[int, ...]
    number: int
    logits: int
    scores: str
    shares: bool = True
    """Whether its values lie between 0 and 1, as far as was seen; scores of classes are logits where they do not."""


def labels_by_output(outputs: Sequence[Output], labels: Mapping[str, Any], taught: bool) -> dict[str, Any]:
    """Give the labels (arrays, first axis the samples) by the name of their output; some outputs may have none.

    The names of an only output and its labels need not agree. Raises StageError where labels belong to no output, and
    where there are none and no teacher.
    """
    if not labels and not taught:
        raise StageError(
            "training needs labels, and the dataset has none.",
            "Set dataset.labels, or teacher: float to learn from the float model.",
        )
    if len(outputs) == len(labels) == 1:
        return {outputs[0].name: next(iter(labels.values()))}
    names = [output.name for output in outputs]
    if any(name not in names for name in labels):
        got = ", ".join(labels) if any(labels) else "one array, unnamed"
        raise StageError(
            f"the labels must have the names of the model's outputs, {', '.join(names)}. Got {got}.",
            "Name the arrays in dataset.labels by the model's outputs.",
        )
    return dict(labels)


def choose_losses(spec: Tune, outputs: Sequence[Output], labels: Mapping[str, Any]) -> dict[str, str]:
    """Give the loss of each labelled output; `auto` goes by its labels and by how the output is made."""
    return {
        output.name: spec.loss if spec.loss != "auto" else _usual(output, labels[output.name])
        for output in outputs
        if output.name in labels
    }


def _usual(output: Output, labels: Any) -> str:
    if output.scores == "sigmoid":
        return "binary_crossentropy"
    if labels.dtype.kind in "iu" and labels.ndim < len(output.shape) and output.shape[-1] > 1:
        return CLASSES
    return "categorical_crossentropy" if output.scores == "softmax" else "mse"


def refuse_logits(spec: Tune, outputs: Sequence[Output], losses: Mapping[str, str]) -> None:
    """Raise StageError where a loss that the recipe names takes shares of 1 and the output is seen to be none."""
    for output in outputs:
        if spec.loss != "auto" and losses.get(output.name) in _LABELLED and not (spec.from_logits or output.shares):
            raise StageError(
                f"the loss {spec.loss} needs outputs from 0 to 1, and those of '{output.name}' are not.",
                "Set training.from_logits: true, or leave out training.loss.",
            )


def outputs_of(graph: FloatGraph, names: Sequence[str], shares: Sequence[bool]) -> tuple[Output, ...]:
    """Describe the outputs; `names`, and whether their values lie from 0 to 1, are in the order of the graph's."""
    makers = {number: node for node in graph.nodes for number in node.outputs}
    found = []
    for name, number, share in zip(names, graph.outputs, shares, strict=True):
        node = makers.get(number)
        scores = _SCORES.get(node.name, "") if node is not None else ""
        before = node.inputs[0] if node is not None and scores else number
        found.append(Output(name, graph.shapes[number], number, before, scores, share))
    return tuple(found)


class Lesson:
    """Judges the outputs of a batch; losses are of the values before softmax or sigmoid, whose rounding is the file's.

    The gradient of a cross-entropy at a probability that was rounded to 0 would be without bounds.
    """

    def __init__(self, spec: Tune, outputs: Sequence[Output], losses: Mapping[str, str], teacher: FloatGraph | None):
        """Take the loss of each labelled output by name, and the float graph that teaches, if one does."""
        self._spec, self._outputs, self._losses, self._teacher = spec, tuple(outputs), dict(losses), teacher
        self.figures: tuple[str, ...] = ("accuracy",) if any(loss in _LABELLED for loss in losses.values()) else ()
        if teacher is not None and any(output.scores == "softmax" for output in outputs):
            self.figures = (*self.figures, "agreement")

    def judge(
        self, feeds: Sequence[Any], outputs: Sequence[Any], seen: Mapping[int, Any], labels: Any
    ) -> dict[str, Any]:
        """Give the loss of a batch and its figures, scalars.

        `outputs` are those of the file, `seen` all activations by number, `labels` an array, a dict by output, or None.
        """
        tf = tensorflow()
        wanted = self._by_output(labels)
        hard = [self._hard(o, seen, wanted[o.name]) for o in self._outputs if o.name in wanted]
        soft, agreement = self._taught(feeds, outputs, seen) if self._teacher is not None else ([], [])
        parts = [tf.add_n(terms) for terms in (hard, soft) if terms]
        figures = {"loss": tf.add_n(parts) / len(parts)}
        if "accuracy" in self.figures:
            right = [
                _right(self._losses[o.name], output, wanted[o.name], 0.0 if self._from_logits(o) else 0.5)
                for o, output in zip(self._outputs, outputs, strict=True)
                if self._losses.get(o.name) in _LABELLED
            ]
            figures["accuracy"] = tf.add_n(right) / len(right)
        if agreement:
            figures["agreement"] = tf.add_n(agreement) / len(agreement)
        return figures

    def _from_logits(self, output: Output) -> bool:
        """Tell whether the output itself is before softmax or sigmoid."""
        return not output.scores and (self._spec.from_logits or not output.shares)

    def _by_output(self, labels: Any) -> dict[str, Any]:
        if labels is None or not self._losses:
            return {}
        return labels if isinstance(labels, dict) else {next(iter(self._losses)): labels}

    def _hard(self, output: Output, seen: Mapping[int, Any], labels: Any) -> Any:
        loss, tf, losses = self._losses[output.name], tensorflow(), keras(2).losses
        before = output.scores == _LABELLED.get(loss)
        values = seen[output.logits if before else output.number]
        if loss == CLASSES:
            return tf.reduce_mean(
                losses.sparse_categorical_crossentropy(labels, values, before or self._from_logits(output))
            )
        labels = tf.cast(tf.reshape(labels, tf.shape(values)), values.dtype)
        if loss in _LABELLED:
            return tf.reduce_mean(getattr(losses, loss)(labels, values, before or self._from_logits(output)))
        return tf.reduce_mean(getattr(losses, loss)(labels, values))

    def _taught(
        self, feeds: Sequence[Any], outputs: Sequence[Any], seen: Mapping[int, Any]
    ) -> tuple[list[Any], list[Any]]:
        """Give how far each output is from the teacher's, and how often both name the same class.

        Source: Hinton et al. 2015, "Distilling the Knowledge in a Neural Network", section 2, at temperature 1.
        """
        tf = tensorflow()
        known: dict[int, Any] = {}

        def note(number: int, value: Any) -> Any:
            known[number] = tf.stop_gradient(value)
            return value

        answers = self._teacher(feeds, observe=note) if self._teacher is not None else []
        soft = [_apart(output, known, seen) for output in self._outputs]
        agreement = [
            _share(tf.argmax(answer, -1) == tf.argmax(own, -1))
            for output, answer, own in zip(self._outputs, answers, outputs, strict=True)
            if output.scores == "softmax"
        ]
        return soft, agreement


def _apart(output: Output, teacher: Mapping[int, Any], student: Mapping[int, Any]) -> Any:
    tf = tensorflow()
    theirs, mine = teacher[output.logits], student[output.logits]
    if output.scores == "softmax":
        return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(tf.nn.softmax(theirs), mine))
    if output.scores == "sigmoid":
        return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(tf.nn.sigmoid(theirs), mine))
    # Relative to the spread of the teacher's values, since nothing else tells which difference is large.
    return tf.reduce_mean(tf.square(theirs - mine)) / (tf.math.reduce_variance(theirs) + 1e-12)


def _right(loss: str, output: Any, labels: Any, border: float) -> Any:
    """Give the share of right answers; `border` lies between yes and no where these are the answers."""
    tf = tensorflow()
    if loss == "binary_crossentropy":
        return _share((output > border) == (tf.cast(tf.reshape(labels, tf.shape(output)), tf.float32) > 0.5))
    classes = tf.reshape(labels, tf.shape(output)[:-1]) if loss == CLASSES else tf.argmax(labels, -1)
    return _share(tf.argmax(output, -1) == tf.cast(classes, tf.int64))


def _share(right: Any) -> Any:
    tf = tensorflow()
    return tf.reduce_mean(tf.cast(right, tf.float32))
