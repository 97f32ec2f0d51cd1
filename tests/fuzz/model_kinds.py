"""Model folders, published checkpoints and tokenizers. A case replaces one file of a folder."""

from __future__ import annotations

import functools
import json
import os
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import lmcompress
from lmcompress.errors import FingerprintMismatchError, LmcompressError
from lmcompress.gpt.quantization import ExactWeights
from lmcompress.models.checkpoint import load_exact_checkpoint, load_network
from lmcompress.models.pretrained import open_pretrained
from lmcompress.models.store import Model
from lmcompress.tokenizer.bpe import TextTokenizer
from lmcompress.tokenizer.vocabulary import TokenTable
from tests.fuzz import model_seeds
from tests.fuzz.case import Case, Kind, Limits, Operation, Setting, Wrong
from tests.fuzz.mutations import NUMBERS, changed_json, damaged
from tests.fuzz.seeds import TEXT, TOKEN_MODEL

Change = Callable[[bytes, random.Random], bytes]
_NUM_TOKENS = 600
_RAW = b"It was the best of times"
_GGUF_KEYS = re.compile(
    rb"(?:general|llama|tokenizer)\.[a-z_.]+|blk\.\d\.[a-z_.]+|token_embd\.weight"
)


def changed_safetensors(data: bytes, rng: random.Random) -> bytes:
    """Returns arrays under another header, or with other values, or damaged anywhere."""
    start = 8 + int.from_bytes(data[:8], "little")
    action = rng.random()
    if action < 0.4:
        header = changed_json(data[8:start].decode(), rng).encode("utf-8", "ignore")
        return len(header).to_bytes(8, "little") + header + data[start:]
    if action < 0.7:  # infinities, NaN, extremes
        at = rng.randrange(start, len(data) + 1)
        value = rng.choice(
            (b"\xff\xff\x7f\x7f", b"\0\0\x80\x7f", b"\0\0\xc0\x7f", rng.randbytes(4))
        )
        return data[:at] + value + data[at + 4 :]
    return damaged(data[:start], data, rng) + data[start:]


def changed_gguf(data: bytes, rng: random.Random) -> bytes:
    """Returns a file of which a value, or what is around a key, is another one."""
    if rng.random() < 0.4:
        return damaged(data, data, rng)
    ends = [match.end() for match in _GGUF_KEYS.finditer(data)]
    at = rng.choice((*ends, 4, 8)) + rng.choice((-8, 0, 4, 4, 4, 8, 12))
    width = rng.choice((1, 4, 8))
    value = rng.choice(NUMBERS) % (1 << 8 * width)
    return data[:at] + value.to_bytes(width, "little") + data[at + width :]


def json_or_damaged(data: bytes, rng: random.Random) -> bytes:
    """Returns JSON with other values, or bytes that are no JSON."""
    if rng.random() < 0.3:
        return damaged(data, data, rng)
    return changed_json(data.decode(), rng).encode("utf-8", "surrogatepass")


def kind(
    name: str,
    weight: float,
    make_seed: Callable[[], bytes],
    change: Change,
    errors: tuple[type[Exception], ...] = (LmcompressError,),
    **operations: Operation,
) -> Kind:
    """Returns a kind of file with one seed, whose operations have equal shares."""
    seed = functools.cache(make_seed)

    def make(rng: random.Random) -> tuple[bytes, bool]:
        return change(seed(), rng), False

    shares = {name: (1, operation) for name, operation in operations.items()}
    return Kind(name, weight, make, shares, lambda: [seed()], lambda data: Limits(), errors)


def _replaced(case: Case, setting: Setting, source: Path, name: str) -> Path:
    """Returns a copy of a folder in which a file holds the case's data."""
    folder = setting.folder / case.kind / source.name
    if not folder.exists():
        shutil.copytree(source, folder)
    (folder / name).write_bytes(case.data)
    return folder


def _use(weights: ExactWeights, folder: Path) -> None:
    """What loads must work, in both directions."""
    model = Model(folder.name, weights, {}, folder)
    frame = lmcompress.compress(_RAW, model, lanes=2, adaptive=False, prompt_cache=0, threads=1)
    if lmcompress.decompress(frame, model, threads=1) != _RAW:
        raise Wrong("a model that loads does not decode what it encoded")


def load_manifest(case: Case, setting: Setting) -> None:
    folder = _replaced(case, setting, model_seeds.exact_model(), "model.json")
    _use(load_exact_checkpoint(folder), folder)


def list_installed(case: Case, setting: Setting) -> None:
    folder = _replaced(case, setting, model_seeds.exact_model(), "model.json")
    frame = model_seeds.frame_path()
    with mock.patch.dict(os.environ, LMCOMPRESS_MODELS=str(folder.parent)):
        lmcompress.list_models()
        lmcompress.info(frame)


def load_weights(case: Case, setting: Setting) -> None:
    """Also under a fingerprint that fits: whoever makes weights can make that too."""
    folder = _replaced(case, setting, model_seeds.exact_model(), "model.safetensors")
    _load_forged(folder, model_seeds.exact_model())


def load_table(case: Case, setting: Setting) -> None:
    folder = _replaced(case, setting, TOKEN_MODEL, "tokens.safetensors")
    _load_forged(folder, TOKEN_MODEL)


def _load_forged(folder: Path, source: Path) -> None:
    manifest = folder / "model.json"
    shutil.copyfile(source / "model.json", manifest)
    try:
        weights = load_exact_checkpoint(folder)
    except FingerprintMismatchError as exc:
        [found] = re.findall("has fingerprint ([0-9a-f]{32})", str(exc))
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"fingerprint": found}))
        weights = load_exact_checkpoint(folder)
    _use(weights, folder)


def load_floats(case: Case, setting: Setting) -> None:
    load_network(_replaced(case, setting, model_seeds.float_model(), "model.safetensors"))


def quantize_floats(case: Case, setting: Setting) -> None:
    load_exact_checkpoint(_replaced(case, setting, model_seeds.float_model(), "model.safetensors"))


def load_float_manifest(case: Case, setting: Setting) -> None:
    load_network(_replaced(case, setting, model_seeds.float_model(), "model.json"))


def open_config(case: Case, setting: Setting) -> None:
    _import(_replaced(case, setting, model_seeds.llama_model(), "config.json"))


def open_tensors(case: Case, setting: Setting) -> None:
    _import(_replaced(case, setting, model_seeds.llama_model(), "model.safetensors"))


def open_tokenizer(case: Case, setting: Setting) -> None:
    _import(_replaced(case, setting, model_seeds.llama_model(), "tokenizer.json"))


def open_gguf(case: Case, setting: Setting) -> None:
    path = setting.folder / "model.gguf"
    path.write_bytes(case.data)
    _import(path)


def _import(path: Path) -> None:
    """Does what `fetch` does with a checkpoint once it is there."""
    opened = open_pretrained(path)
    opened.save({"name": "imported"}, path.parent / "imported")


def read_table(case: Case, setting: Setting) -> None:
    text = (TOKEN_MODEL / "tokenizer.json").read_text("utf-8")
    table = TokenTable.from_tokenizer_json(text, _NUM_TOKENS)
    tokenizer = TextTokenizer(case.data.decode("utf-8", "replace"), table)
    if table.join(tokenizer.encode(TEXT)) != TEXT:
        raise Wrong("tokens do not spell the text")


def new_table(case: Case, setting: Setting) -> None:
    text = case.data.decode("utf-8", "replace")
    table = TokenTable.from_tokenizer_json(text, _NUM_TOKENS)
    tokenizer = TextTokenizer(text, table)
    if table.join(tokenizer.encode(TEXT)) != TEXT:
        raise Wrong("tokens do not spell the text")


def _file(folder: Callable[[], Path], name: str) -> Callable[[], bytes]:
    return lambda: (folder() / name).read_bytes()


def _tokens(name: str) -> Callable[[], bytes]:
    return _file(lambda: TOKEN_MODEL, name)


_OURS, _FLOATS, _LLAMA = model_seeds.exact_model, model_seeds.float_model, model_seeds.llama_model
MODEL_KINDS: list[Kind] = [
    kind("manifest", 4, _file(_OURS, "model.json"), json_or_damaged,
         load=load_manifest, list=list_installed),
    kind("weights", 4, _file(_OURS, "model.safetensors"), changed_safetensors, load=load_weights),
    kind("table", 1, _tokens("tokens.safetensors"), changed_safetensors, load=load_table),
    kind("floats", 1.5, _file(_FLOATS, "model.safetensors"), changed_safetensors,
         load=load_floats, quantize=quantize_floats),
    kind("float-manifest", 1.5, _file(_FLOATS, "model.json"), json_or_damaged,
         load=load_float_manifest),
    kind("config", 2, _file(_LLAMA, "config.json"), json_or_damaged, open=open_config),
    kind("tensors", 1, _file(_LLAMA, "model.safetensors"), changed_safetensors, open=open_tensors),
    kind("gguf", 0.25, model_seeds.gguf_file, changed_gguf, open=open_gguf),
    kind("tokenizer", 2, _file(_LLAMA, "tokenizer.json"), json_or_damaged, open=open_tokenizer),
    kind("vocabulary", 2, _tokens("tokenizer.json"), json_or_damaged,
         load=read_table, derive=new_table),
]  # fmt: skip
