"""Float scores are those of `transformers` over the same windows, and say that they are no file."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import pytest
import torch

from lmcompress.benchmark.float_scoring import FloatScorer, scored_windows
from lmcompress.errors import LmcompressError, MissingDependencyError
from tests.support.command_line import Run, assert_one_line_error

transformers = pytest.importorskip("transformers")
pytest.importorskip("tokenizers")

TEXT = "It was the age of wisdom, es wär schön: <|im_end|> 世界 \r\n" * 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random GPT-2 with a byte-level tokenizer, as `transformers` writes it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers.utils import logging

    logging.disable_progress_bar()
    folder = tmp_path_factory.mktemp("float") / "model"
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<|im_end|>"],
        show_progress=False,
    )
    tokenizer.train_from_iterator([TEXT], trainer)
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>"
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.GPT2Config(vocab_size=300, n_embd=32, n_layer=2, n_head=2, n_positions=64)
    transformers.GPT2LMHeadModel(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("window", "stride", "expected"),
    [
        (10, 4, [(0, 0, 10), (4, 10, 14), (8, 14, 18), (12, 18, 22), (13, 22, 23)]),
        (23, 5, [(0, 0, 23)]),
        (30, 5, [(0, 0, 23)]),
        (10, 10, [(0, 0, 10), (10, 10, 20), (13, 20, 23)]),
    ],
)
def test_windows_count_each_token_once(
    window: int, stride: int, expected: list[tuple[int, int, int]]
) -> None:
    assert list(scored_windows(23, window, stride)) == expected


def test_a_score_is_that_of_transformers_token_by_token(folder: Path) -> None:
    scorer = FloatScorer(str(folder), window=16, stride=5)
    network = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(TEXT, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    tokens = torch.tensor([tokenizer.eos_token_id, *ids])

    found = scorer.score(TEXT.encode())

    bits = 0.0
    for i in range(len(ids)):
        late = i >= 16
        stop = min(len(ids), 16 + ((i - 16) // 5 + 1) * 5) if late else 16
        context = max(0, stop - 16)
        with torch.no_grad():
            logits = network(tokens[None, context : i + 1]).logits[0, -1].double()
        bits -= torch.log_softmax(logits, -1)[ids[i]].item() / math.log(2)
    assert found.float_code_length_bits == pytest.approx(bits, rel=1e-5)
    assert found.num_tokens == len(ids)
    assert found.raw_bytes == len(TEXT.encode())
    assert found.num_characters == len(TEXT) < found.raw_bytes
    per_byte = found.float_bits_per_byte * found.raw_bytes
    assert per_byte == pytest.approx(found.float_bits_per_character * found.num_characters)


def test_a_special_token_in_the_text_costs_as_text(folder: Path) -> None:
    scorer = FloatScorer(str(folder))

    assert scorer.score(b"<|im_end|>").num_tokens > 1


def test_the_window_is_what_the_model_takes(folder: Path) -> None:
    assert FloatScorer(str(folder)).window == 64
    with pytest.raises(LmcompressError, match=r"window is 65, .* takes 64 at most"):
        FloatScorer(str(folder), window=65)
    with pytest.raises(LmcompressError, match="stride is 9, more than window 8"):
        FloatScorer(str(folder), window=8, stride=9)


def test_bytes_that_are_no_text_are_refused(folder: Path) -> None:
    with pytest.raises(LmcompressError, match="no UTF-8 at byte 1: only text can be scored"):
        FloatScorer(str(folder)).score(b"a\xff")


def test_a_tokenizer_that_changes_the_text_is_refused(folder: Path, tmp_path: Path) -> None:
    changed = tmp_path / "changed"
    changed.mkdir()
    for path in folder.iterdir():
        (changed / path.name).write_bytes(path.read_bytes())
    parts = json.loads((changed / "tokenizer.json").read_text("utf-8"))
    parts["normalizer"] = {"type": "Lowercase"}
    (changed / "tokenizer.json").write_text(json.dumps(parts), "utf-8")

    with pytest.raises(LmcompressError, match="changes the text at character 4"):
        FloatScorer(str(changed)).score(b"the Age")


def test_the_command_says_that_it_is_a_score_only(folder: Path, run: Run, text_file: Path) -> None:
    line = run("score", "--float", "-m", folder, text_file)
    rows = json.loads(run("score", "--float", "--json", "-m", folder, text_file).stdout)

    assert line.code == 0
    assert b"scored only, in floating point" in line.stdout
    assert rows[0]["scored_only"] is True
    assert rows[0]["float_bits_per_byte"] > 0
    assert not {"bits_per_byte", "compressed_bytes"} & rows[0].keys()


def test_an_empty_file_has_no_rate(folder: Path, run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()

    result = run("score", "--float", "--json", "-m", folder, tmp_path / "empty")

    assert json.loads(result.stdout)[0]["float_bits_per_byte"] is None


@pytest.mark.parametrize(
    "arguments",
    [("--float", "--lanes", "2"), ("--float", "--adaptive", "off"), ("--window", "64")],
)
def test_options_of_the_other_kind_of_score_are_wrong_usage(
    arguments: tuple[str, ...], run: Run, text_file: Path
) -> None:
    result = run("score", *arguments, "-m", "tiny", text_file)

    assert result.code == 2
    assert "--float" in result.stderr


def test_a_model_that_is_not_there_is_one_clear_line(
    run: Run, text_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "none").mkdir()

    result = run("score", "--float", "-m", tmp_path / "none", text_file)

    assert_one_line_error(result, "cannot load", "give a folder of transformers")


@pytest.mark.parametrize("model", [(), ("-m", "lmc-3m"), ("-m", "missing")])
def test_another_model_is_refused_before_the_hub_is_asked(
    run: Run, text_file: Path, model: tuple[str, ...]
) -> None:
    result = run("score", "--float", *model, text_file)

    assert result.code == 2
    assert "--float needs -m hf:OWNER/NAME or a folder of transformers" in result.stderr


def test_a_hub_name_is_no_model_without_float(run: Run, text_file: Path) -> None:
    result = run("score", "-m", "hf:gpt2", text_file)

    assert_one_line_error(result, "run `lmcompress fetch hf:gpt2`", "--float")


def test_without_transformers_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)

    with pytest.raises(MissingDependencyError, match=r"lmcompress\[float\]"):
        FloatScorer("anything")
