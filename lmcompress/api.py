"""The Python interface: compress, decompress, score, and files that read and write like gzip's."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
from pathlib import Path
from typing import BinaryIO, Literal, cast

import numpy as np
import numpy.typing as npt

from lmcompress.adaptive import AdaptiveStage
from lmcompress.codec import (
    CodecConfig,
    FrameCompressor,
    Progress,
    compress_stream,
    decompress_stream,
    decompressed_segments,
)
from lmcompress.coding import quantized_code_length_bits
from lmcompress.errors import LmcompressError
from lmcompress.lanes import LaneLayout, block_steps, segment_blocks
from lmcompress.model_store import DEFAULT_MODEL, AnyModel, Model, load_model
from lmcompress.predictor import (
    ContextPolicy,
    new_predictor,
    resolve_device,
    resolve_threads,
)
from lmcompress.priming import primer_of


def _model(model: AnyModel) -> Model:
    return model if isinstance(model, Model) else load_model(model)


def compress(
    data: bytes, model: AnyModel = DEFAULT_MODEL, config: CodecConfig | None = None
) -> bytes:
    """Returns `data` as one .lmc frame.

    Args:
      data: Any bytes.
      model: A name, a checkpoint's folder, or a loaded model.
      config: Lanes, segment size, device, threads.

    Raises:
      ModelNotFoundError: If there is no such model.
      LmcompressError: If `config` asks for a compact frame and `data` is more than one segment.
    """
    sink = io.BytesIO()
    compress_stream(io.BytesIO(data), sink, _model(model), config or CodecConfig())
    return sink.getvalue()


def decompress(
    data: bytes, model: AnyModel | None = None, config: CodecConfig | None = None
) -> bytes:
    """Returns the bytes that were compressed into one or more frames.

    Args:
      data: What `compress` returned.
      model: The model or where it is, if what the frame says of it does not find it.
      config: Device, threads, prompt; the rest stands in the frame.

    Raises:
      CorruptFrameError: If anything is damaged.
      ModelNotFoundError: If the model that made the frame is not at hand.
      PromptNotFoundError: If the frame was made with a prompt that `config` does not have.
      UnsupportedVersionError: If the frame needs a newer lmcompress.
    """
    sink = io.BytesIO()
    decompress_stream(io.BytesIO(data), sink, config, model)
    return sink.getvalue()


@dataclasses.dataclass(frozen=True)
class Score:
    """Code lengths of a text under a model, in bits; no file was made."""

    raw_bytes: int
    ideal_code_length_bits: float
    """-sum(log2 p) with p the softmax of the exact logits, in float64."""
    quantized_code_length_bits: float
    """-sum(log2(frequency / 2**24)): what the coder is given, after the adaptive stage if it is on
    and helps."""

    @property
    def ideal_bits_per_byte(self) -> float:
        """Ideal code length over raw bytes."""
        return self.ideal_code_length_bits / self.raw_bytes if self.raw_bytes else float("nan")

    @property
    def quantized_bits_per_byte(self) -> float:
        """Quantized code length over raw bytes."""
        return self.quantized_code_length_bits / self.raw_bytes if self.raw_bytes else float("nan")


def score(
    data: bytes,
    model: AnyModel = DEFAULT_MODEL,
    config: CodecConfig | None = None,
    progress: Progress | None = None,
) -> Score:
    """Returns the code lengths of `data` in the lanes and segments that `compress` would use.

    `progress` is called with the number of bytes done since its last call.
    """
    model, config = _model(model), config or CodecConfig()
    policy, threads = ContextPolicy.of(model.weights), resolve_threads(config.threads)
    device = resolve_device(config.device)
    ideal = quantized = 0.0
    for offset in range(0, len(data), config.segment_bytes):
        raw = data[offset : offset + config.segment_bytes]
        lanes = config.lanes_for(len(raw))
        block = block_steps(lanes, threads, device)
        prompt = config.prompt
        primer = primer_of(prompt, model, policy, device, threads) if prompt else None
        predictor = new_predictor(model.weights, lanes, block, policy, device, threads)
        layout = LaneLayout(len(raw), lanes)
        before = primer.stage if primer else None
        stage = AdaptiveStage(lanes, layout.steps, before) if config.adaptive else None
        direct = mixed = 0.0
        with contextlib.closing(predictor):
            first = primer.warm(predictor, lanes) if primer else predictor.bos_id
            for tokens, symbols in segment_blocks(raw, lanes, block, first):
                logits = np.empty((tokens.shape[1], lanes, predictor.vocab_size), np.float32)
                weights = predictor.predict(tokens, logits)
                rows = weights.reshape(-1, predictor.vocab_size)[: len(symbols)]
                direct += quantized_code_length_bits(rows, symbols)
                if stage is not None:
                    bits, bit_weights = stage.predict(symbols, weights)
                    mixed += quantized_code_length_bits(bit_weights, bits)
                flat = logits.reshape(-1, predictor.vocab_size)[: len(symbols)]
                ideal += _ideal_bits(flat, symbols)
                if progress:
                    progress(len(symbols))
        quantized += min(direct, mixed) if stage is not None else direct
    return Score(len(data), ideal, quantized)


def _ideal_bits(logits: npt.NDArray[np.float32], symbols: npt.NDArray[np.int32]) -> float:
    nats = logits.astype(np.float64)
    nats -= nats.max(axis=1, keepdims=True)
    chosen = np.take_along_axis(nats, symbols[:, None].astype(np.int64), 1)[:, 0]
    return float((np.log(np.exp(nats).sum(axis=1)) - chosen).sum() / np.log(2))


class _SegmentReader(io.RawIOBase):
    """Decompresses segment by segment as bytes are asked for."""

    def __init__(self, source: BinaryIO, config: CodecConfig, model: AnyModel | None) -> None:
        self._source = source
        self._segments = decompressed_segments(source, config, model)
        self._rest = memoryview(b"")
        self._error: LmcompressError | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]
        while not self._rest:
            segment = self._next_segment()
            if segment is None:
                return 0
            self._rest = memoryview(segment)
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def _next_segment(self) -> bytes | None:
        if self._error is not None:  # a generator that raised would look like one that ended
            raise self._error
        try:
            return next(self._segments, None)
        except LmcompressError as exc:
            self._error = exc
            raise

    def close(self) -> None:
        self._source.close()
        super().close()


class _FrameFile(io.RawIOBase):
    """Compresses what is written, segment by segment."""

    def __init__(self, sink: BinaryIO, model: Model, config: CodecConfig) -> None:
        self._sink = sink
        self._compressor = FrameCompressor(sink, model, config)
        self._raw = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:  # type: ignore[no-untyped-def]
        self._raw += data
        size = self._compressor.piece_bytes
        while len(self._raw) >= size:
            self._compressor.write_segment(bytes(self._raw[:size]))
            del self._raw[:size]
        return len(data)

    def close(self) -> None:
        if not self.closed:
            try:
                if self._raw:
                    self._compressor.write_segment(bytes(self._raw))
                self._compressor.finish()
            finally:
                self._sink.close()
                super().close()


def open(
    path: str | os.PathLike[str],
    mode: Literal["r", "rb", "rt", "w", "wb", "wt", "x", "xb", "xt"] = "rb",
    model: AnyModel = DEFAULT_MODEL,
    config: CodecConfig | None = None,
    encoding: str | None = None,
) -> BinaryIO | io.TextIOWrapper:
    """Opens an .lmc file as gzip.open opens a .gz: binary by default, text with "t".

    Reading and writing hold one segment in memory; a file is whole once it was closed.
    """
    action, is_text = mode[:1], mode.endswith("t")
    if action not in ("r", "w", "x") or mode[1:] not in ("", "b", "t"):
        raise ValueError(f"mode is {mode!r}, expected r, w or x with b or t")
    config = config or CodecConfig()
    binary: io.BufferedIOBase
    if action == "r":
        maker = None if model == DEFAULT_MODEL else model
        source = Path(path).open("rb")  # noqa: SIM115 - the file object returned closes it
        binary = io.BufferedReader(_SegmentReader(source, config, maker))
    else:
        chosen = _model(model)
        sink = Path(path).open(f"{action}b")  # noqa: SIM115 - likewise
        binary = io.BufferedWriter(_FrameFile(cast(BinaryIO, sink), chosen, config))
    return io.TextIOWrapper(binary, encoding) if is_text else cast(BinaryIO, binary)
