"""Everything that needs a GPU, in one run: are the bits the same as on the CPU, and how fast is it?

    python -m experiments.gpu [--quick]

First come the tests marked `gpu`. Then every installed model compresses a text on both devices, and
each device decodes the other's file. Then come speeds, of networks of the default's shape with
random weights, which cost the same: of the engine alone, in thousands of tokens (bytes, except for
the last network) per second, behind a full window, encoding in blocks and decoding step by step,
with the frequencies copied to the host (a vocabulary of 49,152 leaves them on the device). The same
run measures the pure int8 and bf16 matrix products of the network, and its bf16 forward pass with
scaled_dot_product_attention.
"""

from __future__ import annotations

import dataclasses
import functools
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

import lmcompress
from experiments.support.records import result_folder, write_records
from experiments.support.tables import write_table
from lmcompress import CodecConfig, corpora
from lmcompress.codec.lanes import block_steps
from lmcompress.gpt.config import GPTConfig
from lmcompress.gpt.network import GPT
from lmcompress.gpt.quantization import ExactWeights, expected_arrays
from lmcompress.models.store import folders, load_model

NAME = "gpu"
CORPUS = "text/wikitext-2-test.txt"
LANES = (64, 256, 1024, 4096)
ROWS = 8192
"""Rows of a roofline's products."""
FULL = 1024
"""Tokens before the first measured one: every window is full."""
_STREAM: dict[str, Any] = {
    "context_length": 1024, "rotary_period": 2048, "activation": "relu2", "qk_norm": True,
    "norm_gain": False,
}  # fmt: skip


def _banded(n_layer: int, n_embd: int, *windows: int) -> GPTConfig:
    bands = windows or (512,) * n_layer
    return GPTConfig(
        n_layer=n_layer, n_embd=n_embd, n_head=n_embd // 64, attention_windows=bands, **_STREAM
    )


NETWORKS = {
    "default": _banded(4, 256, 64, 128, 256, 512),
    "6M": _banded(5, 320),
    "12M": _banded(7, 384),
    "25M": _banded(8, 512),
    "50M": _banded(10, 640),
    "135M": _banded(19, 768),
    "135M, 49,152 symbols": GPTConfig(
        vocab_size=49_152, n_layer=30, n_head=9, n_kv_head=3, n_embd=576, mlp_hidden=1536,
        context_length=1024, attention_windows=(512,) * 30, rotary_period=2048,
        activation="swiglu", tied=True,
    ),
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Rooflines:
    """What limits a network, in tokens a second."""

    int8_products: float
    bf16_products: float
    bf16_forward: float


def random_exact(config: GPTConfig) -> ExactWeights:
    """Returns random exact weights, without the float network."""
    rng, arrays = np.random.default_rng(0), {}
    for name, (dtype, shape) in expected_arrays(config).items():
        if dtype == "float32":
            arrays[name] = np.full(shape, 1.0 if name.endswith("gain") else 2e-3, np.float32)
        else:
            arrays[name] = rng.integers(-127, 128, shape).astype(dtype)
    return ExactWeights(config, arrays)


def seconds_of(run: Callable[[], Any], repeats: int = 5) -> float:
    """Returns the median time of a run on the device, after two that do not count."""
    run(), run(), run()
    times = []
    for _ in range(repeats):
        torch.cuda.synchronize()
        started = time.perf_counter()
        run()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def product_shapes(config: GPTConfig) -> list[tuple[int, int]]:
    """Returns (width, depth) of each product of a pass; a tied output layer is one too."""
    q, kv = config.n_head * config.head_dim, config.n_kv_head * config.head_dim
    up = config.mlp_hidden * (2 if config.activation == "swiglu" else 1)
    d = config.n_embd
    layer = [(q + 2 * kv, d), (d, q), (up, d), (d, config.mlp_hidden)]
    return layer * config.n_layer + [(config.vocab_size, d)]


def rooflines(config: GPTConfig) -> Rooflines:
    """Measures the pure products of ROWS tokens, and the float network's forward pass."""
    from lmcompress.gpt.cuda.matmul import product_for

    device = torch.device("cuda")
    int8 = bf16 = 0.0
    shapes = product_shapes(config)
    for width, depth in dict.fromkeys(shapes):
        count = shapes.count((width, depth))
        q = torch.ones(ROWS, depth, dtype=torch.int8, device=device)
        weight = torch.ones(width, depth, dtype=torch.int8, device=device)
        out = torch.empty(ROWS, width, dtype=torch.int32, device=device)
        product = product_for(ROWS, width, depth, device)
        int8 += count * seconds_of(functools.partial(product, q, weight, out))
        x, y = q.bfloat16(), weight.bfloat16().T.contiguous()
        bf16 += count * seconds_of(functools.partial(torch.matmul, x, y))
    network = GPT(config).to(device, torch.bfloat16).eval()
    tokens = torch.randint(0, 256, (ROWS // FULL, FULL), device=device)
    with torch.inference_mode():
        forward = seconds_of(lambda: network(tokens))
    return Rooflines(ROWS / int8, ROWS / bf16, ROWS / forward)


def engine_speeds(weights: ExactWeights, lanes: int) -> tuple[float, float]:
    """Returns tokens a second of encoding and decoding; large vocabularies stay on the device."""
    from lmcompress.gpt.cuda.engine import CudaEngine
    from lmcompress.gpt.cuda.select import gpu_model

    model, reason = gpu_model(weights, "cuda")
    if model is None:
        raise click.ClickException(f"the kernels do not run here: {reason}")
    on_device = weights.config.vocab_size > 256
    steps = block_steps(lanes, 1, "cuda")
    tokens = np.random.default_rng(0).integers(0, 256, (lanes, steps))

    def tokens_per_second(steps: int, repeats: int) -> float:
        engine = CudaEngine(model, lanes, steps)
        engine.position = FULL

        def read() -> None:
            for start in range(0, steps, engine.max_steps):
                engine.advance(tokens[:, start : min(start + engine.max_steps, steps)])

        work = read if on_device else lambda: engine.predict(tokens[:, :steps])
        return lanes * steps / seconds_of(work, repeats)

    return tokens_per_second(steps, 5), tokens_per_second(1, 50)


def table_rows(measured: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns rows of the table: thousands of tokens a second, and fractions of the rooflines."""
    return [
        {
            "network": row["network"],
            "parameters": f"{row['parameters'] / 1e6:.1f}M",
            "lanes": row["lanes"],
            "encode": round(row["encode_tokens_per_second"] / 1000, 1),
            "decode": round(row["decode_tokens_per_second"] / 1000, 1),
            **{
                name.replace("_", " "): round(row[f"{name}_tokens_per_second"] / 1000, 1)
                for name in ("int8_products", "bf16_products", "bf16_forward")
            },
            **{
                f"{way} of int8 products": round(
                    row[f"{way}_tokens_per_second"] / row["int8_products_tokens_per_second"], 3
                )
                for way in ("encode", "decode")
            },
        }
        for row in measured
    ]


def measurements(names: Sequence[str], lane_counts: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Yields one measurement for each network and number of lanes that fit into memory."""
    for name in names:
        config = NETWORKS[name]
        limits, weights = rooflines(config), random_exact(config)
        for lanes in lane_counts:
            try:
                encode, decode = engine_speeds(weights, lanes)
            except torch.OutOfMemoryError:
                click.echo(f"{name}, {lanes} lanes: does not fit into memory", err=True)
                continue
            finally:
                torch.cuda.empty_cache()
            click.echo(f"{name}, {lanes} lanes: {encode:.0f} and {decode:.0f} tokens/s", err=True)
            yield {
                "network": name,
                "parameters": config.num_parameters,
                "lanes": lanes,
                "encode_tokens_per_second": encode,
                "decode_tokens_per_second": decode,
                **{f"{k}_tokens_per_second": v for k, v in dataclasses.asdict(limits).items()},
            }


def run_tests() -> str:
    """Runs the tests of the GPU; returns pytest's last line.

    Raises:
      click.ClickException: If one fails.
    """
    tests = ["tests/gpt/cuda"]
    root = Path(__file__).resolve().parent.parent
    command = [sys.executable, "-m", "pytest", "-q", *tests]
    result = subprocess.run(command, cwd=root, stdout=subprocess.PIPE, text=True)
    click.echo(result.stdout, err=True)
    if result.returncode:
        raise click.ClickException("the GPU gives other bits than the CPU, or fails: see above")
    return result.stdout.strip().splitlines()[-1]


def files_of(name: str, raw: bytes, lanes: int) -> dict[str, Any]:
    """Makes a file on each device, compares them, decodes each on the other device."""
    model = load_model(name)
    frames = {}
    for device in ("cpu", "cuda"):
        frames[device] = lmcompress.compress(raw, model, CodecConfig(lanes=lanes, device=device))
    for device, maker in (("cpu", "cuda"), ("cuda", "cpu")):
        if lmcompress.decompress(frames[maker], model, CodecConfig(device=device)) != raw:
            raise click.ClickException(f"{name}: made on {maker}, {device} decodes something else")
    if frames["cpu"] != frames["cuda"]:
        raise click.ClickException(f"{name}: the devices make different files")
    return {
        "model": name,
        "corpus": CORPUS,
        "raw_bytes": len(raw),
        "compressed_bytes": len(frames["cuda"]),
        "lanes": lanes,
        "fingerprint": model.fingerprint.hex(),
        "equal_files": True,
    }


@click.command()
@click.option("--quick", is_flag=True, help="The default and one size, into results/quick.")
def main(quick: bool) -> None:
    """Checks a GPU's bits against the CPU's and measures its speed."""
    if not torch.cuda.is_available():
        raise click.ClickException("no CUDA device here: run this on a machine with an NVIDIA GPU")
    with result_folder(NAME, quick) as folder:
        about = {
            "device": torch.cuda.get_device_name(),
            "torch_version": torch.__version__,
            "tests": run_tests(),
        }
        raw = corpora.load(CORPUS)[: 20_000 if quick else 200_000]
        files = [files_of(name, raw, 64) for name in sorted(folders())]
        names = ["default", "25M"] if quick else list(NETWORKS)
        measured = list(measurements(names, (64, 1024) if quick else LANES))
        write_records(NAME, [{**row, **about} for row in [*files, *measured]], folder)
        note = (
            f"{about['device']}, PyTorch {about['torch_version']}; thousands of tokens a second, "
            f"the engine alone. {len(files)} models made the same files on both devices."
        )
        write_table(table_rows(measured), folder, note)


if __name__ == "__main__":
    main()
