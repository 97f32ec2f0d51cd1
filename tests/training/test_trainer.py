"""Training learns, resumes exactly, survives a kill and writes what compression takes."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import lmcompress
from lmcompress.errors import LmcompressError, MissingDependencyError, TrainingError
from lmcompress.models.checkpoint import load_network
from lmcompress.models.store import load_model
from lmcompress.training.batches import Batches
from lmcompress.training.config import TrainConfig
from lmcompress.training.optimizers import learning_rate_scale
from lmcompress.training.trainer import Trainer, train
from lmcompress.training.warm_start import joined_card

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


@pytest.fixture
def config(tmp_path: Path) -> TrainConfig:
    return make_config(tmp_path)


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


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_training_learns_and_its_checkpoint_compresses(tmp_path: Path, optimizer: str) -> None:
    config = make_config(tmp_path, optimizer, 60 * 256)

    figures = Trainer(config, tmp_path / "run").run()

    assert figures["validation_bits_per_byte"]["mean"] < 5
    raw = (tmp_path / "source.txt").read_bytes()[:3000]
    frame = lmcompress.compress(raw, tmp_path / "run")
    assert len(frame) < 5 / 8 * len(raw)
    assert lmcompress.decompress(frame, model=str(tmp_path / "run")) == raw
    card = json.loads((tmp_path / "run" / "model.json").read_text())["card"]
    assert card["bytes_seen"] == 60 * 256
    assert card["trained_on"] == list(config.sources)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_an_interrupted_run_ends_with_the_weights_of_an_unbroken_one(
    tmp_path: Path, optimizer: str
) -> None:
    config = make_config(tmp_path, optimizer)
    Trainer(config, tmp_path / "unbroken").run()
    trainer = Trainer(config, tmp_path / "broken")
    step = trainer.batches.step

    def interrupted(number: int) -> tuple[torch.Tensor, torch.Tensor]:
        if number == 9:
            raise KeyboardInterrupt
        return step(number)

    trainer.batches.step = interrupted  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        trainer.run()
    resumed = Trainer(config, tmp_path / "broken")
    assert resumed.start_step == 9
    resumed.run()

    expected = load_file(tmp_path / "unbroken" / "model.safetensors")
    found = load_file(tmp_path / "broken" / "model.safetensors")
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_run_begins_with_the_weights_of_a_model(config: TrainConfig, tmp_path: Path) -> None:
    Trainer(config, tmp_path / "before").run()
    config = dataclasses.replace(config, init_from=str(tmp_path / "before"), total_bytes=2 * 256)

    trainer = Trainer(config, tmp_path / "run")

    expected = load_file(tmp_path / "before" / "model.safetensors")
    assert all(torch.equal(trainer.network.state_dict()[k], v) for k, v in expected.items())
    trainer.run()
    card = json.loads((tmp_path / "run" / "model.json").read_text())["card"]
    assert card["bytes_seen"] == 22 * 256
    assert card["began_with"]["bytes_seen"] == 20 * 256
    assert card["began_with"]["fingerprint"] == load_model(tmp_path / "before").fingerprint.hex()


def test_a_new_table_of_ngrams_predicts_what_the_model_does(
    config: TrainConfig, tmp_path: Path
) -> None:
    Trainer(config, tmp_path / "before").run()
    shape = dataclasses.replace(config.model, ngram_orders=(2, 4), ngram_bits=6)
    config = dataclasses.replace(config, init_from=str(tmp_path / "before"), model=shape)
    tokens = torch.from_numpy(np.frombuffer(b"line 7 of a text", np.uint8).astype(np.int64))[None]

    trainer = Trainer(config, tmp_path / "run")

    with torch.no_grad():
        expected = load_network(tmp_path / "before")(tokens)
        assert torch.equal(trainer.network(tokens), expected)
    trainer.run()
    with torch.no_grad():
        assert not torch.equal(trainer.network(tokens), expected)
    assert (trainer.network.ngram_embedding.weight != 0).any(1).sum() > 50


def test_a_resumed_run_no_longer_needs_the_model_that_it_began_with(
    config: TrainConfig, tmp_path: Path
) -> None:
    Trainer(config, tmp_path / "before").run()
    later = dataclasses.replace(config, init_from=str(tmp_path / "before"))
    Trainer(later, tmp_path / "run").run()
    expected = json.loads((tmp_path / "run" / "model.json").read_text())["card"]
    shutil.rmtree(tmp_path / "before")

    Trainer(later, tmp_path / "run").run()

    assert json.loads((tmp_path / "run" / "model.json").read_text())["card"] == expected


def test_a_run_that_began_otherwise_is_refused(config: TrainConfig, tmp_path: Path) -> None:
    Trainer(config, tmp_path / "run").run()
    other = dataclasses.replace(config, init_from="lmc-3m")

    with pytest.raises(TrainingError, match="init_from , the configuration says lmc-3m"):
        Trainer(other, tmp_path / "run")


def test_what_the_model_before_has_read_is_not_held_out(
    config: TrainConfig, tmp_path: Path
) -> None:
    Trainer(config, tmp_path / "before").run()
    more = dataclasses.replace(config, init_from=str(tmp_path / "before"), holdout_bytes=600)

    with pytest.raises(TrainingError, match="except the last 512 bytes: holdout_bytes is 600"):
        Trainer(more, tmp_path / "run")


@pytest.mark.parametrize(
    ("name", "message"), [("none", "expected a byte model"), ("lmc-3n", "did you mean lmc-3m")]
)
def test_what_no_run_can_begin_with_is_named(
    config: TrainConfig, tmp_path: Path, name: str, message: str
) -> None:
    with pytest.raises(LmcompressError, match=message):
        Trainer(dataclasses.replace(config, init_from=name), tmp_path / "run")


def test_what_the_model_before_was_trained_on_stays_on_the_card() -> None:
    before = {"name": "a", "fingerprint": "00", "trained_on": ["z", "b"], "bytes_seen": 5}

    card = joined_card({"trained_on": ["b", "c"], "bytes_seen": 2}, before)

    assert card["trained_on"] == ["b", "c", "z"]
    assert card["bytes_seen"] == 7


def test_a_model_to_begin_with_has_the_networks_shape(config: TrainConfig, tmp_path: Path) -> None:
    other = dataclasses.replace(config, init_from="ladder-50k")

    with pytest.raises(TrainingError, match=r"ladder-50k has n_layer \d+, \[model\] says 1"):
        Trainer(other, tmp_path / "run")


def test_a_killed_process_resumes(tmp_path: Path) -> None:
    make_config(tmp_path, total_bytes=100_000 * 256)
    out = tmp_path / "run"
    command = [sys.executable, "-m", "lmcompress", "train"]
    command += ["--config", str(tmp_path / "tiny-run.toml"), "--out", str(out)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while not (out / "training.safetensors").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()

    trainer = Trainer(make_config(tmp_path, total_bytes=100_000 * 256), out)

    assert trainer.start_step > 0


def test_the_last_bytes_of_a_source_are_never_drawn(config: TrainConfig) -> None:
    config = dataclasses.replace(config, crlf_fraction=0.0)
    batches = Batches(config)
    [name] = config.sources
    whole = Path(name).read_bytes()

    drawn = [
        row.numpy().astype(np.uint8).tobytes() for i in range(50) for row in batches.step(i)[1]
    ]

    assert all(row in whole[:-512] for row in drawn)
    held_out = torch.cat([t.flatten() for _, t in batches.validation(name)])
    assert held_out.numpy().astype(np.uint8).tobytes() == whole[-512:]


def test_some_sequences_have_crlf_line_ends(config: TrainConfig) -> None:
    batches = Batches(config)

    rows = [row.numpy().astype(np.uint8).tobytes() for i in range(20) for row in batches.step(i)[1]]

    assert 0 < sum(b"\r\n" in row for row in rows) < len(rows)


def test_a_run_that_begins_with_short_sequences_keeps_its_bytes_a_step(
    config: TrainConfig,
) -> None:
    config = dataclasses.replace(config, short_sequence_length=16, short_fraction=0.5)
    batches = Batches(config)

    shapes = [tuple(batches.step(step)[1].shape) for step in range(config.num_steps)]

    assert shapes == [(16, 16)] * 10 + [(4, 64)] * 10


def test_training_in_float32_does_not_round_to_bfloat16(
    tmp_path: Path, config: TrainConfig
) -> None:
    losses = {
        precision: Trainer(
            dataclasses.replace(config, precision=precision), tmp_path / precision
        ).validate()["validation_bits_per_byte"]["mean"]
        for precision in ("float32", "bfloat16")
    }

    assert losses["float32"] == pytest.approx(losses["bfloat16"], rel=0.01)
    trainer = Trainer(dataclasses.replace(config, precision="float32"), tmp_path / "float32")
    inputs, targets = trainer.batches.step(0)
    exact = torch.nn.functional.cross_entropy(
        trainer.network(inputs).flatten(0, 1), targets.flatten()
    )
    assert trainer._loss(inputs, targets).item() == exact.item()


def test_processes_draw_different_sequences(config: TrainConfig) -> None:
    first, second = (Batches(config, rank, 2).step(0)[1] for rank in range(2))

    assert first.shape == (2, 64)
    assert not torch.equal(first, second)


def test_two_processes_train_as_one_with_their_batches_joined(tmp_path: Path) -> None:
    # AdamW hides the scale of gradients, unless some steps clip them and others do not.
    config = make_config(tmp_path, options='precision = "float32"\nclip_norm = 1.5')
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", "-m", "lmcompress", "train", "--device", "cpu"]
    command += ["--config", str(tmp_path / "tiny-run.toml"), "--out", str(tmp_path / "two")]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    parts = [Batches(config, rank, 2) for rank in range(2)]
    one = Trainer(config, tmp_path / "one")

    def joined(step: int) -> tuple[torch.Tensor, torch.Tensor]:
        inputs, targets = zip(*(part.step(step) for part in parts), strict=True)
        return torch.cat(inputs), torch.cat(targets)

    one.batches.step = joined  # type: ignore[method-assign]
    figures = one.run()

    expected = load_file(tmp_path / "one" / "model.safetensors")
    found = load_file(tmp_path / "two" / "model.safetensors")
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=1e-4, msg=name)
    card = json.loads((tmp_path / "two" / "model.json").read_text())["card"]
    two = card["validation_bits_per_byte"]["mean"]
    assert two == pytest.approx(figures["validation_bits_per_byte"]["mean"], abs=2e-4)


def test_the_gradient_is_clipped_to_the_norm_that_the_configuration_says(
    tmp_path: Path, config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = Trainer(dataclasses.replace(config, clip_norm=1e-3), tmp_path / "run")
    monkeypatch.setattr(trainer, "optimizers", [])  # which would clear the gradients

    trainer._train_step(0)

    gradients = [p.grad for p in trainer.network.parameters() if p.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients).item()
    assert norm == pytest.approx(1e-3, rel=1e-3)


def test_validation_weights_a_last_smaller_batch_by_its_bytes(
    tmp_path: Path, config: TrainConfig
) -> None:
    config = dataclasses.replace(config, holdout_bytes=5 * 64)  # in batches of 4 sequences
    trainer = Trainer(config, tmp_path / "run")
    [name] = config.sources
    batches = list(trainer.batches.validation(name))
    inputs, targets = (torch.cat(parts) for parts in zip(*batches, strict=True))
    with torch.no_grad():
        rows = [trainer._loss(inputs[i : i + 1], targets[i : i + 1]).item() for i in range(5)]

    found = trainer.validate()["validation_bits_per_byte"][name]

    assert [len(part) for part, _ in batches] == [4, 1]
    assert found == pytest.approx(np.mean(rows) / np.log(2), abs=1e-4)
    unweighted = (np.mean(rows[:4]) + rows[4]) / 2 / np.log(2)
    assert abs(found - unweighted) > 1e-3


def test_learning_rate_warms_up_and_falls(config: TrainConfig) -> None:
    scales = [learning_rate_scale(config, step) for step in range(config.num_steps)]

    assert scales[:3] == pytest.approx([1 / 3, 2 / 3, 1])
    assert scales[2:] == sorted(scales[2:], reverse=True)
    assert scales[-1] < 0.1


def test_gpt1s_schedule_can_be_written_down(tmp_path: Path) -> None:
    """Radford et al. (2018): 2,000 steps up to 2.5e-4, then a cosine to 0; Adam, 0.999."""
    config = dataclasses.replace(
        make_config(tmp_path, total_bytes=10_000 * 256), learning_rate=2.5e-4, adam_beta2=0.999,
        warmup_steps=2000, final_lr_fraction=0.0,
    )  # fmt: skip

    rates = [2.5e-4 * learning_rate_scale(config, step) for step in (0, 999, 1999, 6000, 9999)]
    assert rates == pytest.approx([1.25e-7, 1.25e-4, 2.5e-4, 1.25e-4, 0], abs=1e-9)
    [adam] = Trainer(config, tmp_path / "run").optimizers
    assert all(group["betas"] == (0.9, 0.999) for group in adam.param_groups)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('optimizer = "sgd"', "expected adamw or muon"),
        ("sequence_length = 128", "over the model's context_length"),
        ("holdout_bytes = 63", "under sequence_length 64"),
        ('precision = "fp8"', "expected auto, bfloat16 or float32"),
        ("short_sequence_length = 48", "not a multiple of short_sequence_length 48"),
        ("batch_size = 0", "batch_size is 0, expected at least 1"),
        ("log_interval = 0", "log_interval is 0, expected at least 1"),
        ("learning_rat = 1", "unknown option 'learning_rat'"),
        ("batch_size = [", "not valid TOML"),
        ('total_bytes = "x"', "total_bytes is 'x', expected a whole number"),
        ("learning_rate = [1]", r"learning_rate is \[1\], expected a number"),
        ("compile = 1", "compile is 1, expected true or false"),
        ("init_from = 3", "init_from is 3, expected a string"),
    ],
)
def test_a_wrong_configuration_is_one_clear_line(tmp_path: Path, line: str, message: str) -> None:
    make_config(tmp_path)
    path = tmp_path / "tiny-run.toml"
    key = line.split(" =")[0]
    lines = [x for x in path.read_text().splitlines() if not x.startswith(f"{key} =")]
    path.write_text("\n".join([line, *lines]))

    with pytest.raises(TrainingError, match=message):
        TrainConfig.from_toml(path)


def test_a_folder_with_another_network_is_not_overwritten(
    tmp_path: Path, config: TrainConfig
) -> None:
    Trainer(config, tmp_path / "run").run()
    other = dataclasses.replace(config, model=dataclasses.replace(config.model, n_layer=2,
                                attention_windows=(16, 16)))  # fmt: skip

    with pytest.raises(TrainingError, match="another shape"):
        Trainer(other, tmp_path / "run")


def test_a_state_from_before_an_option_existed_resumes(tmp_path: Path, config: TrainConfig) -> None:
    Trainer(config, tmp_path / "run").run()
    path = tmp_path / "run" / "training.safetensors"
    with safe_open(path, "pt") as state:
        metadata = state.metadata()
    before = json.loads(metadata["config"])
    del before["model"]["parallel_residual"]
    save_file(load_file(path), path, {**metadata, "config": json.dumps(before)})

    assert Trainer(config, tmp_path / "run").start_step == config.num_steps


@pytest.mark.parametrize("weight", ["0", "-1", '"x"'])
def test_a_weight_that_draws_nothing_is_refused(tmp_path: Path, weight: str) -> None:
    make_config(tmp_path)
    path = tmp_path / "tiny-run.toml"
    head, name, _ = re.split(r"(\[sources\]\n.* = ).*", path.read_text(), maxsplit=1)
    path.write_text(f"{head}{name}{weight}\n")

    with pytest.raises(TrainingError, match="weight"):
        TrainConfig.from_toml(path)


@pytest.mark.parametrize("spoil", [lambda raw: raw[:100], lambda raw: b"\x02" + bytes(7) + b"{}"])
def test_a_damaged_state_is_one_clear_line(
    spoil: Callable[[bytes], bytes], tmp_path: Path, config: TrainConfig
) -> None:
    Trainer(config, tmp_path / "run").run()
    path = tmp_path / "run" / "training.safetensors"
    path.write_bytes(spoil(path.read_bytes()))

    with pytest.raises(TrainingError, match=r"is damaged .* delete it to start over"):
        Trainer(config, tmp_path / "run")


def test_a_gpu_that_is_not_there_is_one_clear_line(
    tmp_path: Path, config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    with pytest.raises(MissingDependencyError, match="found no CUDA device"):
        train(config, tmp_path / "run", "cuda")


def test_another_optimizers_state_is_refused(tmp_path: Path, config: TrainConfig) -> None:
    Trainer(config, tmp_path / "run").run()

    with pytest.raises(TrainingError, match="optimizer adamw, the configuration says muon"):
        Trainer(dataclasses.replace(config, optimizer="muon"), tmp_path / "run")


@pytest.mark.parametrize("change", [{"learning_rate": 0.5}, {"seed": 2}, {"total_bytes": 512}])
def test_a_run_does_not_go_on_as_another(
    change: dict[str, Any], tmp_path: Path, config: TrainConfig
) -> None:
    Trainer(config, tmp_path / "run").run()

    with pytest.raises(TrainingError, match=f"{next(iter(change))}.*choose another output folder"):
        Trainer(dataclasses.replace(config, **change), tmp_path / "run")
    Trainer(dataclasses.replace(config, eval_interval=1), tmp_path / "run")


def test_the_seconds_in_the_log_are_those_of_all_its_processes(
    tmp_path: Path, config: TrainConfig
) -> None:
    trainer = Trainer(config, tmp_path / "run")
    trainer._seconds_before = 1000.0
    trainer.run()

    resumed = Trainer(config, tmp_path / "run")
    resumed.run()

    lines = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert all(row["seconds"] >= 1000 for row in rows)
    assert resumed._seconds > 1000


def test_a_source_that_is_too_short_is_refused(tmp_path: Path, config: TrainConfig) -> None:
    config = dataclasses.replace(config, holdout_bytes=10**6)

    with pytest.raises(TrainingError, match="too few"):
        Batches(config)


FULL_DISK = """
import resource, sys
from lmcompress.cli.main import main
import lmcompress.training.trainer
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, -1))
sys.exit(main(["train", "--config", sys.argv[1], "--out", sys.argv[2], "--device", "cpu"]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs RLIMIT_FSIZE")
def test_a_full_disk_is_one_line_and_leaves_no_part_of_a_state(tmp_path: Path) -> None:
    make_config(tmp_path)
    out = tmp_path / "out"
    out.mkdir()

    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, tmp_path / "tiny-run.toml", out],
        capture_output=True,
        text=True,
        check=False,
    )

    errors = [line for line in done.stderr.splitlines() if not line.startswith("lmcompress: {")]
    assert done.returncode == 1
    assert len(errors) == 1, done.stderr
    assert errors[0].startswith(f"lmcompress: cannot write {out / 'training.safetensors'}: ")
    assert "File too large" in errors[0]
    assert {path.name for path in out.iterdir()} <= {"log.jsonl"}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_log_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "log.jsonl").symlink_to("/dev/full")

    with pytest.raises(LmcompressError, match=r"cannot write .*log\.jsonl: No space left"):
        train(make_config(tmp_path), tmp_path / "out", "cpu")


@pytest.mark.skipif(sys.platform == "win32", reason="permission bits are POSIX's")
def test_what_training_writes_is_readable_for_whom_the_umask_lets(tmp_path: Path) -> None:
    train(make_config(tmp_path), tmp_path / "out", "cpu")

    (tmp_path / "usual").touch()
    modes = {path.name: path.stat().st_mode for path in (tmp_path / "out").iterdir()}
    assert len(modes) == 4
    assert set(modes.values()) == {(tmp_path / "usual").stat().st_mode}, modes
