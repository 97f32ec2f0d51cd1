"""The command `prove`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.command_line import Run, assert_one_line_error, names
from tests.support.predictors import COUNTS, UNIFORM, write

HONEST = COUNTS + "class Predictor(Counts): pass\n"


def test_prove_and_check(tmp_path: Path, text_file: Path, run: Run) -> None:
    predictor, proof = write(tmp_path, HONEST), tmp_path / "proof.json"

    proven = run("prove", predictor, text_file, "-o", proof)
    text_file.unlink()
    checked = run("prove", "--check", proof, predictor)

    found = json.loads(proof.read_bytes())
    figure = f"{found['bits_per_byte']:.4f} bits per byte, "
    assert (proven.code, checked.code) == (0, 0)
    assert proven.stdout.decode().startswith(f"proven: {figure}")
    assert checked.stdout.decode().startswith(f"decoded again: {figure}")


def test_the_certificate_may_go_to_stdout(tmp_path: Path, text_file: Path, run: Run) -> None:
    result = run("prove", write(tmp_path, HONEST), text_file, "-o", "-")

    assert json.loads(result.stdout)["raw_bytes"] == text_file.stat().st_size
    assert result.stderr.startswith("proven: ")


def test_nothing_is_overwritten(tmp_path: Path, text_file: Path, run: Run) -> None:
    predictor, proof = write(tmp_path, HONEST), tmp_path / "proof.json"
    proof.write_text("mine")

    assert_one_line_error(run("prove", predictor, text_file, "-o", proof), "exists", "-f")
    assert proof.read_text() == "mine"
    assert run("prove", predictor, text_file, "-o", proof, "-f").code == 0


def test_what_cannot_be_proven_is_one_line(tmp_path: Path, text_file: Path, run: Run) -> None:
    source = (
        UNIFORM + "class Predictor(Uniform):\n    def probabilities(self): return 2 * self.row\n"
    )
    predictor, proof = write(tmp_path, source), tmp_path / "proof.json"
    before = names(tmp_path)

    result = run("prove", predictor, text_file, "-o", proof)

    assert_one_line_error(result, "the probabilities sum to 2, not to 1", "at symbol 0, byte 0")
    assert names(tmp_path) == before
    assert run("prove", predictor, text_file, "--normalise").code == 0


@pytest.mark.parametrize("argv", [(), ("a.py",), ("a.py", "b", "--claim", "0")])
def test_wrong_usage(argv: tuple[str, ...], run: Run) -> None:
    assert run("prove", *argv).code == 2


def test_questions_are_answered(tmp_path: Path, text_file: Path, run: Run) -> None:
    """A text that was trained on is what decoding cannot see."""
    write(tmp_path, "", "merges.txt").write_bytes(bytes(5000))
    source = f"""{COUNTS}
class Predictor(Counts):
    def tokenize(self, raw):
        open("merges.txt").close()
        return raw
"""
    predictor, training = write(tmp_path, source), tmp_path / "training.txt"
    training.write_bytes(b"x" + text_file.read_bytes())
    proof = tmp_path / "proof.json"

    result = run(
        "prove", predictor, text_file, "-o", proof, "--claim", "0.0001", "--budget", "5000",
        "--trained-on", training, "--trained-on", predictor.parent,
    )  # fmt: skip

    _, claim, budget, seen, unseen = result.stdout.decode().splitlines()
    found = json.loads(proof.read_bytes())
    assert "no usual miscount explains it" in claim
    assert budget.startswith(f"code, tokenizer and weights have {5000 + len(source):,} bytes and")
    assert budget.endswith("do not fit into 5,000")
    assert seen.startswith("training.txt holds 100.00 % of the text in pieces of 64 bytes")
    assert unseen == "predictor holds no piece of 64 bytes of the text"
    assert found["budget"]["fits"] is False
    assert found["model_bytes"] == len(source) + len("predictor.py")  # the decoder needs no merges
    assert run("prove", "--check", proof, predictor).code == 0
