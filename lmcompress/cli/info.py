"""The command that shows what is in an .lmc file, without decoding it or loading its model."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import click

from lmcompress.cli.errors import for_each
from lmcompress.cli.options import json_option
from lmcompress.cli.streams import open_input
from lmcompress.format.wire import read_some
from lmcompress.metrics import adjusted_compression_rate, bits_per_byte, raw_compression_rate

if TYPE_CHECKING:
    from lmcompress.format.frame import Header, Reader


@click.command(
    short_help="Show what is in FILE.lmc.", epilog="Example: lmcompress info book.txt.lmc --json"
)
@click.argument("file")
@json_option
def info(file: str, as_json: bool) -> int:
    """Show header, segments, model, sizes and rates of FILE.lmc; - is stdin.

    Nothing is decoded: `lmcompress test` finds damage inside a payload, this does not.
    """

    def action(name: str) -> None:
        with open_input(name) as source:
            description = {"name": name, **describe_file(source)}
        click.echo(json.dumps(description, indent=2) if as_json else _as_text(description))

    return for_each([file], action)


class _Counted(io.RawIOBase):
    """Counts what is read, since a pipe cannot tell its position."""

    def __init__(self, source: BinaryIO) -> None:
        self.position = 0
        self._source = source

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._source.seekable()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence != io.SEEK_CUR:
            raise io.UnsupportedOperation("only forward")
        self.position += offset
        return self._source.seek(offset, whence)

    def read(self, size: int = -1) -> bytes:
        piece = read_some(self._source, size)
        self.position += len(piece)
        return piece


def describe_file(source: BinaryIO) -> dict[str, Any]:
    """Returns what the headers of a file's frames tell, JSON-ready.

    Rates are None for an empty file; what depends on the model's size is None if it is not at hand.
    """
    from lmcompress.format.file import read_frames

    counted = _Counted(source)
    frames = [
        _describe_frame(reader)
        for reader in read_frames(cast(BinaryIO, counted), skip_payloads=True)
    ]
    raw_bytes = sum(frame["raw_bytes"] for frame in frames)
    # A compact frame has the beginning of the fingerprint only; a model counts once.
    sizes = {(f["model"], (f["fingerprint"] or "")[:8]): f["model_bytes"] for f in frames}
    model_bytes = None if None in sizes.values() else sum(sizes.values())
    has_rates = raw_bytes > 0
    return {
        "raw_bytes": raw_bytes,
        "payload_bytes": sum(frame["payload_bytes"] for frame in frames),
        "compressed_bytes": counted.position,
        "bits_per_byte": bits_per_byte(counted.position, raw_bytes) if has_rates else None,
        "raw_compression_rate": (
            raw_compression_rate(counted.position, raw_bytes) if has_rates else None
        ),
        "adjusted_compression_rate": (
            adjusted_compression_rate(counted.position, model_bytes, raw_bytes)
            if has_rates and model_bytes is not None
            else None
        ),
        "frames": frames,
    }


def _describe_frame(reader: Reader) -> dict[str, Any]:
    segments = [
        {
            "method": segment.method.name.lower(),
            "raw_bytes": segment.raw_bytes,
            "payload_bytes": segment.payload_bytes,
            "lanes": segment.lanes,
        }
        for segment, _ in reader
    ]
    return {
        **_describe_header(reader.header),
        "raw_bytes": reader.totals.raw_bytes,
        "payload_bytes": sum(segment["payload_bytes"] for segment in segments),
        "segments": segments,
    }


def _describe_header(header: Header) -> dict[str, Any]:
    """Returns what a header says; None is what the frame does not say.

    Hashes of compact frames are their beginning.
    """
    from lmcompress.format.header import FORMAT_VERSION

    is_full = header.kind == "full"
    return {
        "frame": header.kind,
        "format_version": FORMAT_VERSION,  # the only one there is: a reader refuses others
        "fingerprint": header.fingerprint.hex() or None,
        **_model_at_hand(header.fingerprint),
        **({"model": header.model} if is_full else {}),
        "arithmetic_version": header.arithmetic_version or (0 if is_full else None),
        "tokenizer": header.tokenizer or None,
        "precision_bits": header.precision_bits,
        "window": header.window if is_full else None,
        "overlap": header.overlap if is_full else None,
        "prompt": header.prompt_name or None,
        "prompt_sha256": header.prompt_sha256.hex() or None,
    }


def _model_at_hand(prefix: bytes) -> dict[str, Any]:
    """Returns the name of the model at hand whose fingerprint begins so, if there is one, and size.

    Whether it is here is None where that cannot be told without loading it.
    """
    from lmcompress.models.manifest import stored_bytes
    from lmcompress.models.store import NO_MODEL, fingerprints, folders_with

    if not any(prefix):  # stored, or without a GPT
        name = NO_MODEL if prefix else None
        return {"model": name, "model_at_hand": True, "model_bytes": 0}
    found = folders_with(prefix)
    if len(found) == 1:
        return {
            "model": found[0].name,
            "model_at_hand": True,
            "model_bytes": stored_bytes(found[0]),
        }
    may_be_here = found or any(fingerprint is None for _, fingerprint in fingerprints())
    return {"model": None, "model_at_hand": None if may_be_here else False, "model_bytes": None}


_AT_HAND = {
    True: "at hand",
    False: "not at hand: it cannot be decompressed here",
    None: "one that may be it is at hand, its fingerprint is known once it is loaded",
}


def _as_text(description: dict[str, Any]) -> str:
    lines = [click.format_filename(description["name"])]
    lines += _table(_summary(description))
    for number, frame in enumerate(description["frames"], 1):
        if len(description["frames"]) > 1:
            lines.append(f"frame {number}")
        lines += _table(_header(frame))
        lines += _segments(frame["segments"])
    return "\n".join(lines)


def _summary(description: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "raw bytes", f"{description['raw_bytes']:,}"
    compressed, payload = description["compressed_bytes"], description["payload_bytes"]
    yield "compressed bytes", f"{compressed:,} (payload {payload:,})"
    if description["raw_bytes"]:
        yield "bits per byte", f"{description['bits_per_byte']:.3f}"
        yield "raw rate", f"{description['raw_compression_rate']:.4f}"
    if description["adjusted_compression_rate"] is not None:
        rate = description["adjusted_compression_rate"]
        yield "adjusted rate", f"{rate:.4f} (with the model's stored bytes)"


def _header(frame: dict[str, Any]) -> Iterator[tuple[str, str]]:
    is_compact = frame["frame"] == "compact"
    yield "format version", f"{frame['format_version']}{', compact' if is_compact else ''}"
    if frame["fingerprint"]:
        yield "model", f"{frame['model'] or 'not named'} ({_AT_HAND[frame['model_at_hand']]})"
        yield "fingerprint", f"{frame['fingerprint']}{'...' if is_compact else ''}"
        yield "arithmetic version", str(frame["arithmetic_version"])
    if frame["tokenizer"]:
        yield "tokenizer", frame["tokenizer"]
    yield "coder precision", f"{frame['precision_bits']} bits"
    window, overlap = frame["window"], frame["overlap"]
    if not is_compact:
        policy = f"windows of {window}, overlap {overlap}" if window else "streams without end"
        yield "context", policy
    if frame["prompt_sha256"]:
        sha256 = f"SHA-256 {frame['prompt_sha256']}"
        yield "prompt", f"{sha256}..." if is_compact else f"{frame['prompt']} ({sha256})"
    yield "segments", f"{len(frame['segments']):,}"


def _table(rows: Iterator[tuple[str, str]]) -> list[str]:
    return [f"  {name:<19}{value}" for name, value in rows]


def _segments(segments: list[dict[str, Any]]) -> list[str]:
    lines = [f"    {'#':>4}  {'method':<7}{'raw bytes':>15}{'payload bytes':>15}{'lanes':>7}"]
    for number, segment in enumerate(segments, 1):
        lines.append(
            f"    {number:>4}  {segment['method']:<7}{segment['raw_bytes']:>15,}"
            f"{segment['payload_bytes']:>15,}{segment['lanes'] or '-':>7}"
        )
    return lines if segments else []
