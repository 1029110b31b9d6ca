"""Long documents in parts, so that no more than a part of one is in memory."""

from collections.abc import Iterable, Iterator

PART_CHARACTERS = 2**21  # the most in a part
CUT_CHARACTERS = 2**16  # at the end of a part, where a good place for the cut is looked for


def in_parts(pieces: Iterable[str]) -> Iterator[str]:
    """Join pieces of one text and cut it into parts, at places that depend on the text alone.

    Byte-level tokenizers split a text where a word ends and a line or a space begins, so the
    tokens of parts that are cut there, one after the other, are those of the whole.
    """
    rest = ""
    for piece in pieces:
        rest += piece
        while len(rest) > PART_CHARACTERS:
            cut = place_of_cut(rest)
            yield rest[:cut]
            rest = rest[cut:]
    if rest:
        yield rest


def place_of_cut(text: str) -> int:
    """Return the last end of a word in the first part of a text: before a line's end if any.

    In a text without words it is where the part ends.
    """
    for is_gap in ("\n".__eq__, str.isspace):
        for place in range(PART_CHARACTERS, PART_CHARACTERS - CUT_CHARACTERS, -1):
            if is_gap(text[place]) and text[place - 1].isalpha():
                return place
    return PART_CHARACTERS


def pieces_of(text: str) -> Iterator[str]:
    """Return a text as pieces for `in_parts`, without a copy of all that is left for each part."""
    return (text[start : start + PART_CHARACTERS] for start in range(0, len(text), PART_CHARACTERS))
