"""Training a tokenizer: byte-level BPE (Sennrich et al., 2016; Radford et al., 2019)."""

from __future__ import annotations

from collections.abc import Iterable

from lmcompress.errors import LmcompressError
from lmcompress.system.extras import needs_extra

SPLITS = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,2}| ?[^\s\p{L}\p{N}]+|\r?\n[ \t]*|\s+(?!\S)|\s+"
"""Pieces that no token reaches across. Unlike GPT-2's, a word takes any one character before it
that is not a letter or a digit, numbers are cut into pairs of digits, and a line's end takes the
next line's indentation."""


def train_bpe(texts: Iterable[str], vocab_size: int, splits: str | None = SPLITS) -> str:
    """Trains a tokenizer; returns its `tokenizer.json`.

    Every byte is a token, so it cuts any text.

    Args:
      texts: Pieces of the text to learn from.
      vocab_size: Tokens, the 256 bytes included.
      splits: A regular expression for the pieces that no token reaches across; None for GPT-2's.

    Raises:
      LmcompressError: If the text has too few different pairs for so many tokens.
      MissingDependencyError: Without the `tokenizers` package.
    """
    with needs_extra("pretrained", "training a tokenizer", "tokenizers"):
        from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    bpe = Tokenizer(models.BPE())
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=splits is None)
    bpe.pre_tokenizer = byte_level
    if splits is not None:
        split = pre_tokenizers.Split(Regex(splits), "isolated")
        bpe.pre_tokenizer = pre_tokenizers.Sequence([split, byte_level])
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator(texts, trainer)
    if bpe.get_vocab_size() != vocab_size:
        raise LmcompressError(
            f"the text gives {bpe.get_vocab_size():,} tokens, expected {vocab_size:,}: "
            "train the tokenizer on more text, or ask for fewer tokens"
        )
    return str(bpe.to_str())
