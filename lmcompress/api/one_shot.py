"""Bytes in memory: compress, decompress, score, and what each byte costs."""

from __future__ import annotations

import io
from typing import Unpack

from lmcompress.api.options import CompressOptions, DecompressOptions, compression, configured
from lmcompress.codec import costs, scoring
from lmcompress.codec.config import CodecConfig, Progress
from lmcompress.codec.costs import ByteCosts
from lmcompress.codec.scoring import Score
from lmcompress.codec.stream import compress_stream, decompress_stream
from lmcompress.models.store import AnyModel


def compress(
    data: bytes,
    model: AnyModel | None = None,
    config: CodecConfig | None = None,
    *,
    progress: Progress | None = None,
    **options: Unpack[CompressOptions],
) -> bytes:
    """Compresses bytes into one .lmc frame.

    The frame depends on the data, the model, `lanes`, `segment_bytes`, `adaptive`, `prompt` and
    `compact`. `device` and `threads` never change it, except that `lanes="auto"` takes more lanes
    on a GPU.

    Args:
      data: Any bytes.
      model: A name that `list_models` returns, a model's folder, or a loaded `Model`; lmc-3m if
        None. "none" has no GPT: the adaptive stage alone.
      config: Settings to start from; the keywords below override its fields.
      progress: Called with the number of bytes done since the last call.
      **options: Any of these keywords:
        level (default 6): 1 to 9, as on the command line: the fastest to the smallest. It sets
          model, lanes and segment_bytes where they are not given.
        lanes (default "auto"): Parts of a segment that the model reads in parallel, 1 to 4096. More
          are faster, fewer compress better. "auto" chooses by the size of the segment.
        segment_bytes (default 16 MiB): Bytes that decode on their own, 1 to 2**30. Smaller ones
          take less memory and compress worse.
        adaptive (default True): Whether a context mixer that learns from the data joins the GPT.
        prompt (default None): A `Prompt`, a text that the model reads first, like a dictionary in
          zstd. `decompress` needs the same one.
        prompt_cache (default 1 GiB): Disk space, in bytes, for prompts that were read, in the
          user's cache: the next process with the same prompt starts sooner. 0 turns it off.
        compact (default False): Whether to write a header of about 20 bytes, which names neither
          model nor prompt. For data of at most one segment.
        device (default "auto"): "cpu", "cuda", or "auto": a GPU if there is one. "reference" runs
          the slow definition of the arithmetic.
        threads (default None): CPU threads; None means $OMP_NUM_THREADS, or else all cores.
        memory_limit (default 1.5 GiB): Bytes of memory for the segments that are coded at once,
          besides the model's weights. A segment that takes more is refused.

    Returns:
      The frame. It names the model, but does not contain it.

    Raises:
      ModelNotFoundError: If the model is unknown.
      LmcompressError: If `compact` is set and the data is more than one segment.
      LimitExceededError: If a segment takes more memory than `memory_limit`.
      MissingDependencyError: If `device` is "cuda" and there is no GPU.
      ValueError: If a setting is out of range.
    """
    chosen, settings = compression(model, config, options)
    sink = io.BytesIO()
    compress_stream(io.BytesIO(memoryview(data)), sink, chosen, settings, progress)
    return sink.getvalue()


def decompress(
    data: bytes,
    model: AnyModel | None = None,
    config: CodecConfig | None = None,
    *,
    progress: Progress | None = None,
    **options: Unpack[DecompressOptions],
) -> bytes:
    """Decompresses one or more .lmc frames, one after the other.

    Args:
      data: What `compress` returned.
      model: The model that made the frames, by name, folder or loaded. Needed only if it is not
        installed, for a frame leads to its model.
      config: Settings to start from. Only prompt, device, threads and limits matter here.
      progress: Called with the number of bytes done since the last call.
      **options: `prompt`, `prompt_cache`, `device`, `threads` and `memory_limit`, as `compress`
        describes them, and
        output_limit (default None): Bytes that the data may decompress to; more are refused.

    Returns:
      The original bytes, checked against the frames' checksums.

    Raises:
      CorruptFrameError: If the data is damaged, or is not an .lmc file.
      TruncatedFrameError: If it ends too early.
      ModelNotFoundError: If the model that made a frame is not installed.
      FingerprintMismatchError: If `model` is not the one that made a frame.
      PromptNotFoundError: If a frame was made with a prompt, and `prompt` is not that one.
      LimitExceededError: If it takes more memory, or gives more bytes, than the limits allow.
      UnsupportedVersionError: If a frame needs a newer lmcompress.
    """
    settings = configured(config, options, DecompressOptions)
    sink = io.BytesIO()
    decompress_stream(io.BytesIO(memoryview(data)), sink, settings, model, progress)
    return sink.getvalue()


def score(
    data: bytes,
    model: AnyModel | None = None,
    config: CodecConfig | None = None,
    *,
    progress: Progress | None = None,
    **options: Unpack[CompressOptions],
) -> Score:
    """Measures how well a model predicts data, without compressing it.

    Args:
      data: Any bytes.
      model: A name that `list_models` returns, a model's folder, or a loaded `Model`; lmc-3m if
        None.
      config: Settings to start from; the keywords below override its fields.
      progress: Called with the number of bytes done since the last call.
      **options: The keywords of `compress`. The data is cut into the same segments and lanes.

    Returns:
      Code lengths in bits. The quantized one is within a few bytes of the payload that `compress`
      would write; headers and checksums come on top.

    Raises:
      ModelNotFoundError: If the model is unknown.
      ValueError: If a setting is out of range.
    """
    chosen, settings = compression(model, config, options)
    return scoring.score(bytes(memoryview(data)), chosen, settings, progress)


def byte_costs(
    data: bytes,
    model: AnyModel | None = None,
    config: CodecConfig | None = None,
    *,
    progress: Progress | None = None,
    **options: Unpack[CompressOptions],
) -> ByteCosts:
    """Returns what each byte of data costs in the file that `compress` makes of it, and why.

    Takes several times as long as `compress`, and 150 bytes of memory a byte.

    Args:
      data: Any bytes.
      model: A name that `list_models` returns, a model's folder, or a loaded `Model`; lmc-3m if
        None.
      config: Settings to start from; the keywords below override its fields.
      progress: Called with the number of bytes done since the last call.
      **options: The keywords of `compress`.

    Returns:
      The costs, which add up to the payloads; `columns` gives them as a table for pandas.

    Raises:
      ModelNotFoundError: If the model is unknown.
      ValueError: If a setting is out of range, or nothing would predict.
    """
    chosen, settings = compression(model, config, options)
    return costs.byte_costs(data, chosen, settings, progress)
