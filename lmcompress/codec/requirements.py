"""Finds and checks what a frame's header requires: model, context policy and prompt."""

from __future__ import annotations

import dataclasses
from typing import BinaryIO

from lmcompress.codec.config import CodecConfig
from lmcompress.codec.predictor import ContextPolicy
from lmcompress.codec.prompt import Prompt
from lmcompress.codec.session import Session
from lmcompress.errors import CorruptFrameError, PromptNotFoundError, UnsupportedVersionError
from lmcompress.format.compact import PREFIX_BYTES, CompactHeader, CompactWriter
from lmcompress.format.frame import Header, Writer
from lmcompress.format.full import FrameWriter
from lmcompress.format.header import PRECISION_BITS, FrameHeader
from lmcompress.models.store import (
    BYTES,
    NO_MODEL,
    TOKENS,
    AnyModel,
    Model,
    load_model,
    load_model_of,
    load_model_with,
)


def new_writer(sink: BinaryIO, session: Session) -> Writer:
    """Returns a writer for the kind of frame that the session's configuration asks for."""
    model, prompt = session.model, session.config.prompt
    if session.config.compact:
        return CompactWriter(sink, compact_header(model, prompt))
    return FrameWriter(sink, frame_header(model, session.policy, prompt))


def frame_header(model: Model, policy: ContextPolicy, prompt: Prompt | None = None) -> FrameHeader:
    """Returns the header of files that a model makes."""
    from lmcompress.gpt.quantization import ARITHMETIC_VERSION

    return FrameHeader(
        model=model.name,
        fingerprint=model.fingerprint,
        arithmetic_version=ARITHMETIC_VERSION,
        tokenizer=model.tokenizer,
        window=policy.window,
        overlap=policy.overlap,
        prompt_sha256=prompt.sha256 if prompt else b"",
        prompt_name=prompt.name if prompt else "",
    )


def compact_header(model: Model, prompt: Prompt | None = None) -> CompactHeader:
    """Returns the header of compact frames that a model makes."""
    from lmcompress.gpt.quantization import ARITHMETIC_VERSION

    return CompactHeader(
        arithmetic_version=ARITHMETIC_VERSION,
        fingerprint=model.fingerprint[:PREFIX_BYTES],
        prompt_sha256=prompt.sha256[:PREFIX_BYTES] if prompt else b"",
    )


def session_for(header: Header, config: CodecConfig, model: AnyModel | None = None) -> Session:
    """Returns a session that decodes the segments behind a header.

    Args:
      header: Of a frame that has a coded segment.
      config: Device, threads, and the prompt if there is one.
      model: A model to use instead of looking up the one that the header names.

    Raises:
      UnsupportedVersionError: If the frame needs a newer lmcompress.
      ModelNotFoundError: If the model is not installed.
      PromptNotFoundError: If the frame needs another prompt than `config` has.
      CorruptFrameError: If the model cannot do what the header asks of it.
    """
    _check_supported(header)
    if header.model:
        found = load_model_of(header.model, header.fingerprint, model)
        _check_tokenizer(header, found)
        policy = _checked_policy(header, found)
    else:
        found, policy = load_model_with(header.fingerprint, model), None
    prompt = _needed_prompt(header, config.prompt)
    return Session(found, dataclasses.replace(config, prompt=prompt), policy)


def session_without_gpt(header: Header, config: CodecConfig) -> Session:
    """Returns a session for the adaptive segments behind a header, which need no model.

    Raises:
      UnsupportedVersionError: If the frame needs a newer lmcompress.
      PromptNotFoundError: If the frame needs another prompt than `config` has.
    """
    _check_supported(header)
    prompt = _needed_prompt(header, config.prompt)
    return Session(load_model(NO_MODEL), dataclasses.replace(config, prompt=prompt, device="cpu"))


def _check_supported(header: Header) -> None:
    from lmcompress.gpt.quantization import ARITHMETIC_VERSION

    for what, found, known in (
        ("arithmetic version", header.arithmetic_version, (ARITHMETIC_VERSION,)),
        ("tokenizer", header.tokenizer, (BYTES, TOKENS, "")),
        ("coder precision", header.precision_bits, (PRECISION_BITS,)),
    ):
        if found not in known:
            names = " and ".join(str(value) for value in known if value != "")
            raise UnsupportedVersionError(
                f"the file uses {what} {found!r}, this lmcompress knows {names}: "
                "decompress it with a newer version"
            )


def _check_tokenizer(header: Header, model: Model) -> None:
    if header.tokenizer != model.tokenizer:
        raise CorruptFrameError(
            f"the file's symbols are {header.tokenizer}, those of model {model.name} are "
            f"{model.tokenizer}: the file is damaged"
        )


def _needed_prompt(header: Header, prompt: Prompt | None) -> Prompt | None:
    """Returns the prompt if the header asks for it, None if it asks for none.

    Raises:
      PromptNotFoundError: If it asks for another.
    """
    sha256 = header.prompt_sha256
    if not sha256:
        return None
    if prompt and prompt.sha256.startswith(sha256):
        return prompt
    asked = f"a prompt whose SHA-256 begins with {sha256.hex()}"
    if header.prompt_name:
        asked = f"prompt {header.prompt_name!r} (SHA-256 {sha256.hex()})"
    found = f"found {prompt.name} ({prompt.sha256.hex()})" if prompt else "found none"
    raise PromptNotFoundError(
        f"the file was compressed with {asked}, {found}: pass prompt=... or --prompt FILE"
    )


def _checked_policy(header: Header, model: Model) -> ContextPolicy:
    """Returns the header's policy; raises CorruptFrameError if the model cannot follow it."""
    policy = ContextPolicy(header.window, header.overlap)
    if model.weights is not None:
        shape = model.weights.config
        if policy.window > shape.context_length or not (policy.window or shape.streams):
            raise CorruptFrameError(
                f"window is {policy.window} tokens, the model's context is "
                f"{shape.context_length}: the file is damaged"
            )
    return policy
