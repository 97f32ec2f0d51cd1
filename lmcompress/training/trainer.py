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
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from lmcompress.errors import MissingDependencyError, TrainingError
from lmcompress.gpt.config import GPTConfig
from lmcompress.gpt.network import GPT
from lmcompress.models.checkpoint import replace_tensors, save_float_checkpoint, save_tokenizer
from lmcompress.system.atomic import naming
from lmcompress.training.batches import Batches
from lmcompress.training.config import TrainConfig
from lmcompress.training.optimizers import learning_rate_scale, optimizers_of
from lmcompress.training.processes import (
    device_of_process,
    has_compiler,
    join_process_group,
    keep_large_blocks,
    resolve_precision,
)
from lmcompress.training.symbols import Tokens, alphabet_of
from lmcompress.training.warm_start import begin_with, joined_card

_log = logging.getLogger(__name__)

_LOGITS = 1 << 24
"""Most logits computed at once: more would fall out of the cache and take more memory."""
STATE_FILE = "training.safetensors"
"""The file in a run's folder from which it resumes."""
_FREE_TO_CHANGE = frozenset(
    (
        "name",
        "model",
        "tokenizer",
        "eval_interval",
        "checkpoint_seconds",
        "log_interval",
        "precision",
        "compile",
    )
)
"""Options that may change when a run resumes; model and tokenizer are compared separately."""


class Trainer:
    """One run: network, optimizers, schedule, state on disk."""

    def __init__(self, config: TrainConfig, out: Path, device: str = "cpu") -> None:
        self.config, self.out = config, out
        self.rank, self.world_size = join_process_group(device)
        self.device = device_of_process(device)
        self.precision = resolve_precision(config.precision, self.device)
        with naming(out):
            out.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(config.seed)
        if config.compile and device == "cpu" and not has_compiler():
            raise TrainingError("compile needs a C++ compiler: install g++, or set it to false")
        self.alphabet = alphabet_of(config)
        self.network = self.new_network()
        self.before: dict[str, Any] = {}
        self.method: dict[str, Any] = {}
        """What the model card says about the training method, apart from the text."""
        if config.init_from and not self.state_path.exists():
            self.before = begin_with(self.network, config, self.alphabet)
        self.network.to(self.device)
        self.parallel: nn.Module = self.network
        """The network; its backward pass averages gradients over the processes, if several."""
        if self.world_size > 1:
            # The buffers are constants: rotary tables, equal in all processes.
            self.parallel = DistributedDataParallel(self.network, broadcast_buffers=False)
        self.forward = torch.compile(self.parallel) if config.compile else self.parallel
        self.optimizers = optimizers_of(config, self.network, self.precision)
        self.batches = Batches(config, self.rank, self.world_size, self.alphabet)
        self.start_step = 0
        self._seconds_before = 0.0
        self._resume()
        self._started = time.monotonic()

    def new_network(self) -> GPT:
        """Returns a network with random weights; subclasses may choose another."""
        return GPT(self.config.model)

    @property
    def state_path(self) -> Path:
        """Path of the state from which the run resumes."""
        return self.out / STATE_FILE

    def run(self) -> dict[str, Any]:
        """Trains to the end and returns the last validation figures (bits per byte)."""
        config = self.config
        self._started = last_save = time.monotonic()
        losses: list[float] = []
        num_steps = self.batches.num_steps
        for step in range(self.start_step, num_steps):
            losses.append(self._train_step(step))
            done = step + 1
            if done % config.log_interval == 0:
                rate = (done - self.start_step) / (time.monotonic() - self._started)
                bits = float(np.mean(losses)) / math.log(2)
                self._record(
                    step=done,
                    train_bits_per_byte=bits / self.batches.bytes_per_symbol,
                    bytes_per_second=round(rate * self._step_bytes),
                )
                losses = []
            if done % config.eval_interval == 0 and done < num_steps:
                self._record(step=done, **self.validate())
            if time.monotonic() - last_save > config.checkpoint_seconds:
                self._save(done, {})
                last_save = time.monotonic()
        figures = self.validate()
        self._record(step=num_steps, **figures)
        self._save(num_steps, figures)
        return figures

    def _train_step(self, step: int) -> float:
        inputs, targets = (t.to(self.device) for t in self.batches.step(step))
        value = self._learn(inputs, targets)
        if self.config.clip_norm:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip_norm)
        scale = learning_rate_scale(self.config, step, self.batches.num_steps)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["base_lr"] * scale
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        if not math.isfinite(value):
            raise TrainingError(f"loss is {value} at step {step}: lower the learning rate")
        return value

    def _learn(self, inputs: Tensor, targets: Tensor) -> float:
        """Adds up the gradients of a batch, a few sequences at a time, and returns its loss."""
        parts = self._parts(inputs, targets)
        total = 0.0
        for n, (some, wanted) in enumerate(parts, 1):
            is_last = n == len(parts)
            with contextlib.nullcontext() if is_last else self._not_averaged():
                loss = self._training_loss(some, wanted) * (len(wanted) / len(targets))
                loss.backward()
            total += loss.item()
        return total

    def _parts(self, inputs: Tensor, targets: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Splits a batch so that no part has more than `_LOGITS` logits."""
        sequences = max(1, _LOGITS // (targets.shape[1] * self.config.model.vocab_size))
        return list(zip(inputs.split(sequences), targets.split(sequences), strict=True))

    def _not_averaged(self) -> contextlib.AbstractContextManager[None]:
        """Keeps several processes from averaging gradients before the last part of a batch."""
        if isinstance(self.parallel, DistributedDataParallel):
            return self.parallel.no_sync()
        return contextlib.nullcontext()

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
            for batch in self.batches.validation(name):
                for inputs, targets in self._parts(*batch):
                    loss = self._loss(inputs.to(self.device), targets.to(self.device))
                    nats += loss.item() * targets.numel()
                    count += self.alphabet.num_bytes(targets.numpy().ravel())
            figures[name] = round(nats / count / math.log(2), 4)
            total_nats, total = total_nats + nats, total + count
        mean = round(total_nats / total / math.log(2), 4)
        return {"validation_bits_per_byte": {"mean": mean, **figures}}

    def _record(self, **values: Any) -> None:
        if self.rank == 0:
            seen = round(values["step"] * self._step_bytes)
            values = {"bytes_seen": seen, "seconds": round(self._seconds), **values}
            path = self.out / "log.jsonl"
            with naming(path), path.open("a", encoding="utf-8") as log:
                log.write(json.dumps(values) + "\n")
            _log.info("%s", json.dumps(values))

    @property
    def _seconds(self) -> float:
        """Training time so far, not counting work that was lost when the run was killed."""
        return self._seconds_before + time.monotonic() - self._started

    @property
    def _step_bytes(self) -> float:
        """Bytes of text in a step; for tokens, an average."""
        symbols = self.config.batch_size * self.config.sequence_length
        return symbols * self.batches.bytes_per_symbol

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
            "tokenizer_sha256": self.alphabet.sha256,
        }
        tensors = {k: v.contiguous() for k, v in tensors.items()}
        replace_tensors(self.state_path, lambda path: save_file(tensors, path, metadata))
        card = {
            "name": self.config.name,
            "trained_on": sorted(self.config.sources),
            "bytes_seen": round(step * self._step_bytes),
            "held_out_bytes_per_source": self.config.holdout_bytes,
            "crlf_fraction": self.config.crlf_fraction,
            "training_precision": self.precision,
            **self.method,
            **figures,
        }
        if isinstance(self.alphabet, Tokens):
            card["tokens_seen"] = step * self.config.batch_size * self.config.sequence_length
            card["tokenizer_sha256"] = self.alphabet.sha256
            save_tokenizer(self.alphabet.table, self.alphabet.tokenizer_json, self.out)
        card = joined_card(card, self.before) if self.before else card
        save_float_checkpoint(self.network, card, self.out)

    def _resume(self) -> None:
        if not self.state_path.exists():
            return
        check_same_run(self.state_path, self.config)
        with _opened_state(self.state_path) as state:
            metadata = state.metadata()
            tensors = {key: state.get_tensor(key) for key in state.keys()}  # noqa: SIM118
        if metadata.get("tokenizer_sha256", "") != self.alphabet.sha256:
            raise TrainingError(
                f"{self.state_path} belongs to a run with another tokenizer: choose another "
                "output folder"
            )
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


def train(
    config: TrainConfig, out: Path, device: str = "auto", trainer: type[Trainer] = Trainer
) -> dict[str, Any]:
    """Trains a model in the folder `out`, or resumes its run; returns the validation figures."""
    keep_large_blocks()
    has_gpu = torch.cuda.is_available()
    if device == "auto":
        device = "cuda" if has_gpu else "cpu"
    if device == "cuda" and not has_gpu:
        raise MissingDependencyError("found no CUDA device: use device cpu")
    return trainer(config, out, device).run()
