"""Which device `auto` takes, and what a GPU's segments have in common with a processor's."""

from __future__ import annotations

import pytest

import lmcompress
from lmcompress import CodecConfig
from lmcompress.codec import session as session_module
from lmcompress.codec.encoder import SegmentEncoder
from lmcompress.codec.memory import memory_needed
from lmcompress.codec.session import MIN_GPU_BYTES, Session
from lmcompress.gpt.cuda import select
from lmcompress.gpt.quantization import ExactWeights
from lmcompress.gpt.reference_engine import TorchEngine
from lmcompress.models.store import Model, load_model

TEXT = b"It was the best of times, it was the worst of times; the age of wisdom. " * 40


@pytest.fixture
def gpu_engines(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Stands in for a GPU whose kernels run; holds the lanes of each engine that it was given."""
    lanes_of_engines: list[int] = []

    def engine(weights: ExactWeights, lanes: int, max_steps: int, device: str) -> TorchEngine:
        assert device == "cuda"
        lanes_of_engines.append(lanes)
        return TorchEngine(weights, "cpu", max_steps)

    monkeypatch.setattr(session_module, "has_gpu", lambda: True)
    monkeypatch.setattr(select, "gpu_model", lambda *_: (object(), ""))
    monkeypatch.setattr(select, "gpu_engine", engine)
    return lanes_of_engines


@pytest.mark.usefixtures("gpu_engines")
def test_auto_takes_a_gpu_for_large_segments_only(tiny_model: Model) -> None:
    session = Session(tiny_model)

    assert session.for_segment(MIN_GPU_BYTES - 1).device == "cpu"
    assert session.for_segment(MIN_GPU_BYTES).device == "cuda"


@pytest.mark.usefixtures("gpu_engines")
def test_auto_takes_no_gpu_whose_kernels_do_not_run(
    tiny_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(select, "gpu_model", lambda *_: (None, "Triton is not installed"))

    assert Session(tiny_model).for_segment(1 << 30).device == "cpu"


@pytest.mark.usefixtures("gpu_engines")
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_device_that_was_asked_for_takes_segments_of_all_sizes(
    tiny_model: Model, device: str
) -> None:
    session = Session(tiny_model, CodecConfig(device=device))

    assert [session.for_segment(size).device for size in (1, 1 << 30)] == [device, device]


@pytest.mark.usefixtures("gpu_engines")
def test_without_a_network_there_is_nothing_for_a_gpu_to_do() -> None:
    assert Session(load_model("none")).for_segment(1 << 30).device == "cpu"


def test_a_small_file_does_not_look_for_a_gpu(
    tiny_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "has_gpu", lambda: pytest.fail("it takes seconds"))

    frame = lmcompress.compress(TEXT, tiny_model)

    assert lmcompress.decompress(frame) == TEXT


def test_large_segments_of_a_file_go_to_the_gpu_and_come_back(
    tiny_model: Model, gpu_engines: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "MIN_GPU_BYTES", 1000)
    config = CodecConfig(lanes=3, segment_bytes=1000, threads=2)

    frame = lmcompress.compress(TEXT, tiny_model, config)

    assert gpu_engines == [3, 3]  # of 2,880 bytes; the last 880 are for the processor
    assert lmcompress.decompress(frame, config=CodecConfig(threads=2)) == TEXT
    assert gpu_engines == [3] * 4
    on_cpu = CodecConfig(lanes=3, segment_bytes=1000, device="cpu")
    assert frame == lmcompress.compress(TEXT, tiny_model, on_cpu)


@pytest.mark.usefixtures("gpu_engines")
def test_segments_share_a_gpu_side_by_side(tiny_model: Model) -> None:
    config = CodecConfig(device="cuda", segment_bytes=1 << 21, threads=2)

    assert SegmentEncoder(Session(tiny_model, config)).most_at_once == 2


@pytest.mark.usefixtures("gpu_engines")
def test_what_a_gpu_holds_does_not_count_as_the_processors_memory(token_model: Model) -> None:
    of_cpu, of_gpu = (Session(token_model, CodecConfig(device=d)) for d in ("cpu", "cuda"))

    assert memory_needed(of_gpu, 256, 1 << 20, 1) < memory_needed(of_cpu, 256, 1 << 20, 1)
