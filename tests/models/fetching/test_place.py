"""Where a fetched model goes: nothing is replaced unasked, and nothing is left half-written."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from lmcompress.errors import LmcompressError
from lmcompress.models import fetching
from lmcompress.models.checkpoint import load_exact_checkpoint
from lmcompress.models.fetching import fetch_model
from tests.support.command_line import names

pytest.importorskip("tokenizers")
pytest.importorskip("gguf")
pytest.importorskip("transformers")

from tests.support.published_folder import folder_of


def test_a_folder_keeps_all_of_its_name(tmp_path: Path, cache: Path) -> None:
    folder = folder_of(tmp_path).rename(tmp_path / "Qwen3-0.6B")

    fetch_model(str(folder))

    assert names(cache) == ["qwen3-0.6b"]


@pytest.mark.parametrize("name", ["a/b", "..", "", "ä", "-\n", "none"])
def test_a_name_that_is_no_folders_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(LmcompressError, match="is not a valid model name"):
        fetching._checked_name(name)


def test_neither_the_source_nor_a_folder_of_other_things_is_replaced(tmp_path: Path) -> None:
    source, other = folder_of(tmp_path), tmp_path / "photos"
    other.mkdir()
    (other / "cat.jpg").touch()
    before = names(source)

    with pytest.raises(LmcompressError, match="holds the source: choose another name or folder"):
        fetch_model(str(source), root=tmp_path, overwrite=True)
    with pytest.raises(LmcompressError, match="is not a model: choose another name or folder"):
        fetch_model(str(source), "photos", tmp_path, overwrite=True)

    assert names(source) == before
    assert names(other) == ["cat.jpg"]


def test_a_model_that_is_there_is_kept_unless_forced(tmp_path: Path, cache: Path) -> None:
    folder = folder_of(tmp_path)
    fetch_model(str(folder), "mine")

    with pytest.raises(LmcompressError, match="mine exists: pass -f"):
        fetch_model(str(folder), "mine")

    fetch_model(str(folder), "mine", overwrite=True)
    assert names(cache) == ["mine"]


def test_a_model_that_appeared_meanwhile_is_not_replaced(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(folder: Path) -> Any:
        shutil.copytree(folder, cache / "mine")
        return load_exact_checkpoint(folder)

    monkeypatch.setattr(fetching, "load_exact_checkpoint", load)

    with pytest.raises(LmcompressError, match="exists: pass -f"):
        fetch_model(str(folder_of(tmp_path)), "mine")
    assert names(cache) == ["mine"]


def test_a_model_comes_back_where_its_successor_cannot_be_put(tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.mkdir()
    (old / "weights").touch()

    with pytest.raises(FileNotFoundError):
        fetching._replace(old, tmp_path / "missing", tmp_path / "aside")
    assert names(old) == ["weights"]


def test_weights_are_readable_for_whom_the_umask_lets_read_files(
    tmp_path: Path, cache: Path
) -> None:
    fetch_model(str(folder_of(tmp_path)), "mine")

    (tmp_path / "usual").touch()
    modes = {path.name: path.stat().st_mode for path in (cache / "mine").iterdir()}
    assert set(modes.values()) == {(tmp_path / "usual").stat().st_mode}, modes


def test_what_a_killed_fetch_left_is_removed_by_the_next(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def load(folder: Path) -> Any:
        seen.extend(names(cache))
        return load_exact_checkpoint(folder)

    monkeypatch.setattr(fetching, "load_exact_checkpoint", load)
    left = cache / ".lmc-0123456789abcdef.tmp"
    (left / "model").mkdir(parents=True)
    os.utime(left, (1, 1))

    fetch_model(str(folder_of(tmp_path)), "mine")

    assert left.name not in seen
    assert len(seen) == 1
    assert re.fullmatch(r"\.lmc-[0-9a-f]{16}\.tmp", seen[0])
    assert names(cache) == ["mine"]
