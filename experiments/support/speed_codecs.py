"""The codecs of `speed`: ours and the classical ones, each both ways, and their peaks of memory.

    python -m experiments.support.speed_codecs NAME compress|decompress IN OUT

is what a peak is taken of: one codec at work on one file in a process of its own.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from experiments.support.records import Row
from experiments.support.tables import markdown_of
from lmcompress.benchmark import classical
from lmcompress.benchmark.protocol import Codec

Timed = Callable[[], tuple[float, int]]
"""Does some work; returns seconds and bytes."""
DEFAULT = "default model"
FASTER = "lmc-5m"
STAGE = "adaptive stage alone"
OURS = (DEFAULT, FASTER, STAGE)
_STATUS = Path("/proc/self/status")


def codec_named(name: str) -> Codec:
    """Returns a codec; for a classical one, ours is not imported, so as not to count its memory."""
    if name not in OURS:
        return classical.get(name)
    from lmcompress.benchmark.harness import ModelCodec
    from lmcompress.models.store import DEFAULT_MODEL, NO_MODEL, load_model

    return ModelCodec(load_model({DEFAULT: DEFAULT_MODEL, STAGE: NO_MODEL}.get(name, name)))


def names() -> list[str]:
    """Returns all codecs that can be used here; `stored` has no speed."""
    return [*OURS, *(name for name in classical.available() if name != "stored")]


def coding(raw: bytes, codec: Codec) -> tuple[Timed, Timed, int]:
    """Returns compression, decompression that checks its result, and the compressed bytes."""
    compressed = codec.compress(raw)

    def encode() -> tuple[float, int]:
        started = time.perf_counter()
        codec.compress(raw)
        return time.perf_counter() - started, len(raw)

    def decode() -> tuple[float, int]:
        started = time.perf_counter()
        restored = codec.decompress(compressed)
        seconds = time.perf_counter() - started
        if restored != raw:
            raise click.ClickException(f"{codec.name}: the text did not come back")
        return seconds, len(raw)

    return encode, decode, len(compressed)


def peaks(raw: bytes, name: str) -> tuple[int, int] | None:
    """Returns the peaks of compressing and decompressing, in bytes; None where Linux is not."""
    if not _STATUS.exists():
        return None
    with tempfile.TemporaryDirectory(prefix="lmcompress-") as folder:
        source, coded, restored = (Path(folder) / n for n in ("source", "coded", "restored"))
        source.write_bytes(raw)
        found = _peak(name, "compress", source, coded), _peak(name, "decompress", coded, restored)
        if restored.read_bytes() != raw:
            raise click.ClickException(f"{name}: the text did not come back")
    return found


def _peak(name: str, action: str, source: Path, sink: Path) -> int:
    files = [str(source), str(sink)]
    command = [sys.executable, "-m", "experiments.support.speed_codecs", name, action, *files]
    return int(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


def table(rows: Sequence[Row]) -> str:
    """Returns the table of codecs, made from the rows that name one."""
    both: dict[str, dict[str, Row]] = {}
    for row in rows:
        both.setdefault(row["codec"], {})[row["action"]] = row
    lines = []
    for name, actions in both.items():
        line: Row = {"codec": name}
        some = actions["compress"]
        line["bits per byte"] = f"{8 * some['compressed_bytes'] / some['raw_bytes']:.3f}"
        for action, row in actions.items():
            line[f"{action} kB/s"] = f"{row['kB/s']:,.1f}"
        for action, row in actions.items():
            peak = row["peak_bytes"]
            line[f"{action} peak MB"] = peak and round(peak / 1e6)
        lines.append(line)
    note = (
        "Codecs, timed in the same turns, classical ones on one core, each result compared. Peaks: "
        "a process of its own for each cell, Python and the whole text in memory included."
    )
    return markdown_of(lines, note)


@click.command()
@click.argument("name")
@click.argument("action", type=click.Choice(["compress", "decompress"]))
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("sink", type=click.Path(path_type=Path))
def main(name: str, action: str, source: Path, sink: Path) -> None:
    """Works on one file, and prints this process's peak of memory in bytes."""
    codec = codec_named(name)
    work = codec.compress if action == "compress" else codec.decompress
    sink.write_bytes(work(source.read_bytes()))
    # Not getrusage's peak: that counts the parent's memory before exec too.
    kibibytes = _STATUS.read_text().split("VmHWM:")[1].split()[0]
    click.echo(1024 * int(kibibytes))


if __name__ == "__main__":
    main()
