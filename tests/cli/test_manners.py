"""What users of gzip, xz and zstd expect of options: --rm, -r, -o FOLDER, -1 to -9, -T0, info."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lmcompress.api.levels import LEVELS
from lmcompress.cli import streams
from lmcompress.cli.options import codec_config
from lmcompress.codec.config import CodecConfig
from lmcompress.models.store import DEFAULT_MODEL
from lmcompress.system import cpus
from tests.support.command_line import TEXT, Run, assert_one_line_error, names

FAST = ("-m", "none")


def tree_of(folder: Path) -> list[str]:
    """Returns all files below a folder."""
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder with a file in each of two folders, one compressed, and links that lead out."""
    folder = tmp_path / "tree"
    (folder / "sub").mkdir(parents=True)
    for name in ("b.txt", "sub/a.txt", "sub/old.lmc"):
        (folder / name).write_bytes(TEXT)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "precious").write_bytes(TEXT)
    (folder / "link").symlink_to(tmp_path / "outside")
    (folder / "link.txt").symlink_to(tmp_path / "outside" / "precious")
    return folder


def test_rm_removes_what_was_compressed_and_decompressed(run: Run, text_file: Path) -> None:
    assert run("compress", "--rm", text_file, *FAST).code == 0
    assert names(text_file.parent) == ["book.txt.lmc"]

    assert run("decompress", "--rm", text_file.with_name("book.txt.lmc")).code == 0
    assert names(text_file.parent) == ["book.txt"]
    assert text_file.read_bytes() == TEXT


@pytest.mark.parametrize(
    ("options", "kept"), [(["--rm", "-k"], True), (["--keep", "--rm"], False), (["-k"], True)]
)
def test_the_last_of_rm_and_keep_counts(
    run: Run, text_file: Path, options: list[str], kept: bool
) -> None:
    assert run("compress", text_file, *FAST, *options).code == 0
    assert text_file.exists() is kept


def test_rm_keeps_what_could_not_be_compressed(run: Run, text_file: Path) -> None:
    text_file.with_name("book.txt.lmc").touch()

    assert_one_line_error(run("compress", "--rm", text_file, *FAST), "exists")
    assert text_file.read_bytes() == TEXT


def test_rm_keeps_a_damaged_file(run: Run, frame_file: Path) -> None:
    damaged = frame_file.read_bytes()[:-1]
    frame_file.write_bytes(damaged)

    assert_one_line_error(run("decompress", "--rm", frame_file), "cut short")
    assert frame_file.read_bytes() == damaged


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def replace(path: Path) -> None:
    status = path.stat()
    path.rename(path.with_name("before"))
    path.write_bytes(b"x" * len(TEXT))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize("change", [append, replace])
def test_rm_keeps_a_file_that_is_not_the_one_that_was_read(
    run: Run, text_file: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None]
) -> None:
    remove_input = streams.remove_input

    def changed_before(name: str, state: streams.FileState | None) -> None:
        change(Path(name))
        remove_input(name, state)

    monkeypatch.setattr("lmcompress.cli.compress.remove_input", changed_before)

    assert_one_line_error(run("compress", "--rm", text_file, *FAST), "kept: it changed")
    assert text_file.exists()


def test_rm_waits_for_the_output_to_have_its_name(
    run: Run, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextlib.contextmanager
    def failing(*_args: object, **_options: object) -> Iterator[io.BytesIO]:
        yield io.BytesIO()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(streams, "replace_atomically", failing)

    assert run("compress", "--rm", text_file, *FAST).code == 1
    assert names(text_file.parent) == ["book.txt"]


@pytest.mark.skipif(not Path("/dev/null").exists(), reason="needs /dev/null")
def test_rm_needs_an_output_that_is_a_file(run: Run, text_file: Path) -> None:
    result = run("compress", "--rm", text_file, *FAST, "-o", "/dev/null")

    assert (result.code, text_file.exists()) == (2, True)
    assert "--rm needs outputs that are files" in result.stderr


def test_r_takes_all_files_below_and_follows_no_link(run: Run, tree: Path) -> None:
    assert run("compress", "-r", "--rm", tree, *FAST) == (0, b"", "")

    assert tree_of(tree.parent) == [
        "outside/precious", "tree/b.txt.lmc", "tree/link.txt", "tree/sub/a.txt.lmc",
        "tree/sub/old.lmc",
    ]  # fmt: skip
    (tree / "sub" / "old.lmc").unlink()
    assert run("test", "-r", tree).code == 0
    assert run("decompress", "-r", "--rm", tree) == (0, b"", "")
    assert tree_of(tree) == ["b.txt", "link.txt", "sub/a.txt"]
    assert (tree / "sub" / "a.txt").read_bytes() == TEXT


def test_r_does_not_follow_a_link_that_is_named(run: Run, tree: Path) -> None:
    result = run("compress", "-r", tree / "link", *FAST)

    assert_one_line_error(result, "symbolic link to a folder, which -r does not follow")
    assert names(tree.parent / "outside") == ["precious"]


def test_an_output_folder_keeps_the_tree(run: Run, tree: Path) -> None:
    out = tree.parent / "out"
    out.mkdir()

    assert run("compress", "-r", tree, tree.parent / "outside" / "precious", *FAST, "-o", out) == (
        0, b"", "",
    )  # fmt: skip
    assert tree_of(out) == ["precious.lmc", "tree/b.txt.lmc", "tree/sub/a.txt.lmc"]

    back = tree.parent / "back"
    back.mkdir()
    assert run("decompress", "-r", out, "-o", back).code == 0
    assert tree_of(back) == ["out/precious", "out/tree/b.txt", "out/tree/sub/a.txt"]


@pytest.mark.parametrize("name", [".", "..", "../tree/"])
def test_an_output_folder_is_never_left(
    run: Run, tree: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tree.parent / "out"
    out.mkdir()
    monkeypatch.chdir(tree / "sub" if name == ".." else tree)

    assert run("compress", "-r", name, *FAST, "-o", out).code == 0

    below = "tree/" if name == "../tree/" else ""
    assert tree_of(out) == [f"{below}b.txt.lmc", f"{below}sub/a.txt.lmc"]


@pytest.mark.parametrize("slash", ["", "/"])
def test_several_files_go_into_an_output_folder(run: Run, tmp_path: Path, slash: str) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(TEXT)
    (tmp_path / "out").mkdir()

    result = run("compress", tmp_path / "a", tmp_path / "b", *FAST, "-o", f"{tmp_path}/out{slash}")

    assert (result.code, names(tmp_path / "out")) == (0, ["a.lmc", "b.lmc"])


def test_an_output_folder_that_is_missing_is_one_line(run: Run, text_file: Path) -> None:
    result = run("compress", text_file, *FAST, "-o", f"{text_file.parent}/none/")
    assert_one_line_error(result, "found no folder", "none/: create it")


def test_stdin_has_no_name_in_an_output_folder(run: Run, tmp_path: Path) -> None:
    assert_one_line_error(run("compress", "-", *FAST, "-o", tmp_path, stdin=TEXT), "no name")


def test_two_inputs_of_one_output_are_refused_before_anything_is_written(
    run: Run, tmp_path: Path
) -> None:
    for name in ("first", "x", "y", "out"):
        (tmp_path / name).mkdir()
    inputs = [tmp_path / name / "same" for name in ("x", "y")]
    for path in (tmp_path / "first" / "other", *inputs):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(TEXT)

    result = run("compress", tmp_path / "first" / "other", *inputs, *FAST, "-o", tmp_path / "out")

    assert_one_line_error(result, f"{inputs[0]} and {inputs[1]} would both become")
    assert names(tmp_path / "out") == []


def test_compressing_twice_skips_what_is_compressed(run: Run, text_file: Path) -> None:
    frame = text_file.with_name("BOOK.LMC")
    frame.write_bytes(b"whatever it is")

    result = run("compress", frame, text_file, *FAST)

    assert_one_line_error(result, f"{frame}: already ends in .lmc: skipped; -f compresses it again")
    assert names(text_file.parent) == ["BOOK.LMC", "book.txt", "book.txt.lmc"]
    assert run("compress", "-f", frame, *FAST).code == 0
    assert run("decompress", "-c", f"{frame}.lmc").stdout == b"whatever it is"


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, CodecConfig]]:
    """Collects the model and the settings of files that would be compressed."""
    found: list[tuple[str, CodecConfig]] = []

    def note(_job: object, model: str, config: CodecConfig, *_: object, **_options: object) -> None:
        found.append((model, config))

    monkeypatch.setattr("lmcompress.cli.compress._compress", note)
    return found


@pytest.mark.parametrize("level", LEVELS)
def test_a_level_is_what_the_ladder_says(
    run: Run, used: list[tuple[str, CodecConfig]], level: int
) -> None:
    assert run("compress", "x", f"-{level}").code == 0

    expected = LEVELS[level]
    config = CodecConfig(lanes=expected.lanes, segment_bytes=expected.segment_bytes)
    assert used == [(expected.model, config)]


def test_without_a_level_nothing_changes(run: Run, used: list[tuple[str, CodecConfig]]) -> None:
    run("compress", "x")
    run("compress", "x", "-6")

    assert used == [(DEFAULT_MODEL, CodecConfig())] * 2


@pytest.mark.parametrize(
    ("options", "level"),
    [(["--fast"], 1), (["--best"], 9), (["-9", "-1"], 1), (["--fast", "-9"], 9), (["-19"], 9)],
)
def test_the_last_level_counts(
    run: Run, used: list[tuple[str, CodecConfig]], options: list[str], level: int
) -> None:
    assert run("compress", "x", *options).code == 0
    assert used[0][0] == LEVELS[level].model
    assert used[0][1].lanes == LEVELS[level].lanes


@pytest.mark.parametrize("options", [["-9", "-m", "tiny"], ["-m", "tiny", "-1"]], ids=" ".join)
def test_settings_that_are_given_override_the_level(
    run: Run, used: list[tuple[str, CodecConfig]], options: list[str]
) -> None:
    run("compress", "x", *options, "--lanes", 3, "--segment-bytes", "1K")

    assert used == [("tiny", CodecConfig(lanes=3, segment_bytes=1024))]


def test_levels_make_files_of_the_settings_that_they_stand_for(run: Run, text_file: Path) -> None:
    compressed = {
        option: run("compress", "-c", text_file, *option.split()).stdout
        for option in ("-1", "-m none", "-9 -m tiny", "--lanes 1 -m tiny")
    }

    assert compressed["-1"] == compressed["-m none"]
    assert compressed["-9 -m tiny"] == compressed["--lanes 1 -m tiny"] != compressed["-1"]


def test_zero_threads_are_all_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lmcompress.cli.options.usable_cpus", lambda: 7)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    assert codec_config("cpu", 0).threads == 7
    assert codec_config("cpu", 3).threads == 3
    assert cpus.usable_cpus() >= 1


@pytest.mark.parametrize("spelling", ["-T0", "-T 1", "--threads=2"])
def test_threads_may_be_spelled_as_in_xz(run: Run, text_file: Path, spelling: str) -> None:
    result = run("compress", "-c", text_file, *FAST, *spelling.split())
    assert run("decompress", *spelling.split(), stdin=result.stdout) == (0, TEXT, "")


@pytest.mark.parametrize("command", ["compress", "decompress", "test", "info"])
def test_no_file_is_an_error_on_a_terminal(
    run: Run, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    for module in ("options", "shorthand"):
        monkeypatch.setattr(f"lmcompress.cli.{module}.is_stdin_piped", lambda: False)

    result = run(command)

    assert result.code == 2
    assert "Missing argument" in result.stderr


def test_no_file_is_stdin(run: Run) -> None:
    frame = run("compress", *FAST, stdin=TEXT).stdout

    assert run("decompress", stdin=frame) == (0, TEXT, "")
    assert run("test", stdin=frame) == (0, b"", "")
    assert b"bits per byte" in run("info", stdin=frame).stdout


def test_several_files_are_a_table_with_their_total(
    run: Run, text_file: Path, frame_file: Path
) -> None:
    text_file.write_bytes(TEXT[:100])
    run("compress", text_file, "-f", *FAST, "-o", other := text_file.with_name("other.lmc"))

    result = run("info", frame_file, other, text_file)

    lines = [line.split() for line in result.stdout.decode().splitlines()]
    sizes = [frame_file.stat().st_size, other.stat().st_size]
    rates = [f"{8 * c / r:.3f}" for c, r in ((sum(sizes), len(TEXT) + 100), (sizes[0], len(TEXT)))]
    assert result.code == 1
    assert result.stderr.startswith(f"lmcompress: {text_file}: ")
    assert lines[1][2:4] == [f"{sizes[0]}", f"{len(TEXT)}"]
    assert lines[1][5:] == [rates[1], "tiny", str(frame_file)]
    assert lines[2][:2] == ["1", "1"]
    assert lines[3][0:4] == ["2", "2", f"{sum(sizes)}", f"{len(TEXT) + 100}"]
    assert lines[3][5:] == [rates[0], "tiny,none", "total", "of", "2", "files"]


@pytest.mark.parametrize("line", ["info -r", "-lr", "-l -r"])
def test_files_of_a_folder_are_listed(run: Run, tree: Path, line: str) -> None:
    run("compress", tree / "sub" / "a.txt", *FAST)
    (tree / "sub" / "old.lmc").unlink()

    result = run(*line.split(), tree)

    assert (result.code, result.stderr) == (0, "")
    [_, row] = result.stdout.decode().splitlines()
    assert row.endswith(str(tree / "sub" / "a.txt.lmc"))


def test_verbose_says_what_was_written_to_what_is_no_terminal(run: Run, text_file: Path) -> None:
    frame = text_file.with_name("book.txt.lmc")
    run("compress", text_file, *FAST)

    told = [run(*line.split(), frame).stderr for line in ("decompress -f", "decompress -fv")]
    assert told == ["", f"{frame}: {len(TEXT)} bytes, checked, in {text_file}\n"]
    assert run("test", "-v", frame).stderr == f"{frame}: {len(TEXT)} bytes, checked\n"
    assert run("-dcv", frame).stderr == f"{frame}: {len(TEXT)} bytes, checked\n"
    assert run("-v", "decompress", "-fq", frame).stderr == ""


def test_json_of_several_files_is_a_list(run: Run, frame_file: Path) -> None:
    [one, two] = json.loads(run("info", "--json", frame_file, frame_file).stdout)

    assert one == two == json.loads(run("info", "--json", frame_file).stdout)
    assert json.loads(run("info", "--json", "--table", frame_file).stdout) == one


@pytest.mark.skipif(not Path("/dev/null").exists(), reason="needs /dev/null")
def test_a_device_is_compressed_only_where_the_output_has_a_name(run: Run, tmp_path: Path) -> None:
    assert_one_line_error(
        run("compress", *FAST, "/dev/null"), "/dev/null: it is a pipe or a device"
    )
    assert not Path("/dev/null.lmc").exists()
    assert run("compress", *FAST, "/dev/null", "-o", str(tmp_path / "nothing.lmc")).code == 0
