"""Classical compressors at their best setting, all behind one protocol.

The packages beyond Python's own are imported when first asked for. Every codec works on one core,
so that the sizes do not depend on the machine.
"""

from __future__ import annotations

import bz2
import dataclasses
import gzip
import importlib
import importlib.metadata
import io
import lzma
import os
import platform
import shutil
import subprocess
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lmcompress.benchmark.protocol import Codec
from lmcompress.errors import (
    CorruptFrameError,
    LmcompressError,
    MissingDependencyError,
    did_you_mean,
)
from lmcompress.format.wire import ByteReader, encode_varint

_XZ_PRESET = 9 | lzma.PRESET_EXTREME
_XZ_MIN_DICTIONARY_BYTES, _XZ_DICTIONARY_BYTES = 4096, 64 << 20
_ZSTD_MIN_WINDOW_LOG, _ZSTD_MAX_WINDOW_LOG = 10, 31
_PPMD_ORDER = 16
_PPMD_MEMORY_BYTES = 256 << 20
_PPMD_PIECE_BYTES = 4096
_BZIP3_MIN_BLOCK_BYTES, _BZIP3_MAX_BLOCK_BYTES = 65 << 10, 511 << 20


@dataclasses.dataclass(frozen=True)
class ClassicalCodec:
    """A compressor that needs no model. `decompress` raises what its library raises."""

    name: str
    version: str
    compress_function: Callable[[bytes], bytes]
    decompress_function: Callable[[bytes], bytes]
    model_bytes: int = 0
    num_parameters: int = 0
    fingerprint: str = ""

    def compress(self, raw: bytes) -> bytes:
        """Returns all that `decompress` needs."""
        return self.compress_function(raw)

    def decompress(self, compressed: bytes) -> bytes:
        """Inverts `compress`."""
        return self.decompress_function(compressed)


def _stored() -> Codec:
    return ClassicalCodec("stored", "1", bytes, bytes)


def _gzip() -> Codec:
    def compress(raw: bytes) -> bytes:
        return gzip.compress(raw, compresslevel=9, mtime=0)

    return ClassicalCodec("gzip-9", f"zlib {zlib.ZLIB_RUNTIME_VERSION}", compress, gzip.decompress)


def _bzip2() -> Codec:
    def compress(raw: bytes) -> bytes:
        return bz2.compress(raw, 9)

    return ClassicalCodec("bzip2-9", _python_version("bz2"), compress, bz2.decompress)


def _xz() -> Codec:
    """LZMA2 as `xz -9e`, its dictionary no larger than the input: no match reaches further back.

    The sizes stay the same, and small inputs do not each spend 0.2 s on clearing tables for 64 MiB.
    """

    def compress(raw: bytes) -> bytes:
        dictionary_bytes = min(max(len(raw), _XZ_MIN_DICTIONARY_BYTES), _XZ_DICTIONARY_BYTES)
        lzma2 = {"id": lzma.FILTER_LZMA2, "preset": _XZ_PRESET, "dict_size": dictionary_bytes}
        return lzma.compress(raw, filters=[lzma2])

    return ClassicalCodec("xz-9e", _python_version("lzma"), compress, lzma.decompress)


def _zstd() -> Codec:
    zstandard = _optional("zstandard")

    def compress(raw: bytes) -> bytes:
        # A window over all of the data, as with --ultra -22 --long=31.
        window_log = max(_ZSTD_MIN_WINDOW_LOG, (len(raw) - 1).bit_length())
        parameters = zstandard.ZstdCompressionParameters.from_level(
            22,
            source_size=max(1, len(raw)),
            window_log=min(window_log, _ZSTD_MAX_WINDOW_LOG),
            enable_ldm=True,
        )
        return bytes(zstandard.ZstdCompressor(compression_params=parameters).compress(raw))

    def decompress(compressed: bytes) -> bytes:
        decoder = zstandard.ZstdDecompressor(max_window_size=1 << _ZSTD_MAX_WINDOW_LOG)
        return bytes(decoder.decompress(compressed))

    version = ".".join(str(part) for part in zstandard.ZSTD_VERSION)
    return ClassicalCodec("zstd-22", f"zstd {version}", compress, decompress)


def _brotli() -> Codec:
    brotli = _optional("brotli")

    def compress(raw: bytes) -> bytes:
        return bytes(brotli.compress(raw, quality=11, lgwin=24))

    return ClassicalCodec(
        "brotli-11",
        _package_version("brotli"),
        compress,
        lambda data: bytes(brotli.decompress(data)),
    )


def _ppmd() -> Codec:
    """PPMd variant I of Shkarin (2002), as `ppmd -o16 -m256 -r1`, after a varint of the raw size.

    PPMd data does not know its own end. pyppmd is fed and drained in small pieces: its output
    buffer can lose a byte, or crash, when one call has to grow it (seen with 1.3.1).
    """
    pyppmd = _optional("pyppmd")

    settings = (_PPMD_ORDER, _PPMD_MEMORY_BYTES, pyppmd.PPMD8_RESTORE_METHOD_CUT_OFF)

    def compress(raw: bytes) -> bytes:
        encoder = pyppmd.Ppmd8Encoder(*settings)
        starts = range(0, len(raw), _PPMD_PIECE_BYTES)
        pieces = [encoder.encode(raw[start : start + _PPMD_PIECE_BYTES]) for start in starts]
        return encode_varint(len(raw)) + b"".join(pieces) + encoder.flush() if raw else b"\0"

    def decompress(compressed: bytes) -> bytes:
        reader = ByteReader(io.BytesIO(compressed))
        raw_bytes = reader.read_varint("the raw size")
        decoder, raw = pyppmd.Ppmd8Decoder(*settings), bytearray()
        coded = compressed[reader.position :]
        while len(raw) < raw_bytes:
            piece = decoder.decode(coded, min(_PPMD_PIECE_BYTES, raw_bytes - len(raw)))
            if not piece and not coded:
                raise CorruptFrameError(
                    f"the PPMd data ends after {len(raw):,} of {raw_bytes:,} bytes: "
                    "compress it again"
                )
            raw += piece
            # The decoder may look one byte past the end of its data.
            coded = b"\0" if decoder.needs_input else b""
        return bytes(raw)

    return ClassicalCodec("ppmd-16", _package_version("pyppmd"), compress, decompress)


def _zpaq() -> Codec:
    zpaq = _optional("zpaq")

    def compress(raw: bytes) -> bytes:
        return bytes(zpaq.compress(raw, level=5, threads=1, hints=True))

    def decompress(compressed: bytes) -> bytes:
        return bytes(zpaq.decompress(compressed, threads=1))

    return ClassicalCodec("zpaq-5", _package_version("zpaq"), compress, decompress)


def _bzip3() -> Codec:
    bz3 = _optional("bz3")

    def compress(raw: bytes) -> bytes:
        block_bytes = min(max(len(raw), _BZIP3_MIN_BLOCK_BYTES), _BZIP3_MAX_BLOCK_BYTES)
        return bytes(bz3.compress(raw, block_bytes))

    return ClassicalCodec(
        "bzip3-511m",
        f"bzip3 {bz3.libversion()}",
        compress,
        lambda data: bytes(bz3.decompress(data)),
    )


def _lrzip() -> Codec:
    program = shutil.which("lrzip")
    if program is None:
        raise ImportError("no program lrzip on PATH")
    options = ["-Q", "-p", "1"]  # One thread: with more, the data is cut into more blocks.
    environment = os.environ | {"LRZIP": "NOCONFIG"}

    def run(arguments: list[str], given: bytes) -> bytes:
        with tempfile.TemporaryDirectory(prefix="lmcompress-") as folder:
            source, sink = Path(folder) / "source", Path(folder) / "sink"
            source.write_bytes(given)
            command = [program, *options, *arguments, "-o", str(sink), str(source)]
            done = subprocess.run(command, capture_output=True, env=environment, check=False)
            if done.returncode:
                said = " ".join(done.stderr.decode(errors="replace").split())
                raise LmcompressError(f"lrzip failed with status {done.returncode}: {said}")
            return sink.read_bytes()

    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    if said.returncode:
        raise ImportError(f"{program} --version failed with status {said.returncode}")
    version = (said.stdout + said.stderr).split("version", 1)[-1].split()[0]
    return ClassicalCodec(
        "lrzip-z9",
        f"lrzip {version}",
        lambda raw: run(["-z", "-L", "9"], raw),
        lambda compressed: run(["-d"], compressed),
    )


_MAKERS: dict[str, Callable[[], Codec]] = {
    "stored": _stored,
    "gzip-9": _gzip,
    "bzip2-9": _bzip2,
    "xz-9e": _xz,
    "zstd-22": _zstd,
    "brotli-11": _brotli,
    "bzip3-511m": _bzip3,
    "ppmd-16": _ppmd,
    "zpaq-5": _zpaq,
    "lrzip-z9": _lrzip,
}


def names() -> list[str]:
    """Returns all names that `get` knows, installed or not."""
    return list(_MAKERS)


def get(name: str) -> Codec:
    """Returns a codec by name and level, such as "gzip-9".

    Raises:
      ValueError: If the codec is unknown; the message has the nearest names.
      MissingDependencyError: If its package or program is not installed.
    """
    if name not in _MAKERS:
        hint = did_you_mean(name, _MAKERS)
        raise ValueError(f"no codec is named {name!r}: {hint}known are {', '.join(_MAKERS)}")
    try:
        return _MAKERS[name]()
    except ImportError as error:
        remedy = "install lrzip" if name == "lrzip-z9" else "pip install 'lmcompress[bench]'"
        raise MissingDependencyError(f"{name} cannot be used ({error}): {remedy}") from error


def available() -> dict[str, Codec]:
    """Returns the codecs whose packages and programs are installed, by name."""
    found = {}
    for name in _MAKERS:
        try:
            found[name] = get(name)
        except MissingDependencyError:
            continue
    return found


def _optional(module: str) -> Any:
    """Imports a package of the extra `bench`; untyped, since it may be missing."""
    return importlib.import_module(module)


def _python_version(module: str) -> str:
    """Names the Python that a library without a version of its own comes with."""
    return f"Python {platform.python_version()} {module}"


def _package_version(package: str) -> str:
    return f"{package} {importlib.metadata.version(package)}"
