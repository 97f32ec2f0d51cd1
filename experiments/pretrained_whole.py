"""Whole texts with a published model: lanes and threads, against float32 over the same windows.

    python -m experiments.pretrained_whole [--quick]

SmolLM2-135M on Canterbury's alice29.txt, in the automatic lanes and in one, and on a log and on
JSON in the automatic ones. Files are written and decompressed with all threads, and with one thread
too for the automatic lanes. Each row also has the code length of the float32 network of the
published weights over the same windows of the same lanes, and the seconds that it takes (scoring
only, no file, one lane after the other). The payload leaves out the frame's header, since a code
length has none. A row that records.jsonl already has is not measured again.
"""

from __future__ import annotations

import functools
import hashlib
import io
import time
from pathlib import Path
from typing import Any

import click

import lmcompress
from experiments.pretrained import MODEL
from experiments.support.code_lengths import float_bits, published_network, symbols_of, windows
from experiments.support.records import Row, append_missing, current, result_folder
from experiments.support.tables import markdown_of, write_texts
from lmcompress import CodecConfig
from lmcompress.benchmark.records import read_rows
from lmcompress.codec.lanes import LaneLayout
from lmcompress.codec.predictor import ContextPolicy
from lmcompress.codec.session import Session, resolve_threads
from lmcompress.codec.stream import compress_stream
from lmcompress.metrics import bits_per_byte
from lmcompress.models import fetching
from lmcompress.models.store import Model

NAME = "pretrained_whole"
CASES = (
    ("canterbury/alice29.txt", "auto"),
    ("canterbury/alice29.txt", 1),
    ("logs/Apache_2k.log", "auto"),
    ("logs/us-sba-data-catalog.json@0+150000", "auto"),
)
QUICK_CASES = tuple(("canterbury/alice29.txt@40000+1024", lanes) for lanes in ("auto", 1))


def coded(raw: bytes, model: Model, lanes: Any) -> Row:
    """Returns the size of a file, and the seconds both ways."""
    threads = resolve_threads(None)
    config = CodecConfig(lanes=lanes, threads=threads)
    lmcompress.decompress(lmcompress.compress(raw[:200], model, config), model, config)
    sink, started = io.BytesIO(), time.perf_counter()
    sizes = compress_stream(io.BytesIO(raw), sink, model, config)
    row: Row = {"compress s": time.perf_counter() - started}
    for count in dict.fromkeys((threads, 1) if lanes == "auto" else (threads,)):
        started = time.perf_counter()
        restored = lmcompress.decompress(sink.getvalue(), model, CodecConfig(threads=count))
        row[f"decompress s, {count} threads"] = time.perf_counter() - started
        if restored != raw:
            raise click.ClickException("the text did not come back")
    return {
        "compressed bytes": sizes.compressed_bytes,
        "payload bytes": sizes.payload_bytes,
        **row,
        "raw sha256": hashlib.sha256(restored).hexdigest(),
    }


def scored(model: Model, name: str, lanes: int) -> Row:
    """Returns the float32 network's code length over the same lanes and windows."""
    assert model.weights is not None
    network, (_, symbols) = published_network(MODEL), symbols_of(model, name)
    layout, policy = LaneLayout(len(symbols), lanes), ContextPolicy.of(model.weights)
    started = time.perf_counter()
    bits = sum(
        float_bits(network, lane, windows(len(lane), policy), model.weights)[0]
        for rows in layout.rows(symbols)
        for lane in rows
    )
    return {"float32 bits": bits, "float32 s": time.perf_counter() - started}


def row_of(model: Model, name: str, asked: Any) -> Row:
    """Returns the row of a corpus and a number of lanes, or "auto"."""
    raw, symbols = symbols_of(model, name)
    config = CodecConfig(lanes=asked)
    lanes = Session(model, config).lanes_for(len(symbols))
    return {
        "corpus": name,
        "corpus_sha256": hashlib.sha256(raw).hexdigest(),
        "raw bytes": len(raw),
        "num tokens": len(symbols),
        "lanes": lanes,
        "threads": resolve_threads(None),
        **coded(raw, model, config.lanes),
        **scored(model, name, lanes),
    }


def shown(row: Row) -> Row:
    """Returns what the table shows of a record."""
    raw, threads = row["raw bytes"], row["threads"]
    float32 = row["float32 bits"] / raw
    payload = bits_per_byte(row["payload bytes"], raw)
    speeds = {"compress": "compress s", "decompress": f"decompress s, {threads} threads"}
    if threads != 1:
        speeds["decompress, 1 thread"] = "decompress s, 1 threads"
    speeds["float32 scoring"] = "float32 s"
    return {
        "corpus": row["corpus"],
        "raw bytes": raw,
        "lanes": row["lanes"],
        "bits per byte": f"{bits_per_byte(row['compressed bytes'], raw):.4f}",
        "payload": f"{payload:.4f}",
        "float32, no stage": f"{float32:.4f}",
        **{
            f"{name}, B/s": round(raw / row[seconds]) if seconds in row else None
            for name, seconds in speeds.items()
        },
    }


def table(folder: Path) -> str:
    """Returns what the records say, as markdown."""
    rows = current(read_rows(folder / "records.jsonl"))
    note = (
        f"{MODEL}; threads: {rows[0]['threads']} unless the column says so; files, decoded and "
        "compared, with the adaptive stage; float32: code lengths of the model alone, no files; "
        f"{rows[0]['machine']}, which may have done other work."
    )
    return markdown_of([shown(row) for row in rows], note)


@click.command()
@click.option("--quick", is_flag=True, help="A thousand bytes, into results/quick.")
def main(quick: bool) -> None:
    """Measures a published model on a whole text."""
    with result_folder(NAME, quick) as folder:
        model = fetching.fetch_model(MODEL)
        rows = {
            f"{name}, lanes {lanes}": functools.partial(row_of, model, name, lanes)
            for name, lanes in (QUICK_CASES if quick else CASES)
        }
        append_missing(folder / "records.jsonl", NAME, model, rows)
        write_texts({"table.md": table(folder)}, folder)


if __name__ == "__main__":
    main()
