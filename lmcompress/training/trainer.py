"""Training a GPT. A run that was killed resumes where its state was last saved.

    lmcompress train --config experiments/configs/NAME.toml --out runs/NAME
    torchrun --nproc-per-node 2 -m lmcompress train ...        (data parallel)

A step's batch is a pure function of (seed, step, rank), so a resumed run sees the text that an
uninterrupted one would have seen. The state is one safetensors file that is replaced atomically.
Gradients of several processes are averaged by DistributedDataParallel (Li et al., 2020).
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import math
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from lmcompress.errors import MissingDependencyError, TrainingError
from lmcompress.gpt.config import GPTConfig
from lmcompress.gpt.network import GPT
from lmcompress.models.checkpoint import replace_tensors, save_float_checkpoint
from lmcompress.system.atomic import naming
from lmcompress.training.batches import Batches
from lmcompress.training.config import TrainConfig
from lmcompress.training.optimizers import learning_rate_scale, optimizers_of
from lmcompress.training.warm_start import begin_with, joined_card

_log = logging.getLogger(__name__)

STATE_FILE = "training.safetensors"
"""The file in a run's folder from which it resumes."""
_FREE_TO_CHANGE = frozenset(
    ("name", "model", "eval_interval", "checkpoint_seconds", "log_interval", "precision", "compile")
)
"""Options that may change when a run resumes (the model is compared separately)."""


class Trainer:
    """One run: network, optimizers, schedule, state on disk."""

    def __init__(self, config: TrainConfig, out: Path, device: str = "cpu") -> None:
        self.config, self.out = config, out
        self.rank, self.world_size = _join_process_group(device)
        self.device = _device_of_process(device)
        self.precision = _resolve_precision(config.precision, self.device)
        with naming(out):
            out.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(config.seed)
        if config.compile and device == "cpu" and not _has_compiler():
            raise TrainingError("compile needs a C++ compiler: install g++, or set it to false")
        self.network = GPT(config.model)
        self.before: dict[str, Any] = {}
        self.method: dict[str, Any] = {}
        """What the model card says about the training method, apart from the text."""
        if config.init_from and not self.state_path.exists():
            self.before = begin_with(self.network, config)
        self.network.to(self.device)
        self.parallel: nn.Module = self.network
        """The network; its backward pass averages gradients over the processes, if several."""
        if self.world_size > 1:
            # The buffers are constants: rotary tables, equal in all processes.
            self.parallel = DistributedDataParallel(self.network, broadcast_buffers=False)
        self.forward = torch.compile(self.parallel) if config.compile else self.parallel
        self.optimizers = optimizers_of(config, self.network, self.precision)
        self.batches = Batches(config, self.rank, self.world_size)
        self.start_step = 0
        self._seconds_before = 0.0
        self._resume()
        self._started = time.monotonic()

    @property
    def state_path(self) -> Path:
        """Path of the state from which the run resumes."""
        return self.out / STATE_FILE

    def run(self) -> dict[str, Any]:
        """Trains to the end and returns the last validation figures (bits per byte)."""
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
        loss = self._training_loss(inputs, targets)
        loss.backward()
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

    def _training_loss(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Returns the loss that a step minimizes; subclasses may choose another."""
        return self._loss(inputs, targets)

    def _loss(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Returns the mean cross entropy in nats per symbol."""
        return F.cross_entropy(self._logits(inputs), targets.flatten())

    def _logits(self, inputs: Tensor) -> Tensor:
        """Returns logits, float32 (B * T, vocab_size), for inputs (B, T)."""
        is_bfloat16 = self.precision == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=is_bfloat16):
            logits: Tensor = self.forward(inputs)
        return logits.flatten(0, 1)

    @torch.no_grad()
    def validate(self) -> dict[str, Any]:
        """Returns held-out bits per byte of each source and, as `mean`, of all their bytes."""
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
            path = self.out / "log.jsonl"
            with naming(path), path.open("a", encoding="utf-8") as log:
                log.write(json.dumps(values) + "\n")
            _log.info("%s", json.dumps(values))

    @property
    def _seconds(self) -> float:
        """Training time so far, without the time that was lost when the run was killed."""
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
        metadata = {
            "step": str(step),
            "seconds": str(self._seconds),
            "config": json.dumps(self.config.to_dict()),
            "before": json.dumps(self.before),
        }
        tensors = {k: v.contiguous() for k, v in tensors.items()}
        replace_tensors(self.state_path, lambda path: save_file(tensors, path, metadata))
        card = {
            "name": self.config.name,
            "trained_on": sorted(self.config.sources),
            "bytes_seen": step * self._step_bytes,
            "held_out_bytes_per_source": self.config.holdout_bytes,
            "crlf_fraction": self.config.crlf_fraction,
            "training_precision": self.precision,
            **self.method,
            **figures,
        }
        card = joined_card(card, self.before) if self.before else card
        save_float_checkpoint(self.network, card, self.out)

    def _resume(self) -> None:
        if not self.state_path.exists():
            return
        check_same_run(self.state_path, self.config)
        with _opened_state(self.state_path) as state:
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
        self.before = json.loads(metadata.get("before", "{}"))
        self._seconds_before = float(metadata.get("seconds", 0))
        _log.info("resumed %s at step %d", self.config.name, self.start_step)


@contextlib.contextmanager
def _opened_state(path: Path) -> Iterator[Any]:
    """Opens a run's state; raises TrainingError if it is damaged or was not written by us."""
    try:
        with safe_open(path, "pt") as state:
            yield state
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as exc:
        raise TrainingError(f"{path} is damaged ({exc}): delete it to start over") from exc


def check_same_run(state_path: Path, config: TrainConfig) -> None:
    """Raises TrainingError if a state belongs to a run with other text, shape or schedule."""
    with _opened_state(state_path) as state:
        before = json.loads(state.metadata()["config"])
    # GPTConfig fills in the options that did not exist when an older version wrote the state.
    if GPTConfig.from_dict(before["model"]) != config.model:
        raise TrainingError(
            f"{state_path} holds a network of another shape: choose another output folder"
        )
    defaults = {field.name: field.default for field in dataclasses.fields(TrainConfig)}
    for name, value in config.to_dict().items():
        found = before.get(name, defaults[name])
        if name not in _FREE_TO_CHANGE and found != value:
            raise TrainingError(
                f"{state_path} belongs to a run with {name} {found}, the configuration says "
                f"{value}: choose another output folder"
            )


def _resolve_precision(precision: str, device: torch.device) -> str:
    """Returns bfloat16 or float32; without hardware support, bfloat16 is 50 times slower."""
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(False) else "float32"
    has = torch.cpu.get_capabilities()
    return "bfloat16" if has.get("amx_bf16") or has.get("avx512_bf16") else "float32"


def _has_compiler() -> bool:
    return any(shutil.which(name) for name in (os.environ.get("CXX", ""), "g++", "clang++") if name)


def _device_of_process(device: str) -> torch.device:
    """Returns the device; each of several processes on one machine gets its own GPU."""
    if device == "cuda" and "LOCAL_RANK" in os.environ:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device(device)


def _join_process_group(device: str) -> tuple[int, int]:
    """Joins the process group if torchrun started this process; returns (rank, world size)."""
    if "RANK" not in os.environ:
        return 0, 1
    if not dist.is_initialized():
        dist.init_process_group("gloo" if device == "cpu" else "nccl")
    return dist.get_rank(), dist.get_world_size()


def train(
    config: TrainConfig, out: Path, device: str = "auto", trainer: type[Trainer] = Trainer
) -> dict[str, Any]:
    """Trains a model in the folder `out`, or resumes its run; returns the validation figures."""
    has_gpu = torch.cuda.is_available()
    if device == "auto":
        device = "cuda" if has_gpu else "cpu"
    if device == "cuda" and not has_gpu:
        raise MissingDependencyError("found no CUDA device: use device cpu")
    return trainer(config, out, device).run()
