"""What logits say of bytes, worked out on the device: equal to the host's, node by node."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lmcompress.gpt.cuda.spelling import DeviceSpelling
from lmcompress.gpt.numerators import ReferenceNumerators
from lmcompress.tokenizer.spelling import HostSums, prefix_sums
from lmcompress.tokenizer.trie import Trie, build_trie

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def random_trie(vocab_size: int) -> Trie:
    """Returns the trie of tokens of 0 to 5 letters, some spelled alike, and of every byte."""
    generator = np.random.default_rng(3)
    lengths = generator.integers(0, 6, vocab_size)
    tokens = [bytes(generator.integers(90, 110, n, np.uint8)) for n in lengths]
    return build_trie([*tokens, *(bytes([byte]) for byte in range(256))])


@pytest.mark.parametrize("scale", [0.0, 3.0, 30.0, 3000.0])
@pytest.mark.parametrize("vocab_size", [300, 49_152])
def test_every_node_says_what_it_says_on_the_host(vocab_size: int, scale: float) -> None:
    trie = random_trie(vocab_size)
    generator = np.random.default_rng(4)
    logits = (scale * generator.standard_normal((3, vocab_size))).astype(np.float32)
    host = HostSums(trie, prefix_sums(ReferenceNumerators(trie.order)(logits)))
    device = DeviceSpelling(trie, vocab_size, DEVICE)(torch.from_numpy(logits).to(DEVICE))
    some = generator.permutation(len(trie.first))[:2000].astype(np.int32)
    nodes = np.append(some, 0).astype(np.int32)  # the root too
    lanes = generator.integers(0, 3, len(nodes)).astype(np.int32)

    assert np.array_equal(device.freqs(lanes, nodes), host.freqs(lanes, nodes))
    assert np.array_equal(device.ends(lanes, nodes), host.ends(lanes, nodes))


def test_what_crosses_the_bus_grows_with_the_bytes_and_not_with_the_vocabulary() -> None:
    trie = random_trie(49_152)
    sums = DeviceSpelling(trie, 49_152, DEVICE)(torch.zeros(2, 49_152, device=DEVICE))
    lanes, nodes = np.array([0, 1, 1], np.int32), np.array([0, 1, 2], np.int32)

    home = sums.freqs(lanes, nodes), sums.ends(lanes, nodes)

    assert sum(array.nbytes for array in home) == 3 * (1024 + 4)
