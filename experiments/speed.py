"""How fast is the exact engine, against floating point, other ways to decode, and other codecs?

    python -m experiments.speed [--quick] [--repeats N] [--derive]

Everything runs in turns in one process, and medians are shown. Ratios carry over to other machines,
speeds do not. The float network has the default model's shape and random weights, which cost the
same. Scoring: 2 batches of 16 x 1,024 bytes. The whole prefix at every step: at lengths from 64 to
1,024, whose mean is what a decoder of such a window pays. Pure products: those of the encoder and
nothing else, on one thread; two threads on two idle cores reach twice that.
"""

from __future__ import annotations

import functools
import hashlib
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np
import torch

from experiments.support import speed_codecs
from experiments.support.eager_decoder import CachedDecoder, prefix_step
from experiments.support.figures import new_figure, write_derived
from experiments.support.records import Row, provenance, replace_rows, result_folder
from experiments.support.speed_codecs import Timed, coding
from experiments.support.tables import markdown_of
from lmcompress import CodecConfig, corpora
from lmcompress.benchmark.harness import ModelCodec
from lmcompress.benchmark.provenance import instructions
from lmcompress.benchmark.records import read_rows
from lmcompress.codec.predictor import ROWS_PER_THREAD
from lmcompress.codec.session import resolve_threads
from lmcompress.gpt.cpu import matmul
from lmcompress.gpt.network import GPT
from lmcompress.models.store import DEFAULT_MODEL, Model, load_model
from lmcompress.report.rate_against_speed import draw_rate_against_speed
from lmcompress.report.speeds import Speed, labelled, machine_of, speeds_of_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = "speed"
COLUMNS = ("what", "kB/s", "of float32 scoring")
CORPUS = "text/wikitext-2-test.txt"
OUR_NAMES = {
    (speed_codecs.DEFAULT, "compress"): "encode",
    (speed_codecs.DEFAULT, "decompress"): "decode",
    (speed_codecs.FASTER, "compress"): f"encode, {speed_codecs.FASTER}",
    (speed_codecs.FASTER, "decompress"): f"decode, {speed_codecs.FASTER}",
    (speed_codecs.STAGE, "compress"): "encode, stage alone",
    (speed_codecs.STAGE, "decompress"): "decode, stage alone",
}


def scoring(network: GPT, raw: bytes, *, bf16: bool) -> Timed:
    """The float network's forward pass over pieces of the text."""
    tokens = torch.from_numpy(np.frombuffer(raw, np.uint8).astype(np.int64))
    pieces = tokens[: len(tokens) // 1024 * 1024].view(-1, 1024)[:32]

    def run() -> tuple[float, int]:
        started = time.perf_counter()
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            for batch in pieces.split(16):
                network(batch)
        return time.perf_counter() - started, pieces.numel()

    return run


def products(model: Model) -> Timed:
    """The encoder's integer products of one pass over many rows, and nothing else, on one thread.

    Those of the project's kernels, or PyTorch's where the engine takes them.
    """
    assert model.weights is not None
    is_pytorch = not (matmul.is_usable() and matmul.beats_pytorch(ROWS_PER_THREAD))
    rng = np.random.default_rng(0)
    pairs = []
    for name, weights in model.weights.arrays.items():
        if not (name.endswith(".q") and name.startswith(("blocks.", "output."))):
            continue
        q = rng.integers(-127, 128, (ROWS_PER_THREAD, weights.shape[1])).astype(np.int8)
        out = np.empty((len(q), len(weights)), np.int32)
        w = np.ascontiguousarray(weights)
        if is_pytorch:
            tensors = torch.from_numpy(q), torch.from_numpy(w).T.contiguous()
            pairs.append(functools.partial(torch._int_mm, *tensors, out=torch.from_numpy(out)))
        else:
            panels, is_unsigned = matmul.pack(w), name.endswith("down.q")
            q = np.abs(q) if is_unsigned else q
            pairs.append(functools.partial(matmul.product, q, panels, is_unsigned, out))

    def run() -> tuple[float, int]:
        started = time.perf_counter()
        for _ in range(20):
            for multiply in pairs:
                multiply()
        return time.perf_counter() - started, 20 * ROWS_PER_THREAD

    return run


def cached_steps(network: GPT) -> Timed:
    """Eager cached steps behind a context that fills the windows."""
    decoder = CachedDecoder(network)
    for _ in range(600):
        decoder.step(101)

    def run() -> tuple[float, int]:
        decoder.position = 600
        started = time.perf_counter()
        for _ in range(200):
            decoder.step(101)
        return time.perf_counter() - started, 200

    return run


def prefixes_anew(network: GPT) -> Timed:
    """Steps that evaluate the whole prefix, at evenly spaced lengths."""
    tokens = torch.full((1024,), 101)

    def run() -> tuple[float, int]:
        lengths = range(64, 1025, 64)
        started = time.perf_counter()
        for length in lengths:
            prefix_step(network, tokens[:length])
        return time.perf_counter() - started, len(lengths)

    return run


def ways(raw: bytes) -> dict[str, Timed]:
    """Returns what is timed beside the codecs, by name."""
    model = load_model(DEFAULT_MODEL)
    assert model.weights is not None
    network = GPT(model.weights.config).eval()
    alone = coding(raw, ModelCodec(model, CodecConfig(adaptive=False)))
    one_lane = coding(raw[:30_000], ModelCodec(model, CodecConfig(lanes=1)))
    return {
        "float32 scoring": scoring(network, raw, bf16=False),
        "bf16 scoring": scoring(network, raw, bf16=True),
        "pure integer products, one thread": products(model),
        "encode, GPT alone": alone[0],
        "decode, GPT alone": alone[1],
        "decode, 1 lane": one_lane[1],
        "eager float32, cached step": cached_steps(network),
        "eager float32, prefix anew": prefixes_anew(network),
    }


def all_ways(raw: bytes) -> tuple[dict[str, Timed], dict[str, Row]]:
    """Returns everything that is timed, by name, and what else the records of codecs say."""
    timed, about = ways(raw), {}
    for name in speed_codecs.names():
        *both, size = coding(raw, speed_codecs.codec_named(name))
        found = speed_codecs.peaks(raw, name) or (None, None)
        for action, run, peak in zip(("compress", "decompress"), both, found, strict=True):
            what = OUR_NAMES.get((name, action), f"{name}, {action}")
            timed[what] = run
            about[what] = {
                "codec": name, "action": action, "compressed_bytes": size, "peak_bytes": peak,
            }  # fmt: skip
    return timed, about


@click.command()
@click.option("--quick", is_flag=True, help="50 kB, once, into results/quick.")
@click.option("--repeats", default=3, show_default=True, type=click.IntRange(min=1))
@click.option("--derive", is_flag=True, help="Measure nothing: only rebuild table and figure.")
def main(quick: bool, repeats: int, derive: bool) -> None:
    """Measures the engine against floating point and against other ways to decode."""
    with result_folder(NAME, quick, derive=derive) as folder:
        path = folder / "records.jsonl"
        if not derive:
            replace_rows(with_others(measure(quick, repeats), folder), path)
        records = read_rows(path)
        drawing = functools.partial(draw, speeds_of_rows(records).rows)
        write_derived(folder, derived_texts(records), {"rate-against-speed": drawing})


def measure(quick: bool, repeats: int) -> list[Row]:
    """Returns a record for each thing that is timed, the median of all repeats."""
    raw = corpora.load(CORPUS)
    raw = raw[:50_000] if quick else raw[:1_000_000]
    timed, about = all_ways(raw)
    speeds: dict[str, list[float]] = {name: [] for name in timed}
    for _ in range(1 if quick else repeats):
        for name, run in timed.items():
            seconds, done = run()
            speeds[name].append(done / seconds / 1000)
            click.echo(f"{name}: {speeds[name][-1]:.2f} kB/s", err=True)
    medians = {name: statistics.median(found) for name, found in speeds.items()}
    reference = medians["float32 scoring"]
    rows = [
        {
            "what": name,
            "kB/s": round(found, 2),
            "of float32 scoring": round(found / reference, 3),
            **about.get(name, {}),
        }
        for name, found in medians.items()
    ]
    more = {
        "corpus": CORPUS,
        "corpus_sha256": hashlib.sha256(raw).hexdigest(),
        "default_fingerprint": load_model(DEFAULT_MODEL).fingerprint.hex(),
        "raw_bytes": len(raw),
        "threads": resolve_threads(None),
        "instructions": instructions(),
    }
    return [{**row, **more, **provenance(NAME)} for row in rows]


def draw(speeds: Sequence[Speed]) -> Figure:
    """Returns the figure of rates against speeds."""
    figure = new_figure(8.6, 3.8)
    draw_rate_against_speed(figure, labelled(speeds))
    return figure


def with_others(rows: Sequence[Row], folder: Path) -> list[Row]:
    """Returns new records of this machine, and the folder's of machines with other instructions."""
    before = read_rows(folder / "records.jsonl")
    return [*rows, *(row for row in before if row["instructions"] != rows[0]["instructions"])]


def derived_texts(rows: Sequence[Row]) -> dict[str, str]:
    """Returns the tables of the records, two for each machine."""
    parts = []
    for name in dict.fromkeys(row["instructions"] for row in rows):
        mine = [row for row in rows if row["instructions"] == name]
        note = (
            f"{machine_of(mine[0])}; {mine[0]['threads']} threads, "
            f"{mine[0]['raw_bytes']:,} bytes; medians in turns, models loaded, kernels compiled."
        )
        engine = [
            row for row in mine if row.get("codec", speed_codecs.DEFAULT) in speed_codecs.OURS
        ]
        parts.append(markdown_of(engine, note, COLUMNS))
        if codecs := [row for row in mine if "codec" in row]:
            parts.append(speed_codecs.table(codecs))
    return {"table.md": "\n".join(parts)}


if __name__ == "__main__":
    main()
