"""Figure 3: what do compressors make up, if they are taken as generative models?

    python -m experiments.figure_3 [--quick] [--derive]

Text is continued (1,948 bytes given, 100 drawn), the right half of each row of an image patch is
filled in from all that stands before it, speech is continued (1,024 bytes of each). Every byte is
drawn from the source's own distribution, with a fixed seed; nothing is picked. Beside that, the
bits per byte that the source gives to the true bytes. A record that is there already is not made
again, so the run can be stopped at any time. All of the data was held out of training.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt

from experiments import media
from experiments.common import folder_of, write_records
from experiments.figure_3_drawing import draw_images, draw_speech, draw_text, text_panel
from experiments.generation import CodecSource, ModelSource, Source, fill, price
from experiments.outputs import Row, csv_of, markdown_of, read_rows, write_texts
from lmcompress import baselines
from lmcompress.model_store import DEFAULT_MODEL, folders, load_model
from lmcompress.provenance import command_line, describe_run

NAME = "figure_3"
CODECS = {"text": ("gzip-9", "bzip2-9", "ppmd-16"), "images": ("gzip-9",), "speech": ("gzip-9",)}
LADDER = ("ladder-200k", "ladder-800k", "ladder-3200k")
ITEMS = {"text": 3, "images": 3, "speech": 2}
GIVEN_TEXT, GIVEN_SPEECH = 1948, 1024
STAGE = " + adaptive stage"


def is_free(modality: str) -> npt.NDArray[np.bool_]:
    """Returns which of a piece's 2,048 bytes are to be drawn."""
    free = np.zeros(media.CHUNK_BYTES, bool)
    if modality == "images":
        rows = free.reshape(media.PATCH_ROWS, media.PATCH_COLUMNS)
        rows[:, media.PATCH_COLUMNS // 2 :] = True
    else:
        free[GIVEN_TEXT if modality == "text" else GIVEN_SPEECH :] = True
    return free


def sources(modality: str) -> dict[str, Callable[[], Source]]:
    """Returns makers of fresh sources by name: codecs, the ladder at hand, the default model."""
    steps = media.CHUNK_BYTES
    found: dict[str, Callable[[], Source]] = {
        name: functools.partial(CodecSource, baselines.get(name)) for name in CODECS[modality]
    }
    for name in (*(n for n in LADDER if n in folders()), DEFAULT_MODEL):
        model = load_model(name)
        for adaptive in (False, True) if name == DEFAULT_MODEL else (False,):
            label = name + STAGE if adaptive else name
            found[label] = functools.partial(ModelSource, model, steps, adaptive=adaptive)
    return found


def seed_of(modality: str, item: int) -> int:
    """Returns a seed that does not change when sources or pieces are added."""
    return zlib.crc32(f"{modality} {item}".encode())


def measure(
    modality: str, item: int, raw: bytes, name: str, make: Callable[[], Source],
    free: npt.NDArray[np.bool_],
) -> Row:  # fmt: skip
    """Returns the record of one source on one piece: what it made up, and the price of the truth."""
    seed = seed_of(modality, item)
    made = fill(make(), raw, free, np.random.default_rng(seed))
    model = name.removesuffix(STAGE)
    is_model = model in folders()
    return {
        "modality": modality,
        "item": item,
        "source": name,
        "version": "exact frequencies" if is_model else baselines.get(name).version,
        "fingerprint": load_model(model).fingerprint.hex() if is_model else "",
        "piece_sha256": hashlib.sha256(raw).hexdigest(),
        "raw_bytes": len(raw),
        "drawn_bytes": int(free.sum()),
        "seed": seed,
        "true_bits_per_byte": round(price(make(), raw, free), 4),
        "piece": base64.b64encode(raw).decode(),
        "drawn": base64.b64encode(made).decode(),
    }


def key_of(row: Row) -> tuple[object, ...]:
    """Returns what decides a record."""
    return (row["source"], row["version"], row["fingerprint"], row["piece_sha256"], row["seed"])


def pieces(quick: bool) -> list[tuple[str, int, bytes, npt.NDArray[np.bool_]]]:
    """Returns (modality, number, bytes, free places); quick ones have one piece of 4 rows or so."""
    found = []
    for modality, count in ITEMS.items():
        count = 1 if quick else count
        chunks = media.sample(modality, count * media.CHUNK_BYTES).chunks()
        for item, raw in enumerate(chunks):
            free = is_free(modality)
            if quick:  # the last places only
                free[: -media.PATCH_COLUMNS] = False
            found.append((modality, item, raw, free))
    return found


def run(folder: Path, *, quick: bool) -> None:
    """Makes the records that are not there yet, each kept as soon as it is made."""
    path = folder / "records.jsonl"
    rows = read_rows(folder) if path.exists() else []
    done = {key_of(row) for row in rows}
    origin = describe_run(command_line(["python", "-m", f"experiments.{NAME}"]))
    for modality, item, raw, free in pieces(quick):
        for name, make in sources(modality).items():
            model = name.removesuffix(STAGE)
            is_model = model in folders()
            key = (
                name,
                "exact frequencies" if is_model else baselines.get(name).version,
                load_model(model).fingerprint.hex() if is_model else "",
                hashlib.sha256(raw).hexdigest(),
                seed_of(modality, item),
            )
            if key in done:
                continue
            row = measure(modality, item, raw, name, make, free)
            click.echo(f"{modality} {item} {name} {row['true_bits_per_byte']}", err=True)
