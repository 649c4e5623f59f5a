"""Where the module of a recipe's function is looked for, and that looking runs nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tflite_pipeline.errors import StageError
from tflite_pipeline.model.identify import model_files
from tflite_pipeline.model.spec import Factory
from tflite_pipeline.runtime.user_code import source_file


def test_module_is_found_in_the_folders_without_running_it(tmp_path: Path) -> None:
    package = tmp_path / "my_package"
    package.mkdir()
    for file in (package / "__init__.py", package / "nets.py", tmp_path / "my_nets.py"):
        file.write_text("raise RuntimeError('was run')")
    assert source_file("model.function", "my_nets:build", [tmp_path]) == tmp_path / "my_nets.py"
    assert source_file("model.function", "my_package.nets:build", [tmp_path]) == package / "nets.py"
    with pytest.raises(StageError, match=r"model\.function: there is no module my_package\.net"):
        source_file("model.function", "my_package.net:build", [tmp_path])


def test_file_of_a_factory_decides_the_model(tmp_path: Path) -> None:
    (tmp_path / "my_nets.py").write_text("def build(): ...")
    spec = Factory(source="factory", function="my_nets:build")
    assert model_files(spec, [tmp_path]) == [tmp_path / "my_nets.py"]
