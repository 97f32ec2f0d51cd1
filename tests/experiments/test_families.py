"""Families of networks: who sees whom, equal bits of all passes, files that decode."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from experiments.support.families import coding, layout, orders
from experiments.support.families.exact import ExactNetwork, Memory
from experiments.support.families.layout import (
    BLOCKS_OF_4,
    CAUSAL,
    CONTEXT,
    ENCODER_DECODER,
    FAMILIES,
    MASK,
    MASKED,
    NOTHING,
    PREFIX,
    WINDOW,
    Family,
)
from experiments.support.families.network import Network
from experiments.support.families.operations import Linear, integer_attention, rms_norm
from experiments.support.families.training import shape_of, training_flops
from experiments.support.families.ways import ORDERS, WAYS, Way
from experiments.support.runs import train_config
from lmcompress.gpt import reference
from lmcompress.gpt.config import GPTConfig
from lmcompress.gpt.cpu import matmul

SMALL = GPTConfig(
    n_layer=2, n_head=2, n_embd=16, context_length=WINDOW, norm_gain=False, qk_norm=True,
    activation="relu2",
)  # fmt: skip
EVERY_FAMILY = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.slug)


def small(family: Family) -> Network:
    """Returns a small network of a family, with weights large enough that its input matters."""
    layers = 1 if family.encoder_layers else 2
    family = dataclasses.replace(
        family, layers=layers, encoder_layers=min(family.encoder_layers, 1), mlp_hidden=32
    )
    torch.manual_seed(3)
    network = Network(shape_of(family, SMALL), family)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return network.eval()


def windows(count: int, seed: int = 1) -> Tensor:
    return torch.randint(0, 256, (count, WINDOW), generator=torch.Generator().manual_seed(seed))


def example(family: Family, of: Tensor, seed: int = 0) -> layout.Example:
    return layout.example(family, of, torch.Generator().manual_seed(seed))


def test_all_families_have_as_many_parameters() -> None:
    model = train_config("families").model
    counts = [
        sum(p.numel() for p in Network(shape_of(family, model), family).parameters())
        for family in FAMILIES
    ]

    assert len(set(counts)) == 1


def test_an_encoder_and_a_decoder_take_half_the_operations_of_one_stack() -> None:
    model = train_config("families").model
    flops = {f: training_flops(Network(shape_of(f, model), f)) for f in FAMILIES}

    assert 0.4 < flops[ENCODER_DECODER] / flops[CAUSAL] < 0.5
    assert flops[BLOCKS_OF_4] > 2 * flops[CAUSAL]


@EVERY_FAMILY
def test_no_prediction_sees_what_it_predicts(family: Family) -> None:
    network, of = small(family), windows(1)
    before = example(family, of)
    predicted, checked = network(before.reading), 0
    for at in (CONTEXT, 200, WINDOW - 1):
        changed = of.clone()
        changed[0, at] ^= 1
        after = example(family, changed)
        if torch.equal(after.reading.tokens, before.reading.tokens):
            continue  # it is hidden, or no position reads it
        checked += 1
        row = at - (WINDOW - before.targets.shape[1])
        hidden = before.weights[0, row] > 0
        if hidden:
            assert torch.equal(network(after.reading)[0, row], predicted[0, row])
        else:
            assert not torch.equal(network(after.reading), predicted)

    assert checked


@EVERY_FAMILY
def test_the_context_is_seen(family: Family) -> None:
    network, of = small(family), windows(1)
    changed = of.clone()
    changed[0, 64] ^= 1
    before, after = (network(example(family, w).reading)[0, -1] for w in (of, changed))

    assert example(family, of).reading.tokens[0, 64] != NOTHING
    assert not torch.equal(before, after)


@pytest.mark.parametrize("family", [MASKED, BLOCKS_OF_4], ids=lambda family: family.slug)
def test_hidden_bytes_count_as_much_as_all(family: Family) -> None:
    found = example(family, windows(4))
    predicting = found.reading.tokens[:, found.reading.rows]
    size = family.block or WINDOW - CONTEXT
    of_blocks = found.weights.unflatten(1, (-1, size)).sum(-1)

    assert torch.equal(found.weights > 0, predicting == MASK)
    assert torch.allclose(of_blocks, of_blocks[0, 0].expand_as(of_blocks))
    assert found.weights.sum().item() == pytest.approx(1)


def test_what_is_no_text_is_not_predicted() -> None:
    many = example(CAUSAL, windows(64))
    without = many.reading.tokens[:, 1] == NOTHING

    assert 0 < without.sum() < 16
    assert (many.weights[without, :CONTEXT] == 0).all()
    assert (many.weights[~without] > 0).all()


@pytest.mark.parametrize("seen", [layout.everyone(40), layout.before(40), layout.everyone(3, 40)])
def test_attention_has_the_bits_of_the_reference(seen: Tensor) -> None:
    torch.manual_seed(1)
    q = torch.randn(2, 3, len(seen), 32) * 3
    k, v = (reference.quantize(torch.randn(2, 3, 40, 32) * size) for size in (1, 5))

    expected = reference.integer_attention(q, *k, *v, seen)
    assert torch.equal(integer_attention(q, *k, *v, seen), expected)


@pytest.mark.skipif(not matmul.is_usable(), reason="needs AVX2, VNNI or NEON")
@pytest.mark.parametrize("has_unsigned_inputs", [False, True])
def test_layers_have_the_bits_of_the_reference(has_unsigned_inputs: bool) -> None:
    generator = np.random.default_rng(2)
    q = generator.integers(-127, 128, (64, 128)).astype(np.int8)
    scale = generator.random(64).astype(np.float32) + np.float32(0.1)
    x = torch.from_numpy(generator.standard_normal((3, 5, 128)).astype(np.float32))
    x = x.clamp(min=0) if has_unsigned_inputs else x

    found = Linear(q, scale, has_unsigned_inputs=has_unsigned_inputs)(x)
    assert torch.equal(found, reference.IntegerLinear(q, scale, None, 127)(x))


def test_norms_have_the_bits_of_the_reference() -> None:
    x = torch.from_numpy(np.random.default_rng(2).standard_normal((3, 5, 128)).astype(np.float32))

    assert torch.equal(rms_norm(x, 1e-5), reference.integer_norm(x, 1e-5, centred=False))


@EVERY_FAMILY
def test_exact_arithmetic_is_near_the_float_network(family: Family) -> None:
    network = small(family)
    for parameter in network.parameters():
        parameter.data *= 0.5
    reading, exact = example(family, windows(2)).reading, ExactNetwork(network)
    memory = Memory()
    if reading.encoder_tokens is not None:
        memory = exact.encode(reading.encoder_tokens)
    freqs = exact.frequencies(
        reading.tokens, reading.positions, reading.seen, memory, keep=False, rows=reading.rows
    )
    found, expected = (1.0 + freqs) / 2**24, network(reading).softmax(-1)

    assert (found - expected).abs().sum(-1).mean() < 0.05


@pytest.mark.parametrize("family", [CAUSAL, PREFIX, ENCODER_DECODER], ids=lambda f: f.slug)
def test_steps_have_the_bits_of_one_pass(family: Family) -> None:
    exact, of = ExactNetwork(small(family)), windows(coding.LANES)
    reading = {
        CAUSAL: layout.causal_reading, PREFIX: layout.prefix_reading,
        ENCODER_DECODER: layout.decoder_reading,
    }[family](of)  # fmt: skip
    memory = Memory() if reading.encoder_tokens is None else exact.encode(of[:, :CONTEXT])
    whole = exact.frequencies(
        reading.tokens, reading.positions, reading.seen, memory, keep=False, rows=reading.rows
    )[:, -coding.PART :]
    steps: list[Tensor] = []

    def ask(freqs: Tensor, at: Tensor) -> Tensor:
        steps.append(freqs)
        return of[torch.arange(coding.LANES), CONTEXT + at]

    coding._next_bytes(exact, of[:, :CONTEXT], ask)
    assert torch.equal(torch.stack(steps, dim=1), whole)


def test_blocks_are_coded_as_they_were_trained() -> None:
    """A pass over a hidden block, and those kept before it, has the bits of the training mask."""
    family = dataclasses.replace(BLOCKS_OF_4, block=16)
    exact, of = ExactNetwork(small(family)), windows(coding.LANES)
    first: list[Tensor] = []

    def ask(freqs: Tensor, at: Tensor) -> Tensor:
        if at[0] % 16 == 0:
            first.append(freqs)
        return of[torch.arange(coding.LANES), CONTEXT + at]

    coding._blocks_part(exact, of[:, :CONTEXT], ask, orders.left_to_right, 16)
    reading = example(family, of).reading
    hidden = torch.cat((torch.full_like(of, MASK), of), dim=1)
    whole = exact.frequencies(
        hidden, reading.positions, reading.seen, Memory(), keep=False, rows=reading.rows
    )
    assert torch.equal(torch.stack(first, dim=1), whole[:, CONTEXT::16])


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_files_are_decoded(way: Way) -> None:
    exact = ExactNetwork(small(way.family))
    raw = bytes(windows(4).flatten().to(torch.uint8).tolist())
    at_once = max(way.at_once, 32 if way.family == MASKED else 1)

    encoded = coding.encode(exact, raw, ORDERS[way.order], at_once)
    passes = exact.passes
    decoded = coding.decode(exact, encoded.file, len(raw), ORDERS[way.order], at_once)

    assert decoded == raw
    assert exact.passes == 2 * passes
    assert encoded.bits.shape == (coding.LANES, 1)
    assert encoded.bits.sum() / 8 == pytest.approx(len(encoded.file), abs=8)


def freqs_of(*surest: int) -> orders.Integers:
    """Returns frequencies (1, n, 256), less one, with so much of 2**24 on one byte."""
    freqs = np.zeros((1, len(surest), 256), np.int64)
    for row, most in zip(freqs[0], surest, strict=True):
        row[:] = ((1 << 24) - 256 - most) // 256
        row[7] += (1 << 24) - 256 - row.sum()
    return freqs


def test_the_surest_byte_comes_first_and_of_equals_the_first() -> None:
    freqs = freqs_of(100, 9_000_000, 100, 12_000_000, 9_000_000)
    hidden = np.array([[True, True, True, False, True]])

    assert orders.lowest_entropy(freqs, hidden).tolist() == [[1, 4, 0, 2]]
    assert orders.left_to_right(freqs, hidden).tolist() == [[0, 1, 2, 4]]
    assert sorted(orders.fixed_random(freqs, hidden)[0]) == [0, 1, 2, 4]


def test_certainty_falls_as_entropy_rises() -> None:
    drawn = np.random.default_rng(1).dirichlet(np.full(256, 0.05), 200)
    freqs = np.floor(drawn * ((1 << 24) - 256)).astype(np.int64)
    p = (freqs + 1) / (freqs + 1).sum(-1, keepdims=True)
    entropy = -(p * np.log2(p)).sum(-1)
    per_symbol = 24 - orders.certainty(freqs) / (1 << 24) / 1024

    assert np.abs(per_symbol - entropy).max() < 0.01


def test_logarithms_are_those_of_numpy() -> None:
    expected = np.log2(1 + np.arange(1024) / 1024) * 1024

    assert np.abs(orders._log2_table() - expected).max() < 1
