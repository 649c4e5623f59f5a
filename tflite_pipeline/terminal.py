"""What a run shows: a progress line while it works, one summary when it is done."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from tflite_pipeline.report.training import kept_text
from tflite_pipeline.report.words import (
    bytes_text,
    change_text,
    decibels,
    interval_text,
    lsb_text,
    metric_text,
    milliseconds,
    recovered_text,
    share_text,
)

if TYPE_CHECKING:
    from typing_extensions import Self

    from tflite_pipeline.pipeline import Result

STYLES = {"passed": "green", "failed": "bold red", "undecided": "yellow"}


UNDECIDED = "give more evaluation samples (dataset.evaluation.samples), or a wider gate"
ANOTHER_SCHEME = "try another scheme (--set quantization.scheme=…), or more calibration samples"
ANOTHER_ENGINE = (
    "the file does not compute what was trained, see training.fidelity in report.json; try another engine "
    "(--set quantization.engine=…)"
)
ADVICE = {
    "scheme": "see audit in report.json for what is not as asked; where ops stayed float, list them in "
    "quantization.allow_float or try another scheme",
    "io": "see io in report.json; try quantization.io: float32",
    "parity": "the float file is wrong, whatever the scheme: convert the original model (model.source: keras_file)",
    "max_drop": ANOTHER_SCHEME,
    "max_training_drop": "train for more epochs, with a lower learning_rate, or with teacher: float",
    "max_conversion_drop": ANOTHER_ENGINE,
    "min_fidelity": ANOTHER_ENGINE,
    "min": "compare with the float figure: where that is low too, the model or the preprocessing is the cause",
    "min_agreement": ANOTHER_SCHEME,
    "max_size": "try a scheme with smaller weights, or a smaller model",
    "max_latency_ms": "measure on the device before you change the model: this is the host's figure",
    "target": "see targets in report.json",
}
"""What to do first, by the gate that did not pass."""


class Watcher:
    """Shows on stderr which stage runs and how far it is; one line a finished stage, so that a log reads well too."""

    def __init__(self, name: str) -> None:
        """`name` is the recipe's."""
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._name = name
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[what]}"),
            console=self._console,
            transient=True,
            disable=not sys.stderr.isatty(),
        )
        self._cached: list[str] = []
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Watcher:
        """Start the display."""
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Clear the display."""
        self._tell_cached()
        self._progress.stop()

    def begin(self, stage: str) -> None:
        """Show the stage."""
        self._tasks[stage] = self._progress.add_task(f"{self._name}: {stage}", total=None, what="")

    def progress(self, stage: str, done: int, total: int, what: str) -> None:
        """Move the stage's bar."""
        self._progress.update(self._tasks[stage], completed=done, total=total, what=what)

    def end(self, stage: str, seconds: float, cached: bool) -> None:
        """Leave one line for a stage that worked; cached ones share a line."""
        self._progress.remove_task(self._tasks.pop(stage))
        if cached:
            self._cached.append(stage)
            return
        self._tell_cached()
        self._console.print(f"  {stage:20} {seconds:7.1f} s")

    def _tell_cached(self) -> None:
        if self._cached:
            self._console.print(f"  cached: {', '.join(self._cached)}")
            self._cached = []


class Bars:
    """Two bars on stderr for work of many runs: one for all of it, one for the stage that runs."""

    def __init__(self, total: float, *columns: ProgressColumn) -> None:
        """`columns` stand between the first bar and what it says."""
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            *columns,
            TextColumn("{task.fields[what]}"),
            console=self._console,
            transient=True,
            disable=not sys.stderr.isatty(),
        )
        self._whole = self._bars.add_task("", total=total, what="")
        self._stage = self._bars.add_task("", total=None, what="", visible=False)

    def __enter__(self) -> Self:
        """Start the display."""
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Clear the display."""
        self._bars.stop()

    def leave(self, line: str) -> None:
        """Leave a line for a run that is over."""
        self._bars.update(self._stage, visible=False)
        self._console.print(line)

    def begin(self, stage: str) -> None:
        """Show the stage; of two that run at a time, the later one."""
        self._bars.update(self._stage, description=f"  {stage}", total=None, completed=0, what="", visible=True)

    def progress(self, stage: str, done: int, total: int, what: str) -> None:
        """Move the stage's bar."""
        self._bars.update(self._stage, description=f"  {stage}", completed=done, total=total, what=what)

    def end(self, stage: str, seconds: float, cached: bool) -> None:
        """Leave the stage to the next one."""


def summary(result: Result) -> None:
    """Print what was asked and found, the gates, the figures, where the files are and what to do next."""
    report, console = result.report, Console(highlight=False, soft_wrap=True)
    verdict = report["verdict"]
    console.print(f"\n[bold]{report['recipe']['name']}[/]: [{STYLES[verdict]}]{verdict.upper()}[/]")
    console.print(f"  asked      {report['scheme']['asked']}, io {report['io']['asked']}")
    console.print(f"  found      {report['scheme']['found']}, io {report['audit']['io_found']}")
    console.print(f"  engine     {report['scheme']['engine']}: {report['scheme']['why']}")
    for finding in report["calibration"].get("findings", ()):
        if finding["level"] == "warning":
            console.print(f"  [{STYLES['undecided']}]warning[/]    calibration, {finding['rule']}: {finding['text']}")
    _show_recovery(console, report)
    _show_training(console, report)
    if report["metrics"]:
        console.print(_metrics_table(report))
    for output, row in report["agreement"].items():
        if row["value"] is not None:
            console.print(
                f"  agreement  {row['value']:.2%} of {row['samples']} samples get the same class{_of(output)}"
            )
    share = report["model"]["bytes"] / report["reference"]["bytes"]
    console.print(f"  size       {bytes_text(report['model']['bytes'])}, {share:.0%} of the float file")
    if packed := report["training"]["compression"]:
        console.print(
            f"  weights    {share_text(packed['zeros'])} are zero; compressed the file has "
            f"{bytes_text(packed['compressed_bytes'])}"
        )
    latency = report["latency"]
    console.print(
        f"  latency    {milliseconds(latency['quantized_ms'])}, float {milliseconds(latency['reference_ms'])} "
        f"(median of {latency['runs']}, {latency['threads']} thread(s), this host, no phone)"
    )
    console.print("  gates")
    for gate in report["gates"]:
        console.print(f"    [{STYLES[gate['verdict']]}]{gate['verdict']:9}[/] {gate['name']}: {gate['text']}")
    console.print(f"  files      {result.model}")
    console.print(f"             {result.folder / 'report.html'}")
    console.print(f"  next       {_next_step(result)}")


def _show_recovery(console: Console, report: dict[str, Any]) -> None:
    if report["recovery"]:
        console.print(f"  recovery   {recovered_text(report['recovery'])}")


def _show_training(console: Console, report: dict[str, Any]) -> None:
    """Print which epochs were kept and, after training with fake quantization, what it lost and what conversion did."""
    training = report["training"]
    for step in training["steps"]:
        console.print(f"  training   {step['method']}: {kept_text(step)}")
    if not training["fidelity"]:
        return
    if training["fidelity"]["metrics"]:
        console.print(_fidelity_table(training["fidelity"]["metrics"]))
    for output, row in training["fidelity"]["outputs"].items():
        console.print(
            f"  fidelity   {share_text(row['within_2_lsb'])} of the values are within 2 LSB of the fake-quantized "
            f"network's, at most {lsb_text(row['largest_lsb'])} apart, SQNR {decibels(row['sqnr_db'])}{_of(output)}"
            if row["lsb"]
            else f"  fidelity   SQNR {decibels(row['sqnr_db'])} to the fake-quantized network{_of(output)}"
        )
    for text in training["fidelity"]["warnings"]:
        console.print(f"  [{STYLES['undecided']}]warning[/]    conversion: {text}")


def _fidelity_table(metrics: dict[str, Any]) -> Table:
    table = Table(box=None, padding=(0, 2), show_edge=False)
    for column in ("metric", "float", "fake-quant", ".tflite", "train drop", "convert drop"):
        table.add_column(column, justify="left" if column == "metric" else "right", no_wrap=True)
    for name, row in metrics.items():
        values = [metric_text(row[side], name) for side in ("float", "fake_quant", "tflite")]
        drops = [change_text(row[drop], name) for drop in ("training_drop", "conversion_drop")]
        table.add_row(name, *values, *drops)
    return table


def _of(output: str) -> str:
    return f" ({output})" if output else ""


def _metrics_table(report: dict[str, Any]) -> Table:
    table = Table(box=None, padding=(0, 2), show_edge=False)
    for column in ("metric", "float", "quantized", "drop", "interval", "samples"):
        table.add_column(column, justify="left" if column == "metric" else "right", no_wrap=True)
    for name, row in report["metrics"].items():
        values = metric_text(row["reference"], name), metric_text(row["quantized"], name)
        table.add_row(name, *values, change_text(row, name), interval_text(row["interval"], name), str(row["samples"]))
    return table


def _next_step(result: Result) -> str:
    if result.report["passed"]:
        return f"hand on {result.folder / 'handoff.zip'}: the file, its contract and test vectors"
    verdict = result.report["verdict"]
    first = next(gate["name"] for gate in result.report["gates"] if gate["verdict"] == verdict)
    advice = UNDECIDED if verdict == "undecided" else ADVICE[first.split(":")[0]]
    return f"{advice}; the file is kept as {result.model.name}"
