"""Everything that needs a GPU: are the bits the same as on the CPU, and how fast is it?

    python -m experiments.gpu [--quick] [--seconds N]

First the default model compresses a text on both devices, each decodes the other's file, and one
network is timed. Then come the tests of the GPU, the files of the other installed models, and
speeds of networks of the default's shape with random weights, which cost the same, with the pure
int8 and bf16 products of each and its bf16 forward pass beside.

Each measurement is written when it is made. What fails is written down as well, and reported at the
end. A run that is ended, or that --seconds ends, goes on where it stopped when it is started again
on the same commit and GPU; what failed is tried again.
"""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import math
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import torch

import lmcompress
from experiments.support.gpu_networks import NETWORKS
from experiments.support.gpu_timing import engine_speeds, kernel_times, rooflines
from experiments.support.measurements import Measure, Measurements
from experiments.support.records import result_folder
from experiments.support.tables import markdown_of, write_texts
from lmcompress import CodecConfig, corpora
from lmcompress.models.store import DEFAULT_MODEL, folders, load_model

NAME = "gpu"
CORPUS = "canterbury/alice29.txt"
LANES = (256, 1024, 64, 4096)
"""Of the networks; what matters most comes first, for time may run out."""
_FILE_BYTES, _FILE_LANES = 50_000, 64
_LIMITS = ("int8_products", "bf16_products", "bf16_forward")


def files_of(name: str, raw: bytes, lanes: int) -> dict[str, Any]:
    """Makes a file on each device, compares them, decodes each on the other device.

    Raises:
      ValueError: If a bit differs.
    """
    model = load_model(name)
    on = {device: CodecConfig(lanes=lanes, device=device) for device in ("cpu", "cuda")}
    frames = {device: lmcompress.compress(raw, model, config) for device, config in on.items()}
    for device, maker in (("cpu", "cuda"), ("cuda", "cpu")):
        if lmcompress.decompress(frames[maker], model, on[device]) != raw:
            raise ValueError(f"made on {maker}, {device} decodes something else")
    if frames["cpu"] != frames["cuda"]:
        raise ValueError("the devices make different files")
    return {
        "model": name,
        "corpus": CORPUS,
        "raw_bytes": len(raw),
        "compressed_bytes": len(frames["cuda"]),
        "lanes": lanes,
        "fingerprint": model.fingerprint.hex(),
        "equal_files": True,
    }


def file_speeds(raw: bytes, lanes: int, adaptive: bool) -> dict[str, Any]:
    """Returns bytes a second of the default model on whole files, the second time each."""
    model = load_model(DEFAULT_MODEL)
    config = CodecConfig(lanes=lanes, device="cuda", adaptive=adaptive)
    for _ in range(2):
        started = time.perf_counter()
        frame = lmcompress.compress(raw, model, config)
        compressed = time.perf_counter()
        back = lmcompress.decompress(frame, model, config)
        finished = time.perf_counter()
    if back != raw:
        raise ValueError("the file does not come back")
    return {
        "model": DEFAULT_MODEL,
        "corpus": CORPUS,
        "raw_bytes": len(raw),
        "compressed_bytes": len(frame),
        "lanes": lanes,
        "adaptive": adaptive,
        "compress_bytes_per_second": len(raw) / (compressed - started),
        "decompress_bytes_per_second": len(raw) / (finished - compressed),
    }


def run_tests(seconds: float) -> dict[str, Any]:
    """Runs the tests of the GPU, on all cores if pytest can.

    Raises:
      RuntimeError: If one fails.
      subprocess.TimeoutExpired: If they take longer.
    """
    root = Path(__file__).resolve().parent.parent
    command = [sys.executable, "-m", "pytest", "-q", "-W", "default", "-p", "no:cacheprovider"]
    if importlib.util.find_spec("xdist"):
        command += ["-n", "auto"]
    command += ["tests/gpt/cuda", "--ignore", "tests/gpt/cuda/test_compiled_code.py"]
    timeout = None if math.isinf(seconds) else max(1.0, seconds)
    result = subprocess.run(command, cwd=root, stdout=subprocess.PIPE, text=True, timeout=timeout)
    click.echo(result.stdout, err=True)
    last = result.stdout.strip().splitlines()[-1]
    if result.returncode:
        raise RuntimeError(f"the GPU gives other bits than the CPU, or fails: {last}")
    return {"tests": last}


def covered_models() -> list[str]:
    """Returns the names of the installed models that the kernels cover, except the default."""
    from lmcompress.gpt.cuda.weights import not_covered

    names = []
    for name in sorted(set(folders()) - {DEFAULT_MODEL}):
        weights = load_model(name).weights
        if weights is not None and not not_covered(weights.config):
            names.append(name)
    return names


def planned(measured: Measurements, raw: bytes, *, quick: bool) -> list[tuple[str, Measure]]:
    """Returns all measurements by name, the one that shows most first."""
    part = functools.partial
    text, first = raw[:_FILE_BYTES], next(iter(NETWORKS))
    plan: list[tuple[str, Measure]] = [
        (f"files of {DEFAULT_MODEL}", part(files_of, DEFAULT_MODEL, text, _FILE_LANES)),
        *_speeds_of(first, LANES[:2]),
        (f"kernels of {first}", part(kernel_times, first, LANES[0])),
        *(
            (f"whole files, adaptive {adaptive}", part(file_speeds, raw, LANES[0], adaptive))
            for adaptive in (True, False)
        ),
        ("tests", lambda: run_tests(measured.seconds_left)),
    ]
    if quick:
        return plan
    plan += [
        (f"files of {name}", part(files_of, name, text, _FILE_LANES)) for name in covered_models()
    ]
    for name in (first, list(NETWORKS)[-1], *list(NETWORKS)[1:-1]):  # the extremes first
        plan += [*_speeds_of(name, LANES), (f"rooflines of {name}", part(rooflines, name))]
    return list(dict(plan).items())


def _speeds_of(name: str, lane_counts: Sequence[int]) -> list[tuple[str, Measure]]:
    return [(f"{name}, {n} lanes", functools.partial(engine_speeds, name, n)) for n in lane_counts]


def table_rows(measured: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns rows of the table: thousands of tokens a second, and fractions of the rooflines."""
    limits = {row["network"]: row for row in measured if f"{_LIMITS[0]}_tokens_per_second" in row}
    rows = []
    for row in measured:
        if not row.get("fits"):
            continue
        limit = limits.get(row["network"], {})
        speeds = {way: row[f"{way}_tokens_per_second"] for way in ("encode", "decode")}
        most = {kind: limit.get(f"{kind}_tokens_per_second") for kind in _LIMITS}
        int8 = most["int8_products"]
        rows.append(
            {
                "network": row["network"],
                "parameters": f"{row['parameters'] / 1e6:.1f}M",
                "lanes": row["lanes"],
                **{way: round(speed / 1000, 1) for way, speed in speeds.items()},
                **{
                    kind.replace("_", " "): value and round(value / 1000, 1)
                    for kind, value in most.items()
                },
                **{
                    f"{way} of int8 products": int8 and round(speed / int8, 3)
                    for way, speed in speeds.items()
                },
            }
        )
    return rows


def _about() -> dict[str, Any]:
    return {
        "device": torch.cuda.get_device_name(),
        "torch_version": torch.__version__,
        "triton_version": importlib.metadata.version("triton"),
        "python_version": platform.python_version(),
    }


def _write_table(measured: Measurements, folder: Path) -> None:
    rows = table_rows(measured.rows)
    if not rows:
        return
    about = measured.rows[0]
    equal = sum("equal_files" in row for row in measured.rows)
    note = (
        f"{about['device']}, PyTorch {about['torch_version']}; thousands of tokens a second, the "
        f"engine alone. Models that made the same files on both devices: {equal}."
    )
    write_texts({"table.md": markdown_of(rows, note)}, folder)


@click.command()
@click.option("--quick", is_flag=True, help="The default network alone, into results/quick.")
@click.option(
    "--seconds",
    type=click.FloatRange(min=0),
    default=math.inf,
    help="Begin no measurement after so many seconds; start again to go on.",
)
def main(quick: bool, seconds: float) -> None:
    """Checks a GPU's bits against the CPU's and measures its speed."""
    if not torch.cuda.is_available():
        raise click.ClickException("no CUDA device here: run this on a machine with an NVIDIA GPU")
    if importlib.util.find_spec("triton") is None:
        raise click.ClickException("found no Triton, which the kernels need: pip install triton")
    with result_folder(NAME, quick) as folder:
        raw = corpora.load(CORPUS)  # before anything is measured: there may be no network
        measured = Measurements(NAME, folder, _about(), seconds)
        left = measured.take(planned(measured, raw, quick=quick))
        _write_table(measured, folder)
    if measured.failures:
        raise click.ClickException("\n".join(["what failed:", *measured.failures]))
    if left:
        raise click.ClickException(f"the time is up; measurements left: {left}. Start it again")


if __name__ == "__main__":
    main()
