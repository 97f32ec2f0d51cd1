"""Where does the time of a step go?

    python -m experiments.step_profile [--quick]

The default model on one thread, behind a context that fills its windows: each part of the engine,
called on its own, the adaptive stage and the coder are timed, for an encoder's block and for a
decoder's step of 16 lanes and of one. The engine itself makes one compiled call of all its parts
where PyTorch takes no part in it: the table shows what that takes.
"""

from __future__ import annotations

import collections
import functools
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import click
import numpy as np
import numpy.typing as npt

from experiments.support.predictions import predictions
from experiments.support.records import Row, identified, result_folder, write_results
from experiments.support.tables import markdown_of
from lmcompress import corpora
from lmcompress.adaptive import AdaptiveStage
from lmcompress.benchmark.provenance import instructions
from lmcompress.codec.config import CodecConfig
from lmcompress.codec.lanes import LaneLayout, block_steps
from lmcompress.codec.session import Session
from lmcompress.gpt.cpu.engine import CpuEngine
from lmcompress.gpt.cpu.model import cpu_model
from lmcompress.gpt.cpu.plan import Plan
from lmcompress.gpt.engine import Outputs
from lmcompress.models.store import DEFAULT_MODEL, Model, load_model
from lmcompress.range_coder import Freqs, RangeEncoder
from lmcompress.range_decoder import RangeDecoder

NAME = "step_profile"
COLUMNS = ("way", "part", "us a byte", "share")
CORPUS = "text/wikitext-2-test.txt"
CONTEXT = 1024
WAYS = {"encode, 16 lanes": (16, 0), "decode, 16 lanes": (16, 1), "decode, 1 lane": (1, 1)}
"""Lanes, and steps at once; 0 is the encoder's own number."""
PARTS = {
    "embed_tokens": "embedding",
    "embed_ngrams": "embedding",
    "add_norm_quantize": "norms, quantization",
    "product": "products",
    "_int_mm": "products",  # PyTorch's, where that is faster
    "attend": "attention",
    "activate_quantize": "activation, quantization",
    "freqs_from_logits": "logits to frequencies",
}
WHOLE = "the GPT's parts as the engine calls them"
Seconds = dict[str, float]


class _Clock:
    """Adds up what named calls take."""

    def __init__(self) -> None:
        self.seconds: Seconds = collections.defaultdict(float)

    def timed(self, name: str, call: Callable[..., Any], *args: Any) -> Any:
        """Calls, and adds the time to the name's."""
        started = time.perf_counter()
        found = call(*args)
        self.seconds[name] += time.perf_counter() - started
        return found


def part_of(call: functools.partial[Any], attend: Callable[..., Any]) -> str:
    """Returns which part of a step an engine's call is."""
    return PARTS["attend" if call.func is attend else call.func.__name__]


def engine_seconds(engine: CpuEngine, tokens: npt.NDArray[np.int64]) -> Seconds:
    """Returns the seconds of each part of a pass over tokens (lanes, steps), and of all at once."""
    clock, whole, [state] = _Clock(), _Clock(), engine.states
    plan = Plan(engine.model, state, tokens.shape[1], has_output=True)
    plan.calls = [
        functools.partial(clock.timed, part_of(call, engine.model.attend), call)  # type: ignore[arg-type]
        for call in plan.calls
    ]
    whole.timed("plan", plan.run, tokens, Outputs(freqs=_rows(tokens)))
    rest = whole.seconds["plan"] - sum(clock.seconds.values())
    whole.timed("call", engine.predict, tokens)
    return {**clock.seconds, PARTS["freqs_from_logits"]: rest, WHOLE: whole.seconds["call"]}


def _rows(tokens: npt.NDArray[np.int64]) -> Freqs:
    return np.empty((tokens.shape[1], tokens.shape[0], 256), np.float32)


def warm_engine(model: Model, lanes: int, steps: int, symbols: npt.NDArray[np.uint8]) -> CpuEngine:
    """Returns an engine that has read the first symbols of each lane."""
    assert model.weights is not None
    engine = CpuEngine(cpu_model(model.weights), lanes, max(steps, 64), 1)
    for start in range(0, CONTEXT, 64):
        engine.predict(symbols[:, start : start + 64].astype(np.int64))
    return engine


def stage_seconds(
    raw: bytes, model: Model, lanes: int, way: str
) -> Iterator[tuple[str, float, int]]:
    """Yields the seconds of the stage and of the coder over raw, and how many bytes they took.

    All lanes are equally long.
    """
    session = Session(model, CodecConfig(device="cpu", threads=1))
    symbols = session.symbols_of(raw)
    lengths = session.lane_bytes(symbols, lanes)
    told = list(predictions(session, symbols, lanes))
    encoder, stage, clock = RangeEncoder(), AdaptiveStage(lengths), _Clock()
    for rounds in told:
        bits, freqs = clock.timed("adaptive stage", stage.predict, rounds)
        clock.timed("coder", encoder.encode, bits, freqs)
    if way.startswith("decode"):
        stage, clock = AdaptiveStage(lengths), _Clock()
        decoder = RangeDecoder(encoder.payload())
        for rounds in told:
            for freqs in rounds.freqs.reshape(-1, lanes, 256):
                clock.timed("stage and coder", stage.decode, decoder, rounds.lanes[:lanes], freqs)
    for name, seconds in clock.seconds.items():
        yield name, seconds, len(raw)


def profile(raw: bytes, model: Model, way: str, repeats: int) -> list[dict[str, Any]]:
    """Returns a row for each part: median microseconds a byte, and its share."""
    lanes, steps = WAYS[way]
    steps = steps or block_steps(lanes, 1)
    symbols = LaneLayout(len(raw), lanes).split(np.frombuffer(raw, np.uint8))
    engine = warm_engine(model, lanes, steps, symbols)
    block = symbols[:, CONTEXT : CONTEXT + steps].astype(np.int64)
    passes = [engine_seconds(engine, block) for _ in range(repeats)]
    engine.close()
    micros = {
        part: statistics.median(p[part] for p in passes) / block.size * 1e6 for part in passes[0]
    }
    for name, seconds, count in stage_seconds(raw[: 1000 * lanes], model, lanes, way):
        micros[name] = seconds / count * 1e6
    whole = micros.pop(WHOLE)
    total = sum(micros.values())
    rows = [
        {"way": way, "part": part, "us a byte": round(found, 2), "share": round(found / total, 3)}
        for part, found in micros.items()
    ]
    return [*rows, {"way": way, "part": WHOLE, "us a byte": round(whole, 2), "share": None}]


def derived_texts(rows: Sequence[Row]) -> dict[str, str]:
    """Returns the table of the records."""
    note = (
        f"One thread, {rows[0]['instructions']}; medians; a context of {CONTEXT} bytes. The last "
        "line of each way times the GPT's parts in one call, without a clock around each."
    )
    return {"table.md": markdown_of(rows, note, COLUMNS)}


@click.command()
@click.option("--quick", is_flag=True, help="A few repeats, into results/quick.")
def main(quick: bool) -> None:
    """Times each part of an encoder's block and of a decoder's step."""
    with result_folder(NAME, quick) as folder:
        model, raw = load_model(DEFAULT_MODEL), corpora.load(CORPUS)[:200_000]
        rows = []
        for way in WAYS:
            profile(raw, model, way, 1)  # compiles and warms
            rows += profile(raw, model, way, 5 if quick else 50)
        more = {"corpus": CORPUS, "raw_bytes": len(raw), "instructions": instructions()}
        records = [{**row, **more} for row in rows]
        write_results(NAME, identified(records, model), folder, derived_texts)
        click.echo((folder / "table.md").read_text("utf-8"))


if __name__ == "__main__":
    main()
