"""The paper's worked example of arithmetic coding: "AIXI" becomes 0101010.

Delétang et al. (2024), Figure 1 and appendix A. The probabilities of the coded letters (0.45, 0.6,
0.35, 0.2) and the last interval, about [0.322, 0.341), are the figure's, read in a description of
it. The other letters' probabilities are ours: round numbers that give this interval.
"""

from __future__ import annotations

from fractions import Fraction

TABLE = {
    "": {"A": "0.45", "I": "0.30", "X": "0.25"},
    "A": {"A": "0.20", "I": "0.60", "X": "0.20"},
    "AI": {"A": "0.20", "I": "0.45", "X": "0.35"},
    "AIX": {"A": "0.60", "I": "0.20", "X": "0.20"},
}
"""P(letter | letters before it)."""


def narrowed(before: str, letter: str, low: Fraction, width: Fraction) -> tuple[Fraction, Fraction]:
    """Returns low end and width of the letter's part of an interval."""
    for other, probability in TABLE[before].items():
        part = width * Fraction(probability)
        if other == letter:
            return low, part
        low += part
    raise KeyError(letter)


def interval(text: str) -> tuple[Fraction, Fraction]:
    """Returns low end and width of a text's interval in [0, 1)."""
    low, width = Fraction(0), Fraction(1)
    for i, letter in enumerate(text):
        low, width = narrowed(text[:i], letter, low, width)
    return low, width


def encode(text: str) -> str:
    """Returns the shortest code, all of whose continuations lie in the text's interval."""
    low, width = interval(text)
    num_bits = 0
    while True:
        num_bits += 1
        value = -(-low * 2**num_bits // 1)  # the first multiple not below the interval's low end
        if (value + 1) / Fraction(2**num_bits) <= low + width:
            return f"{int(value):0{num_bits}b}"


def decode(code: str, num_letters: int) -> str:
    """Returns the letters whose intervals hold the number that the code writes."""
    number = Fraction(int(code, 2), 2 ** len(code))
    text, low, width = "", Fraction(0), Fraction(1)
    for _ in range(num_letters):
        for letter in TABLE[text]:
            start, part = narrowed(text, letter, low, width)
            if start <= number < start + part:
                break
        text, low, width = text + letter, start, part
    return text


def test_probabilities_sum_to_one() -> None:
    assert all(sum(map(Fraction, row.values())) == 1 for row in TABLE.values())


def test_the_intervals_are_those_of_the_figure() -> None:
    ends = [(low, low + width) for low, width in map(interval, ("A", "AI", "AIXI"))]

    assert ends[0] == (0, Fraction("0.45"))
    assert ends[1] == (Fraction("0.09"), Fraction("0.36"))
    assert [round(float(end), 3) for end in ends[2]] == [0.322, 0.341]


def test_aixi_becomes_0101010() -> None:
    assert encode("AIXI") == "0101010"


def test_0101010_becomes_aixi_whatever_follows() -> None:
    for rest in ("", "0", "1", "1111111"):
        assert decode("0101010" + rest, 4) == "AIXI"
