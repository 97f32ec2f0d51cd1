"""What a benchmark asks of a compressor, be it gzip or a GPT: bytes in, bytes out."""

from __future__ import annotations

from typing import Protocol


class Codec(Protocol):
    """A lossless compressor at one setting: `decompress(compress(raw)) == raw` for any bytes."""

    @property
    def name(self) -> str:
        """Name and level: "gzip-9"."""

    @property
    def version(self) -> str:
        """Version of the library that does the work."""

    @property
    def model_bytes(self) -> int:
        """Bytes of the model that the decoder must have; 0 without a model."""

    @property
    def num_parameters(self) -> int:
        """Parameters of that model."""

    @property
    def fingerprint(self) -> str:
        """Hash of that model, in hex; empty without a model."""

    def compress(self, raw: bytes) -> bytes:
        """Returns all that `decompress` needs, sizes and headers included."""

    def decompress(self, compressed: bytes) -> bytes:
        """Inverts `compress`."""
