"""`doctor` looks at what is really installed: packages are made by writing their metadata where Python looks first."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tflite_pipeline.doctor import examine, missing_extra
from tflite_pipeline.doctor_table import show
from tflite_pipeline.errors import RecipeError


def installed(monkeypatch: pytest.MonkeyPatch, folder: Path, name: str, version: str) -> None:
    """Put the metadata of a package where they are found before those of the real one."""
    place = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    place.mkdir(parents=True)
    (place / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    monkeypatch.syspath_prepend(str(folder))


def problems(found: dict[str, Any]) -> str:
    return "\n".join(f"{row['what']} {row['remedy']}" for row in found["problems"])


def test_the_environment_of_the_tests_has_all_packages(tmp_path: Path) -> None:
    found = examine(tmp_path)
    assert found["python"]["fits"]
    assert all(row["fits"] for row in found["packages"])
    assert {"tensorflow", "keras", "tf-keras", "ai-edge-litert"} <= {row["name"] for row in found["packages"]}
    assert found["machine"]["cores"] >= 1


def test_a_version_out_of_range_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, tmp_path / "packages", "ai-edge-litert", "1.0.0")
    found = examine(tmp_path)
    assert not found["sound"]
    assert "ai-edge-litert must be <2.4,>=2.3. Got 1.0.0." in problems(found)


def test_a_package_that_gets_in_the_way_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, tmp_path / "packages", "tflite-runtime", "2.14.0")
    assert "Run: pip uninstall tflite-runtime" in problems(examine(tmp_path))


def test_variables_that_change_keras_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_USE_LEGACY_KERAS", "1")
    assert any(note.startswith("TF_USE_LEGACY_KERAS=1 is overridden here") for note in examine(tmp_path)["notes"])


def test_the_cache_is_measured(tmp_path: Path) -> None:
    entry = tmp_path / ".cache" / "export" / "key"
    entry.mkdir(parents=True)
    (entry / "reference.tflite").write_bytes(bytes(3000))
    assert examine(tmp_path)["cache"]["bytes"] == 3000
    new = examine(tmp_path / "new")["cache"]
    assert (new["exists"], new["writable"], new["bytes"]) == (False, True, 0)


def test_a_cache_that_is_a_file_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    assert "for the cache, cannot be written" in problems(examine(tmp_path / "out"))


def test_an_extra_lacks_its_package_when_the_version_does_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(monkeypatch, tmp_path / "packages", "ethos-u-vela", "1.0")
    error = missing_extra(examine(tmp_path), ["vela"])
    assert error is not None
    assert "pip install 'tflite-pipeline[vela]'" in str(error)
    with pytest.raises(RecipeError, match="Did you mean 'vela'"):
        missing_extra(examine(tmp_path), ["vella"])


def test_what_is_shown_fits_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "70")
    show(examine(tmp_path))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("tflite-pipeline ")
    assert max(map(len, lines)) <= 70 or str(tmp_path) in "".join(lines)


def test_it_imports_no_tensorflow(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tflite_pipeline.doctor import examine; examine(Path('x'));"
        "sys.exit(any(name in sys.modules for name in ('tensorflow', 'keras', 'ai_edge_litert', 'numpy')))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False).returncode == 0
