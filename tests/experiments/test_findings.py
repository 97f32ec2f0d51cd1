"""Each finding says yes of records that bear it out, and no of records that do not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments import figure_4, findings
from experiments.support import modalities
from experiments.support.paper import LADDER
from experiments.support.records import Row
from lmcompress.benchmark.harness import chunked_name
from lmcompress.benchmark.records import Record
from lmcompress.models.store import DEFAULT_MODEL
from tests.support.record_factory import make_record

TEXT, EXTRACT = "enwik8@0+1000", "enwik/enwiki-2021-extract.part3@0+1000"
IMAGES, SPEECH = "kodak-patches@0+1000", "librispeech-8bit@0+1000"
PARAMETERS = (50_000, 200_000, 800_000, 3_200_000)
FALLING, RISING = (500, 450, 400, 350), (300, 350, 400, 450)


def verdict(line: Row) -> str:
    return str(line["same direction"])


def ladder(corpus: str, sizes: Sequence[int]) -> list[Record]:
    """Returns what each model of the ladder makes of 1,000 bytes in chunks."""
    return [
        make_record(
            chunked_name(name, modalities.CHUNK_BYTES), corpus, size, num_parameters=parameters
        )
        for name, size, parameters in zip(LADDER, sizes, PARAMETERS, strict=True)
    ]


def gzip(corpus: str, size: int) -> Record:
    return make_record(chunked_name("gzip-9", modalities.CHUNK_BYTES), corpus, size)


def chunks(corpus: str, factors: Sequence[float]) -> list[Row]:
    """Returns the bits of each model's chunks: of the same ones, times its factor."""
    bits = np.random.default_rng(1).normal(4000, 500, 256)
    return [
        {
            "codec": chunked_name(name, modalities.CHUNK_BYTES),
            "corpus": corpus,
            "bits_of_chunks": list(factor * bits if factor > 0 else -factor * bits[::-1]),
        }
        for name, factor in zip(LADDER, factors, strict=True)
    ]


def test_rates_fall_with_size_where_a_step_is_clear_on_the_chunks() -> None:
    records = ladder(TEXT, FALLING) + ladder(EXTRACT, FALLING)
    falling, rising = (1.0, 0.9, 0.8, 0.7), (0.7, 0.8, 0.9, 1.0)
    # Other chunks would have decided the last step: the same bits in another order.
    unclear = (1.0, 0.9, 0.8, -0.8)

    all_clear = findings.falls_with_size(records, chunks(TEXT, falling) + chunks(EXTRACT, falling))
    one_not = findings.falls_with_size(records, chunks(TEXT, unclear) + chunks(EXTRACT, falling))
    none = findings.falls_with_size(records, chunks(TEXT, rising) + chunks(EXTRACT, rising))

    assert verdict(all_clear) == "yes"
    assert verdict(one_not) == "in 5 of 6 cases"
    assert "(2 of 3 steps clear at 95 %, on 32 blocks of 8 chunks); extract" in one_not["measured"]
    assert verdict(none) == "no"


def test_the_adjusted_rate_turns_up_where_the_best_model_has_smaller_and_larger_ones() -> None:
    # Two bytes a parameter add 0.0001 to 0.0064 at 1 GB.
    last = ladder(EXTRACT, (500, 499, 498, 400))
    third = ladder(EXTRACT, (900, 400, 300, 310))

    assert verdict(findings.turns_up(ladder(EXTRACT, RISING))) == "no"
    assert verdict(findings.turns_up(last)) == "no"
    assert verdict(findings.turns_up(third)) == "yes"
    assert verdict(findings.turns_up(ladder(EXTRACT, FALLING))) == "no"


def test_models_of_text_lose_where_gzip_is_better() -> None:
    worse = ladder(IMAGES, (1300,) * 4) + ladder(SPEECH, (1300,) * 4)
    one_better = ladder(IMAGES, (1300,) * 4) + ladder(SPEECH, (1300, 1300, 1300, 390))
    better = ladder(IMAGES, (600,) * 4) + ladder(SPEECH, (390,) * 4)
    classical = [gzip(IMAGES, 700), gzip(SPEECH, 400)]

    assert verdict(findings.loses_on_foreign_data(worse + classical)) == "yes"
    assert (
        findings.loses_on_foreign_data(one_better + classical)["same direction"]
        == "in 7 of 8 cases"
    )
    assert verdict(findings.loses_on_foreign_data(better + classical)) == "no"


def prefix_row(modality: str, codec: str, change: float, error: float) -> dict[str, Any]:
    return {
        "modality": modality,
        "codec": codec,
        "kind": figure_4.FILES if codec == "gzip-9" else figure_4.SCORED,
        "num_parameters": 0 if codec == "gzip-9" else 1000,
        "num_chunks": 32,
        "lengths": [figure_4.SHORT, figure_4.LONG],
        "mean_rates": [0.9, 0.9 + change],
        "standard_errors": [error, error],
        "mean_change": change,
        "standard_error_of_change": error,
    }


def by_length(change: float, error: float, change_of_gzip: float = 0.0) -> str:
    """Returns what is said where every model's rate changes so from short to long."""
    rows = [
        prefix_row(modality, codec, change if codec == DEFAULT_MODEL else change_of_gzip, error)
        for modality in figure_4.DRAWN
        for codec in ("gzip-9", DEFAULT_MODEL)
    ]
    return verdict(findings.falls_with_length(rows))


def test_rates_fall_with_length_by_more_than_two_standard_errors() -> None:
    assert by_length(-0.3, 0.1) == "yes"
    assert by_length(-0.3, 0.2) == by_length(0.3, 0.1) == "no"


def test_a_classical_codecs_header_is_no_evidence_of_learning() -> None:
    assert by_length(0.3, 0.1, change_of_gzip=-1.0) == "no"


def vocabulary_row(width: int, vocab_size: int, bits_per_byte: float) -> dict[str, Any]:
    return {
        "width": width,
        "vocab_size": vocab_size,
        "tokenizer": "bytes" if vocab_size == 256 else f"BPE {vocab_size:,}",
        "bits_per_byte": bits_per_byte,
        "raw_bytes_seen": 1000,
        "raw_bytes": 5000,
    }


def test_larger_vocabularies_help_where_bytes_are_not_the_best() -> None:
    narrow = [vocabulary_row(32, 256, 4.0), vocabulary_row(32, 1000, 3.0)]
    helped = [vocabulary_row(64, 256, 3.5), vocabulary_row(64, 1000, 2.5)]
    harmed = [vocabulary_row(64, 256, 2.0), vocabulary_row(64, 1000, 2.5)]

    assert verdict(findings.gains_from_vocabulary(narrow + helped)) == "yes"
    assert verdict(findings.gains_from_vocabulary(narrow + harmed)) == "in 1 of 2 cases"
    assert verdict(findings.gains_from_vocabulary(harmed)) == "no"


def test_each_finding_names_its_sample() -> None:
    records = ladder(TEXT, FALLING) + ladder(EXTRACT, FALLING)
    foreign = ladder(IMAGES, (1300,) * 4) + ladder(SPEECH, (1300,) * 4)
    foreign += [gzip(IMAGES, 700), gzip(SPEECH, 400)]

    both = chunks(TEXT, (1.0,) * 4) + chunks(EXTRACT, (1.0,) * 4)
    assert findings.falls_with_size(records, both)["sample"] == "4 models, 2 texts of 1,000 bytes"
    assert "1 text of 1,000 bytes" in findings.turns_up(records)["sample"]
    assert findings.loses_on_foreign_data(foreign)["sample"] == "4 models, 1,000 bytes of each kind"
    rows = [vocabulary_row(width, 256, 4.0) for width in (32, 64)]
    assert findings.gains_from_vocabulary(rows)["sample"] == (
        "2 widths, one seed each, 1 text of 5,000 bytes"
    )
