"""The cache: what is found, what is made again, and what a killed run leaves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tflite_pipeline.errors import RecipeError, StageError
from tflite_pipeline.store import Store, code_digest, refuse_foreign_folders


@dataclass(frozen=True)
class Note:
    """A small artifact."""

    path: Path
    lines: tuple[str, ...]


def write(out: Path) -> Note:
    (out / "note.txt").write_text("hello")
    return Note(out / "note.txt", ("hello",))


def never(out: Path) -> Note:
    raise AssertionError(f"must have been found, not made in {out}")


def test_entry_is_found_again_with_its_paths(tmp_path: Path) -> None:
    first = Store(tmp_path).get("stage", {"a": 1}, Note, write)
    again = Store(tmp_path).get("stage", {"a": 1}, Note, never)
    assert not first.cached
    assert again.cached
    assert again.artifact == first.artifact
    assert again.digest == first.digest
    assert again.artifact.path.read_text() == "hello"


def test_other_key_is_made_anew(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.get("stage", {"a": 1}, Note, write)
    assert not store.get("stage", {"a": 2}, Note, write).cached


def test_force_makes_anew_what_is_there(tmp_path: Path) -> None:
    Store(tmp_path).get("stage", 1, Note, write)
    assert not Store(tmp_path, force=True).get("stage", 1, Note, write).cached
    assert Store(tmp_path).get("stage", 1, Note, never).cached


def test_what_was_made_under_force_is_found_when_it_is_wanted_again(tmp_path: Path) -> None:
    Store(tmp_path).get("stage", 1, Note, write)
    store = Store(tmp_path, force=True)
    made = store.get("stage", 1, Note, write)
    again = store.get("stage", 1, Note, never)
    assert (made.cached, again.cached) == (False, True)
    assert again.digest == made.digest


def test_failed_stage_is_not_remembered_under_force(tmp_path: Path) -> None:
    def fail(_: Path) -> Note:
        raise StageError("no")

    Store(tmp_path).get("stage", 1, Note, write)
    store = Store(tmp_path, force=True)
    with pytest.raises(StageError):
        store.get("stage", 1, Note, fail)
    assert not store.get("stage", 1, Note, write).cached


def test_store_can_move(tmp_path: Path) -> None:
    Store(tmp_path / "a").get("stage", 1, Note, write)
    (tmp_path / "a").rename(tmp_path / "b")
    found = Store(tmp_path / "b").get("stage", 1, Note, never)
    assert found.artifact.path.is_relative_to(tmp_path / "b")
    assert found.artifact.path.read_text() == "hello"


@pytest.mark.parametrize("damage", ["delete", "cut", "entry"])
def test_damaged_entry_is_made_anew(tmp_path: Path, damage: str) -> None:
    entry = Store(tmp_path).get("stage", 1, Note, write)
    if damage == "delete":
        entry.artifact.path.unlink()
    elif damage == "cut":
        entry.artifact.path.write_text("hel")
    else:
        (entry.artifact.path.parent / "entry.json").write_text("{")
    again = Store(tmp_path).get("stage", 1, Note, write)
    assert not again.cached
    assert again.artifact.path.read_text() == "hello"


def test_failed_stage_leaves_nothing_with_a_good_name(tmp_path: Path) -> None:
    def fail(out: Path) -> Note:
        (out / "half.txt").write_text("half")
        raise StageError("no")

    with pytest.raises(StageError):
        Store(tmp_path).get("stage", 1, Note, fail)
    assert not Store(tmp_path).get("stage", 1, Note, write).cached
    assert [path.name for path in tmp_path.rglob("half.txt")] == []


def test_leftovers_of_dead_runs_are_swept(tmp_path: Path) -> None:
    leftover = tmp_path / "stage" / "abc.999999999.partial"
    leftover.mkdir(parents=True)
    Store(tmp_path)
    assert not leftover.exists()


def test_resumable_stage_finds_its_folder_again(tmp_path: Path) -> None:
    def interrupted(out: Path) -> Note:
        (out / "epoch-1").write_text("1")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Store(tmp_path).get("train", 1, Note, interrupted, resumable=True)

    def resume(out: Path) -> Note:
        assert (out / "epoch-1").read_text() == "1"
        return write(out)

    assert not Store(tmp_path).get("train", 1, Note, resume, resumable=True).cached


def test_digest_of_a_file_follows_its_content(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("one")
    store = Store(tmp_path / "store")
    first = store.file_digest(file)
    assert Store(tmp_path / "store").file_digest(file) == first
    file.write_text("two!")
    assert store.file_digest(file) != first


def test_result_is_replaced_whole(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    for text in ("old", "new"):
        fresh = store.fresh_folder()
        (fresh / text).write_text(text)
        store.replace(fresh, tmp_path / "result")
    assert [path.name for path in (tmp_path / "result").iterdir()] == ["new"]


def test_digest_of_the_code_covers_packages_and_modules() -> None:
    assert code_digest(("convert",)) != code_digest(("convert", "artifacts"))


def test_failed_stage_leaves_nothing_unless_it_can_go_on(tmp_path: Path) -> None:
    def fail(out: Path) -> Note:
        (out / "half.txt").write_text("half")
        raise StageError("cannot")

    for stage, resumable in (("plain", False), ("training", True)):
        with pytest.raises(StageError):
            Store(tmp_path).get(stage, 1, Note, fail, resumable)
    assert [path.parent.parent.name for path in tmp_path.rglob("half.txt")] == ["training"]


def test_only_free_folders_and_results_are_published_over(tmp_path: Path) -> None:
    for name in ("result", "empty", "mine"):
        (tmp_path / name).mkdir()
    (tmp_path / "result" / "report.json").write_text("{}")
    (tmp_path / "mine" / "thesis.tex").write_text("mine")
    (tmp_path / "file").write_text("mine")
    refuse_foreign_folders(tmp_path, ["result", "empty", "absent"])
    with pytest.raises(RecipeError) as caught:
        refuse_foreign_folders(tmp_path, ["result", "mine", "file"])
    assert [("mine" in str(p), "file" in str(p)) for p in caught.value.problems] == [(True, False), (False, True)]
