"""Output files appear whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from lmcompress.errors import LmcompressError
from lmcompress.system.atomic import replace_atomically


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def write(path: Path, data: bytes, *, overwrite: bool = False, mode_from: Path | None = None):
    with replace_atomically(path, overwrite=overwrite, mode_from=mode_from) as output:
        output.write(data)


def test_file_appears_only_at_the_end(tmp_path):
    path = tmp_path / "out"

    with replace_atomically(path, overwrite=False) as output:
        output.write(b"new")
        assert not path.exists()

    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["out"]


def test_existing_file_is_refused_before_anything_is_written(tmp_path):
    path = tmp_path / "out"
    path.write_bytes(b"old")

    with pytest.raises(LmcompressError, match=r"out exists: pass -f"):
        write(path, b"new")

    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["out"]


def test_existing_file_is_replaced_on_demand(tmp_path):
    path = tmp_path / "out"
    path.write_bytes(b"old")

    with replace_atomically(path, overwrite=True) as output:
        output.write(b"new")
        assert path.read_bytes() == b"old"

    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["out"]


def test_file_that_appears_meanwhile_is_not_overwritten(tmp_path):
    path = tmp_path / "out"

    def write_while_another_does() -> None:
        with replace_atomically(path, overwrite=False) as output:
            output.write(b"mine")
            path.write_bytes(b"theirs")

    with pytest.raises(LmcompressError, match="exists: pass -f"):
        write_while_another_does()

    assert path.read_bytes() == b"theirs"
    assert names(tmp_path) == ["out"]


def test_one_of_many_writers_wins(tmp_path):
    path, barrier, refused = tmp_path / "out", threading.Barrier(8, timeout=30), []

    def compete(number: int) -> None:
        try:
            with replace_atomically(path, overwrite=False) as output:
                output.write(bytes([number]))
                barrier.wait()
        except LmcompressError:
            refused.append(number)

    threads = [threading.Thread(target=compete, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(refused) == 7
    assert path.read_bytes()[0] not in refused
    assert names(tmp_path) == ["out"]


def test_without_hard_links_one_of_two_writers_wins_too(tmp_path, monkeypatch):
    def no_links(*_args: object) -> None:
        raise OSError(errno.EPERM, "no hard links here")

    monkeypatch.setattr(os, "link", no_links)
    path = tmp_path / "out"

    with replace_atomically(path, overwrite=False) as output:
        output.write(b"mine")
    with (
        pytest.raises(LmcompressError, match="exists: pass -f"),
        replace_atomically(tmp_path / "other", overwrite=False),
    ):
        (tmp_path / "other").write_bytes(b"theirs")

    assert path.read_bytes() == b"mine"
    assert names(tmp_path) == ["other", "out"]


def test_a_file_appears_with_its_bytes_not_before_them(tmp_path, monkeypatch):
    def die(*_args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", die)
    path = tmp_path / "out"

    with replace_atomically(path, overwrite=False) as output:
        output.write(b"mine")

    assert path.read_bytes() == b"mine"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit, OSError])
def test_exception_leaves_nothing_behind_and_passes_through(tmp_path, error):
    path = tmp_path / "out"
    path.write_bytes(b"old")

    def write_and_stop() -> None:
        with replace_atomically(path, overwrite=True) as output:
            output.write(b"new" * 100_000)
            raise error("stop")

    with pytest.raises(error, match=r"^stop$"):
        write_and_stop()

    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["out"]


def test_permissions_and_times_are_copied(tmp_path):
    source = tmp_path / "source"
    source.write_bytes(b"")
    source.chmod(0o640)
    os.utime(source, ns=(1_000_000_000_123_456_700, 1_100_000_000_765_432_100))
    expected = source.stat()

    write(tmp_path / "out", b"new", mode_from=source)

    found = (tmp_path / "out").stat()
    assert stat.S_IMODE(found.st_mode) == stat.S_IMODE(expected.st_mode)
    assert (found.st_atime_ns, found.st_mtime_ns) == (expected.st_atime_ns, expected.st_mtime_ns)


@pytest.mark.skipif(os.name != "posix", reason="permission bits are POSIX's")
def test_setuid_is_not_copied(tmp_path):
    source = tmp_path / "source"
    source.write_bytes(b"")
    source.chmod(0o4755)

    write(tmp_path / "out", b"new", mode_from=source)

    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o755


@pytest.mark.skipif(os.name != "posix", reason="permission bits are POSIX's")
def test_unfinished_copy_of_a_private_file_is_private(tmp_path):
    source = tmp_path / "source"
    source.write_bytes(b"")
    source.chmod(0o644)

    with replace_atomically(tmp_path / "out", overwrite=False, mode_from=source):
        (temporary,) = set(tmp_path.iterdir()) - {source}
        assert stat.S_IMODE(temporary.stat().st_mode) == 0o600


@pytest.mark.skipif(os.name != "posix", reason="permission bits are POSIX's")
def test_without_a_source_the_umask_rules(tmp_path):
    old = os.umask(0o027)
    try:
        write(tmp_path / "out", b"new")
    finally:
        os.umask(old)

    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o640


def test_link_stays_and_its_target_is_replaced(tmp_path):
    (tmp_path / "folder").mkdir()
    target, link = tmp_path / "folder" / "target", tmp_path / "link"
    target.write_bytes(b"old")
    link.symlink_to(target)

    with pytest.raises(LmcompressError, match="link exists"):
        write(link, b"new")
    write(link, b"new", overwrite=True)

    assert link.is_symlink()
    assert target.read_bytes() == b"new"


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(LmcompressError, match=r"cannot write .*out: found no folder .*missing"):
        write(tmp_path / "missing" / "out", b"new")


def test_file_in_place_of_a_folder_is_named(tmp_path):
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(LmcompressError, match=r"cannot write .*file.out: Not a directory$"):
        write(tmp_path / "file" / "out", b"new")


def test_missing_source_of_the_mode_is_named(tmp_path):
    with pytest.raises(LmcompressError, match=r"cannot read .*source: No such file"):
        write(tmp_path / "out", b"new", mode_from=tmp_path / "source")

    assert names(tmp_path) == []


@pytest.mark.parametrize("overwrite", [False, True])
def test_folder_is_not_replaced(tmp_path, overwrite):
    with pytest.raises(LmcompressError, match="it is a folder"):
        write(tmp_path, b"new", overwrite=overwrite)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_device_is_not_replaced():
    with pytest.raises(LmcompressError, match="/dev/full: it is not a regular file"):
        write(Path("/dev/full"), b"new", overwrite=True)

    assert Path("/dev/full").is_char_device()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_unwritable_folder_is_named(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(LmcompressError, match=r"cannot write .*out: Permission denied"):
            write(tmp_path / "out", b"new")
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")
def test_file_system_that_takes_no_files_is_named():
    with pytest.raises(LmcompressError, match=r"^cannot write /proc/self/out: "):
        write(Path("/proc/self/out"), b"new")


LIMITED = """
import resource, sys
from pathlib import Path
from lmcompress.errors import LmcompressError
from lmcompress.system.atomic import replace_atomically

resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    with replace_atomically(Path(sys.argv[1]), overwrite=True) as output:
        for _ in range(int(sys.argv[2])):
            output.write(bytes(2000))
        sys.stdout.write("written ")
except LmcompressError as exc:
    sys.stdout.write(str(exc))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs RLIMIT_FSIZE")
@pytest.mark.parametrize(
    ("num_writes", "noticed"), [(1, "written "), (1000, "")], ids=["at the end", "at once"]
)
def test_failed_write_is_named_and_leaves_the_old_file(tmp_path, num_writes, noticed):
    path = tmp_path / "out"
    path.write_bytes(b"old")

    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", LIMITED, str(path), str(num_writes)],
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == f"{noticed}cannot write {path}: File too large"
    assert done.stderr == ""
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["out"]
