"""Do the README's rates of single files hold? A certificate for each, which anyone can check.

    python -m experiments.certificates [--quick]

`lmcompress prove MODEL FILE` writes each file that the README's first table has, decodes it in a
guarded process, and certifies it. The certificates are in results/certificates, and each is checked
again without the text. A row that records.jsonl already has is not measured again.
"""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any

import click

from experiments.support.records import append_missing, current, result_folder
from experiments.support.tables import markdown_of, write_texts
from lmcompress import corpora
from lmcompress.benchmark.records import read_rows
from lmcompress.models.store import DEFAULT_MODEL, NO_MODEL, load_model
from lmcompress.prove.certificate import to_json
from lmcompress.prove.checking import check
from lmcompress.prove.processes import Settings
from lmcompress.prove.proving import prove
from lmcompress.system.atomic import replace_atomically

NAME = "certificates"
MODELS = (NO_MODEL, DEFAULT_MODEL)
CORPORA = {
    "novel": "calgary/book1",
    "wikipedia": "enwik/enwik8.head-4150000@3000000+1000000",
    "python": "code/python-3.11.7-stdlib.py.txt@0+1000000",
    "json": "logs/us-sba-data-catalog.json",
}
"""Name of the certificate -> corpus, as the README has them."""
QUICK_CORPORA = {"grammar": "canterbury/grammar.lsp"}
THREADS = 2
NOTE = (
    "Files that `lmcompress prove MODEL FILE` certified. Each was decoded twice from the file and "
    "the model alone, in guarded processes that had no text. `lmcompress prove --check "
    "results/certificates/NAME.json` decodes one again."
)


def certified(model: str, name: str, corpus: str, folder: Path) -> dict[str, Any]:
    """Writes the certificate of a model on a text, and returns its row."""
    settings, path = Settings(threads=THREADS), folder / f"{name}-{model}.json"
    with tempfile.TemporaryDirectory() as temporary:
        text = Path(temporary) / name
        text.write_bytes(corpora.load(corpus))
        proof = prove(model, text, settings)
    with replace_atomically(path, overwrite=True) as file:
        file.write(to_json(proof))
    found = check(path, settings).certificate
    return {
        "certificate": path.name,
        "model": model,
        "corpus": corpus,
        "corpus_sha256": found.raw_sha256,
        "raw bytes": found.raw_bytes,
        "compressed bytes": found.compressed_bytes,
        "bits per byte": round(found.bits_per_byte, 4),
        "with the model": round(found.bits_per_byte_with_model, 4),
        "isolation": found.isolation["level"],
        "seconds": sum(found.seconds.values()),
    }


def table(folder: Path) -> str:
    """Returns what the records say, as markdown."""
    keys = (
        "certificate", "model", "corpus", "raw bytes", "compressed bytes", "bits per byte",
        "with the model", "isolation",
    )  # fmt: skip
    rows = current(read_rows(folder / "records.jsonl"))
    return markdown_of([{key: row[key] for key in keys} for row in rows], NOTE)


@click.command()
@click.option("--quick", is_flag=True, help="A small file, into results/quick.")
def main(quick: bool) -> None:
    """Certifies this project's own figures."""
    texts = QUICK_CORPORA if quick else CORPORA
    with result_folder(NAME, quick) as folder:
        for name in MODELS:
            model = load_model(name)
            rows = {
                key: functools.partial(certified, name, key, text, folder)
                for key, text in texts.items()
            }
            append_missing(folder / "records.jsonl", NAME, model, rows)
            write_texts({"table.md": table(folder)}, folder)


if __name__ == "__main__":
    main()
