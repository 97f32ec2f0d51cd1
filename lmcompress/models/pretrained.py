"""Published checkpoints, from a folder of `transformers` or a GGUF file, as our models.

A checkpoint is quantized once, tensor by tensor; what is kept is an exact checkpoint of ours with
the tokenizer next to it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from lmcompress.errors import ModelNotFoundError, UnsupportedModelError
from lmcompress.gpt.config import GPTConfig
from lmcompress.gpt.network import GPT
from lmcompress.gpt.quantization import ExactWeights, quantize_tensors
from lmcompress.models.architectures import architecture, gpt_config
from lmcompress.models.checkpoint import save_exact_checkpoint
from lmcompress.models.gguf import GgufFile
from lmcompress.tokenizer.bpe import TOKENIZER_FILE, TextTokenizer
from lmcompress.tokenizer.vocabulary import TokenTable

MAX_WINDOW = 2048
"""Longest context to use a model with, in tokens: the cost of attention grows with it."""
ACTIVATION_BITS = 12
"""Bits of a linear layer's inputs; with 8, SmolLM2-135M loses five to ten times as much
(results/pretrained)."""
MIN_SPELLED = 0.9
"""Share of a vocabulary that its own tokenizer spells; the rest is special, or padding."""
TEXT_SEPARATOR = "<|endoftext|>"


@dataclasses.dataclass(frozen=True)
class Pretrained:
    """A published checkpoint, opened; tensors are read when they are asked for."""

    path: Path
    config: GPTConfig
    tokenizer_json: str
    values: dict[str, Any]
    get: Callable[[str], Tensor]

    def tensors(self) -> dict[str, Tensor]:
        """Returns all tensors as `GPT.state_dict()` names them."""
        state = dict(architecture(self.values).tensors(self.config, self.get))
        if self.config.tied:
            state["output.weight"] = state["token_embedding.weight"]
        return state

    def network(self) -> GPT:
        """Returns the float network, all in memory.

        Raises:
          ModelNotFoundError: If tensors are missing or of other shapes.
        """
        network = GPT(self.config)
        try:
            network.load_state_dict(self.tensors())
        except RuntimeError as exc:
            raise ModelNotFoundError(f"{self.path} does not fit its configuration: {exc}") from exc
        return network.eval()

    def weights(self) -> ExactWeights:
        """Returns the exact weights; one float tensor at a time is in memory.

        Raises:
          ModelNotFoundError: If tensors are missing or of other shapes.
          UnsupportedModelError: If exact sums could overflow at these sizes.
        """
        named = architecture(self.values).tensors(self.config, self.get)
        try:
            return quantize_tensors(self.config, named)
        except ValueError as exc:
            raise UnsupportedModelError(f"{self.path} cannot be evaluated exactly: {exc}") from exc
        except RuntimeError as exc:
            raise ModelNotFoundError(f"{self.path} does not fit its configuration: {exc}") from exc

    def save(self, card: dict[str, Any], folder: Path) -> None:
        """Writes the exact weights, the table of tokens and the tokenizer into a folder.

        Raises:
          ModelNotFoundError: If tensors are missing or of other shapes.
          UnsupportedModelError: If the tokenizer is of another kind or of another model.
        """
        with _damage_named(self.path):
            table = TokenTable.from_tokenizer_json(self.tokenizer_json, self.config.vocab_size)
        if table.is_spelled.mean() < MIN_SPELLED:
            raise UnsupportedModelError(
                f"the tokenizer has {table.is_spelled.sum():,} tokens of text, {self.path} has "
                f"{self.config.vocab_size:,}: it belongs to another model"
            )
        TextTokenizer(self.tokenizer_json, table)  # fails here, not when a file is compressed
        weights = dataclasses.replace(self.weights(), tokens=table)
        save_exact_checkpoint(weights, card, folder)
        (folder / TOKENIZER_FILE).write_text(self.tokenizer_json, "utf-8")


def open_pretrained(path: Path, **overrides: Any) -> Pretrained:
    """Opens a folder with config.json, safetensors and tokenizer.json, or a GGUF file.

    Args:
      path: The folder or file.
      overrides: Options of `GPTConfig`, such as a shorter context_length.

    Raises:
      ModelNotFoundError: If a file is missing or damaged.
      UnsupportedModelError: If it is of a kind that cannot be evaluated.
    """
    overrides = {"context_length": MAX_WINDOW, "activation_bits": ACTIVATION_BITS, **overrides}
    with _damage_named(path):
        return _open(path, overrides)


_DAMAGE = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)


@contextlib.contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    """Turns the errors that a configuration with wrong or missing fields causes into one line."""
    try:
        yield
    except _DAMAGE as exc:
        raise UnsupportedModelError(
            f"{path} is damaged, or of a kind not known here ({exc!r}): download it again"
        ) from exc


def _open(path: Path, overrides: dict[str, Any]) -> Pretrained:
    if path.suffix == ".gguf":
        file = GgufFile(path)
        tokenizer_json = file.tokenizer_json()
        config = _opened(gpt_config(file.config, **overrides), tokenizer_json)
        _check_size(path, config, [path])
        return Pretrained(path, config, tokenizer_json, file.config, file.tensor)
    values = _read_json(path / "config.json")
    config = gpt_config(values, **overrides)
    try:
        tokenizer_json = (path / "tokenizer.json").read_text("utf-8")
    except OSError as exc:
        raise ModelNotFoundError(f"{path} has no tokenizer.json: get it from its home") from exc
    config = _opened(config, tokenizer_json)
    tensors = _Safetensors(path)
    _check_size(path, config, path.glob("*.safetensors"))
    return Pretrained(path, config, tokenizer_json, values, tensors.get)


def _check_size(path: Path, config: GPTConfig, files: Iterable[Path]) -> None:
    """Raises ModelNotFoundError if the files are too small for what the configuration says.

    Called before tables of its sizes are made. No known kind of file packs 8 weights into a byte.
    """
    num_bytes = sum(file.stat().st_size for file in files)
    if config.num_parameters > 8 * num_bytes:
        raise ModelNotFoundError(
            f"{path} has {num_bytes:,} bytes, too few for the {config.num_parameters:,} parameters "
            "of its configuration: get it again"
        )


def _opened(config: GPTConfig, tokenizer_json: str) -> GPTConfig:
    """Returns the configuration with the token that stood between texts in training, if named.

    A chat model's first token announces a speaker, not a text.
    """
    try:
        ids = {token["content"]: token["id"] for token in _added_tokens(tokenizer_json)}
    except ValueError as exc:
        raise UnsupportedModelError(f"tokenizer.json is not valid JSON: {exc}") from exc
    except (TypeError, KeyError, AttributeError) as exc:
        raise UnsupportedModelError(f"tokenizer.json is not one of tokenizers: {exc}") from exc
    separator = ids.get(TEXT_SEPARATOR, config.vocab_size)
    if separator < config.vocab_size:
        return dataclasses.replace(config, bos_id=separator)
    return config


def _added_tokens(tokenizer_json: str) -> list[dict[str, Any]]:
    return json.loads(tokenizer_json).get("added_tokens") or []


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text("utf-8"))
    except OSError as exc:
        raise ModelNotFoundError(f"{path.parent} holds no checkpoint: no {path.name}") from exc
    except ValueError as exc:
        raise ModelNotFoundError(f"{path} is not valid JSON: {exc}") from exc
    if not isinstance(values, dict):
        raise ModelNotFoundError(f"{path} holds no object: download it again")
    return values


class _Safetensors:
    """Tensors of a folder, whole or in shards."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        names = ["model.safetensors"]
        if (folder / "model.safetensors.index.json").is_file():
            index = _read_json(folder / "model.safetensors.index.json")
            names = sorted(set(index.get("weight_map", {}).values()))
        self._files: dict[str, Any] = {}
        for name in names:
            try:
                file: Any = safe_open(folder / name, "pt")
            except FileNotFoundError as exc:
                raise ModelNotFoundError(f"{folder} has no {name}: get it from its home") from exc
            except (SafetensorError, OSError) as exc:
                raise ModelNotFoundError(f"{folder / name} is damaged: {exc}") from exc
            self._files |= dict.fromkeys(file.keys(), file)

    def get(self, name: str) -> Tensor:
        """Returns a tensor, float32; bare networks lack the first part of each name."""
        for key in (name, name.partition(".")[2]):
            if key in self._files:
                return self._files[key].get_tensor(key).float()  # type: ignore[no-any-return]
        raise ModelNotFoundError(f"{self._folder} has no tensor {name}: download it again")
