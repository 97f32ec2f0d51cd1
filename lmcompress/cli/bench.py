"""The commands that set models beside classical codecs: bench, demo."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lmcompress.cli.errors import for_each
from lmcompress.cli.options import (
    codec_config,
    device_options,
    files_argument,
    force_option,
    json_option,
    layout_options,
    quiet_option,
)
from lmcompress.cli.progress import say
from lmcompress.cli.streams import STANDARD, open_input
from lmcompress.errors import CorpusError, LmcompressError
from lmcompress.format.wire import read_all
from lmcompress.models.store import DEFAULT_MODEL, find_model

if TYPE_CHECKING:
    from lmcompress.benchmark.records import Record

DEMO_BYTES = 100_000
DEMO_PLOT = Path("lmcompress-demo") / "bits-per-byte.svg"
# No 40 characters of the topics but rules of dashes stand in the training text of this model.
_HAS_NOT_SEEN_DEMO = "lmc-3m"


@click.command(
    short_help="Set models beside gzip and its peers on FILE.",
    epilog="Example: lmcompress bench book.txt canterbury/alice29.txt --codecs gzip,xz,zstd",
)
@files_argument
@click.option(
    "--codecs", default="all", show_default=True, metavar="NAMES",
    help='Classical codecs, such as gzip,xz; all means those installed, "" no codec.',
)  # fmt: skip
@click.option(
    "--models", default=DEFAULT_MODEL, show_default=True, metavar="NAMES",
    help="Models, by name or folder, such as lmc-3m,runs/mine; none: the adaptive stage alone.",
)  # fmt: skip
@layout_options
@device_options
@json_option
@click.option("--csv", metavar="OUT.csv", help="Write the records as CSV.")
@click.option("--plot", metavar="OUT.svg", help="Draw bits per byte.")
@force_option
@quiet_option
def bench(
    files: tuple[str, ...], codecs: str, models: str, as_json: bool, csv: str | None,
    plot: str | None, force: bool, quiet: bool, **options: Any,
) -> int:  # fmt: skip
    """Compress each FILE with every codec and model, decompress, compare and time.

    FILE is a file, or a corpus by name, such as canterbury/alice29.txt or enwik8@3000000+1000000.
    """
    config = codec_config(**options)
    if not _names(codecs) + _names(models):
        raise LmcompressError("found no codec and no model to compare: name some, or all codecs")
    for target in (csv, plot):
        _check_target(target, force=force)
    from lmcompress.report.figures import check_plot, plot_bits_per_byte

    if plot:
        check_plot(Path(plot))
    loaded: dict[str, bytes] = {}
    code = for_each(files, lambda name: loaded.update({name: _load(name)}))
    if not loaded:
        return code
    from lmcompress.benchmark.harness import run_benchmark
    from lmcompress.benchmark.records import to_csv, to_json

    progress = _progress(quiet)
    records = run_benchmark(loaded, _names(codecs), _names(models), config, progress)
    click.echo(to_json(records) if as_json else _tables(records))
    if csv:
        to_csv(records, Path(csv), overwrite=force)
    if plot:
        plot_bits_per_byte(records, Path(plot), overwrite=force)
    return code


@click.command(
    short_help="Compress a real text beside other codecs.", epilog="Example: lmcompress demo"
)
@device_options
@quiet_option
def demo(quiet: bool, **options: Any) -> int:
    """Compress a real text beside other codecs, check the result, draw a plot. Takes a minute."""
    config = codec_config(**options)
    find_model(DEFAULT_MODEL)
    raw = _demo_text()
    from lmcompress.benchmark.harness import run_benchmark
    from lmcompress.report.figures import check_plot, plot_bits_per_byte

    check_plot(DEMO_PLOT)
    click.echo(
        f"The text: the first {len(raw):,} bytes of the language reference that Python's help() "
        f"shows (pydoc_data/topics.py)."
    )
    if DEFAULT_MODEL == _HAS_NOT_SEEN_DEMO:
        click.echo(f"The model, {DEFAULT_MODEL}, was not trained on it.")
    click.echo()
    records = run_benchmark(
        {"python-topics": raw}, ["all"], [DEFAULT_MODEL], config, _progress(quiet)
    )
    click.echo(_tables(records))
    DEMO_PLOT.parent.mkdir(exist_ok=True)
    plot_bits_per_byte(records, DEMO_PLOT)
    click.echo()
    click.echo(f"Every row was decompressed and is equal to the text. Plot: {DEMO_PLOT}")
    return 0


def _tables(records: Sequence[Record]) -> str:
    from lmcompress.report.tables import rate_table, speed_table

    return f"{rate_table(records)}\n\n{speed_table(records)}"


def _load(name: str) -> bytes:
    """Returns the bytes of a file, or of a corpus where there is no such file."""
    if name == STANDARD or Path(name).exists():
        with open_input(name) as source:
            return read_all(source)
    from lmcompress import corpora

    try:
        if not name.startswith("hf:"):
            corpora.info(name)
    except CorpusError as exc:
        raise LmcompressError(f"there is no such file, and {exc}") from exc
    return corpora.load(name)


def _check_target(name: str | None, *, force: bool) -> None:
    """Refuses before the work what would be refused after it."""
    if name is None:
        return
    path = Path(name)
    if path.is_dir():
        raise LmcompressError(f"cannot write {path}: it is a folder: give the name of a file")
    if path.exists() and not force:
        raise LmcompressError(f"{path} exists: pass -f to overwrite")
    if not path.parent.is_dir():
        raise LmcompressError(f"cannot write {path}: found no folder {path.parent}: create it")


def _names(names: str) -> list[str]:
    return [name.strip() for name in names.split(",") if name.strip()]


def _progress(quiet: bool) -> Callable[[str], None]:
    return lambda line: say(line, quiet=quiet)


def _demo_text() -> bytes:
    try:
        from pydoc_data.topics import topics
    except ImportError as exc:
        raise LmcompressError(
            "this Python comes without pydoc_data: use `lmcompress bench FILE` on a text of yours"
        ) from exc
    text = "\n".join(topics[name] for name in sorted(topics))
    return text.encode()[:DEMO_BYTES]
