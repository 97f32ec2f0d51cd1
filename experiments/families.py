"""Which family of Transformers compresses best: causal, encoder-decoder, masked or diffusion?

    python -m experiments.families [--quick] [--runs DIR] [--family NAME]... [--derive]

Networks of equal size, trained on the same windows of text, write a real file of each of two texts;
each is decoded and compared. In one table all have read the same bytes, in the other all have
taken the same operations to train. Runs that do not exist yet are trained first, and rows are kept
as they are measured. Networks that are told which bytes are hidden code them in several orders,
and some of them several at once.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from experiments.support.families import coding
from experiments.support.families.exact import ExactNetwork
from experiments.support.families.layout import CAUSAL, FAMILIES, MASKED, WINDOW, Family
from experiments.support.families.network import Network
from experiments.support.families.tables import (
    BYTES,
    OPERATIONS,
    Budgets,
    draw,
    lines_of,
    missing_of,
    tables_text,
)
from experiments.support.families.training import shape_of, trained, training_flops
from experiments.support.families.ways import ORDERS, WAYS, Way
from experiments.support.figures import write_derived
from experiments.support.records import Row, RowFile, provenance, result_folder
from experiments.support.runs import RUNS, train_config
from experiments.support.variants import quick_one
from lmcompress import corpora
from lmcompress.metrics import bits_per_byte
from lmcompress.models.checkpoint import WEIGHTS_FILE
from lmcompress.training.config import TrainConfig

NAME = "families"
TEXTS = ("enwik/enwiki-2021-extract.part3@100000+8192", "canterbury/alice29.txt@20000+8192")
QUICK_TEXTS = ("canterbury/alice29.txt@20000+1024",)
QUICK_WAYS = tuple(way for way in WAYS if way.family != MASKED or way.at_once > 1)
"""Others of the masked network take a pass over all positions for each byte."""


def bytes_to_read(config: TrainConfig) -> dict[str, Budgets]:
    """Returns how many bytes each family reads in training: as many, and as operations allow.

    A family that takes as many operations as the causal one, up to a twentieth, is not trained
    again.
    """
    total = config.total_bytes
    flops = {f: training_flops(Network(shape_of(f, config.model), f)) for f in FAMILIES}
    shares = {f: flops[CAUSAL] / flops[f] for f in FAMILIES}
    return {
        BYTES: dict.fromkeys(FAMILIES, total),
        OPERATIONS: {
            f: total if abs(share - 1) < 0.05 else round(total * share)
            for f, share in shares.items()
        },
    }


def measured(way: Way, network: ExactNetwork, text: str) -> Row:
    """Writes a file of a text and decodes it; returns its row."""
    raw, order = corpora.load(text), ORDERS[way.order]
    network.passes = network.positions = 0
    started = time.perf_counter()
    encoded = coding.encode(network, raw, order, way.at_once)
    between, passes, positions = time.perf_counter(), network.passes, network.positions
    if coding.decode(network, encoded.file, len(raw), order, way.at_once) != raw:
        raise click.ClickException(f"{way} did not give {text} back")
    lane = len(raw) // coding.LANES
    return {
        **way.fields,
        "corpus": text,
        "corpus_sha256": hashlib.sha256(raw).hexdigest(),
        "raw bytes": len(raw),
        "compressed bytes": len(encoded.file),
        "compress s": round(between - started, 1),
        "decompress s": round(time.perf_counter() - between, 1),
        "passes per byte": round(passes / lane, 2),
        "positions per byte": round(positions / lane, 1),
        "bits of parts": [round(bits, 1) for bits in encoded.bits.ravel()],
        **provenance(NAME),
    }


def rows_of(
    family: Family, config: TrainConfig, runs: Path, wanted: Sequence[tuple[Way, str]],
    file: RowFile,
) -> Iterator[Row]:  # fmt: skip
    """Yields the rows that are missing of a family's network, which is trained if need be.

    Args:
      family: Whose network it is.
      config: How it is trained.
      runs: Folder of its run.
      wanted: Ways, those of other families too, and texts.
      file: The rows that are there.

    Raises:
      LmcompressError: If a text or the training text cannot be had.
    """
    folder = runs / NAME / f"{family.slug}-{config.total_bytes}"
    network, run = trained(family, config, folder)
    weights = hashlib.sha256((folder / WEIGHTS_FILE).read_bytes()).hexdigest()
    of_run = {"budget": config.total_bytes, "weights_sha256": weights}
    seen, parameters = run.card["bytes_seen"], sum(p.numel() for p in network.parameters())
    exact = ExactNetwork(network)
    for way, text in wanted:
        key = {**way.fields, **of_run, "corpus": text}
        if way.family == family and not file.matching(key):
            yield {
                **measured(way, exact, text),
                **of_run,
                "bytes_seen": seen,
                "parameters": parameters,
                "training_flops": training_flops(network) * seen // WINDOW,
            }


@click.command()
@click.option("--quick", is_flag=True, help="Ten steps of training each, into results/quick.")
@click.option("--runs", type=Path, default=RUNS, help="Folder of the trained runs.")
@click.option(
    "--family",
    "slugs",
    multiple=True,
    type=click.Choice([family.slug for family in FAMILIES]),
    help="Measure only these; the tables wait for the rest.",
)
@click.option("--derive", is_flag=True, help="Measure nothing: only rebuild tables and figure.")
def main(quick: bool, runs: Path, slugs: tuple[str, ...], derive: bool) -> None:
    """Compares families of Transformers by files that they write and read."""
    texts, ways = (QUICK_TEXTS, QUICK_WAYS) if quick else (TEXTS, WAYS)
    config = quick_one(train_config(NAME)) if quick else train_config(NAME)
    budgets, wanted = bytes_to_read(config), list(itertools.product(ways, texts))
    with result_folder(NAME, quick, derive=derive) as folder:
        file, runs = RowFile(folder / "records.jsonl"), runs / "quick" if quick else runs
        for budget in budgets.values() if not derive else ():
            for family, num_bytes in budget.items():
                if slugs and family.slug not in slugs:
                    continue
                cut = dataclasses.replace(config, total_bytes=num_bytes)
                for row in rows_of(family, cut, runs, wanted, file):
                    file.append(row)
                    rate = bits_per_byte(row["compressed bytes"], row["raw bytes"])
                    click.echo(f"{row['family']}, {row['order']}: {rate:.4f}", err=True)
        rows = file.rows
        missing = [key for budget in budgets.values() for key in missing_of(rows, budget, wanted)]
        if missing:
            click.echo(f"{len(missing)} rows are missing: the tables wait for them", err=True)
            return
        tables = {name: lines_of(rows, budget, ways, texts) for name, budget in budgets.items()}
        figures = {"families": lambda: draw(tables)}
        write_derived(folder, {"table.md": tables_text(tables)}, figures)


if __name__ == "__main__":
    main()
