"""What a lane remembers of its text: words, lines, fields, tags.

The last bytes are what most contexts consist of; these are for what text has in common with text
further back: the word and the one before, the line above, the column of a table, the tag of a
mark-up language.
"""

from __future__ import annotations

import numpy as np

from lmcompress.adaptive.hashing import hash_with
from lmcompress.jit.compiler import lean_kernel

_NEWLINE, _TAG_BEGIN, _TAG_END, _SPACE = 10, 60, 62, 32
_SHAPE_BYTES = 12


@lean_kernel
def enter_byte(lane, c):
    """Enters byte c, which is at lane.at."""
    lane.recent = (lane.recent << 8) | c
    lane.place, lane.spelled = lane.place + 1, hash_with(lane.spelled, c)
    _enter_word(lane, c)
    _enter_tag(lane, c)
    if not is_letter(c) and not 48 <= c <= 57:
        lane.fields += 1
    if lane.at == lane.line:
        lane.first = c
    if c == _NEWLINE:
        lane.line_above, lane.line, lane.fields = lane.line, lane.at + 1, 0


@lean_kernel
def end_token(lane):
    """Begins the next token."""
    lane.place, lane.spelled = 0, 0


@lean_kernel
def above(S, lane, ahead):
    """Returns the byte of the line above, so many to the right of the next one; 0 if none."""
    position = lane.line_above + lane.at - lane.line + ahead
    if lane.line_above >= 0 and position < lane.line:
        return np.int64(S.history[position])
    return np.int64(0)


@lean_kernel
def shape(S, lane):
    """Returns a hash of the last bytes, in which all digits are alike, all capitals, all others."""
    h = np.int64(0)
    for at in range(lane.at - 1, max(lane.begin, lane.at - _SHAPE_BYTES) - 1, -1):
        c = np.int64(S.history[at])
        if 48 <= c <= 57:
            c = np.int64(48)
        elif 65 <= c <= 90:
            c = np.int64(65)
        elif 97 <= c <= 122:
            c = np.int64(97)
        h = hash_with(h, c)
    return h


@lean_kernel
def is_letter(c):
    """Returns whether c is a letter, or part of a character beyond ASCII."""
    return 97 <= c <= 122 or 65 <= c <= 90 or c >= 128


@lean_kernel
def _enter_word(lane, c):
    """Letters make a word, whatever their case; each Chinese or Japanese character begins one."""
    if 0xE3 <= c <= 0xE9:
        lane.word_before, lane.word = lane.word, hash_with(0, c)
    elif is_letter(c):
        lane.word = hash_with(lane.word, c | 32 if c < 128 else c)
    elif lane.word:
        lane.word_before, lane.word = lane.word, 0


@lean_kernel
def _enter_tag(lane, c):
    """A tag is what follows < up to a space or >."""
    if c == _TAG_BEGIN:
        lane.opening = 1
    elif lane.opening and c in (_SPACE, _TAG_END):
        lane.tag, lane.opening = lane.opening, 0
    elif lane.opening:
        lane.opening = hash_with(lane.opening, c)
