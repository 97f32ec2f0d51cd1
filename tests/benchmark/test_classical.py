from __future__ import annotations

import lzma
import random
import sys

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


@pytest.mark.skipif("zstd-22" not in AVAILABLE, reason="needs zstandard")
def test_zstd_finds_a_repeat_from_far_back() -> None:
    far = random.Random(3).randbytes(3 << 20)

    # Its default window for a level 22 would hold this too; a smaller one would not.
    assert len(AVAILABLE["zstd-22"].compress(far + far[:100_000])) < len(far) + 2_000


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
