"""Threads follow from pass to pass, sleep in between, hand on their errors, and end."""

from __future__ import annotations

import gc
import threading
import time

import numpy as np
import pytest

from lmcompress.gpt.cpu import workers
from lmcompress.gpt.cpu.engine import CpuEngine
from lmcompress.gpt.cpu.model import CpuModel
from tests.support.exactness import random_tokens, random_weights, run


@pytest.fixture(scope="module")
def model() -> CpuModel:
    return CpuModel(random_weights("default-like"))


def worker_threads() -> int:
    return sum(thread.name == "lmcompress-worker" for thread in threading.enumerate())


@pytest.mark.parametrize("pause", [0, 0.0005, 0.001, 0.02], ids="{}s".format)
def test_passes_are_equal_whether_threads_spin_or_sleep_between_them(
    pause: float, model: CpuModel
) -> None:
    tokens = random_tokens(5)
    expected = run(CpuEngine(model, 5, 40, 1), tokens, [40])
    engine, found = CpuEngine(model, 5, 1, 3), []

    for step in range(40):
        found.append(engine.predict(tokens[:, step : step + 1]))
        time.sleep(pause)

    assert np.array_equal(np.concatenate(found), expected)


def test_an_error_of_a_thread_is_the_callers_and_the_next_pass_goes_on(
    model: CpuModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = random_tokens(2)
    expected = run(CpuEngine(model, 2, 40, 1), tokens, [40])
    engine = CpuEngine(model, 2, 40, 2)

    def fail(*_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(engine._forwards[1], "kernel", fail)
        with pytest.raises(MemoryError):
            engine.predict(tokens)
    engine.reset()

    assert np.array_equal(engine.predict(tokens), expected)


def test_an_interrupt_while_workers_are_woken_ends_the_pass(
    model: CpuModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = CpuEngine(model, 2, 40, 2)
    wake, calls = workers._Worker.wake, []

    def interrupted_once(worker: workers._Worker) -> None:
        calls.append(worker)
        if len(calls) == 1:
            raise KeyboardInterrupt
        wake(worker)

    monkeypatch.setattr(workers._Worker, "wake", interrupted_once)

    with pytest.raises(KeyboardInterrupt):
        engine.predict(random_tokens(2))
    engine.close()


def test_threads_end_with_their_engine(model: CpuModel) -> None:
    gc.collect()
    before = worker_threads()
    closed, forgotten = CpuEngine(model, 2, 4, 2), CpuEngine(model, 2, 4, 2)
    for engine in (closed, forgotten):
        engine.read(random_tokens(2)[:, :4])
    assert worker_threads() == before + 2

    closed.close()
    assert worker_threads() == before + 1

    del forgotten, engine
    gc.collect()
    assert worker_threads() == before
