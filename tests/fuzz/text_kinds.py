"""Training configurations and records."""

from __future__ import annotations

import json
import random

from lmcompress.benchmark.records import (
    append_rows,
    csv_text,
    latest,
    read_jsonl,
    read_rows,
    to_json,
)
from lmcompress.errors import TrainingError
from lmcompress.training.config import TrainConfig
from tests.fuzz import seeds
from tests.fuzz.case import Case, Kind, Setting, Wrong
from tests.fuzz.model_kinds import kind
from tests.fuzz.mutations import changed_json, changed_toml, damaged


def read_config(case: Case, setting: Setting) -> None:
    path = setting.folder / "run.toml"
    path.write_bytes(case.data)
    config = TrainConfig.from_toml(path)
    if config.num_steps() < 1 or config.sequence_length_at(0, 1) < 1:
        raise Wrong("a run that has no steps")
    json.dumps(config.to_dict())


def read_records(case: Case, setting: Setting) -> None:
    path = setting.folder / "records.jsonl"
    path.write_bytes(case.data)
    records = latest(read_jsonl(path))
    csv_text(map(vars, records))
    to_json(records)


def append_records(case: Case, setting: Setting) -> None:
    path = setting.folder / "rows.jsonl"
    path.write_bytes(case.data)
    before = read_rows(path)
    append_rows([{"row": 1}], path)
    if read_rows(path) != [*before, {"row": 1}]:
        raise Wrong("a row that was appended, or one before it, does not read back")


def _changed_config(data: bytes, rng: random.Random) -> bytes:
    if rng.random() < 0.3:
        return damaged(data, data, rng)
    return changed_toml(data.decode(), rng).encode("utf-8", "surrogatepass")


def _changed_records(data: bytes, rng: random.Random) -> bytes:
    if rng.random() < 0.3:
        return damaged(data, data, rng)
    lines = data.decode().splitlines()
    at = rng.randrange(len(lines))
    lines[at] = changed_json(lines[at], rng)
    return "\n".join((*lines, "")).encode("utf-8", "surrogatepass")


TEXT_KINDS: list[Kind] = [
    kind("training", 10, seeds.TOML.encode, _changed_config, (TrainingError,), read=read_config),
    kind("records", 10, seeds.record_lines, _changed_records,
         read=read_records, append=append_records),
]  # fmt: skip
