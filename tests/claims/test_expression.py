"""The language of claims: what it reads, and that it reads nothing else."""

import math

import pytest

from posext.claims.expression import Call, parse
from posext.utils.errors import PosextError


def test_parse_reads_sums_with_factors_and_numbers():
    (comparison,) = parse("2 * nll(alibi, 8x) - nll(rope, 512) + 0.5 < 10% - 1e-3")
    alibi, rope = Call("nll", ("alibi", "8x")), Call("nll", ("rope", "512"))
    assert comparison.left.terms == ((2.0, alibi), (-1.0, rope))
    assert comparison.left.constant == 0.5
    assert comparison.right.constant == pytest.approx(math.log(1.1) - 0.001)
    assert comparison.difference.constant == pytest.approx(0.501 - math.log(1.1))
    assert comparison.relation == "<"


def test_parse_reads_chains_and_conjunctions_as_comparisons_that_must_all_hold():
    texts = [each.text for each in parse("nll(a, 1x) < nll(b, 1x) < nll(c, 1x) and nll(d, 2x) > 3")]
    assert texts == ["nll(a, 1x) < nll(b, 1x)", "nll(b, 1x) < nll(c, 1x)", "nll(d, 2x) > 3"]


def test_parse_reads_a_range_as_every_doubling():
    comparisons = parse("nll(a, 2x..8x) - nll(b, 1x) < 0.1")
    assert [each.text for each in comparisons] == [
        f"nll(a, {length}) - nll(b, 1x) < 0.1" for length in ("2x", "4x", "8x")
    ]
    assert comparisons[1].left.terms[0][1].arguments == ("a", "4x")


def test_parse_reads_settings_of_a_scheme():
    (comparison,) = parse("frequencies(ntk, factor=4) == 0.25 * frequencies(rope)")
    assert comparison.left.terms[0][1] == Call("frequencies", ("ntk",), (("factor", "4"),))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nll(a, 1x)",
        "1 < 2",
        "nll(a, 1x) < ",
        "nll(a, 1x) <= 2",
        "nll(a, 1x) = 2",
        "nll(a, 1x) < 2 or nll(a, 2x) < 2",
        "nll(a, 1x) < 2 nll(a, 2x) < 2",
        "nll(a, 1x) / nll(b, 1x) < 2",
        "nll(a, 1x) * 2 < 2",
        "(nll(a, 1x)) < 2",
        "nll() < 2",
        "nll(a, nll(b, 1x)) < 2",
        "nll(a, 3x..8x) < 2",
        "nll(a, 8x..2x) < 2",
        "nll(a, 0x..2x) < 2",
        "nll(a, 2x..8x) < nll(a, 2x..4x)",
        "nll.__class__(a, 1x) < 2",
        "__import__('os') < 2",
        "nll(a, 1x) < 2; 3 < 4",
        "nll(a, 1x) < lambda",
        "nll(a, factor=-1) < 2",
        "nll(a, 1x) if 1 < 2",
        "not nll(a, 1x) < 2",
        "nll['a'] < 2",
        "5% < 3",
    ],
)
def test_parse_refuses_all_else(text):
    with pytest.raises(PosextError):
        parse(text)
