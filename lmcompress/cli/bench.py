"""The commands `bench` and `demo`: compare models with classical codecs."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lmcompress.cli.cluster import cluster_option
from lmcompress.cli.errors import FileErrors
from lmcompress.cli.options import (
    codec_config,
    device_options,
    files_argument,
    force_option,
    json_option,
    quiet_option,
    size_options,
)
from lmcompress.cli.progress import compiling_told, say
from lmcompress.cli.streams import STANDARD, open_input
from lmcompress.errors import CorpusError, LmcompressError
from lmcompress.format.wire import read_all
from lmcompress.models.store import DEFAULT_MODEL, find_model

if TYPE_CHECKING:
    from lmcompress.benchmark.records import Record

DEMO_BYTES = 100_000
DEMO_PLOT = Path("lmcompress-demo") / "bits-per-byte.svg"
# This model's training text shares no 40 characters with the topics, except rules of dashes.
_HAS_NOT_SEEN_DEMO = "lmc-3m"


@click.command(
    short_help="Benchmark models against gzip, xz, zstd and others.",
    epilog="Example: lmcompress bench book.txt canterbury/alice29.txt --codecs gzip,xz,zstd",
)
@files_argument
@click.option(
    "--codecs", default="all", show_default=True, metavar="NAMES",
    help='Classical codecs, such as gzip,xz; "all" takes those installed, "" none.',
)  # fmt: skip
@click.option(
    "--models", default=DEFAULT_MODEL, show_default=True, metavar="NAMES",
    help="Models, by name or folder, such as lmc-3m,runs/mine; none is the adaptive stage alone.",
)  # fmt: skip
@size_options
@device_options
@json_option
@click.option("--csv", metavar="OUT.csv", help="Write the records as CSV.")
@click.option(
    "--plot", metavar="OUT.svg|png",
    help="Plot bits per byte, a bar for each codec and file, and below them, for all files "
    "together, against speed.",
)  # fmt: skip
@cluster_option("Measure each codec on each FILE on one CPU of")
@force_option
@quiet_option
def bench(
    files: tuple[str, ...], codecs: str, models: str, as_json: bool, csv: str | None,
    plot: str | None, cluster: str | None, force: bool, quiet: bool, **options: Any,
) -> int:  # fmt: skip
    """Compress and decompress each FILE with every codec and model, check the result, and time it.

    FILE may also name a corpus, such as canterbury/alice29.txt, or a part of one:
    enwik8@3000000+1000000 is 1,000,000 bytes of enwik8 from byte 3,000,000 on.
    """
    config = codec_config(**options)
    if not _names(codecs) + _names(models):
        raise LmcompressError("no codec and no model to compare: name some, or pass --codecs all")
    for target in (csv, plot):
        _check_target(target, force=force)
    from lmcompress.report.figures import check_plot, plot_benchmark

    if plot:
        check_plot(Path(plot))
    loaded, errors = {}, FileErrors()
    for name in files:
        with errors.reported(name):
            loaded[name] = _load(name)
    if not loaded:
        return errors.exit_code
    from lmcompress.benchmark.records import to_csv, to_json

    run, progress = _run_with(cluster), _progress(quiet)
    with compiling_told(quiet=quiet):
        records = run(loaded, _names(codecs), _names(models), config, progress)
    click.echo(to_json(records) if as_json else _tables(records))
    if csv:
        to_csv(records, Path(csv), overwrite=force)
    if plot:
        plot_benchmark(records, Path(plot), overwrite=force)
    return errors.exit_code


def _run_with(cluster: str | None) -> Callable[..., list[Record]]:
    """Returns what takes the measurements: this machine, or a cluster."""
    if cluster is None:
        from lmcompress.benchmark.harness import run_benchmark

        return run_benchmark
    from lmcompress.benchmark.on_cluster import run_on_cluster

    return functools.partial(run_on_cluster, address=cluster)


@click.command(
    short_help="Run bench on a sample text from Python.",
    epilog="Example: lmcompress demo",
)
@device_options
@quiet_option
def demo(quiet: bool, **options: Any) -> int:
    """Run bench on a sample text that ships with Python, and plot the result.

    Takes about a minute, and up to another one on the first run, which compiles the kernels.
    """
    config = codec_config(**options)
    find_model(DEFAULT_MODEL)
    raw = _demo_text()
    from lmcompress.benchmark.harness import run_benchmark
    from lmcompress.report.figures import check_plot, plot_benchmark

    check_plot(DEMO_PLOT)
    click.echo(
        f"Text: the first {len(raw):,} bytes of the language reference that Python's help() shows "
        "(pydoc_data/topics.py)."
    )
    if DEFAULT_MODEL == _HAS_NOT_SEEN_DEMO:
        click.echo(f"Model: {DEFAULT_MODEL}, which was not trained on this text.")
    click.echo()
    texts = {"python-topics": raw}
    with compiling_told(quiet=quiet):
        records = run_benchmark(texts, ["all"], [DEFAULT_MODEL], config, _progress(quiet))
    click.echo(_tables(records))
    DEMO_PLOT.parent.mkdir(exist_ok=True)
    plot_benchmark(records, DEMO_PLOT)
    click.echo()
    click.echo(f"Every codec restored the text exactly. Plot: {DEMO_PLOT}")
    return 0


def _tables(records: Sequence[Record]) -> str:
    from lmcompress.report.tables import rate_table, speed_table

    return f"{rate_table(records)}\n\n{speed_table(records)}"


def _load(name: str) -> bytes:
    """Returns the bytes of a file or, if there is no such file, of a corpus."""
    if name == STANDARD or Path(name).exists():
        with open_input(name) as source:
            return read_all(source)
    from lmcompress import corpora

    try:
        if not name.startswith("hf:"):
            corpora.info(name)
    except CorpusError as exc:
        raise LmcompressError(f"no such file, and {exc}") from exc
    return corpora.load(name)


def _check_target(name: str | None, *, force: bool) -> None:
    """Raises LmcompressError before the work for an output that could not be written after it."""
    if name is None:
        return
    path = Path(name)
    if path.is_dir():
        raise LmcompressError(f"cannot write {path}: it is a folder, give a file name")
    if path.exists() and not force:
        raise LmcompressError(f"{path} exists: pass -f to overwrite")
    if not path.parent.is_dir():
        raise LmcompressError(f"cannot write {path}: there is no folder {path.parent}, create it")


def _names(names: str) -> list[str]:
    return [name.strip() for name in names.split(",") if name.strip()]


def _progress(quiet: bool) -> Callable[[str], None]:
    return lambda line: say(line, quiet=quiet)


def _demo_text() -> bytes:
    try:
        from pydoc_data.topics import topics
    except ImportError as exc:
        raise LmcompressError(
            "this Python lacks pydoc_data: use `lmcompress bench FILE` on a text of your own"
        ) from exc
    text = "\n".join(topics[name] for name in sorted(topics))
    return text.encode()[:DEMO_BYTES]
