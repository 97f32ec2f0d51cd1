"""What is a prompt worth for many small files of one kind?

    python -m experiments.prompt_records [--quick]

Records of a JSON catalogue, and pieces of 20 lines of two logs, each compressed as a file of its
own; the prompt is the text before them. zstd gets the same bytes as a raw-content dictionary (for
small files, `--patch-from` amounts to the same). Every file is decompressed and compared; sizes are
whole files with their headers. Ours come twice, as full and as compact frames; zstd's frames have
neither a checksum nor the name of the dictionary that they need.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any

import click

import lmcompress
from experiments.support.codec_rows import MODELS
from experiments.support.records import Row, result_folder, without_source, write_results
from experiments.support.tables import markdown_of
from lmcompress import CodecConfig, Prompt, corpora
from lmcompress.benchmark.harness import payload_bytes
from lmcompress.metrics import bits_per_byte
from lmcompress.models.store import NO_MODEL, Model, load_model

NAME = "prompt_records"
TESTED = 60
LINES = 20
KINDS = {
    "us-sba JSON records": "logs/us-sba-data-catalog.json",
    "Linux log, 20 lines": "logs/Linux_2k.log",
    "Apache log, 20 lines": "logs/Apache_2k.log",
}
NOTE = "Each small file compressed on its own, decompressed and compared; headers included."
NAMES = {NO_MODEL: "stage alone", **{name: name for name in MODELS}}
"""Of the models that are compared, as the table has them."""
Coder = tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]


def records_of(corpus: str) -> list[bytes]:
    """Returns the small files that a corpus is cut into."""
    raw = corpora.load(corpus)
    if corpus.endswith(".json"):
        return [json.dumps(entry).encode() for entry in json.loads(raw)["dataset"]]
    lines = raw.splitlines(keepends=True)
    return [b"".join(lines[i : i + LINES]) for i in range(0, len(lines), LINES)]


def zstd_coder(prompt: bytes | None) -> Coder:
    """Returns zstd at level 22, with a raw-content dictionary if a prompt is given."""
    import zstandard

    raw_content = zstandard.DICT_TYPE_RAWCONTENT
    known = zstandard.ZstdCompressionDict(prompt, dict_type=raw_content) if prompt else None
    encoder = zstandard.ZstdCompressor(level=22, dict_data=known)
    decoder = zstandard.ZstdDecompressor(dict_data=known)
    return encoder.compress, decoder.decompress


def model_coder(model: Model, prompt: bytes | None, *, compact: bool) -> Coder:
    """Returns a model, with a prompt if one is given."""
    config = CodecConfig(prompt=Prompt(prompt, "p") if prompt else None, compact=compact)
    return (
        lambda raw: lmcompress.compress(raw, model, config),
        lambda frame: lmcompress.decompress(frame, model, config),
    )


def coders(prompt: bytes) -> dict[str, Coder]:
    """Returns what is compared, by name."""
    found = {"zstd-22": zstd_coder(None), "zstd-22, dictionary": zstd_coder(prompt)}
    for known, what in ((None, ""), (prompt, ", prompt")):
        for model, name in NAMES.items():
            for compact, how in ((False, ""), (True, ", compact")):
                coder = model_coder(load_model(model), known, compact=compact)
                found[f"{name}{what}{how}"] = coder
    return found


def measure(kind: str, records: Sequence[bytes], tested: int) -> list[dict[str, Any]]:
    """Returns a row for each coder: the sum over the last records, each a file."""
    cut = min(len(records) - tested, len(records) * 2 // 3)
    prompt, files = b"".join(records[:cut]), records[cut : cut + tested]
    rows = []
    for name, (encode, decode) in coders(prompt).items():
        compressed = [encode(raw) for raw in files]
        if [decode(part) for part in compressed] != list(files):
            raise click.ClickException(f"{name} did not give {kind} back")
        raw_bytes, found = sum(map(len, files)), sum(map(len, compressed))
        rows.append(
            {
                "kind": kind,
                "coder": name,
                "files": len(files),
                "raw bytes a file": round(raw_bytes / len(files)),
                "compressed bytes a file": round(found / len(files), 1),
                "of them payload": _payload(compressed) if "zstd" not in name else "",
                "bits per byte": round(bits_per_byte(found, raw_bytes), 4),
                "prompt bytes": len(prompt) if "prompt" in name or "dict" in name else 0,
            }
        )
        click.echo(f"{kind} {name}: {rows[-1]['bits per byte']}", err=True)
    return rows


def _payload(frames: Sequence[bytes]) -> float:
    return round(sum(map(payload_bytes, frames)) / len(frames), 1)


def derived_texts(rows: Sequence[Row]) -> dict[str, str]:
    """Returns the table of the records."""
    return {"table.md": markdown_of([without_source(row) for row in rows], NOTE)}


@click.command()
@click.option("--quick", is_flag=True, help="Five small files of one kind, into results/quick.")
def main(quick: bool) -> None:
    """Compares small files with and without what came before them."""
    with result_folder(NAME, quick) as folder:
        kinds = ["Linux log, 20 lines"] if quick else list(KINDS)
        rows = []
        for kind in kinds:
            found = records_of(KINDS[kind])
            rows += measure(kind, found[:15] if quick else found, 5 if quick else TESTED)
        prints = {shown: load_model(name).fingerprint.hex() for name, shown in NAMES.items()}
        hashes = {kind: hashlib.sha256(corpora.load(KINDS[kind])).hexdigest() for kind in kinds}
        records = [
            {
                **row,
                "fingerprint": prints.get(row["coder"].split(",")[0], ""),
                "corpus_sha256": hashes[row["kind"]],
            }
            for row in rows
        ]
        write_results(NAME, records, folder, derived_texts)


if __name__ == "__main__":
    main()
