"""Training a GPT, resumable after a kill at any moment.

    lmcompress train --config experiments/configs/NAME.toml --out runs/NAME
    torchrun --nproc-per-node 2 -m lmcompress train ...        (data parallel)

Every step's batch is a pure function of (seed, step, rank), so a resumed run sees the text that an
unbroken one would have seen. State is one safetensors file that is replaced atomically.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import os
import shutil
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from lmcompress import corpora
from lmcompress.errors import TrainingError
from lmcompress.gpt.checkpoint import save_float_checkpoint
from lmcompress.gpt.config import GPTConfig
from lmcompress.gpt.network import GPT
from lmcompress.initial import begin_with, joined_card
from lmcompress.muon import Float32Muon

_log = logging.getLogger(__name__)

STATE_FILE = "training.safetensors"
"""What a run goes on from, in its folder."""
_FREE_TO_CHANGE = frozenset(
    ("name", "model", "eval_interval", "checkpoint_seconds", "log_interval", "precision", "compile")
)
"""What a resumed run may have otherwise than before (the model is compared on its own)."""


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """A training run, as its TOML file states it."""

    name: str
    model: GPTConfig
    sources: dict[str, float]
    """Corpus name, or path of a file -> weight: the share of sequences drawn from it."""
    init_from: str = ""
    """Model, by name or folder, whose weights the run begins with; random ones if empty."""
    total_bytes: int = 60_000_000
    """Symbols trained on over the whole run."""
    batch_size: int = 16
    """Sequences a step, over all processes."""
    sequence_length: int = 1024
    short_sequence_length: int = 0
    """If set, the run begins with sequences of this length, as many more of them a step: attention
    over long sequences is most of a small model's cost, and most is learned from near bytes
    (Press et al., 2021, "Shortformer")."""
    short_fraction: float = 0.75
    """Share of the run with short sequences."""
    crlf_fraction: float = 0.0
    """Share of the sequences whose line ends are turned from LF into CRLF."""
    holdout_bytes: int = 131072
    """The last bytes of each source, never trained on, used for validation."""
    optimizer: str = "adamw"
    """adamw, or muon (for the matrices inside the blocks; AdamW for the rest)."""
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
    """bfloat16 (autocast), float32, or auto: bfloat16 where the hardware multiplies it fast."""
    compile: bool = False
    """Whether to fuse the step with torch.compile (needs a C++ compiler on the CPU)."""
    seed: int = 1

    def __post_init__(self) -> None:
        if self.optimizer not in ("adamw", "muon"):
            raise TrainingError(f"optimizer is {self.optimizer!r}, expected adamw or muon")
        if self.precision not in ("auto", "bfloat16", "float32"):
            raise TrainingError(
                f"precision is {self.precision!r}, expected auto, bfloat16 or float32"
            )
        if not self.sources:
            raise TrainingError("no sources: name at least one corpus under [sources]")
        for name in ("batch_size", "sequence_length", "eval_interval", "log_interval"):
            if getattr(self, name) < 1:
                raise TrainingError(f"{name} is {getattr(self, name)}, expected at least 1")
        if self.model.vocab_size < 256:
            raise TrainingError(f"vocab_size is {self.model.vocab_size}, expected 256: bytes")
        if self.holdout_bytes < self.sequence_length:
            raise TrainingError(
                f"holdout_bytes {self.holdout_bytes} is under sequence_length "
                f"{self.sequence_length}: nothing to validate on"
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

    @property
    def num_steps(self) -> int:
        """Optimiser steps of the whole run."""
        return max(1, round(self.total_bytes / (self.batch_size * self.sequence_length)))

    def sequence_length_at(self, step: int) -> int:
        """Symbols of each sequence at a step."""
        is_short = self.short_sequence_length and step < self.short_fraction * self.num_steps
        return self.short_sequence_length if is_short else self.sequence_length

    @classmethod
    def from_toml(cls, path: Path) -> TrainConfig:
        """Reads a run's configuration; unknown or wrong values are a TrainingError."""
        try:
            values: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
        except OSError as exc:
            raise TrainingError(f"cannot read {path}: {exc.strerror}") from exc
        except tomllib.TOMLDecodeError as exc:
            raise TrainingError(f"{path} is not valid TOML: {exc}") from exc
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise TrainingError(
                f"{path}: unknown option {unknown[0]!r}, known: {', '.join(sorted(known))}"
            )
        try:
            model = GPTConfig.from_dict(values.pop("model", {}))
            return cls(**{"name": path.stem, "sources": {}, **values, "model": model})
        except (ValueError, TypeError) as exc:
            raise TrainingError(f"{path}: {exc}") from exc

    def to_dict(self) -> dict[str, Any]:
        """Returns the configuration as JSON-ready values."""
        return {**dataclasses.asdict(self), "model": self.model.to_dict()}


class Batches:
    """Random sequences from the sources; a step's batch depends on seed, step and rank only."""

    def __init__(self, config: TrainConfig, rank: int = 0, world_size: int = 1) -> None:
        self.config, self.rank = config, rank
        self.batch_size = config.batch_size // world_size
        if self.batch_size * world_size != config.batch_size:
            raise TrainingError(
                f"batch_size {config.batch_size} is not a multiple of {world_size} processes"
            )
        self.texts: dict[str, np.ndarray] = {}
        self.holdouts: dict[str, np.ndarray] = {}
        for name in config.sources:
            text = np.frombuffer(_read_source(name), dtype=np.uint8)
            split = len(text) - config.holdout_bytes
            if split <= config.sequence_length:
                raise TrainingError(f"{name} has {len(text)} bytes: too few to hold some out")
            self.texts[name], self.holdouts[name] = text[:split], text[split:]
        weights = np.array(list(config.sources.values()), dtype=np.float64)
        self.probs = weights / weights.sum()

    def _sequence(self, rng: np.random.Generator, length: int) -> np.ndarray:
        text = self.texts[list(self.texts)[rng.choice(len(self.probs), p=self.probs)]]
        start = rng.integers(len(text) - length)
        symbols = text[start : start + length]
        if rng.random() < self.config.crlf_fraction:
            with_crlf = symbols.tobytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
            symbols = np.frombuffer(with_crlf[:length], dtype=np.uint8)
            if len(symbols) < length:  # the text had CRLF already
                symbols = text[start : start + length]
        return symbols

    def step(self, step: int) -> tuple[Tensor, Tensor]:
        """Returns inputs and targets of one step, int64 (batch_size, sequence_length) each.

        While sequences are short, there are more of them: the step's bytes stay the same.
        """
        rng = np.random.default_rng((self.config.seed, step, self.rank))
        length = self.config.sequence_length_at(step)
        count = self.batch_size * self.config.sequence_length // length
        rows = np.stack([self._sequence(rng, length) for _ in range(count)])
        return _shift(torch.from_numpy(rows.astype(np.int64)), self.config.model.bos_id)

    def validation(self, name: str) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields the held-out text of one source in batches of whole sequences."""
        length = self.config.sequence_length
        text = self.holdouts[name]
        rows = text[: len(text) // length * length].reshape(-1, length).astype(np.int64)
        for part in torch.from_numpy(rows).split(self.batch_size):
            yield _shift(part, self.config.model.bos_id)


def _read_source(name: str) -> bytes:
    """Returns the bytes of a named corpus, or of a file of one's own."""
    path = Path(name)
    return path.read_bytes() if path.is_file() else corpora.load(name)


def _shift(symbols: Tensor, bos_id: int) -> tuple[Tensor, Tensor]:
    """Returns (inputs, targets): each symbol is predicted from those before it."""
    inputs = F.pad(symbols[:, :-1], (1, 0), value=bos_id)
    return inputs, symbols


class Trainer:
    """One run: network, optimisers, schedule, state on disk."""

    def __init__(self, config: TrainConfig, out: Path, device: str = "cpu") -> None:
        self.config, self.out = config, out
        self.rank, self.world_size = _join_process_group(device)
        self.device = _device_of_process(device)
        self.precision = _resolve_precision(config.precision, self.device)
        out.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(config.seed)
        if config.compile and device == "cpu" and not _has_compiler():
            raise TrainingError("no C++ compiler here: install g++, or set compile = false")
        self.network = GPT(config.model)
        self.before = begin_with(self.network, config.init_from) if config.init_from else {}
        self.network.to(self.device)
        self.forward = torch.compile(self.network) if config.compile else self.network
        self.optimizers = _optimizers(config, self.network, self.precision)
        self.batches = Batches(config, self.rank, self.world_size)
        self.start_step = 0
        self._seconds_before = 0.0
        self._resume()
        self._started = time.monotonic()

    @property
    def state_path(self) -> Path:
        """Where the resumable state lies."""
        return self.out / STATE_FILE

    def run(self) -> dict[str, Any]:
        """Trains to the end; returns the last validation figures (bits per byte)."""
        config = self.config
        self._started = last_save = time.monotonic()
        losses: list[float] = []
        for step in range(self.start_step, config.num_steps):
            losses.append(self._train_step(step))
            done = step + 1
            if done % config.log_interval == 0:
                rate = (done - self.start_step) / (time.monotonic() - self._started)
                bytes_per_second = rate * config.batch_size * config.sequence_length
                self._record(
                    step=done,
                    train_bits_per_byte=float(np.mean(losses)) / math.log(2),
                    bytes_per_second=round(bytes_per_second),
                )
                losses = []
            if done % config.eval_interval == 0 and done < config.num_steps:
                self._record(step=done, **self.validate())
            if time.monotonic() - last_save > config.checkpoint_seconds:
                self._save(done, {})
                last_save = time.monotonic()
        figures = self.validate()
        self._record(step=config.num_steps, **figures)
        self._save(config.num_steps, figures)
        return figures

    def _train_step(self, step: int) -> float:
        inputs, targets = (t.to(self.device) for t in self.batches.step(step))
        loss = self._loss(inputs, targets)
        loss.backward()
        if self.world_size > 1:
            _average_gradients(self.network, self.world_size)
        if self.config.clip_norm:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip_norm)
        scale = learning_rate_scale(self.config, step)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["base_lr"] * scale
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        value = loss.item()
        if not math.isfinite(value):
            raise TrainingError(f"loss is {value} at step {step}: lower the learning rate")
        return value

    def _loss(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Returns the mean cross entropy in nats a symbol."""
        is_bfloat16 = self.precision == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=is_bfloat16):
            logits = self.forward(inputs)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())

    @torch.no_grad()
    def validate(self) -> dict[str, Any]:
        """Returns held-out bits per byte for each source and, as `mean`, over all their bytes."""
        figures, total_nats, total = {}, 0.0, 0
        for name in self.batches.holdouts:
            nats, count = 0.0, 0
            for inputs, targets in self.batches.validation(name):
                loss = self._loss(inputs.to(self.device), targets.to(self.device))
                nats += loss.item() * targets.numel()
                count += targets.numel()
            figures[name] = round(nats / count / math.log(2), 4)
            total_nats, total = total_nats + nats, total + count
        mean = round(total_nats / total / math.log(2), 4)
        return {"validation_bits_per_byte": {"mean": mean, **figures}}

    def _record(self, **values: Any) -> None:
        if self.rank == 0:
            seen = values["step"] * self._step_bytes
            values = {"bytes_seen": seen, "seconds": round(self._seconds), **values}
            with (self.out / "log.jsonl").open("a", encoding="utf-8") as log:
                log.write(json.dumps(values) + "\n")
            _log.info("%s", json.dumps(values))

    @property
    def _seconds(self) -> float:
        """How long the run took so far, without what it lost to a kill."""
        return self._seconds_before + time.monotonic() - self._started

    @property
    def _step_bytes(self) -> int:
        return self.config.batch_size * self.config.sequence_length

    def _save(self, step: int, figures: dict[str, Any]) -> None:
        if self.rank != 0:
            return
        tensors = {f"model.{k}": v for k, v in self.network.state_dict().items()}
        for i, optimizer in enumerate(self.optimizers):
            for key, state in optimizer.state_dict()["state"].items():
                for slot, value in state.items():
                    tensors[f"optimizer.{i}.{key}.{slot}"] = torch.as_tensor(value)
        if self.config.model.tied:
            del tensors["model.output.weight"]
        temporary = self.state_path.with_suffix(".tmp")
        metadata = {
            "step": str(step),
            "seconds": str(self._seconds),
            "config": json.dumps(self.config.to_dict()),
        }
        save_file({k: v.contiguous() for k, v in tensors.items()}, temporary, metadata)
        os.replace(temporary, self.state_path)
        card = {
            "name": self.config.name,
            "trained_on": sorted(self.config.sources),
            "bytes_seen": step * self._step_bytes,
            "held_out_bytes_per_source": self.config.holdout_bytes,
            "crlf_fraction": self.config.crlf_fraction,
            "training_precision": self.precision,
            **figures,
        }
        card = joined_card(card, self.before) if self.before else card
        save_float_checkpoint(self.network, card, self.out)

    def _resume(self) -> None:
        if not self.state_path.exists():
            return
        check_same_run(self.state_path, self.config)
        with safe_open(self.state_path, "pt") as state:
            metadata = state.metadata()
            tensors = {key: state.get_tensor(key) for key in state.keys()}  # noqa: SIM118
        model = {k[6:]: v for k, v in tensors.items() if k.startswith("model.")}
        self.network.load_state_dict(model, strict=not self.config.model.tied)
        for i, optimizer in enumerate(self.optimizers):
            loaded: dict[int, dict[str, Tensor]] = {}
            for key, value in tensors.items():
                if key.startswith(f"optimizer.{i}."):
                    parameter, slot = key.split(".")[2:]
                    loaded.setdefault(int(parameter), {})[slot] = value
            groups = optimizer.state_dict()["param_groups"]
            optimizer.load_state_dict({"state": loaded, "param_groups": groups})
        self.start_step = int(metadata["step"])
        self._seconds_before = float(metadata.get("seconds", 0))
        _log.info("resumed %s at step %d", self.config.name, self.start_step)


def check_same_run(state_path: Path, config: TrainConfig) -> None:
    """Raises TrainingError if a state is of a run with other text, shape or schedule."""
    with safe_open(state_path, "pt") as state:
        before = json.loads(state.metadata()["config"])
    # Through the class: a state that an older version wrote lacks the newer options.
    if GPTConfig.from_dict(before["model"]) != config.model:
        raise TrainingError(f"{state_path} holds a network of another shape: choose another folder")
    for name, value in config.to_dict().items():
        found = before.get(name, value)
        if name not in _FREE_TO_CHANGE and found != value:
            raise TrainingError(
                f"{state_path} is of a run with {name} {found}, the configuration says {value}: "
                "choose another folder"
            )


def learning_rate_scale(config: TrainConfig, step: int) -> float:
    """Returns the factor on the peak learning rate: linear warm-up, then cosine."""
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    span = max(1, config.num_steps - config.warmup_steps)
    cosine = 0.5 * (1 + math.cos(math.pi * (step - config.warmup_steps) / span))
    return config.final_lr_fraction + (1 - config.final_lr_fraction) * cosine


def _resolve_precision(precision: str, device: torch.device) -> str:
    """Returns bfloat16 or float32; a CPU without bfloat16 products is 50 times slower in it."""
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(False) else "float32"
    has = torch.cpu.get_capabilities()
    return "bfloat16" if has.get("amx_bf16") or has.get("avx512_bf16") else "float32"


def _has_compiler() -> bool:
    return any(shutil.which(name) for name in (os.environ.get("CXX", ""), "g++", "clang++") if name)


def _optimizers(config: TrainConfig, network: GPT, precision: str) -> list[torch.optim.Optimizer]:
    matrices: list[Tensor] = []
    rest: list[Tensor] = []
    for name, parameter in network.named_parameters():
        is_matrix = parameter.ndim == 2 and name.startswith("blocks.")
        (matrices if is_matrix and config.optimizer == "muon" else rest).append(parameter)
    decayed = [p for p in rest if p.ndim >= 2]
    plain = [p for p in rest if p.ndim < 2]
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    adamw = torch.optim.AdamW(
        [g for g in groups if g["params"]],
        lr=config.learning_rate,
        betas=(0.9, config.adam_beta2),
        fused=True,
    )
    optimizers: list[torch.optim.Optimizer] = [adamw]
    if matrices:
        muon = torch.optim.Muon if precision == "bfloat16" else Float32Muon
        optimizers.append(
            muon(
                matrices,
                lr=config.muon_learning_rate,
                weight_decay=config.weight_decay,
                adjust_lr_fn="match_rms_adamw",
            )
        )
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["base_lr"] = group["lr"]
    return optimizers


def _device_of_process(device: str) -> torch.device:
    """Returns the device; of several processes on one machine, each takes a GPU of its own."""
    if device == "cuda" and "LOCAL_RANK" in os.environ:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device(device)


def _join_process_group(device: str) -> tuple[int, int]:
    """Joins torchrun's group where there is one; returns (rank, world size)."""
    if "RANK" not in os.environ:
        return 0, 1
    if not dist.is_initialized():
        dist.init_process_group("gloo" if device == "cpu" else "nccl")
    return dist.get_rank(), dist.get_world_size()


def _average_gradients(network: GPT, world_size: int) -> None:
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    flat = torch.cat([g.flatten() for g in gradients])
    dist.all_reduce(flat)
    flat /= world_size
    for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))


def train(config: TrainConfig, out: Path, device: str = "auto") -> dict[str, Any]:
    """Trains (or goes on training) a model into the folder `out`; returns validation figures."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return Trainer(config, out, device).run()
