"""Files that are read from the middle: `open` seeks as gzip's does, at the cost of a segment."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import lzma
import random
import tarfile
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest

import lmcompress
from lmcompress.codec.decoder import SegmentDecoder
from lmcompress.errors import CorruptFrameError, ModelNotFoundError
from lmcompress.format.full import FrameWriter
from lmcompress.format.header import FrameHeader
from lmcompress.format.index import places

RAW = bytes(random.Random(4).choices(b"abcdefgh \n", k=20_000))


@pytest.fixture(scope="module")
def frames() -> bytes:
    """Two frames of five segments each, between them a compact one of 777 bytes."""
    parts = RAW[:10_000], RAW[10_000:10_777], RAW[10_777:]
    options: list[dict[str, Any]] = [{"segment_bytes": 2000}, {"compact": True}, {}]
    return b"".join(
        lmcompress.compress(part, "none", **option)
        for part, option in zip(parts, options, strict=True)
    )


def test_any_seek_and_read_gives_what_a_file_of_the_raw_bytes_gives(frames: bytes) -> None:
    rng, raw = random.Random(0), io.BytesIO(RAW)
    with lmcompress.open(io.BytesIO(frames)) as file:
        for _ in range(150):
            whence = rng.choice([io.SEEK_SET, io.SEEK_CUR, io.SEEK_END])
            offset = rng.randrange(-len(RAW), len(RAW) + 100)
            if whence == io.SEEK_SET or {1: raw.tell(), 2: len(RAW)}[whence] + offset < 0:
                whence, offset = io.SEEK_SET, abs(offset)
            size = rng.choice([0, 1, 10, 3000])

            assert file.seek(offset, whence) == raw.seek(offset, whence)
            assert file.read(size) == raw.read(size)
            assert file.tell() == raw.tell()


def test_a_seek_decodes_one_segment(frames: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded, decode = [], SegmentDecoder.decode

    def counted(self: SegmentDecoder, *args: Any) -> bytes:
        decoded.append(args[0].raw_start)
        return decode(self, *args)

    monkeypatch.setattr(SegmentDecoder, "decode", counted)
    with lmcompress.open(io.BytesIO(frames)) as file:
        file.seek(6500)
        assert file.read(10) == RAW[6500:6510]

    assert decoded == [6000]


def test_what_is_before_the_damage_can_be_read(frames: bytes) -> None:
    damaged = bytearray(frames)
    third = list(places(io.BytesIO(frames)))[2]
    damaged[third.offset] ^= 1
    with lmcompress.open(io.BytesIO(damaged)) as file:
        assert file.read(10) == RAW[:10]
        file.seek(4000)
        for _ in range(2):
            with pytest.raises(CorruptFrameError):
                file.read(1)
        file.seek(6000)
        assert file.read(10) == RAW[6000:6010]


def test_a_missing_model_is_missed_each_time_and_no_other_takes_its_place() -> None:
    sink = io.BytesIO()
    sink.write(lmcompress.compress(RAW[:100], "none"))
    writer = FrameWriter(sink, FrameHeader("unknown", bytes(range(16)), 1))
    writer.write_coded(4, 1, bytes(4), bytes(8))
    writer.finish()
    sink.seek(0)

    with lmcompress.open(sink) as file:
        assert file.read(100) == RAW[:100]
        for _ in range(2):
            with pytest.raises(ModelNotFoundError, match="unknown"):
                file.read(1)


class InterruptedOnce(io.BytesIO):
    """The user presses Ctrl-C during the first read."""

    is_new = True

    def read(self, size: int | None = -1) -> bytes:
        if self.is_new:
            self.is_new = False
            raise KeyboardInterrupt
        return super().read(size)


def test_after_an_interrupt_a_file_has_not_ended(frames: bytes) -> None:
    with lmcompress.open(InterruptedOnce(frames)) as file:
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                file.read(10)


class Pipe(io.RawIOBase):
    """Reads, but does not seek."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._data.read(size)


def test_a_pipe_is_read_in_order_and_says_that_it_cannot_seek(frames: bytes) -> None:
    with lmcompress.open(Pipe(frames)) as file:  # type: ignore[call-overload]
        assert not file.seekable()
        assert file.read(100) == RAW[:100]
        with pytest.raises(io.UnsupportedOperation):
            file.seek(0)
        assert file.read() == RAW[100:]


def write(module: ModuleType, path: Path, data: bytes) -> None:
    options = {"model": "none"} if module is lmcompress else {}
    with module.open(path, "wb", **options) as file:
        file.write(data)


@pytest.mark.parametrize("module", [gzip, lzma, bz2, lmcompress], ids=lambda m: m.__name__)
def test_libraries_read_such_files_as_those_of_gzip(module: ModuleType, tmp_path: Path) -> None:
    path, archive, array = tmp_path / "file", io.BytesIO(), io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name in ("a", "b"):
            member = tarfile.TarInfo(name)
            member.size = 5
            tar.addfile(member, io.BytesIO(name.encode() * 5))
    np.save(array, np.arange(4))

    write(module, path, archive.getvalue())
    with module.open(path) as file, tarfile.open(fileobj=file, mode="r:") as tar:
        member_file = tar.extractfile("b")
        assert member_file is not None
        assert member_file.read() == b"bbbbb"
    write(module, path, array.getvalue())
    with module.open(path) as file:
        assert np.load(file).sum() == 6
    write(module, path, b"x,y\n1,2\n")
    with module.open(path) as file:
        assert pd.read_csv(file)["y"].tolist() == [2]
    with module.open(path, "rt", newline="") as file:
        assert list(csv.reader(file)) == [["x", "y"], ["1", "2"]]


@pytest.mark.parametrize("module", [gzip, lzma, bz2, lmcompress], ids=lambda m: m.__name__)
def test_files_do_what_those_of_gzip_do(module: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "file"
    write(module, path, b"na\xefve\r\nlines")
    options: dict[str, Any] = {"model": "none"} if module is lmcompress else {}

    with module.open(path, "ab", **options) as file:
        file.write(b" more")
        assert file.tell() >= 5  # gzip counts from the start of the file, the others of the frame
    with module.open(str(path).encode()) as file:
        assert file.read(2) == b"na"
        assert file.peek(1)[:1] == b"\xef"
        assert (file.readable(), file.seekable(), file.writable()) == (True, True, False)
        assert file.seek(3) == file.tell() == 3
        assert file.seek(-4, io.SEEK_END) == 13
        assert file.read() == b"more"
        assert file.read() == b""
    with module.open(path, "rt", encoding="ascii", errors="replace", newline="") as file:
        assert file.readline() == "na\ufffdve\r\n"
    with module.open(path, "rt", encoding="latin-1") as file:
        assert [line.rstrip("\n") for line in file] == ["naïve", "lines more"]
    with pytest.raises(ValueError, match="encoding"):
        module.open(path, "rb", encoding="utf-8")
    with pytest.raises(FileExistsError):
        module.open(path, "xb", **options)
