"""From tokens to bytes, of docs/arithmetic.md, in plain Python; no code of the package."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

P = 1 << 24


def shifted(part: int, whole: int, budget: int) -> int:
    shift = 0
    while whole >> shift >= 1 << 38:
        shift += 1
    return (part >> shift) * budget // (whole >> shift)


def second_spelling(
    spellings: Mapping[int, bytes], numerators: Mapping[int, int], symbol: int
) -> Iterator[tuple[list[int], int]]:
    """Yields, for each byte of a symbol, the freqs before it and how likely its end is after it."""
    word = spellings[symbol]
    for length in range(len(word)):
        yield (
            next_byte(spellings, numerators, word[:length]),
            end_after(spellings, numerators, word[: length + 1]),
        )


def next_byte(
    spellings: Mapping[int, bytes], numerators: Mapping[int, int], spelled: bytes
) -> list[int]:
    sums = [0] * 256
    children = set()
    for symbol, word in spellings.items():
        if word.startswith(spelled) and len(word) > len(spelled):
            sums[word[len(spelled)]] += numerators[symbol]
            children.add(word[len(spelled)])
    whole, below, before, freqs = sum(sums), 0, 0, [0] * 256
    for k, byte in enumerate(sorted(children)):
        below += sums[byte]
        flat = (k + 1) * (P - 256) // len(children)
        after = shifted(below, whole, P - 256) if whole else flat
        freqs[byte], before = after - before, after
    return freqs


def end_after(spellings: Mapping[int, bytes], numerators: Mapping[int, int], spelled: bytes) -> int:
    own = [s for s, word in spellings.items() if word == spelled]
    every = [s for s, word in spellings.items() if word.startswith(spelled)]
    if not own:
        return 0
    if len(own) == len(every):
        return P
    whole = sum(numerators[s] for s in every)
    if not whole:
        return P // 2
    return min(max(shifted(sum(numerators[s] for s in own), whole, P), 2), P - 2)
