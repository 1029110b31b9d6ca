"""Claims about schemes alone."""

import pytest

from posext.claims import exact
from posext.claims.expression import parse
from posext.utils.errors import PosextError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("frequencies(rope) == geometric(10000)", True),
        ("frequencies(rope) == geometric(9999)", False),
        ("frequencies(linear, factor=4) == 0.25 * frequencies(rope)", True),
        ("frequencies(linear, factor=4) < frequencies(rope)", True),
        ("frequencies(linear, length=512) == 0.25 * frequencies(rope)", True),
        ("frequencies(ntk, factor=4) < frequencies(rope)", False),  # the fastest pair is kept
        ("bias(alibi, 3) == 3 * bias(alibi, 1)", True),
        ("bias(t5, 3) == 3 * bias(t5, 1)", False),
        ("bias(alibi, 1) < 0", True),
        ("bias(alibi, 1) > -0.3", True),  # slopes of four heads: 1/4, 1/16, 1/64, 1/256
        ("parameters(alibi) == 0", True),
        ("parameters(t5) == 128", True),
        ("temperature(yarn, factor=1) == 1", True),
        ("temperature(yarn, factor=16) > 1.63 and temperature(yarn, factor=16) < 1.64", True),
        ("shift(rope) < 0.0001", True),
        ("shift(sinusoidal) > 0.01", True),
        ("order(none) == 0", True),
        ("order(rope) > 0.01", True),
    ],
)
def test_holds_is_exact(text, expected):
    assert all(exact.holds(each) for each in parse(text)) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nll(rope, 1x) < 2", "is nothing exact"),
        ("frequencies(none) == geometric(10000)", "cannot be computed"),
        ("frequencies(rope, head_dim=32) == geometric(10000)", "16 numbers with 32"),
        ("frequencies(nosuch) == geometric(10000)", "unknown positional encoding"),
        ("frequencies(rope, colour=3) == geometric(10000)", "unknown setting"),
        ("bias(alibi, far) < 0", "cannot be computed"),
        ("bias(fox, 3) < 0", "fox acts in the layers"),
        ("order(stick_breaking) > 0", "stick_breaking acts in the layers"),
        ("shift(cope) == 0", "cope acts in the layers"),
    ],
)
def test_holds_refuses_what_it_cannot_compute(text, said):
    with pytest.raises(PosextError, match=said):
        [exact.holds(each) for each in parse(text)]
