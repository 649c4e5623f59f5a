"""The `dataset` section of a recipe: one class a source, the splits, the rows to use, the preprocessing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from tflite_pipeline.dataset import mistakes as found
from tflite_pipeline.dataset.steps import Preprocessing
from tflite_pipeline.spec import Count, Finite, Many, Mistake, Ratio, RecipePath, Section

FUNCTION = r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$"


def _name_the_rule(value: Any) -> Any:
    if isinstance(value, float):
        return {"ratio": value}
    if isinstance(value, list | tuple):
        return {"rows": value}
    if isinstance(value, str):
        return {"slice": value} if ":" in value else {"folder": value}
    return value


class SplitRule(Section):
    """Which rows belong to a split; short forms: `0.8`, `"0:3000"`, `[0, 5, 9]`, `train` (a sub-folder)."""

    ratio: Ratio | None = None
    """Share of the rows that no other split names, drawn by class with the recipe's seed.

    Splits by ratio are disjoint; their ratios add up to at most 1. Example: `0.8`.
    """
    slice: Annotated[str, Field(pattern=r"^\d*:\d*$")] | None = None
    """Rows from start to before stop, `start:stop`. Example: `"0:3000"`."""
    rows: Many[Annotated[int, Field(ge=0)]] | None = None
    """Row numbers. Example: `[0, 5, 9]`."""
    folder: str | None = None
    """`image_folder`: the sub-folder that holds the class folders of this split. Example: `train`."""
    inputs: str | dict[str, str] | None = None
    """`npz`: the array of this split, or arrays by input name.
    Example: `x_test` or `{image: images_test, size: sizes_test}`."""
    labels: str | dict[str, str] | None = None
    """`npz`: the label array of this split, or arrays by output name. Example: `y_test`."""


Splits = Annotated[
    dict[
        str,
        Annotated[
            SplitRule,
            BeforeValidator(_name_the_rule, json_schema_input_type=SplitRule | float | str | list[int]),
        ],
    ],
    Field(min_length=1),
]


Bounds = Annotated[Many[Finite], Field(min_length=2, max_length=2)]
"""The lowest and the highest value, `[low, high]`."""


class Rows(Section):
    """Which samples of a split to use."""

    split: str
    """A name under `splits`. Example: `train`."""
    samples: Count | None = None
    """How many, drawn by class with the recipe's seed; all when left out. Example: `200`."""
    rows: Many[Annotated[int, Field(ge=0)]] | None = None
    """Positions inside the split, instead of `samples`. Example: `[0, 10, 20]`."""


class _Dataset(Section):
    splits: Splits = Field(default={"train": SplitRule(ratio=0.8), "test": SplitRule(ratio=0.2)})
    """The parts of the data, by a name of your choice.
    Example: `{train: 0.8, test: 0.2}` or `{train: "0:3000", test: "3000:4000"}`."""
    training: Rows = Rows(split="train")
    """What `training` learns from; needs labels, but for `teacher: float`. Example: `{split: train}`."""
    calibration: Rows = Rows(split="train", samples=200)
    """What ranges are taken from, and what recovery passes look at; without labels. 100 to 500 samples are enough.
    Example: `{split: train, samples: 200}`."""
    evaluation: Rows = Rows(split="test")
    """What metrics and gates are computed on; must not be trained or calibrated on.
    Example: `{split: test, samples: 1000}`."""
    preprocessing: Preprocessing = Field(default={})
    """Steps from what the source gives to what the model takes, in their order; such a list for each input by its
    name where there are several. The same steps serve training, calibration and evaluation, and are told to the app.
    Example: `[{resize: {height: 224, width: 224}}, {scale: {factor: 0.00784313725490196, offset: -1.0}}]` or
    `{image: [{scale: {factor: 0.00392156862745098}}], age: [{normalize: {mean: 40, std: 20}}]}`.


    - `grayscale_to_rgb`: this step needs no more than its name
    """
    range: Bounds | dict[str, Bounds] | None = None
    """Where all values lie after preprocessing, `[low, high]`, or such by input name; a value outside is an error.
    Example: `[-1, 1]` or `{image: [0, 1]}`."""

    def bounds(self, name: str) -> tuple[float, ...] | None:
        """Give the declared range of an input as low and high, or None."""
        return self.range.get(name) if isinstance(self.range, dict) else self.range

    def mistakes(self) -> Iterator[Mistake]:
        """Tell splits, steps and ranges that cannot be, rows that are not there, evaluation samples used twice."""
        yield from found.split_mistakes(self.splits, getattr(self, "source", ""), self._total())
        for role in found.ROLES:
            rows: Rows = getattr(self, role)
            # A recipe need not use its defaults: whether it trains or calibrates is for other sections to say.
            if role != "evaluation" and role not in self.model_fields_set:
                continue
            yield from found.role_mistakes(role, rows, self.splits, self._total())
            if role != "evaluation":
                yield from found.overlap_mistakes(role, rows, self.evaluation)
        yield from found.preprocessing_mistakes(self.preprocessing, self._input_names())
        yield from found.range_mistakes(self.range, self._input_names())

    def _total(self) -> int | None:
        """How many rows the source has, where the recipe alone tells it."""
        return None

    def _input_names(self) -> set[str] | None:
        """The names of the inputs, where the recipe alone tells them; one without a name is the empty string."""
        return {""}


class Digits(_Dataset):
    """The 1797 handwritten digits of scikit-learn: image (8, 8, 1) of 0..16, label 0..9."""

    source: Literal["digits"]

    def _total(self) -> int | None:
        return 1797


class Npz(_Dataset):
    """Named arrays of an `.npz` file; stored (uncompressed) arrays are memory-mapped."""

    source: Literal["npz"]
    path: RecipePath
    """The `.npz` file. Example: `flowers.npz`."""
    inputs: str | dict[str, str] | None = None
    """The array of the only input, or arrays by input name; left out where each split names its own. Example: `images`
    or
    `{image: images, age: ages}`."""
    labels: str | dict[str, str] | None = None
    """The label array, or arrays by output name. Example: `labels`."""
    classes: Many[str] = ()
    """Names of the classes, in the order of the model's outputs; they go into report and hand-off.
    Example: `[daisy, rose, tulip]`."""

    def mistakes(self) -> Iterator[Mistake]:
        """Tell a missing file and arrays that it does not hold."""
        yield from super().mistakes()
        yield from found.npz_mistakes(self)

    def _input_names(self) -> set[str] | None:
        named = [self.inputs, *(rule.inputs for rule in self.splits.values())]
        return {name for arrays in named for name in found.by_name(arrays)} or None


class ImageFolder(_Dataset):
    """JPEG and PNG files in one sub-folder a class, read when they are needed as RGB, uint8 (height, width, 3).

    Classes are numbered in the order of their folders' names. Orientation marks of cameras are not applied.
    """

    source: Literal["image_folder"]
    path: RecipePath
    """The folder of the class folders, or of the split folders. Example: `${FLOWERS_DIR}`."""

    def mistakes(self) -> Iterator[Mistake]:
        """Tell missing folders."""
        yield from super().mistakes()
        yield from found.folder_mistakes(self.path, self.splits)


class Factory(_Dataset):
    """A Python function that returns `(inputs, labels)`; runs only with `--allow-code`.

    `inputs` is anything with `len()` and `[i]` (one sample), or a dict of such by input name;
    `labels` is an array, a dict of arrays by output name, or None.
    """

    source: Literal["factory"]
    function: Annotated[str, Field(pattern=FUNCTION)]
    """`package.module:function`, importable from the recipe's folder or the environment. Example: `my_data:load`."""
    arguments: dict[str, Any] = Field(default={})
    """Keyword arguments of the function. Example: `{year: 2024}`."""
    classes: Many[str] = ()
    """Names of the classes, in the order of the model's outputs; they go into report and hand-off.
    Example: `[daisy, rose, tulip]`."""

    def _input_names(self) -> set[str] | None:
        return None


class Synthetic(_Dataset):
    """Seeded uniform noise for smoke runs; a run calibrated on it never passes an accuracy gate."""

    source: Literal["synthetic"]
    shape: Many[Count] | dict[str, Many[Count]]
    """Shape of a sample without the batch dimension, or shapes by input name.
    Example: `[224, 224, 3]` or `{image: [224, 224, 3], age: [1]}`."""
    samples: Count = 256
    """How many samples there are in all. Example: `64`."""
    low: Finite = 0.0
    """Lowest value. Example: `-1.0`."""
    high: Finite = 1.0
    """Highest value. Example: `255.0`."""
    classes: Count | None = None
    """Draw random labels of so many classes. Example: `10`."""

    def mistakes(self) -> Iterator[Mistake]:
        """Tell an empty range of values."""
        yield from super().mistakes()
        if self.low >= self.high:
            yield ("high",), f"must be above low ({self.low:g}). Got {self.high:g}."

    def _total(self) -> int | None:
        return self.samples

    def _input_names(self) -> set[str] | None:
        return set(self.shape) if isinstance(self.shape, dict) else {""}


Dataset = Annotated[Digits | Npz | ImageFolder | Factory | Synthetic, Field(discriminator="source")]
