"""The training steps and the sections they depend on go in; what does not fit between them comes out."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tflite_pipeline.convert.spec import Quantization
from tflite_pipeline.dataset.spec import Dataset
from tflite_pipeline.model import spec as model_spec
from tflite_pipeline.model.spec import Model
from tflite_pipeline.recipe.samples import Shape, lacks_labels, sample_shapes, unlabelled
from tflite_pipeline.recipe.yaml_text import KeyPath
from tflite_pipeline.schemes import SCHEMES, Scheme
from tflite_pipeline.spec import Mistake
from tflite_pipeline.train.spec import METHODS, Cluster, Prune, Qat, Step, Training, Tune, steps_of
from tflite_pipeline.validate.spec import Validation

GATES_OF_QAT = {"max_training_drop": "{}", "max_conversion_drop": "{}", "min_fidelity": "null"}
"""Gates on what a step qat trained, and the text that takes each back."""


def _placed(training: Training | None) -> Iterator[tuple[KeyPath, Step]]:
    """Give each step with the path that it has in the recipe."""
    for position, step in enumerate(steps_of(training)):
        yield (("training", position) if isinstance(training, tuple) else ("training",)), step


def _order(training: Training | None) -> Iterator[Mistake]:
    ranks = list(METHODS)
    before: list[str] = []
    for path, step in _placed(training):
        later = [name for name in before if ranks.index(name) > ranks.index(step.method)]
        if step.method in before:
            yield path, f"must not repeat a method. Got {step.method} twice. Leave one out."
        elif later:
            text = f"must be in the order {', '.join(ranks)}. Got {step.method} after {later[0]}."
            yield path, f"{text} Move it before {later[0]}."
        before.append(step.method)


def _zeros_take_a_cluster(training: Training | None) -> Iterator[Mistake]:
    pruned = any(isinstance(step, Prune) for step in steps_of(training))
    for path, step in _placed(training):
        if pruned and isinstance(step, Cluster) and step.clusters < 3:
            text = f"must be at least 3 with prune, since one of the values is zero. Got {step.clusters}."
            yield (*path, "clusters"), text


def _gaps_need_qat(validation: Validation, training: Training | None) -> Iterator[Mistake]:
    if any(isinstance(step, Qat) for step in steps_of(training)):
        return
    for gate in GATES_OF_QAT:
        if value := getattr(validation.gates, gate):
            got = ", ".join(value) if isinstance(value, dict) else f"{value:g}"
            text = f"must come with method: qat in training. Got {got} and no such step."
            yield ("validation", "gates", gate), f"{text} Add the step, or leave the gate out."


def _fidelity_needs_steps(validation: Validation, quantization: Quantization) -> Iterator[Mistake]:
    least = validation.gates.min_fidelity
    if least is not None and quantization.scheme in SCHEMES and not quantization.calibrated:
        text = f"must be left out with scheme: {quantization.scheme}, whose outputs are float and have no steps."
        yield ("validation", "gates", "min_fidelity"), f"{text} Got {least:g}. Use max_conversion_drop."


def _needs_samples(training: Training | None, dataset: Dataset | None) -> Iterator[Mistake]:
    if training is None or dataset is not None:
        return
    labels = "" if all(_taught(step) for step in steps_of(training)) else " that has labels"
    yield ("training",), f"must come with a dataset{labels}. Got no section dataset."


def _taught(step: Step) -> bool:
    return isinstance(step, Tune) and step.teacher is not None and step.loss == "auto"


def _needs_labels(training: Training | None, dataset: Dataset | None) -> Iterator[Mistake]:
    if dataset is None or not lacks_labels(dataset, "training"):
        return
    for path, step in _placed(training):
        if _taught(step):
            continue
        got = f"Got {unlabelled(dataset)}."
        if not isinstance(step, Tune):
            yield path, f"must come with a dataset that has labels. {got}"
        elif step.teacher is None:
            yield path, f"must come with teacher: float, or with a dataset that has labels. {got}"
        else:
            text = f"must be auto without labels, to learn from the teacher alone. Got '{step.loss}'"
            yield (*path, "loss"), f"{text} with {unlabelled(dataset)}."


def _fit_needs_keras(training: Training | None, model: Model) -> Iterator[Mistake]:
    for path, step in _placed(training):
        if not isinstance(step, Tune) and isinstance(model, model_spec.TfliteFile | model_spec.SavedModel):
            others = ", ".join(name for name, section in METHODS.items() if issubclass(section, Tune))
            text = f"must have model.source keras_file, application or factory with method: {step.method}."
            yield path, f"{text} Got model.source: {model.source}, which takes {others} only."


def _tuning_needs_the_reference(training: Training | None, quantization: Quantization) -> Iterator[Mistake]:
    """The public converter reads the SavedModel, which these steps do not change."""
    if quantization.engine != "converter" or quantization.scheme not in SCHEMES:
        return
    able = " or ".join(("auto", *(name for name in SCHEMES[quantization.scheme].engines if name != "converter")))
    for path, step in _placed(training):
        if isinstance(step, Tune):
            text = f"must go with engine: {able}. Got engine: converter, which does not see what {step.method} trains."
            yield path, f"{text} Leave quantization.engine out."


def _asked(quantization: Quantization) -> dict[str, Scheme]:
    """Give the schemes that layers are asked to have; none where the section is not sound."""
    rules = [rule.scheme for rule in quantization.rules if rule.scheme]
    names = rules if quantization.scheme == "mixed" else [quantization.scheme]
    return {name: SCHEMES[name] for name in names if name in SCHEMES and name != "mixed"}


def can_round(row: Scheme) -> bool:
    """Tell whether a training can learn the rounding of a scheme: integers, with one scale a channel or tensor."""
    return row.weights.startswith("int") and not row.block


def _qat_needs_integers(training: Training | None, quantization: Quantization) -> Iterator[Mistake]:
    asked = _asked(quantization)
    blocks = [name for name, row in asked.items() if row.block]
    if not asked or (not blocks and any(can_round(row) for row in asked.values())):
        return
    able = ", ".join(name for name, row in SCHEMES.items() if can_round(row) or name == "mixed")
    lead = f"must go with a scheme whose rounding can be trained: {able}."
    if blocks:
        plain = blocks[0].removesuffix(f"_block{asked[blocks[0]].block}")
        text = f"{lead} Got {blocks[0]}, and scales of blocks cannot. Set {_scheme_key(quantization)}: {plain}."
    else:
        text = f"{lead} Got {_got(quantization, asked)}, which rounds nothing to integers."
        text += f" Set {_scheme_key(quantization)}, or leave qat out."
    yield from ((path, text) for path, step in _placed(training) if isinstance(step, Qat))


def _scheme_key(quantization: Quantization) -> str:
    return "a rule's scheme" if quantization.scheme == "mixed" else "quantization.scheme"


def _got(quantization: Quantization, asked: dict[str, Scheme]) -> str:
    return f"mixed of {', '.join(asked)}" if quantization.scheme == "mixed" else quantization.scheme


def _bits_go_with_the_scheme(training: Training | None, quantization: Quantization) -> Iterator[Mistake]:
    asked = _asked(quantization)
    if not any(can_round(row) for row in asked.values()):
        return
    for path, step in _placed(training):
        wanted = f"int{step.weight_bits}" if isinstance(step, Qat) and step.weight_bits else ""
        if not wanted or any(row.weights == wanted for row in asked.values()):
            continue
        bits = wanted.removeprefix("int")
        able = [name for name, row in SCHEMES.items() if row.weights == wanted and can_round(row)]
        text = f"must go with a scheme of {bits}-bit weights: {', '.join(able)}, or mixed with a rule of one."
        key, near = _scheme_key(quantization), _nearest(next(iter(asked.values())), able)
        yield (*path, "weight_bits"), f"{text} Got {_got(quantization, asked)}. Set {key}: {near}."


def _nearest(row: Scheme, names: list[str]) -> str:
    """Give the scheme that is most like `row` but for the bits of the weights."""

    def likeness(name: str) -> tuple[bool, bool, bool]:
        other = SCHEMES[name]
        return other.calibrated == row.calibrated, other.activations == row.activations, other.unpacked == row.unpacked

    return max(names, key=likeness)


def _augmented_are_images(training: Training | None, dataset: Dataset | None) -> Iterator[Mistake]:
    if dataset is None:
        return
    shapes = sample_shapes(dataset)
    if not shapes or [len(shape) for shape in shapes.values()].count(3) == 1:
        return
    got = ", ".join(f"{name or 'samples of'} {_listed(shape)}" for name, shape in shapes.items())
    for path, step in _placed(training):
        if step.augment is not None:
            text = f"must come with one input of images (height, width, channels). Got {got}. Leave it out."
            yield (*path, "augment"), text


def _listed(shape: Shape) -> str:
    return "(" + ", ".join("?" if size is None else str(size) for size in shape) + ")"


TRAINING_RULES: tuple[Callable[..., Iterator[Mistake]], ...] = (
    _order,
    _zeros_take_a_cluster,
    _needs_samples,
    _needs_labels,
    _fit_needs_keras,
    _tuning_needs_the_reference,
    _qat_needs_integers,
    _bits_go_with_the_scheme,
    _gaps_need_qat,
    _fidelity_needs_steps,
    _augmented_are_images,
)
