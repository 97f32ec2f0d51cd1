"""The certificates in results/ are those of the figures that the README has."""

from __future__ import annotations

import pytest

from experiments import certificates
from experiments.support.records import RESULTS
from lmcompress.benchmark.records import read_rows
from lmcompress.models.store import DEFAULT_MODEL
from lmcompress.prove.certificate import read_certificate
from lmcompress.report.speeds import STAGE
from tools.headline import read_rates
from tools.readme_table import FILES

FOLDER = RESULTS / certificates.NAME
ROWS = read_rows(FOLDER / "records.jsonl")
CODECS = {DEFAULT_MODEL: DEFAULT_MODEL, "none": STAGE}


def test_the_committed_table_is_that_of_the_records() -> None:
    assert (FOLDER / "table.md").read_text("utf-8") == certificates.table(FOLDER)


def test_every_figure_of_ours_in_the_readme_has_a_certificate() -> None:
    certified = {(row["model"], row["corpus"]) for row in ROWS}

    assert certified == {(model, corpus) for model in CODECS for corpus in FILES.values()}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["certificate"])
def test_a_certificate_holds_the_file_of_the_readme(row: dict[str, object]) -> None:
    found = read_certificate(FOLDER / str(row["certificate"]))
    codec, corpus = CODECS[str(row["model"])], row["corpus"]
    rate = next(r for r in read_rates() if (r.codec, r.corpus) == (codec, corpus))

    assert len(found.compressed) == found.compressed_bytes == rate.compressed_bytes
    assert found.raw_sha256 == rate.corpus_sha256 == row["corpus_sha256"]
    assert found.raw_bytes == rate.raw_bytes
    assert "weak" not in found.isolation["level"]
