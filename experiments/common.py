"""What several experiments share: a model's predictions of a text, and tables with provenance."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lmcompress.coding import Weights
from lmcompress.lanes import block_steps, segment_blocks
from lmcompress.model_store import Model
from lmcompress.predictor import ContextPolicy, new_predictor, resolve_threads
from lmcompress.provenance import command_line, describe_run

RESULTS = Path(__file__).resolve().parent.parent / "results"


def predictions(
    raw: bytes, model: Model, lanes: int
) -> Iterator[tuple[npt.NDArray[np.int32], Weights]]:
    """Yields symbols (n,), step-major, and weights (steps, lanes, 256), as an encoder has them."""
    threads = resolve_threads(None)
    block = block_steps(lanes, threads)
    policy = ContextPolicy.of(model.weights)
    predictor = new_predictor(model.weights, lanes, block, policy, "cpu", threads)
    try:
        for tokens, symbols in segment_blocks(raw, lanes, block, predictor.bos_id):
            yield symbols, predictor.predict(tokens)
    finally:
        predictor.close()


def folder_of(name: str, *, quick: bool) -> Path:
    """Returns the experiment's folder under results/, made if it is not there."""
    folder = RESULTS / "quick" / name if quick else RESULTS / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def write_records(name: str, rows: Sequence[dict[str, Any]], folder: Path) -> None:
    """Writes records.jsonl: each row, where it comes from, and how to make it again."""
    run = describe_run(command_line(["python", "-m", f"experiments.{name}", *sys.argv[1:]]))
    source = {
        "git_commit": run.git_commit,
        "command": run.command,
        "machine": run.machine,
        "run_id": run.run_id,
    }
    lines = "".join(json.dumps({**row, **source}) + "\n" for row in rows)
    (folder / "records.jsonl").write_text(lines, "utf-8", newline="\n")


def write_table(rows: Sequence[dict[str, Any]], folder: Path, note: str) -> None:
    """Writes table.md: a column for each key, after a line that says what it shows."""
    columns = list(rows[0])
    lines = ["| " + " | ".join(columns) + " |", "| --- " + "| ---: " * (len(columns) - 1) + "|"]
    lines += ["| " + " | ".join(str(row[column]) for column in columns) + " |" for row in rows]
    (folder / "table.md").write_text("\n".join([note, "", *lines, ""]), "utf-8", newline="\n")
