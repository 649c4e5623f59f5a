"""A `.tflite` in; what Vela, Arm's compiler for Ethos-U, makes of it out: which ops stay on the CPU, memory, cycles."""

from __future__ import annotations

import csv
import importlib.metadata
import re
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

from tflite_pipeline.runtime.layers import short_name
from tflite_pipeline.targets.contents import Contents, place
from tflite_pipeline.targets.verdicts import judged, not_checked

PACKAGE = "ethos-u-vela"
_REFUSAL = re.compile(r"operator: (\w+), ofm: '(.*)'\nReason: (.*)")
_IN_BRACKETS = re.compile(r"\(([^()]*)\)")
_SHARE = re.compile(r"^NPU operators = \d+ \(([\d.]+)%\)", re.MULTILINE)
_LINES_TOLD = 3
_KIB = {
    "sram_kib": ("sram_memory_used",),
    "dram_kib": ("dram_memory_used",),
    "flash_kib": ("on_chip_flash_memory_used", "off_chip_flash_memory_used"),
}
"""What is reported, from the columns of Vela's summary that make it up."""
_NAMES = {"sram_kib": "SRAM", "dram_kib": "DRAM", "flash_kib": "flash"}


def check_ethos_u(accelerator: str, path: Path, layers: Collection[str], out: Path) -> dict[str, Any]:
    """Compile the file with the installed Vela; it passes where no op is left to the CPU.

    System and memory are Vela's defaults for the accelerator. Vela runs in a process of its own and writes to `out`.
    """
    try:
        version = importlib.metadata.version(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        return not_checked("Vela is not installed: pip install 'tflite-pipeline[vela]'")
    out.mkdir(parents=True)
    command = [sys.executable, "-m", "ethosu.vela", str(path.resolve()), "--output-dir", str(out)]
    options = ["--accelerator-config", accelerator, "--verbose-performance"]
    run = subprocess.run([*command, *options], capture_output=True, text=True, errors="replace", check=False)
    (out / "vela.txt").write_text(run.stdout + run.stderr, encoding="utf-8")
    checked_by = f"{PACKAGE} {version}, {accelerator}"
    if run.returncode or not (share := _SHARE.search(run.stdout)):
        return judged(checked_by, [f"Vela ended with code {run.returncode}: {_last_lines(run.stdout + run.stderr)}"])
    figures = _figures(out, float(share.group(1)))
    memory = ", ".join(f"{value:g} KiB {_NAMES[name]}" for name, value in figures.items() if name in _NAMES and value)
    told = f"{share.group(1)} % of the ops on the NPU, {memory}, {figures['cycles']:.0f} cycles"
    return judged(checked_by, _on_cpu(out, run.stdout + run.stderr, Contents(path, layers)), told=told, figures=figures)


def _figures(out: Path, share: float) -> dict[str, float]:
    (row,) = _rows(next(out.glob("*_summary_*.csv")))
    kib = {name: round(sum(float(row[column]) for column in columns), 2) for name, columns in _KIB.items()}
    return {"npu_percent": share, **kib, "cycles": float(row["cycles_total"])}


def _on_cpu(out: Path, said: str, contents: Contents) -> list[str]:
    """Tell of each op that Vela leaves to the CPU: its kind, where it is, and Vela's own reason."""
    reasons = {place: (kind, reason) for kind, place, reason in _REFUSAL.findall(said)}
    findings = []
    for row in _rows(next(out.glob("*_per-layer.csv"))):
        if row["Target"] == "CPU":
            kind, reason = reasons.get(row["Name"], (row["Original Operator"], "Vela gives no reason"))
            told = f"{kind} at '{short_name(row['Name'])}'"
            if found := contents.writer_of(row["Name"]):  # Vela tells of the activation where the file has one op
                told = f"{found[1].name} at {place(*found, contents.layers)}"
            findings.append(f"{told} stays on the CPU: {_IN_BRACKETS.sub(_shortened, reason)}")
    return findings


def _shortened(tensor: re.Match[str]) -> str:
    return f"({short_name(tensor.group(1))})"


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _last_lines(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip() and not line.startswith("Warning:")]
    return " ".join(lines[-_LINES_TOLD:]) or "it said nothing"
