"""What a run shows when it is done: one summary."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from tflite_pipeline.columns import UNBOUNDED
from tflite_pipeline.errors import gate_code, section
from tflite_pipeline.report.advice import ADVICE, UNDECIDED
from tflite_pipeline.report.kernels import kernels_text
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
from tflite_pipeline.terminal import STYLES

if TYPE_CHECKING:
    from tflite_pipeline.pipeline import Result


def summary(result: Result) -> None:
    """Print what was asked and found, the gates, the figures, where the files are and what to do next."""
    report, console = result.report, Console(highlight=False, soft_wrap=True)
    verdict = report["verdict"]
    console.print(f"\n[bold]{report['recipe']['name']}[/]: [{STYLES[verdict]}]{verdict.upper()}[/]")
    _line(console, f"  asked      {report['scheme']['asked']}, io {report['io']['asked']}")
    _line(console, f"  found      {report['scheme']['found']}, io {report['audit']['io_found']}")
    for row in report["recipe"]["decided"]:
        _line(console, f"  decided    {row['key']}: {json.dumps(row['value'])}, as {', '.join(row['by'])} demanded")
    _line(console, f"  engine     {report['scheme']['engine']}: {report['scheme']['why']}")
    for finding in report["calibration"].get("findings", ()):
        if finding["level"] == "warning":
            _line(console, f"  [{STYLES['undecided']}]warning[/]    calibration, {finding['rule']}: {finding['text']}")
    _show_recovery(console, report)
    _show_training(console, report)
    if report["metrics"]:
        _show_table(console, lambda gap: _metrics_table(report, gap))
    for output, row in report["agreement"].items():
        if row["value"] is not None:
            _line(
                console, f"  agreement  {row['value']:.2%} of {row['samples']} samples get the same class{_of(output)}"
            )
    share = report["model"]["bytes"] / report["reference"]["bytes"]
    _line(console, f"  size       {bytes_text(report['model']['bytes'])}, {share:.0%} of the float file")
    if packed := report["training"]["compression"]:
        _line(
            console,
            f"  weights    {share_text(packed['zeros'])} are zero; compressed the file has "
            f"{bytes_text(packed['compressed_bytes'])}",
        )
    latency = report["latency"]
    _line(
        console,
        f"  latency    {milliseconds(latency['quantized_ms'])}, float {milliseconds(latency['reference_ms'])} "
        f"(median of {latency['runs']}, {latency['threads']} thread(s), this host, no phone)",
    )
    _show_kernels(console, report["kernels"])
    _show_verdict(console, result)


def _line(console: Console, markup: str, hang: int = 13) -> None:
    """Print a line; on a terminal it is broken between words, and what follows begins below its text."""
    text = Text.from_markup(markup)
    if not console.is_terminal or len(text) <= console.width:
        console.print(text)
        return
    lead, rest = text.divide([hang])
    for number, line in enumerate(rest.wrap(console, max(20, console.width - hang))):
        console.print((lead if number == 0 else Text(" " * hang)).append(line))


def _show_table(console: Console, make: Callable[[int], Table]) -> None:
    """Print a table; where the terminal is narrow its columns move together, and no figure is cut off."""
    free = console.options.update(max_width=UNBOUNDED)
    width, table = min(
        ((console.measure(table, options=free).maximum, table) for table in (make(2), make(1))),
        key=lambda pair: pair[0] > console.width,
    )
    Console(width=max(console.width, width), highlight=False).print(table)


def _show_verdict(console: Console, result: Result) -> None:
    report = result.report
    console.print("  gates")
    for gate in report["gates"]:
        _line(
            console, f"    [{STYLES[gate['verdict']]}]{gate['verdict']:9}[/] {gate['name']}: {escape(gate['text'])}", 14
        )
    _line(console, f"  files      {result.model}")
    _line(console, f"             {result.folder / 'report.html'}")
    _line(console, f"  next       {_next_step(result)}")
    if not report["passed"]:
        _line(console, f"  help       {section(gate_code(_first_open_gate(report)))}")


def _show_kernels(console: Console, kernels: dict[str, Any]) -> None:
    _line(console, f"  kernels    {kernels_text(kernels)}")
    for text in kernels["findings"]:
        _line(console, f"  [{STYLES['undecided']}]warning[/]    kernels: {escape(text)}")


def _show_recovery(console: Console, report: dict[str, Any]) -> None:
    if report["recovery"]:
        _line(console, f"  recovery   {recovered_text(report['recovery'])}")


def _show_training(console: Console, report: dict[str, Any]) -> None:
    """Print which epochs were kept and, after training with fake quantization, what it lost and what conversion did."""
    training = report["training"]
    for step in training["steps"]:
        _line(console, f"  training   {step['method']}: {kept_text(step)}")
    if not training["fidelity"]:
        return
    if training["fidelity"]["metrics"]:
        _show_table(console, lambda gap: _fidelity_table(training["fidelity"]["metrics"], gap))
    for output, row in training["fidelity"]["outputs"].items():
        _line(
            console,
            f"  fidelity   {share_text(row['within_2_lsb'])} of the values are within 2 LSB of the fake-quantized "
            f"network's, at most {lsb_text(row['largest_lsb'])} apart, SQNR {decibels(row['sqnr_db'])}{_of(output)}"
            if row["lsb"]
            else f"  fidelity   SQNR {decibels(row['sqnr_db'])} to the fake-quantized network{_of(output)}",
        )
    for text in training["fidelity"]["warnings"]:
        _line(console, f"  [{STYLES['undecided']}]warning[/]    conversion: {text}")


def _fidelity_table(metrics: dict[str, Any], gap: int) -> Table:
    table = Table(box=None, padding=(0, gap), show_edge=False)
    for column in ("metric", "float", "fake-quant", ".tflite", "train drop", "convert drop"):
        table.add_column(column, justify="left" if column == "metric" else "right", no_wrap=True)
    for name, row in metrics.items():
        values = [metric_text(row[side], name) for side in ("float", "fake_quant", "tflite")]
        drops = [change_text(row[drop], name) for drop in ("training_drop", "conversion_drop")]
        table.add_row(name, *values, *drops)
    return table


def _of(output: str) -> str:
    return f" ({output})" if output else ""


def _metrics_table(report: dict[str, Any], gap: int) -> Table:
    table = Table(box=None, padding=(0, gap), show_edge=False)
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
    advice = UNDECIDED if verdict == "undecided" else ADVICE[_first_open_gate(result.report).split(":")[0]]
    return f"{advice}; the file is kept as {result.model.name}"


def _first_open_gate(report: dict[str, Any]) -> str:
    return str(next(gate["name"] for gate in report["gates"] if gate["verdict"] == report["verdict"]))
