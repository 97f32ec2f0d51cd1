"""What does exact integer arithmetic cost, in bits per byte?

    python -m experiments.exactness_cost --checkpoint runs/lmc-3m

The float32 network and its exact form score the same text in the same independent pieces of 1,024
bytes (scores of the GPT alone, no files). The checkpoint is the float checkpoint that training
wrote.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
import torch
import torch.nn.functional as F

from experiments.support.records import (
    Row,
    identified,
    result_folder,
    without_source,
    write_results,
)
from experiments.support.tables import markdown_of
from lmcompress import CodecConfig, corpora
from lmcompress.codec.scoring import score
from lmcompress.gpt.network import GPT
from lmcompress.models.checkpoint import load_network
from lmcompress.models.store import load_model

NAME = "exactness_cost"
NOTE = "The float32 network against its exact form, on the same pieces."
PIECE = 1024
CORPORA = (
    "canterbury/alice29.txt",
    "calgary/book1@0+131072",
    "enwik/enwik8.head-4150000@3000000+131072",
    "code/python-3.11.7-stdlib.py.txt@0+131072",
    "i18n/ru-crime-and-punishment.txt@0+131072",
)


@torch.no_grad()
def float_bits_per_byte(network: GPT, raw: bytes, piece: int = PIECE) -> float:
    """Returns the code length of whole pieces by the float network, in bits per byte."""
    rows = np.frombuffer(raw, np.uint8).astype(np.int64).reshape(-1, piece)
    nats = 0.0
    for targets in torch.from_numpy(rows).split(16):
        inputs = F.pad(targets[:, :-1], (1, 0), value=network.config.bos_id)
        loss = F.cross_entropy(
            network(inputs).double().flatten(0, 1), targets.flatten(), reduction="sum"
        )
        nats += loss.item()
    return nats / math.log(2) / rows.size


def derived_texts(rows: Sequence[Row]) -> dict[str, str]:
    """Returns the table of the records."""
    return {"table.md": markdown_of([without_source(row) for row in rows], NOTE)}


@click.command()
@click.option("--checkpoint", default="runs/lmc-3m", show_default=True, type=Path)
def main(checkpoint: Path) -> None:
    """Scores the same text with the float network and with its exact form."""
    with result_folder(NAME, quick=False) as folder:
        network, model = load_network(checkpoint), load_model(checkpoint)
        rows = []
        for name in CORPORA:
            raw = corpora.load(name)
            raw = raw[: len(raw) // PIECE * PIECE]
            pieces = len(raw) // PIECE
            exact = score(raw, model, CodecConfig(lanes=pieces, adaptive=False))
            row: Row = {
                "corpus": name,
                "raw_bytes": len(raw),
                "float32_bits_per_byte": round(float_bits_per_byte(network, raw), 5),
                "exact_bits_per_byte": round(exact.quantized_bits_per_byte, 5),
            }
            row["cost_percent"] = round(
                100 * (row["exact_bits_per_byte"] / row["float32_bits_per_byte"] - 1), 3
            )
            click.echo(json.dumps(row), err=True)
            rows.append(row)
        write_results(NAME, identified(rows, model), folder, derived_texts)


if __name__ == "__main__":
    main()
