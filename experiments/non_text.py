"""Is the mixture ever much worse than the better of its parts, on data that is not text?

    python -m experiments.non_text [--quick]

Executables, images, sound, tables, random bytes: code lengths of the default model alone, of the
adaptive stage alone and of both, in the lanes that a file would have. A file whose code length is
over 8 bits per byte would be stored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import click
import numpy as np

from experiments.adaptive_ablation import GPT, NOTHING, STAGE, measure
from experiments.support.records import Row, result_folder, without_source, write_results
from experiments.support.tables import markdown_of
from lmcompress import corpora
from lmcompress.models.store import DEFAULT_MODEL, load_model

NAME = "non_text"
NOTE = (
    "Bits per byte (quantized code lengths) on what is no text. Files of 64 KiB and more are coded "
    "by the stage alone where samples show that the GPT knows nothing (codec/out_of_domain.py)."
)
CORPORA = (
    "silesia/ooffice@0+500000",
    "silesia/mr.4MiB-head@0+500000",
    "silesia/x-ray.4MiB-head@0+300000",
    "silesia/osdb.4MiB-head@0+300000",
    "canterbury/kennedy.xls",
    "canterbury/sum",
    "canterbury/ptt5@0+300000",
    "canterbury-large/E.coli@0+300000",
    "calgary/obj2",
    "calgary/geo",
    "librispeech/librispeech-1995-1837-0001.wav@0+200000",
    "librispeech/1089-134691-0000.flac",
    "kodak/kodim01.png@0+200000",
)
RANDOM = "random-200000"


def read(name: str) -> bytes:
    """Returns a corpus or the random bytes."""
    if name == RANDOM:
        return np.random.default_rng(0).integers(0, 256, 200_000, np.uint8).tobytes()
    return corpora.load(name)


def derived_texts(rows: Sequence[Row]) -> dict[str, str]:
    """Returns the table of the records."""
    return {"table.md": markdown_of([without_source(row) for row in rows], NOTE)}


@click.command()
@click.option("--quick", is_flag=True, help="One small file, into results/quick.")
def main(quick: bool) -> None:
    """Compares the mixture with its parts on data that is not text."""
    with result_folder(NAME, quick) as folder:
        model, records = load_model(DEFAULT_MODEL), []
        for name in ("canterbury/sum",) if quick else (*CORPORA, RANDOM):
            raw = read(name)
            bits, _ = measure(raw, model, parts=())
            row: dict[str, Any] = {"file": name, "raw bytes": len(raw)}
            for label, key in (("GPT alone", GPT), ("stage alone", STAGE), ("mixed", NOTHING)):
                row[label] = round(bits[key] / len(raw), 4)
            best = min(bits[GPT], bits[STAGE])
            row["mixed against the better"] = f"{100 * (bits[NOTHING] / best - 1):+.2f} %"
            digest = hashlib.sha256(raw).hexdigest()
            records.append({**row, "corpus_sha256": digest, "fingerprint": model.fingerprint.hex()})
            click.echo(row, err=True)
        write_results(NAME, records, folder, derived_texts)


if __name__ == "__main__":
    main()
