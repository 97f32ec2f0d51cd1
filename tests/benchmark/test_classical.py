"""Classical codecs give back any bytes, and are at their best settings."""

from __future__ import annotations

import bz2
import gzip
import importlib
import lzma
import random
import sys
from collections.abc import Callable
from typing import Any

import pytest

from lmcompress.benchmark import classical
from lmcompress.benchmark.protocol import Codec
from lmcompress.errors import CorruptFrameError, MissingDependencyError

AVAILABLE = classical.available()
PROSE = " ".join(
    f"Chapter {i}: the {noun} that {verb} the {other} by the river."
    for i, (noun, verb, other) in enumerate(
        [("fox", "saw", "owl"), ("owl", "heard", "mole"), ("mole", "met", "fox")] * 60
    )
).encode()


@pytest.fixture(params=AVAILABLE.values(), ids=AVAILABLE.keys())
def codec(request: pytest.FixtureRequest) -> Codec:
    return request.param  # type: ignore[no-any-return]


def test_awkward_inputs_come_back(codec: Codec, awkward_input: bytes) -> None:
    assert codec.decompress(codec.compress(awkward_input)) == awkward_input


@pytest.mark.parametrize("raw", [b"abc\0\0\0", b"\0", b"\xff" * 70_000], ids=["tail", "nul", "ff"])
def test_bytes_at_the_end_come_back(codec: Codec, raw: bytes) -> None:
    assert codec.decompress(codec.compress(raw)) == raw


def test_a_megabyte_that_repeats_comes_back(codec: Codec) -> None:
    raw = (b"0123456789abcdef\r\n" * 60_000)[: 1 << 20]

    assert codec.decompress(codec.compress(raw)) == raw


def test_prose_gets_smaller(codec: Codec) -> None:
    compressed_bytes = len(codec.compress(PROSE))

    if codec.name == "stored":
        assert compressed_bytes == len(PROSE)
    else:
        assert compressed_bytes < len(PROSE) / 3


def test_output_does_not_depend_on_the_day(codec: Codec) -> None:
    if codec.name == "gzip-9":
        assert codec.compress(PROSE)[4:8] == bytes(4)  # the time stamp, RFC 1952 section 2.3.1
    assert codec.compress(PROSE) == codec.compress(PROSE)


@pytest.mark.parametrize("num_bytes", [0, 1, 2048, 5000, len(PROSE)])
def test_xz_is_as_small_as_with_its_presets_own_dictionary(num_bytes: int) -> None:
    raw = PROSE[:num_bytes]

    expected = lzma.compress(raw, preset=9 | lzma.PRESET_EXTREME)
    assert len(classical.get("xz-9e").compress(raw)) == len(expected)


def package(name: str) -> Any:
    """Imports what a codec uses, once it is known to be there."""
    return importlib.import_module(name)


def ppmd(raw: bytes, order: int, memory_bytes: int) -> bytes:
    encoder = package("pyppmd").Ppmd8Encoder(order, memory_bytes, 1)
    pieces = [encoder.encode(raw[start : start + 4096]) for start in range(0, len(raw), 4096)]
    return b"".join(pieces) + bytes(encoder.flush())


def zstd(raw: bytes, level: int) -> bytes:
    zstandard = package("zstandard")
    parameters = zstandard.ZstdCompressionParameters.from_level(
        level, source_size=len(raw), enable_ldm=True
    )
    return bytes(zstandard.ZstdCompressor(compression_params=parameters).compress(raw))


WEAKER: dict[tuple[str, str], Callable[[bytes], bytes]] = {
    ("gzip-9", "level 6"): lambda raw: gzip.compress(raw, 6),
    ("bzip2-9", "blocks of 100 kB"): lambda raw: bz2.compress(raw, 1),
    ("xz-9e", "not extreme"): lambda raw: lzma.compress(raw, preset=9),
    ("zstd-22", "level 19"): lambda raw: zstd(raw, 19),
    ("brotli-11", "quality 10"): lambda raw: package("brotli").compress(raw, quality=10, lgwin=24),
    ("brotli-11", "window 64 kB"): lambda raw: package("brotli").compress(raw, lgwin=16),
    ("bzip3-511m", "blocks of 65 kB"): lambda raw: package("bz3").compress(raw, 65 << 10),
    ("ppmd-16", "order 12"): lambda raw: ppmd(raw, 12, 256 << 20),
    ("ppmd-16", "memory of 1 MB"): lambda raw: ppmd(raw, 16, 1 << 20),
    ("zpaq-5", "level 4"): lambda raw: package("zpaq").compress(raw, level=4, threads=1),
}
"""What the library of a codec gives at another setting."""


def two_editions() -> bytes:
    """Returns a book of made-up words, 75 kB of 16 chapters that are nearly the same, twice."""
    rng = random.Random(1)
    words = ["".join(rng.choices("etaoinshrdlu", k=rng.randint(2, 9))) for _ in range(4000)]
    chapter = rng.choices(words, [1 / rank for rank in range(1, 4001)], k=750)

    def revised(text: list[str], every: int) -> list[str]:
        return [str(rng.random()) if rng.randrange(every) == 0 else word for word in text]

    book = [word for _ in range(16) for word in revised(chapter, 100)]
    return " ".join(book + revised(book, 50)).encode()


EDITIONS = two_editions()


def installed(name: str) -> Codec:
    if name not in AVAILABLE:
        pytest.skip(f"{name} is not installed")
    return AVAILABLE[name]


@pytest.mark.parametrize(("name", "setting"), WEAKER, ids=[" at ".join(key) for key in WEAKER])
def test_a_weaker_setting_gives_a_larger_file(name: str, setting: str) -> None:
    # No size is pinned: the next version of a library may find a better one.
    assert len(installed(name).compress(EDITIONS)) < len(WEAKER[name, setting](EDITIONS))


@pytest.mark.parametrize("name", ["xz-9e", "zstd-22", "brotli-11", "bzip3-511m", "lrzip-z9"])
def test_a_repeat_is_found_nine_megabytes_later(name: str) -> None:
    noise = random.Random(3).randbytes(20_000)

    # Zeros cost hardly a byte or a moment, and push the noise out of all but the largest windows.
    assert len(installed(name).compress(noise + bytes(9 << 20) + noise)) < 1.2 * len(noise)


def test_bzip2_has_its_largest_blocks() -> None:
    assert AVAILABLE["bzip2-9"].compress(PROSE)[:4] == b"BZh9"


def test_codec_names_its_version_and_has_no_model(codec: Codec) -> None:
    assert AVAILABLE[codec.name] is codec
    assert codec.version
    assert (codec.model_bytes, codec.num_parameters, codec.fingerprint) == (0, 0, "")


def test_python_alone_has_the_four_first() -> None:
    assert list(AVAILABLE)[:4] == ["stored", "gzip-9", "bzip2-9", "xz-9e"]
    assert set(AVAILABLE) <= set(classical.names())


def test_unknown_codec_lists_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"'gzip-10': did you mean gzip-9\? known are stored"):
        classical.get("gzip-10")


def test_missing_program_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")

    with pytest.raises(MissingDependencyError, match=r"lrzip-z9 cannot be used .*: install lrzip"):
        classical.get("lrzip-z9")
    assert "lrzip-z9" not in classical.available()


def test_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    # None is how Python marks a module that must not be imported.
    monkeypatch.setitem(sys.modules, "brotli", None)

    with pytest.raises(MissingDependencyError, match=r"pip install 'lmcompress\[bench\]'"):
        classical.get("brotli-11")
    assert "brotli-11" not in classical.available()


@pytest.mark.skipif("ppmd-16" not in AVAILABLE, reason="needs pyppmd")
@pytest.mark.parametrize("num_bytes", [4095, 4096, 4097, 32_768, 65_536, 262_144])
def test_ppmd_keeps_every_byte_at_the_edges_of_its_buffers(num_bytes: int) -> None:
    # In one call, pyppmd 1.3.1 loses a byte of the last of these.
    raw = random.Random(2).randbytes(num_bytes)
    codec = AVAILABLE["ppmd-16"]

    assert codec.decompress(codec.compress(raw)) == raw


@pytest.mark.skipif("ppmd-16" not in AVAILABLE, reason="needs pyppmd")
def test_ppmd_without_its_data_raises() -> None:
    with pytest.raises(CorruptFrameError):
        AVAILABLE["ppmd-16"].decompress(b"")
