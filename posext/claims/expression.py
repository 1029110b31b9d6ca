"""The language of claims: comparisons of sums of functions, and nothing else.

    claim       comparison { "and" comparison }
    comparison  sum relation sum { relation sum }        such as a < b < c
    relation    "<"  ">"  "=="
    sum         [ "-" ] term { ("+" | "-") term }
    term        number [ "%" ]  |  [ number "*" ] function
    function    NAME "(" argument { "," argument } ")"
    argument    NAME [ "=" value ]  |  length  |  length ".." length

A length is in tokens, as 512, or in training lengths, as 4x; 2x..16x stands for each of its
doublings. `5%` is ln 1.05, the nats by which a perplexity differs by so much. What the functions
are is said where they are computed; here a claim is only read.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from posext.utils.errors import PosextError

RELATIONS = ("<", ">", "==")
TOKEN = re.compile(
    r"\s*(?:(?P<length>\d+x(?:\.\.\d+x)?)|(?P<number>\d+(?:\.\d+)?(?:e-?\d+)?)"
    r"|(?P<name>[A-Za-z_]\w*)|(?P<sign>==|[<>(),+*%=-]))"
)


@dataclass(frozen=True)
class Call:
    """A function with its arguments, in order and by name."""

    function: str
    arguments: tuple[str, ...]
    settings: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        named = [f"{key}={value}" for key, value in self.settings]
        return f"{self.function}({', '.join([*self.arguments, *named])})"


@dataclass(frozen=True)
class Sum:
    """A sum of functions, each with a factor, and a number."""

    terms: tuple[tuple[float, Call], ...]
    constant: float = 0.0

    def __sub__(self, other: "Sum") -> "Sum":
        negative = tuple((-factor, call) for factor, call in other.terms)
        return Sum(self.terms + negative, self.constant - other.constant)


@dataclass(frozen=True)
class Comparison:
    """Two sums with the relation that is claimed between them."""

    left: Sum
    relation: str
    right: Sum
    text: str

    @property
    def difference(self) -> Sum:
        """Left less right."""
        return self.left - self.right

    @property
    def calls(self) -> list[Call]:
        """The functions of both sides, in order."""
        return [call for _, call in self.left.terms + self.right.terms]

    @property
    def is_of_losses(self) -> bool:
        """Whether all that is compared is in nats."""
        return all(call.function == "nll" for call in self.calls)


def parse(text: str) -> list[Comparison]:
    """Read a claim, as the comparisons that must all hold.

    Raises PosextError for anything that the grammar does not have.
    """
    reader = Reader(text)
    comparisons = reader.comparison()
    while reader.peek() == "and":
        reader.take()
        comparisons += reader.comparison()
    if reader.peek():
        reader.refuse("and, or the end")
    return [each for comparison in comparisons for each in at_each_length(comparison)]


class Reader:
    """The tokens of a text, taken one after the other."""

    def __init__(self, text: str):
        self.text = " ".join(text.split())
        self.tokens: list[tuple[str, str]] = []
        position = 0
        while position < len(self.text):
            found = TOKEN.match(self.text, position)
            if not found:
                rest = self.text[position:].strip()
                raise PosextError(f"{self.text!r} is no claim: {rest[:10]!r} cannot stand in one")
            position = found.end()
            self.tokens.append((str(found.lastgroup), found[str(found.lastgroup)]))
        self.next = 0

    def peek(self) -> str:
        """The next token; empty at the end."""
        return self.tokens[self.next][1] if self.next < len(self.tokens) else ""

    def kind(self) -> str:
        """The kind of the next token; empty at the end."""
        return self.tokens[self.next][0] if self.next < len(self.tokens) else ""

    def take(self, wanted: str | None = None) -> str:
        """Take the next token. Raises PosextError if it is not the one that is wanted."""
        token = self.peek()
        if wanted is not None and token != wanted:
            self.refuse(wanted)
        self.next += 1
        return token

    def refuse(self, wanted: str) -> None:
        """Raise PosextError: something else must stand here."""
        here = self.peek() or "the end"
        raise PosextError(f"{self.text!r} is no claim: {wanted} must stand where {here} stands")

    def comparison(self) -> list[Comparison]:
        """Read a chain of sums with relations between them."""
        sides = [self.sum()]
        texts = [self.last]
        relations = []
        while self.peek() in RELATIONS:
            relations.append(self.take())
            sides.append(self.sum())
            texts.append(self.last)
        if not relations:
            self.refuse(" or ".join(RELATIONS))
        chain = zip(relations, sides, sides[1:], texts, texts[1:], strict=False)
        made = [
            Comparison(left, relation, right, f"{said} {relation} {then}")
            for relation, left, right, said, then in chain
        ]
        if any(not each.calls for each in made):
            raise PosextError(f"{self.text!r} is no claim: it compares numbers alone")
        return made

    def sum(self) -> Sum:
        """Read a sum, and leave its text in `last`."""
        start = self.next
        negative = self.peek() == "-"
        if negative:
            self.take()
        total = self.term(-1.0 if negative else 1.0)
        while self.peek() in ("+", "-"):
            added = self.term(1.0 if self.take() == "+" else -1.0)
            total = Sum(total.terms + added.terms, total.constant + added.constant)
        self.last = written(self.tokens[start : self.next])
        return total

    def term(self, sign: float) -> Sum:
        """Read a number, or a function with an optional factor."""
        if self.kind() != "number":
            return Sum(((sign, self.call()),))
        number = float(self.take())
        if self.peek() == "%":
            self.take()
            return Sum((), sign * math.log1p(number / 100))
        if self.peek() == "*":
            self.take()
            return Sum(((sign * number, self.call()),))
        return Sum((), sign * number)

    def call(self) -> Call:
        """Read a function with its arguments."""
        if self.kind() != "name":
            self.refuse("a function or a number")
        function = self.take()
        self.take("(")
        arguments: list[str] = []
        settings: list[tuple[str, str]] = []
        while True:
            if self.kind() not in ("name", "length", "number"):
                self.refuse("an argument")
            argument = self.take()
            if self.peek() == "=":
                self.take()
                if self.kind() not in ("name", "number"):
                    self.refuse("a value")
                settings.append((argument, self.take()))
            else:
                arguments.append(argument)
            if self.peek() != ",":
                break
            self.take()
        self.take(")")
        return Call(function, tuple(arguments), tuple(settings))


def written(tokens: list[tuple[str, str]]) -> str:
    """Tokens as they are usually written."""
    text = " ".join(token for _, token in tokens)
    for apart, together in ((" ( ", "("), (" )", ")"), (" ,", ","), (" %", "%"), (" = ", "=")):
        text = text.replace(apart, together)
    return re.sub("^- ", "-", text)


def at_each_length(comparison: Comparison) -> Iterator[Comparison]:
    """The comparison at each doubling of its range of lengths; itself without a range.

    Raises PosextError for two different ranges, or one that does not grow by doublings.
    """
    ranges = {a for call in comparison.calls for a in call.arguments if ".." in a}
    if not ranges:
        yield comparison
        return
    if len(ranges) > 1:
        raise PosextError(f"{comparison.text!r} has two ranges of lengths: {', '.join(ranges)}")
    text = ranges.pop()
    first, last = (int(end.rstrip("x")) for end in text.split(".."))
    doublings = last / first if first else 0.0
    if doublings < 1 or not math.log2(doublings).is_integer():
        raise PosextError(f"{text} does not grow by doublings")
    multiple = first
    while multiple <= last:
        yield replace(
            comparison,
            left=at_length(comparison.left, text, f"{multiple}x"),
            right=at_length(comparison.right, text, f"{multiple}x"),
            text=comparison.text.replace(text, f"{multiple}x"),
        )
        multiple *= 2


def at_length(total: Sum, wanted: str, length: str) -> Sum:
    """A sum with a length in place of an argument."""
    terms = [
        (
            factor,
            replace(call, arguments=tuple(length if a == wanted else a for a in call.arguments)),
        )
        for factor, call in total.terms
    ]
    return replace(total, terms=tuple(terms))
