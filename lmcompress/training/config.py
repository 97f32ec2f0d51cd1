"""The configuration of a training run, read from a TOML file."""

from __future__ import annotations

import dataclasses
import tomllib
from pathlib import Path
from typing import Any

from lmcompress.errors import TrainingError
from lmcompress.gpt.config import GPTConfig
from lmcompress.models.store import load_model


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """The options of a training run."""

    name: str
    model: GPTConfig
    sources: dict[str, float]
    """Corpus name or path of a file -> weight: the share of sequences drawn from it."""
    init_from: str = ""
    """Name or folder of the model whose weights the run starts from; empty for random weights.
    The tokenizer may change, if the vocabulary size stays the same."""
    tokenizer: str = ""
    """Path of a tokenizer.json with `vocab_size` tokens; empty for a byte-level model."""
    total_bytes: int = 60_000_000
    """Bytes of text trained on over the whole run."""
    batch_size: int = 16
    """Sequences per step, over all processes."""
    sequence_length: int = 1024
    """Symbols per sequence: bytes or tokens."""
    short_sequence_length: int = 0
    """If set, the run begins with sequences of this length, and more of them per step: attention
    over long sequences is most of a small model's cost, and most is learned from nearby bytes
    (Press et al., 2021, "Shortformer")."""
    short_fraction: float = 0.75
    """Share of the run with short sequences."""
    crlf_fraction: float = 0.0
    """Share of the sequences whose line ends are changed from LF to CRLF."""
    holdout_bytes: int = 131072
    """The last bytes of each source, never trained on, used for validation."""
    optimizer: str = "adamw"
    """adamw, or muon for the matrices inside the blocks and AdamW for the rest."""
    learning_rate: float = 1e-3
    muon_learning_rate: float = 1e-3
    adam_beta2: float = 0.95
    """Decay of AdamW's second moment: 0.95 in GPT-3 (Brown et al., 2020), 0.999 in GPT-1's code."""
    weight_decay: float = 0.1
    warmup_steps: int = 100
    final_lr_fraction: float = 0.02
    clip_norm: float = 1.0
    eval_interval: int = 500
    checkpoint_seconds: float = 120.0
    log_interval: int = 20
    precision: str = "auto"
    """bfloat16 (autocast), float32, or auto: bfloat16 if the hardware multiplies it fast."""
    compile: bool = False
    """Whether to fuse the step with torch.compile (needs a C++ compiler on the CPU)."""
    seed: int = 1

    def __post_init__(self) -> None:
        self._check_types()
        if self.optimizer not in ("adamw", "muon"):
            raise TrainingError(f"optimizer is {self.optimizer!r}, expected adamw or muon")
        if self.precision not in ("auto", "bfloat16", "float32"):
            raise TrainingError(
                f"precision is {self.precision!r}, expected auto, bfloat16 or float32"
            )
        if not self.sources:
            raise TrainingError("no sources: name at least one corpus under [sources]")
        if min(self.sources.values()) < 0 or not sum(self.sources.values()):
            raise TrainingError("the weights of [sources] must not be negative, and not all zero")
        for name in ("batch_size", "sequence_length", "eval_interval", "log_interval"):
            if getattr(self, name) < 1:
                raise TrainingError(f"{name} is {getattr(self, name)}, expected at least 1")
        if self.model.vocab_size < 256:
            raise TrainingError(
                f"vocab_size is {self.model.vocab_size}, expected 256 for bytes, more for tokens"
            )
        if self.holdout_bytes < self.sequence_length:
            raise TrainingError(
                f"holdout_bytes {self.holdout_bytes} is under sequence_length "
                f"{self.sequence_length}: nothing to validate on"
            )
        if self.short_sequence_length < 0:
            raise TrainingError(
                f"short_sequence_length is {self.short_sequence_length}, expected 0 or more"
            )
        if self.short_sequence_length and self.sequence_length % self.short_sequence_length:
            raise TrainingError(
                f"sequence_length {self.sequence_length} is not a multiple of "
                f"short_sequence_length {self.short_sequence_length}"
            )
        if self.sequence_length > self.model.context_length:
            raise TrainingError(
                f"sequence_length {self.sequence_length} is over the model's context_length "
                f"{self.model.context_length}"
            )

    def _check_types(self) -> None:
        """Raises TrainingError if an option has a value of another type."""
        if not isinstance(self.sources, dict):
            raise TrainingError(f"sources is {self.sources!r}, expected a table of NAME = weight")
        found = [(name, getattr(self, name), kind) for name, kind in _KINDS.items()]
        found.append(("name", self.name, str))
        found += [(f"the weight of {name}", value, float) for name, value in self.sources.items()]
        for name, value, kind in found:
            if type(value) is not kind and not (kind is float and type(value) is int):
                raise TrainingError(f"{name} is {value!r}, expected {_EXPECTED[kind]}")

    def num_steps(self, bytes_per_symbol: float = 1) -> int:
        """Optimizer steps of the whole run."""
        step_bytes = self.batch_size * self.sequence_length * bytes_per_symbol
        return max(1, round(self.total_bytes / step_bytes))

    def sequence_length_at(self, step: int, num_steps: int) -> int:
        """Symbols per sequence at one of so many steps."""
        is_short = self.short_sequence_length and step < self.short_fraction * num_steps
        return self.short_sequence_length if is_short else self.sequence_length

    @classmethod
    def from_toml(cls, path: Path) -> TrainConfig:
        """Reads a run's configuration; raises TrainingError if it is wrong."""
        try:
            values: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
        except OSError as exc:
            raise TrainingError(f"cannot read {path}: {exc.strerror}") from exc
        except (ValueError, RecursionError) as exc:
            raise TrainingError(f"{path} is not valid TOML: {exc}") from exc
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise TrainingError(
                f"{path}: unknown option {unknown[0]!r}, known: {', '.join(sorted(known))}"
            )
        shape = values.pop("model", None)
        if not isinstance(shape, dict | None):
            raise TrainingError(f"{path}: model is {shape!r}, expected a table")
        try:
            model = _shape_of(values) if shape is None else GPTConfig.from_dict(shape)
            config = cls(**{"name": path.stem, "sources": {}, **values, "model": model})
        except (ValueError, TypeError) as exc:
            raise TrainingError(f"{path}: {exc}") from exc
        if model.vocab_size > 256 and not config.tokenizer:
            raise TrainingError(
                f"{path}: vocab_size is {model.vocab_size}, but no tokenizer is named: add "
                'tokenizer = "FILE.json", or set vocab_size to 256 for a byte-level model'
            )
        return config

    def to_dict(self) -> dict[str, Any]:
        """Returns the configuration as JSON-ready values."""
        return {**dataclasses.asdict(self), "model": self.model.to_dict()}


def _shape_of(values: dict[str, Any]) -> GPTConfig:
    """Returns the shape of the model that a run without a [model] begins with."""
    start = values.get("init_from")
    weights = load_model(start).weights if isinstance(start, str) and start else None
    return weights.config if weights else GPTConfig()


_KINDS = {
    field.name: type(field.default)
    for field in dataclasses.fields(TrainConfig)
    if field.default is not dataclasses.MISSING
}
_EXPECTED = {int: "a whole number", float: "a number", str: "a string", bool: "true or false"}
