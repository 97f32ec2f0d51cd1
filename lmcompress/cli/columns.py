"""The command `columns`: tables of texts, record by record."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from lmcompress.cli.cluster import cluster_option
from lmcompress.cli.completion import complete_models
from lmcompress.cli.options import (
    codec_config,
    device_options,
    force_option,
    json_option,
    memory_limit_option,
    prompt_option,
    quiet_option,
)
from lmcompress.cli.progress import byte_progress
from lmcompress.cli.streams import STANDARD, open_output
from lmcompress.errors import LmcompressError
from lmcompress.models.store import DEFAULT_MODEL, load_model

if TYPE_CHECKING:
    from lmcompress.columns.work import ColumnSize, ColumnWork


@click.command(
    short_help="Score or compress columns of a table, record by record.",
    epilog="Example: lmcompress columns compress reviews.parquet -c text -o small.parquet",
)
@click.argument("action", type=click.Choice(["score", "compress", "decompress"]))
@click.argument("table", metavar="TABLE")
@click.option(
    "-c", "--columns", metavar="NAMES", multiple=True,
    help="Columns of text or bytes, such as title,text; repeatable. To decompress, all that are "
    "compressed, unless you name some.",
)  # fmt: skip
@click.option(
    "-o", "--output", metavar="OUT.parquet",
    help="The table to write. Columns that are not worked on stay as they are, so records keep "
    "their ids.",
)  # fmt: skip
@click.option(
    "-m", "--model", metavar="MODEL", shell_complete=complete_models,
    help="A name from `lmcompress models`, or a model's folder. To decompress, that which made the "
    f"columns.  [default: {DEFAULT_MODEL}]",
)  # fmt: skip
@prompt_option
@memory_limit_option
@device_options
@cluster_option("Share the records among the nodes of")
@force_option
@json_option
@quiet_option
def columns(
    action: str, table: str, columns: tuple[str, ...], output: str | None,
    model: str | None, cluster: str | None, force: bool, as_json: bool, quiet: bool, **options: Any,
) -> int:  # fmt: skip
    """Score, compress or decompress columns of a TABLE, each record on its own.

    TABLE is a .parquet, .jsonl or .ndjson file, or a Hugging Face dataset, hf:NAME:CONFIG:SPLIT.
    With --prompt, each record is compressed as if that text came before it, so short records of the
    same kind become small. In place of a column "text" the output has "text.lmc", a compact .lmc
    file in each record, or after score "text.bits". Prints bits per byte for each column.
    """
    if action != "score" and output is None:
        raise click.UsageError(f"{action} writes a table: name it with -o OUT.parquet")
    if output not in (None, STANDARD) and not output.lower().endswith(".parquet"):
        raise click.UsageError(f"-o writes Parquet, found {output}: name it OUT.parquet")
    if action != "decompress" and not columns:
        raise click.UsageError("name the columns to work on, such as -c text")
    from lmcompress.columns.mapping import COMPRESSED, SCORED
    from lmcompress.columns.source import check_columns, check_new_columns, read_table
    from lmcompress.columns.work import ColumnWork, compressed_columns, model_of

    read, config = read_table(table), codec_config(**options)
    named = (name.strip() for name in ",".join(columns).split(","))
    names = list(dict.fromkeys(filter(None, named)))
    if action == "decompress":
        names = names or compressed_columns(read.schema)
        if not names:
            raise LmcompressError(f"{table} has no compressed column, whose name ends in .lmc")
        model = model or model_of(read.schema, names)
        check_columns(read.schema, [f"{name}{COMPRESSED}" for name in names])
        check_new_columns(read.schema, names)
    else:
        check_columns(read.schema, names)
        suffix = COMPRESSED if action == "compress" else SCORED
        check_new_columns(read.schema, [f"{name}{suffix}" for name in names])
    sizes: list[ColumnSize] = []
    with byte_progress(table, None, quiet=quiet) as progress:
        loaded = load_model(model or DEFAULT_MODEL)
        work = ColumnWork(names, loaded, config, cluster, progress)
        _write(_made(action, work, read.batches, sizes), table, output, force=force)
    if sizes:
        click.echo(_report(sizes, as_json=as_json))
    return 0


def _made(
    action: str, work: ColumnWork, batches: Iterator[Any], sizes: list[ColumnSize]
) -> Iterator[Any]:
    if action == "compress":
        return work.compressed(batches, sizes)
    return work.scored(batches, sizes) if action == "score" else work.decompressed(batches)


def _write(made: Iterator[Any], table: str, output: str | None, *, force: bool) -> None:
    from lmcompress.columns.source import HUB
    from lmcompress.columns.work import write_parquet

    if output is None:
        for _ in made:
            pass
        return
    source = STANDARD if table.startswith(HUB) else table
    with open_output(output, source=source, force=force) as sink:
        write_parquet(made, sink)


def _report(sizes: list[ColumnSize], *, as_json: bool) -> str:
    if as_json:
        rows = [{**dataclasses.asdict(s), "bits_per_byte": s.bits_per_byte} for s in sizes]
        return json.dumps(rows, indent=2)
    return "\n".join(map(_line, sizes))


def _line(size: ColumnSize) -> str:
    counts = f"{size.column}: {size.records:,} records, {size.raw_bytes:,} bytes"
    rate = size.bits_per_byte
    return counts if rate is None else f"{counts}, {rate:.4f} bits per byte"
