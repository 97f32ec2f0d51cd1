"""The configuration of a training run that takes a second."""

from __future__ import annotations

from pathlib import Path

from lmcompress.training.config import TrainConfig

TOML = """
total_bytes = {total_bytes}
batch_size = 4
sequence_length = 64
holdout_bytes = 512
crlf_fraction = 0.3
optimizer = "{optimizer}"
learning_rate = 1e-2
muon_learning_rate = 1e-2
warmup_steps = 3
log_interval = 5
checkpoint_seconds = 0.0

[model]
n_layer = 1
n_embd = 64
n_head = 1
context_length = 64
attention_windows = [16]
activation = "relu2"
qk_norm = true
norm_gain = false
rotary_period = 128

[sources]
"{source}" = 1
"""


def make_config(
    folder: Path,
    optimizer: str = "adamw",
    total_bytes: int = 20 * 256,
    options: str = "",
) -> TrainConfig:
    source = folder / "source.txt"
    lines = [f"line {i} of a text, that says {i * i} and no more\n" for i in range(400)]
    source.write_bytes("".join(lines).encode())
    path = folder / "tiny-run.toml"
    text = TOML.format(total_bytes=total_bytes, optimizer=optimizer, source=source)
    path.write_text(f"{options}\n{text}")
    return TrainConfig.from_toml(path)
