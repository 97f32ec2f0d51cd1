"""What the paper's experiments measure is what the codec does, chunk by chunk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import lmcompress
from experiments import figure_4
from experiments.support import paper
from experiments.support.figures import write_derived
from experiments.support.modalities import CHUNK_BYTES, Sample
from experiments.support.records import RowFile
from lmcompress import CodecConfig
from lmcompress.benchmark import classical
from lmcompress.benchmark.harness import chunked_row, measure
from lmcompress.benchmark.provenance import describe_run
from lmcompress.errors import LmcompressError
from lmcompress.models.store import Model

TEXT = b"".join(b"It was the %d best of times; " % (i % 97) for i in range(200))
RAW = TEXT[: 2 * CHUNK_BYTES]


def test_chunks_are_read_alone(tiny_model: Model) -> None:
    bits = paper.chunk_bits(RAW, tiny_model)

    for row, start in zip(bits, (0, CHUNK_BYTES), strict=True):
        alone = lmcompress.score(
            RAW[start : start + CHUNK_BYTES], tiny_model, CodecConfig(lanes=1, adaptive=False)
        )
        assert row.sum() == pytest.approx(alone.quantized_code_length_bits)


def test_files_of_chunks_take_what_the_chunks_score(tiny_model: Model) -> None:
    codec = paper.ChunkedModelCodec(tiny_model, len(RAW), threads=1)

    compressed = measure(codec, "text", RAW).compressed

    assert codec.lanes_for(RAW) == 2
    assert codec.name == "tiny (chunks of 2,048)"
    bits = paper.chunk_bits(RAW, tiny_model).sum()
    assert bits / 8 <= len(compressed) < bits / 8 + 120  # header, checksums, the coder's end


def test_no_chunk_is_shorter_than_the_others() -> None:
    assert paper.chunks_at_once(128 * CHUNK_BYTES) == 64
    assert paper.chunks_at_once(96 * CHUNK_BYTES) == 32
    with pytest.raises(LmcompressError, match="expected a multiple of 2,048"):
        paper.chunks_at_once(3000)


def test_a_classical_codec_gets_chunks_one_by_one() -> None:
    gzip = classical.get("gzip-9")

    row = chunked_row(gzip, "text", RAW, describe_run("test"), CHUNK_BYTES)

    halves = RAW[:CHUNK_BYTES], RAW[CHUNK_BYTES:]
    assert row.compressed_bytes == sum(len(gzip.compress(half)) for half in halves)
    assert row.codec == "gzip-9 (chunks of 2,048)"
    assert row.compress_seconds is None


def test_a_codec_that_loses_a_chunk_is_not_recorded() -> None:
    gzip = classical.get("gzip-9")
    broken = classical.ClassicalCodec("broken", "1", gzip.compress, lambda _: b"")

    with pytest.raises(LmcompressError, match=r"broken .* on text: gave back 0 bytes"):
        chunked_row(broken, "text", RAW, describe_run("test"), CHUNK_BYTES)


def test_standard_error_by_hand() -> None:
    found = figure_4.standard_error(np.array([[1.0, 5.0], [3.0, 5.0]]))

    assert found == pytest.approx([1.0, 0.0])  # sqrt(2) / sqrt(2)


def test_figure_4_resumes_and_its_last_rate_is_that_of_the_chunks(
    tiny_model: Model, tmp_path: Path
) -> None:
    sample, path = Sample("text", "times@0+4096", RAW), tmp_path / "records.jsonl"
    for models in ([], [tiny_model], [tiny_model]):
        file = RowFile(path)
        figure_4.measure(file, [sample], models)

    rows = RowFile(path).rows
    assert [row["codec"] for row in rows] == ["gzip-9", "xz-9e", "tiny"]
    gzip = classical.get("gzip-9")
    sizes = [len(gzip.compress(chunk)) for chunk in sample.chunks()]
    assert rows[0]["mean_rates"][-1] == pytest.approx(sum(sizes) / len(RAW), abs=1e-6)
    bits = paper.chunk_bits(RAW, tiny_model).sum()
    assert rows[2]["mean_rates"][-1] == pytest.approx(bits / 8 / len(RAW), abs=1e-6)
    assert [row["kind"] for row in rows] == ["files", "files", "scored"]


def test_figure_4_says_how_the_same_chunks_change() -> None:
    rates = np.ones((2, len(figure_4.LENGTHS)))
    rates[:, -1] = [0.5, 0.9]

    found = figure_4.change_of(rates)

    assert found == {"mean_change": -0.3, "standard_error_of_change": 0.2}


@pytest.mark.parametrize("num_bytes", [2048, 5000])
def test_figure_4_refuses_one_chunk_or_parts_of_one(num_bytes: int) -> None:
    with pytest.raises(LmcompressError, match="change --bytes"):
        figure_4.check_chunks(num_bytes)


def test_figure_4_is_a_function_of_its_rows(tiny_model: Model, tmp_path: Path) -> None:
    file = RowFile(tmp_path / "records.jsonl")
    samples = [Sample(modality, "times@0+4096", RAW) for modality in figure_4.DRAWN]
    for sample in samples:  # the same bytes would be one row
        figure_4.measure(RowFile(tmp_path / sample.modality), [sample], [])
        file.rows += RowFile(tmp_path / sample.modality).rows

    written = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        texts = figure_4.derived_texts(file.rows)
        write_derived(folder, texts, {"rates": lambda: figure_4.draw(file.rows)})
        written.append({path.name: path.read_bytes() for path in folder.iterdir()})

    assert written[0] == written[1]
    assert set(written[0]) == {"summary.csv", "table.md", "rates.svg", "rates.png"}
    assert "| images | gzip-9 | files |" in texts["table.md"]
