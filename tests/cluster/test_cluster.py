"""Any nodes of a cluster make the file that one process makes, or are named and left out."""

from __future__ import annotations

import dataclasses
import functools
import io
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import lmcompress
from lmcompress import ClusterError, CodecConfig, LmcompressError
from lmcompress.benchmark import on_cluster
from lmcompress.benchmark.harness import run_benchmark
from lmcompress.cluster import worker
from lmcompress.cluster.compress import compress_on_cluster
from lmcompress.cluster.decompress import decompress_on_cluster
from lmcompress.cluster.experiments import packed, run_on_cluster
from lmcompress.cluster.job import Job, new_job
from lmcompress.cluster.pool import Pool
from lmcompress.cluster.score import score_on_cluster
from lmcompress.columns.work import ColumnWork
from lmcompress.models.store import Model, load_model

ray = pytest.importorskip("ray", reason="the tests of clusters need ray: pip install '.[cluster]'")
pytestmark = [pytest.mark.cluster, pytest.mark.filterwarnings("ignore")]  # those of ray

CONFIG = CodecConfig(segment_bytes=2000)
RAW = b"".join(b"%d sheep, and %d more; " % (i, i * i % 97) for i in range(900))
STORE_BYTES = 80 << 20
A_RECORD = f"*/{'[0-9a-f]' * 32}.*"


class Nodes:
    """Two nodes on this machine; the second one's kernels use other instructions."""

    def __init__(self, **system: Any) -> None:
        from ray.cluster_utils import Cluster

        settings = {
            "num_cpus": 1,
            "object_store_memory": STORE_BYTES,
            "include_dashboard": False,
            "_system_config": system,
        }
        self.cluster = Cluster(initialize_head=True, head_node_args=settings)
        old = {"NUMBA_CPU_NAME": "nehalem"}
        self.second: Any = self.cluster.add_node(
            num_cpus=1, object_store_memory=STORE_BYTES, env_vars=old
        )
        ray.init(address=self.cluster.address, log_to_driver=False, logging_level=logging.ERROR)

    def stop(self) -> None:
        ray.shutdown()
        self.cluster.shutdown()


@pytest.fixture
def nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Nodes]:
    monkeypatch.setattr("lmcompress.cluster.compress.cache_home", lambda: tmp_path / "cache")
    found = Nodes()
    yield found
    found.stop()


def compressed(**settings: Any) -> bytes:
    sink = io.BytesIO()
    model, config = load_model("none"), settings.pop("config", CONFIG)
    compress_on_cluster(io.BytesIO(RAW), sink, model, config, address="auto", **settings)
    return sink.getvalue()


def test_two_nodes_with_other_instructions_make_score_and_read_the_same_file(nodes: Nodes) -> None:
    expected = lmcompress.compress(RAW, "none", CONFIG)
    done: list[int] = []

    assert compressed(progress=done.append, audit=1.0) == expected
    assert sum(done) == len(RAW)

    scored = score_on_cluster(RAW, load_model("none"), CONFIG, address="auto")
    assert scored == lmcompress.score(RAW, "none", CONFIG)

    sink = io.BytesIO()
    assert decompress_on_cluster(io.BytesIO(expected), sink, address="auto") == len(RAW)
    assert sink.getvalue() == RAW


def test_a_gpt_that_no_node_has_installed_makes_and_reads_the_same_file(
    nodes: Nodes, tiny_model: Model
) -> None:
    expected = lmcompress.compress(RAW, tiny_model, CONFIG)
    made, back = io.BytesIO(), io.BytesIO()

    compress_on_cluster(io.BytesIO(RAW), made, tiny_model, CONFIG, address="auto", audit=1.0)
    decompress_on_cluster(io.BytesIO(expected), back, model=tiny_model, address="auto")

    assert made.getvalue() == expected
    assert back.getvalue() == RAW


def test_a_node_that_dies_costs_no_byte(nodes: Nodes) -> None:
    finished = 0

    def kill_soon(count: int) -> None:
        nonlocal finished
        finished += count
        if nodes.second and finished > 4000:
            nodes.cluster.remove_node(nodes.second, allow_graceful=False)
            nodes.second = None

    assert compressed(progress=kill_soon) == lmcompress.compress(RAW, "none", CONFIG)
    assert nodes.second is None


class StoppedError(Exception):
    """The driver was killed."""


def test_a_driver_that_was_stopped_computes_no_finished_segment_again(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished: list[int] = []

    def stop_after_five(count: int) -> None:
        finished.append(count)
        if len(finished) == 5:
            raise StoppedError

    with pytest.raises(StoppedError):
        compressed(progress=stop_after_five)

    given: list[bytes] = []
    start = Pool.start
    monkeypatch.setattr(Pool, "start", lambda *a, **k: given.append(a[-1]) or start(*a, **k))
    assert compressed() == lmcompress.compress(RAW, "none", CONFIG)
    size = CONFIG.segment_bytes
    assert given == [RAW[i : i + size] for i in range(5 * size, len(RAW), size)]


def test_a_driver_that_was_killed_computes_no_finished_segment_again(
    nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, size = tmp_path / "raw", 200
    path.write_bytes(RAW)
    command = [sys.executable, "-m", "lmcompress", "compress", "-m", "none", str(path)]
    command += ["--segment-bytes", str(size), "--cluster", nodes.cluster.address]
    records = tmp_path / "cache" / "lmcompress" / "cluster"
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    with subprocess.Popen(command, env=environment) as driver:
        while len(list(records.glob(A_RECORD))) < 5 and driver.poll() is None:
            time.sleep(0.02)
        driver.kill()
    assert driver.returncode == -signal.SIGKILL
    assert not path.with_suffix(".lmc").exists()
    finished = list(records.glob(A_RECORD))

    given: list[bytes] = []
    start = Pool.start
    monkeypatch.setattr(Pool, "start", lambda *a, **k: given.append(a[-1]) or start(*a, **k))
    monkeypatch.setattr("lmcompress.cluster.compress.cache_home", lambda: records.parent)
    config = CodecConfig(segment_bytes=size)
    assert compressed(config=config) == lmcompress.compress(RAW, "none", config)
    assert len(given) == -(-len(RAW) // size) - len(finished)


def lying_on(liar: str) -> Any:
    """Returns a worker that compresses other bytes on one node."""

    def lie(job: Job, files: Any, raw: bytes) -> tuple[str, bytes]:
        node = ray.get_runtime_context().get_node_id()
        if node != liar:
            return worker.compress(job, files, raw)
        return node, worker.compress(job, files, raw[::-1])[1]

    return lie


def test_an_audit_finds_a_node_that_lies_and_computes_its_segments_elsewhere(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    liar = nodes.second.node_id
    from lmcompress.cluster import audit, compress

    double = dataclasses.make_dataclass("Double", ["compress"])(lying_on(liar))
    monkeypatch.setattr(compress, "worker", double)
    monkeypatch.setattr(audit, "worker", double)

    assert compressed(audit=0.5) == lmcompress.compress(RAW, "none", CONFIG)
    assert f"left out node {liar[:8]}" in caplog.text
    assert "wrong bytes" in caplog.text


def test_a_node_that_decompresses_wrong_bytes_is_left_out(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    liar = nodes.second.node_id

    def lie(*arguments: Any) -> tuple[str, bytes]:
        node, raw = worker.decompress(*arguments)
        return node, raw[::-1] if node == liar else raw

    from lmcompress.cluster import decompress

    double = dataclasses.make_dataclass("Double", ["decompress"])(lie)
    monkeypatch.setattr(decompress, "worker", double)
    sink = io.BytesIO()

    frame = lmcompress.compress(RAW, "none", CONFIG)
    decompress_on_cluster(io.BytesIO(frame), sink, address="auto")

    assert sink.getvalue() == RAW
    assert f"left out node {liar[:8]}" in caplog.text


def test_a_node_with_another_version_gets_no_work(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def job_of_another(*args: Any) -> Job:
        return dataclasses.replace(new_job(*args), version="9.9")

    monkeypatch.setattr("lmcompress.cluster.compress.new_job", job_of_another)

    with pytest.raises(ClusterError, match=r"no node is left; .* this machine 9\.9: install"):
        compressed()


def test_a_node_that_gives_another_answer_gets_no_work(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def job_of_another(*args: Any) -> Job:
        return dataclasses.replace(new_job(*args), known_answer=b"other")

    monkeypatch.setattr("lmcompress.cluster.compress.new_job", job_of_another)

    with pytest.raises(ClusterError, match="it compresses a known text to other bytes"):
        compressed()


def test_a_full_store_is_named() -> None:
    full = {"automatic_object_spilling_enabled": False, "local_fs_capacity_threshold": 0.001}
    nodes = Nodes(**full, local_fs_monitor_interval_ms=50)
    pool = Pool(ray)
    try:
        with pytest.raises(ClusterError, match=r"object store is full.*--segment-bytes"):
            _kept = [pool.put(bytes(STORE_BYTES // 4)) for _ in range(20)]
    finally:
        nodes.stop()


def test_rows_of_a_benchmark_have_the_sizes_of_one_process(nodes: Nodes, tiny_model: Model) -> None:
    models, config = [str(tiny_model.folder), "none"], CodecConfig(threads=1)

    found = on_cluster.run_on_cluster({"sheep": RAW}, ["gzip"], models, config, address="auto")

    expected = run_benchmark({"sheep": RAW}, ["gzip"], models, config)
    assert [row.key for row in found] == [row.key for row in expected]
    assert [r.compressed_bytes for r in found] == [r.compressed_bytes for r in expected]


def test_columns_become_the_ones_that_one_process_makes(nodes: Nodes) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    batch = pyarrow.RecordBatch.from_pylist([{"id": i, "text": f"sheep {i}"} for i in range(99)])
    made = []

    for cluster in (None, "auto"):
        work = ColumnWork(["text"], load_model("none"), CodecConfig(), cluster)
        made.append(list(work.compressed(iter([batch.slice(0, 50), batch.slice(50)]), [])))

    assert made[0] == made[1]


CHECKOUT = {
    "lmcompress/__init__.py": "",
    "pyproject.toml": "",
    "experiments/__init__.py": "",
    "experiments/first.py": "from pathlib import Path\n"
    "folder = Path('results/first')\n"
    "folder.mkdir(parents=True, exist_ok=True)\n"
    "with (folder / 'rows').open('a') as file: file.write('row\\n')\n",
    "experiments/second.py": "from pathlib import Path\n"
    "Path('results/second').mkdir(parents=True)\n"
    "Path('results/second/count').write_text(Path('results/first/rows').read_text())\n",
    "experiments/third.py": "raise SystemExit('no such luck')\n",
}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    root = tmp_path / "checkout"
    for name, text in CHECKOUT.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    for command in ("init -q", "add .", "-c user.name=a -c user.email=b commit -qm c"):
        subprocess.run(["git", "-C", str(root), *command.split()], check=True)
    return root


def test_experiments_run_on_nodes_and_what_they_write_comes_back(
    nodes: Nodes, checkout: Path
) -> None:
    names, reads = ["second", "third", "first"], {"second": ("first",)}
    run = functools.partial(run_on_cluster, checkout, names, reads, quick=False, address="auto")

    outcomes = {outcome.name: outcome for outcome in run()}

    assert list(outcomes) == ["third", "first", "second"]
    assert outcomes["third"].code == 1
    assert outcomes["third"].last_lines == "no such luck"
    assert (checkout / "results/second/count").read_text() == "row\n"
    list(run())
    assert (checkout / "results/first/rows").read_text() == "row\nrow\n", "it resumes"


def test_a_checkout_with_changes_is_not_sent(checkout: Path) -> None:
    (checkout / "experiments/first.py").write_text("")

    with pytest.raises(LmcompressError, match=r"has changes \(.*first\.py\).*: commit them"):
        packed(checkout)


def test_a_cluster_that_does_not_answer_is_named() -> None:
    with pytest.raises(ClusterError, match=r"cannot connect to a Ray cluster at 127\.0\.0\.1:9"):
        compress_on_cluster(
            io.BytesIO(RAW), io.BytesIO(), load_model("none"), CONFIG, address="127.0.0.1:9"
        )
