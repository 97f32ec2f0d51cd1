"""Output files survive crashes, and what killed processes leave does not stay."""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lmcompress.errors import LmcompressError
from lmcompress.system import atomic
from lmcompress.system.atomic import replace_atomically, replace_by
from lmcompress.system.stale import clean_up, remove_stale, temporary_folder, temporary_name

posix_only = pytest.mark.skipif(os.name != "posix", reason="needs POSIX's locks and permissions")
OLD, NEW = b"old", bytes(200_000)
SYSTEM_CALLS = ("open", "fsync", "close", "dup", "link", "replace", "chmod", "utime", "unlink")
FILE_CALLS = ("write", "seek", "close")


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


class Faults:
    """Counts calls into the system, and has one of them fail as on a full disk."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.fails_at = -1

    def counted(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            self.calls.append(name)
            if len(self.calls) == self.fails_at:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return call(*args, **kwargs)

        return counted


@pytest.fixture(params=[True, False], ids=["links", "no-links"])
def faults(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Faults]:
    """Faults of a file system with or without hard links."""
    faults = Faults()
    for name in SYSTEM_CALLS:
        call = _no_links if name == "link" and not request.param else getattr(os, name)
        monkeypatch.setattr(os, name, faults.counted(name, call))
    methods = {name: faults.counted(name, getattr(io.FileIO, name)) for name in FILE_CALLS}
    atomic._NamedOutput.__bases__ = (type("Faulty", (io.FileIO,), methods),)
    yield faults
    atomic._NamedOutput.__bases__ = (io.FileIO,)


def _no_links(*_args: object, **_kwargs: object) -> None:
    raise OSError(errno.EPERM, "no hard links here")


def attempt(folder: Path, faults: Faults, fails_at: int, overwrite: bool) -> str:
    """Writes `out` while a call fails; returns the error, or "" if it could be done without."""
    folder.mkdir()
    source, path = folder / "source", folder / "out"
    source.touch()
    if overwrite:
        path.write_bytes(OLD)
    faults.calls, faults.fails_at = [], fails_at
    try:
        with replace_atomically(path, overwrite=overwrite, mode_from=source) as output:
            output.write(NEW)
    except LmcompressError as exc:
        return str(exc)
    finally:
        faults.fails_at = -1
    return ""


@posix_only
@pytest.mark.parametrize("overwrite", [True, False])
def test_whichever_call_fails_a_file_is_old_or_whole(
    overwrite: bool, faults: Faults, tmp_path: Path
) -> None:
    assert attempt(tmp_path / "all", faults, -1, overwrite) == ""
    calls = list(faults.calls)
    assert set(calls) >= {"open", "write", "fsync", "close", "chmod", "utime"}
    assert set(calls) & {"link", "replace"}

    for fails_at in range(1, len(calls) + 1):
        folder = tmp_path / str(fails_at)
        error = attempt(folder, faults, fails_at, overwrite)

        context = fails_at, calls[fails_at - 1], error
        path = folder / "out"
        found = path.read_bytes() if path.exists() else None
        before = OLD if overwrite else None
        assert found in ((before, NEW) if error else (NEW,)), context
        assert set(names(folder)) <= {"out", "source"}, context
        assert error in ("", f"cannot write {path}: No space left on device"), context


def test_bytes_are_synced_before_the_name_and_the_name_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened = []

    def fsync(descriptor: int) -> None:
        status = os.fstat(descriptor)
        is_folder = stat.S_ISDIR(status.st_mode)
        happened.append(("folder" if is_folder else status.st_size, (tmp_path / "out").exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    with replace_atomically(tmp_path / "out", overwrite=False) as output:
        output.write(NEW)
    assert happened == [(len(NEW), False), ("folder", True)][: len(happened)]
    assert happened

    happened.clear()
    with replace_atomically(tmp_path / "out", overwrite=True, sync=False) as output:
        output.write(NEW)
    assert happened == []


@pytest.mark.parametrize("error", [errno.EINVAL, errno.ENOTSUP])
def test_a_file_system_that_cannot_sync_is_written_to(
    error: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fsync(_descriptor: int) -> None:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(os, "fsync", fsync)
    with replace_atomically(tmp_path / "out", overwrite=False) as output:
        output.write(NEW)

    assert (tmp_path / "out").read_bytes() == NEW


def old(path: Path) -> Path:
    os.utime(path, (1, 1))
    return path


@posix_only
def test_only_what_no_process_holds_and_is_old_is_removed(tmp_path: Path) -> None:
    killed, young = tmp_path / temporary_name(), tmp_path / temporary_name()
    killed_folder = tmp_path / temporary_name()
    killed_folder.mkdir()
    for path in (killed, young, killed_folder / "file", tmp_path / ".lmc-notes.tmp"):
        path.touch()
    (tmp_path / temporary_name()).symlink_to(tmp_path)
    link = next(path for path in tmp_path.iterdir() if path.is_symlink())
    for path in (killed, killed_folder, tmp_path / ".lmc-notes.tmp"):
        old(path)
    before = set(names(tmp_path))

    with temporary_folder(tmp_path) as folder, replace_atomically(tmp_path / "out", overwrite=True):
        (written,) = set(names(tmp_path)) - before - {folder.name}
        old(folder)
        old(tmp_path / written)

        remove_stale(tmp_path)

        left = {young.name, link.name, folder.name, written, ".lmc-notes.tmp"}
        assert set(names(tmp_path)) == left
    assert set(names(tmp_path)) == left - {folder.name, written} | {"out"}


def test_cleaning_a_folder_that_cannot_be_read_does_nothing(tmp_path: Path) -> None:
    remove_stale(tmp_path / "missing")


@posix_only
def test_the_next_writer_cleans_up(tmp_path: Path) -> None:
    clean_up.cache_clear()
    old_one = tmp_path / temporary_name()
    old_one.touch()
    old(old_one)

    with replace_atomically(tmp_path / "out", overwrite=False):
        pass

    assert names(tmp_path) == ["out"]


def append(folder: Path, piece: bytes, *, fail: bool = False, source: Path | None = None) -> bytes:
    """Goes on with `part`; returns what it held."""
    path, part = folder / "out", folder / "out.part"
    with replace_atomically(path, overwrite=False, mode_from=source, unfinished=part) as output:
        at = output.tell()
        output.seek(0)
        before = output.read()
        assert at == len(before)
        output.write(piece)
        if fail:
            raise KeyboardInterrupt
    return before


def test_unfinished_work_stays_and_is_continued(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        append(tmp_path, b"one, ", fail=True)
    assert names(tmp_path) == ["out.part"]
    old(tmp_path / "out.part")
    remove_stale(tmp_path)

    assert append(tmp_path, b"two") == b"one, "

    assert (tmp_path / "out").read_bytes() == b"one, two"
    assert names(tmp_path) == ["out"]


def test_unfinished_work_can_be_cut(tmp_path: Path) -> None:
    (tmp_path / "part").write_bytes(b"whole, torn")

    with replace_atomically(
        tmp_path / "out", overwrite=False, unfinished=tmp_path / "part"
    ) as output:
        output.seek(7)
        output.truncate()
        output.write(b"and the rest")

    assert (tmp_path / "out").read_bytes() == b"whole, and the rest"


@posix_only
def test_unfinished_work_has_one_writer(tmp_path: Path) -> None:
    path, part = tmp_path / "out", tmp_path / "part"
    with replace_atomically(path, overwrite=False, unfinished=part) as output:
        output.write(b"mine")
        with (
            pytest.raises(LmcompressError, match=r"out: another process is writing .*part: wait"),
            replace_atomically(path, overwrite=False, unfinished=part),
        ):
            pass
    assert path.read_bytes() == b"mine"


@posix_only
def test_unfinished_work_on_a_private_file_is_private(tmp_path: Path) -> None:
    source, part = tmp_path / "source", tmp_path / "out.part"
    source.touch(0o600)
    part.touch(0o644)

    with pytest.raises(KeyboardInterrupt):
        append(tmp_path, b"secret", fail=True, source=source)

    assert stat.S_IMODE(part.stat().st_mode) == 0o600


def test_a_file_that_a_library_writes_has_the_umasks_mode_and_comes_whole(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(OLD)

    def write(target: Path) -> None:
        target.unlink()
        target.touch(0o600)
        target.write_bytes(NEW)
        assert path.read_bytes() == OLD

    replace_by(path, write)

    assert path.read_bytes() == NEW
    (tmp_path / "usual").touch()
    assert path.stat().st_mode == (tmp_path / "usual").stat().st_mode
    assert names(tmp_path) == ["out", "usual"]


def test_a_file_that_a_library_cannot_write_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(OLD)

    def fail(target: Path) -> None:
        target.write_bytes(NEW)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(LmcompressError, match=r"cannot write .*out: No space left on device$"):
        replace_by(path, fail)

    assert path.read_bytes() == OLD
    assert names(tmp_path) == ["out"]
