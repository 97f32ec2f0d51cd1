"""The GPU's experiment: its networks, its order, and that a run which is ended goes on."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from experiments import gpu
from experiments.support.gpu_networks import NETWORKS, product_shapes, random_exact
from experiments.support.measurements import Measurements
from experiments.support.records import Row
from lmcompress import load_model
from lmcompress.benchmark.records import read_rows

ABOUT = {"device": "a GPU"}


def measurements(folder: Path, seconds: float = math.inf, about: Row = ABOUT) -> Measurements:
    return Measurements("gpu", folder, about, seconds)


def failing() -> Row:
    raise RuntimeError("ptxas died\nand said why")


def test_it_says_that_it_needs_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    result = CliRunner().invoke(gpu.main, [])

    assert result.exit_code == 1
    assert result.output == (
        "Error: no CUDA device here: run this on a machine with an NVIDIA GPU\n"
    )


def test_each_measurement_is_on_disk_before_the_next_begins(tmp_path: Path) -> None:
    seen: list[int] = []

    def look() -> Row:
        seen.append(len(read_rows(tmp_path / "records.jsonl")))
        return {"value": 1}

    measurements(tmp_path).take([("a", look), ("b", look), ("c", look)])

    assert seen == [0, 1, 2]


def test_what_fails_is_written_down_and_the_others_go_on(tmp_path: Path) -> None:
    found = measurements(tmp_path)

    assert found.take([("a", failing), ("b", lambda: {"value": 2})]) == 0

    assert found.failures == ["a: RuntimeError: ptxas died"]
    rows = read_rows(tmp_path / "records.jsonl")
    assert [(row["measurement"], row.get("value")) for row in rows] == [("a", None), ("b", 2)]


def test_a_run_that_is_started_again_takes_what_is_missing_or_failed(tmp_path: Path) -> None:
    measurements(tmp_path).take([("a", lambda: {"value": 1}), ("b", failing)])
    found = measurements(tmp_path)

    left = found.take(
        [("a", lambda: pytest.fail("it is there")), ("b", lambda: {"value": 2}), ("c", failing)]
    )

    assert (left, found.failures) == (0, ["c: RuntimeError: ptxas died"])
    assert [row.get("value") for row in read_rows(tmp_path / "records.jsonl")] == [1, 2, None]


def test_another_gpus_rows_do_not_count(tmp_path: Path) -> None:
    measurements(tmp_path).take([("a", lambda: {"value": 1})])

    other = measurements(tmp_path, about={"device": "another"})
    other.take([("a", lambda: {"value": 2})])

    assert [row["value"] for row in other.rows] == [2]


def test_no_measurement_begins_when_the_time_is_up(tmp_path: Path) -> None:
    found = measurements(tmp_path, seconds=0)

    assert found.take([("a", lambda: {"value": 1}), ("b", lambda: {"value": 2})]) == 2
    assert found.rows == []


def test_the_smallest_proof_comes_first_and_the_networks_last(tmp_path: Path) -> None:
    pytest.importorskip("triton")
    names = [name for name, _ in gpu.planned(measurements(tmp_path), b"", quick=False)]

    assert names[:3] == ["files of lmc-3m", "default, 256 lanes", "default, 1024 lanes"]
    assert names.index("tests") < names.index("rooflines of default")
    assert len(names) == len(set(names))
    for name in NETWORKS:
        assert {f"{name}, {lanes} lanes" for lanes in gpu.LANES} <= set(names)
        assert f"rooflines of {name}" in names


def test_the_table_has_thousands_of_tokens_and_fractions_of_the_roofline() -> None:
    kinds = {"int8_products": 4e6, "bf16_products": 2e6, "bf16_forward": 5e5}
    limits = {f"{kind}_tokens_per_second": speed for kind, speed in kinds.items()}
    speeds = {"encode_tokens_per_second": 3e6, "decode_tokens_per_second": 1e6}
    sizes = {"parameters": 6_144_000, "lanes": 64}

    [row, alone] = gpu.table_rows(
        [
            {"network": "6M", **sizes, "fits": True, **speeds},
            {"network": "12M", **sizes, "fits": True, **speeds},
            {"network": "25M", **sizes, "fits": False},
            {"network": "6M", **limits},
        ]
    )

    assert (row["parameters"], row["encode"], row["decode"]) == ("6.1M", 3000, 1000)
    assert (row["int8 products"], row["bf16 products"], row["bf16 forward"]) == (4000, 2000, 500)
    assert (row["encode of int8 products"], row["decode of int8 products"]) == (0.75, 0.25)
    assert alone["encode of int8 products"] is None


@pytest.mark.parametrize("name", NETWORKS)
def test_the_networks_have_the_size_that_they_are_named_after(name: str) -> None:
    config = NETWORKS[name]
    named = (
        load_model().weights.config.num_parameters
        if name == "default"
        else (int(name.split("M")[0]) * 1_000_000)
    )

    assert config.num_parameters == pytest.approx(named, rel=0.06)
    assert config.streams


def test_the_products_are_the_networks() -> None:
    config = NETWORKS["default"]

    weights = random_exact(config)

    linears = ("qkv.q", "proj.q", "up.q", "down.q", "output.q")
    shapes = [a.shape for k, a in weights.arrays.items() if k.endswith(linears)]
    assert sorted(product_shapes(config)) == sorted(shapes)
