"""Damaged and forged inputs give the right bytes or a documented error, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import lmcompress.codec.stream
from tests.fuzz.case import Case, Limits, Setting
from tests.fuzz.layout import frames
from tests.fuzz.runner import DEFAULT_KINDS, Report, case_of, prepared, run
from tests.fuzz.seeds import frame_seeds

pytest.importorskip("gguf")
pytest.importorskip("tokenizers")

ROOT = Path(__file__).parents[2]
CORPUS = sorted(path for path in (Path(__file__).parent / "corpus").iterdir() if path.is_file())


@pytest.fixture
def setting() -> Iterator[Setting]:
    with prepared() as ready:
        yield ready


def reasons(report: Report) -> list[str]:
    return [failure.reason for failure in report.failures]


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_what_once_went_wrong_goes_right(path: Path, setting: Setting) -> None:
    """A file is named KIND.OPERATION.what-is-wrong-with-it."""
    kind, operation, _ = path.name.split(".", 2)
    case = Case(kind, "corpus", 0, operation, path.read_bytes(), is_forged=True)

    assert reasons(run([case], setting, Report())) == []


@pytest.mark.parametrize("cases", [5_000, pytest.param(50_000, marks=pytest.mark.slow)])
def test_damaged_and_forged_inputs_give_right_bytes_or_an_error(cases: int) -> None:
    """Most of its time goes into tables of the adaptive stage, and into reading models."""
    command = [sys.executable, "-m", "tests.fuzz", "--cases", str(cases), "--seed", "test"]

    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)

    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.startswith(f"{cases:,} cases")


def test_the_independent_reader_and_writer_know_every_kind_of_frame(setting: Setting) -> None:
    for seed in (seed for seeds in frame_seeds().values() for seed in seeds):
        assert b"".join(frame.pack() for frame in frames(seed.data)) == seed.data


def test_a_case_depends_on_nothing_but_its_seed_and_number(setting: Setting) -> None:
    numbers = range(300)
    forwards = [case_of("again", number, DEFAULT_KINDS) for number in numbers]
    backwards = [case_of("again", number, DEFAULT_KINDS) for number in reversed(numbers)]

    assert forwards == backwards[::-1]
    assert len({case.data for case in forwards}) > 250


def accept_anything(segment: Any, raw: bytes) -> None:
    """`check_raw` without a check."""


def read_nothing_more(*args: Any, **kwargs: Any) -> None:
    """`require_crc32` without a check."""


@pytest.mark.parametrize("kind", ["coded", "none", "tokens"])
def test_a_decoder_that_checks_no_result_is_caught(
    kind: str, setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lmcompress.codec.decoder.check_raw", accept_anything)

    found = reasons(run((case_of("broken", n, [kind]) for n in range(300)), setting, Report()))

    assert any("have another checksum" in reason for reason in found)


def test_a_reader_that_checks_no_payload_is_caught(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lmcompress.format.full.require_crc32", read_nothing_more)

    found = reasons(run((case_of("broken", n, ["stored"]) for n in range(3000)), setting, Report()))

    assert any("an independent reader refuses" in reason for reason in found)


def misses(data: bytes) -> bytes:
    raise KeyError("a table")


def takes_memory(data: bytes) -> bytes:
    return bytes((bytearray(b"\1") * (1 << 30))[:0])  # more than earlier cases may have freed


def takes_time(data: bytes) -> bytes:
    end = time.process_time() + 3.5
    while time.process_time() < end:
        pass
    return b""


@pytest.mark.parametrize(
    ("fault", "reason", "seconds"),
    [
        (misses, "KeyError: 'a table'", 300.0),
        (takes_memory, "memory grew by", 300.0),  # where memory is scarce, a gigabyte takes ten
        (takes_time, "CPU seconds, expected 3.0 at most", 3.0),
    ],
)
def test_faults_of_every_other_kind_are_caught(
    fault: Callable[[bytes], bytes],
    reason: str,
    seconds: float,
    setting: Setting,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = frame_seeds()["stored"][1].data  # empty input
    monkeypatch.setattr(lmcompress, "decompress", lambda data, **options: fault(data))
    case = Case("stored", "broken", 0, "decompress", data)

    [found] = reasons(run([case], setting, Report(), Limits(seconds, 1 << 27)))

    assert reason in found
