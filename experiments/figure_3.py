"""Figure 3: what do compressors generate if they are used as generative models?

    python -m experiments.figure_3 [--quick] [--derive]

Text is continued (1,948 bytes given, 100 drawn), the right half of each row of an image patch is
filled in from all that comes before it, speech is continued (1,024 bytes of each). Every byte is
drawn from the source's own distribution with a fixed seed; nothing is selected. The table has the
bits per byte that each source gives to the true bytes of 8 pieces of each modality. A record that
exists is not made again, so the run can be stopped at any time. All of the data was held out of
training.
"""

from __future__ import annotations

import base64
import collections
import dataclasses
import functools
import hashlib
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt

from experiments.support import modalities
from experiments.support.figure_3_drawing import draw_images, draw_speech, draw_text
from experiments.support.figures import write_derived
from experiments.support.generation import CodecSource, ModelSource, Source, fill, price
from experiments.support.intervals import half_width_of_mean
from experiments.support.paper import MODELS
from experiments.support.records import Row, RowFile, provenance, result_folder
from experiments.support.tables import markdown_of
from lmcompress.benchmark import classical
from lmcompress.benchmark.records import csv_text, read_rows
from lmcompress.models.store import DEFAULT_MODEL, load_model

NAME = "figure_3"
CODECS = {"text": ("gzip-9", "bzip2-9", "ppmd-16"), "images": ("gzip-9",), "speech": ("gzip-9",)}
PIECES = 8
"""Of each modality."""
GIVEN = {"text": 1948, "speech": 1024}
DRAWN_IF_QUICK = 40


@dataclasses.dataclass(frozen=True)
class Named:
    """A source with what identifies it, and a function that opens a new one."""

    name: str
    version: str
    """Version of a codec's library, or fingerprint of a model."""
    begin: Callable[[], AbstractContextManager[Source]]


def sources(modality: str) -> list[Named]:
    """Returns the codecs, the models of the ladder, and the default model in two ways."""
    found = []
    for name in CODECS[modality]:
        codec = classical.get(name)
        found.append(Named(name, codec.version, functools.partial(CodecSource.open, codec)))
    for name in MODELS:
        model = load_model(name)
        for adaptive in (False, True)[: 1 + (name == DEFAULT_MODEL)]:
            begin = functools.partial(
                ModelSource.open, model, modalities.CHUNK_BYTES, adaptive=adaptive
            )
            label = f"{name} with adaptive stage" if adaptive else name
            found.append(Named(label, model.fingerprint.hex(), begin))
    return found


def free_places(modality: str) -> npt.NDArray[np.bool_]:
    """Returns which of the 2,048 bytes of a piece are drawn."""
    free = np.zeros(modalities.CHUNK_BYTES, bool)
    if modality == "images":
        rows = free.reshape(modalities.PATCH_ROWS, modalities.PATCH_COLUMNS)
        rows[:, modalities.PATCH_COLUMNS // 2 :] = True
    else:
        free[GIVEN[modality] :] = True
    return free


def tasks(*, quick: bool) -> Iterator[tuple[Named, Row, bytes, npt.NDArray[np.bool_]]]:
    """Yields source, identity of the record, piece, and the places of the bytes to draw."""
    count = 1 if quick else PIECES
    for modality in CODECS:
        free = free_places(modality)
        if quick:
            free[np.flatnonzero(free)[:-DRAWN_IF_QUICK]] = False
        chunks = modalities.sample(modality, count * modalities.CHUNK_BYTES).chunks()
        for item, raw in enumerate(chunks):
            for source in sources(modality):
                yield source, record_head(modality, item, source, raw, free), raw, free


def record_head(
    modality: str, item: int, source: Named, raw: bytes, free: npt.NDArray[np.bool_]
) -> Row:
    """Returns what determines a record; adding sources or pieces keeps the seed."""
    return {
        "modality": modality,
        "item": item,
        "source": source.name,
        "version": source.version,
        "piece_sha256": hashlib.sha256(raw).hexdigest(),
        "raw_bytes": len(raw),
        "drawn_bytes": int(free.sum()),
        "seed": zlib.crc32(f"{modality} {item}".encode()),
    }


def measure(source: Named, seed: int, raw: bytes, free: npt.NDArray[np.bool_]) -> Row:
    """Returns the bytes that the source generated, and the bits per byte of the true ones."""
    with source.begin() as begun:
        made = fill(begun, raw, free, np.random.default_rng(seed))
    with source.begin() as begun:
        true_bits_per_byte = price(begun, raw, free)
    return {
        "true_bits_per_byte": round(true_bits_per_byte, 4),
        "piece": base64.b64encode(raw).decode(),
        "made": base64.b64encode(made).decode(),
    }


def run(folder: Path, *, quick: bool) -> None:
    """Appends each missing record as soon as it is made."""
    file = RowFile(folder / "records.jsonl")
    for source, head, raw, free in tasks(quick=quick):
        if file.matching(head):
            continue
        row = {**head, **measure(source, head["seed"], raw, free), **provenance(NAME)}
        file.append(row)
        click.echo(
            f"{head['modality']} {head['item']} {source.name}: "
            f"{row['true_bits_per_byte']} bits per true byte",
            err=True,
        )


def current(rows: Sequence[Row]) -> list[Row]:
    """Returns the last row of each source and piece, of the newest version of a source.

    Pieces count that all sources of their modality have continued. Codecs come first, then the
    ladder by size, then the default model.
    """
    newest = {row["source"]: row["version"] for row in rows}
    found = {
        (row["source"], row["modality"], row["item"]): row
        for row in rows
        if row["version"] == newest[row["source"]]
    }
    sources: dict[str, set[str]] = {}
    for source, modality, _ in found:
        sources.setdefault(modality, set()).add(source)
    shared = [
        row
        for row in found.values()
        if all(
            (source, row["modality"], row["item"]) in found for source in sources[row["modality"]]
        )
    ]
    place = {name: i for i, name in enumerate(MODELS)}
    return sorted(shared, key=lambda row: place.get(row["source"].split()[0], -1))


def table(rows: Sequence[Row]) -> list[Row]:
    """Returns bits per byte of the true bytes: a line per source, a column per modality."""
    lines: dict[str, Row] = {}
    for row in rows:
        lines.setdefault(row["source"], {"source": row["source"], **dict.fromkeys(CODECS)})
    for source, line in lines.items():
        for modality in CODECS:
            bits = [
                row["true_bits_per_byte"]
                for row in rows
                if (row["source"], row["modality"]) == (source, modality)
            ]
            line[modality] = _mean(bits) if bits else None
    return list(lines.values())


def _mean(bits: Sequence[float]) -> str:
    """Returns the mean, with half of its 95 % interval if there are several pieces."""
    if len(bits) == 1:
        return f"{bits[0]:.2f}"
    return f"{np.mean(bits):.2f} ± {half_width_of_mean(bits):.2f}"


def derived_texts(rows: Sequence[Row]) -> dict[str, str]:
    """Returns the text files made from the records, by name."""
    rows = current(rows)
    pieces = {(row["modality"], row["item"]) for row in rows}
    counts = collections.Counter(modality for modality, _ in pieces)
    shown = ", ".join(f"{modality} {counts[modality]}" for modality in CODECS)
    note = (
        "Bits per byte that each source gives to the true bytes in the places where it draws its "
        f"own: the mean over pieces of 2,048 bytes ({shown}), ± half of its 95 % interval if there "
        "are several (Student's, over the pieces). Pieces of text follow one another and are "
        "alike, so its intervals are somewhat too narrow. Code lengths, no files. A classical "
        "codec's length is whole bytes, so its distribution has steps of a factor 256."
    )
    flat = [{k: v for k, v in row.items() if k not in ("piece", "made")} for row in rows]
    return {"summary.csv": csv_text(flat), "table.md": markdown_of(table(rows), note)}


@click.command()
@click.option("--quick", is_flag=True, help="One piece, 40 bytes each, into results/quick.")
@click.option("--derive", is_flag=True, help="Draw no bytes: only rebuild table and figures.")
def main(quick: bool, derive: bool) -> None:
    """Lets compressors and models continue text, images and speech."""
    with result_folder(NAME, quick, derive=derive) as folder:
        if not derive:
            run(folder, quick=quick)
        rows = current(read_rows(folder / "records.jsonl"))
        draw = {"text": draw_text, "images": draw_images, "speech": draw_speech}
        figures = {stem: functools.partial(make, rows) for stem, make in draw.items()}
        write_derived(folder, derived_texts(rows), figures)


if __name__ == "__main__":
    main()
