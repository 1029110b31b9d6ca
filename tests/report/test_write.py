"""What a measurement prints of its curves."""

import math

import pandas as pd
from helpers.pages import rows_of

from posext.report import write


def test_print_summary_says_that_a_protocol_is_undefined_at_every_length(capsys):
    """A learned table under per_position, whose one pass is longer than the table."""
    nowhere = dict.fromkeys(["nll_low", "nll_high", "documents", "tokens"], math.nan)
    measured = pd.concat(
        [
            rows_of("learned", [3.0, 2.5, 2.6, 2.7]),
            rows_of("learned", [math.nan] * 4, protocol="per_position", **nowhere),
        ]
    )
    write.print_summary(measured, pd.DataFrame(), measured)
    printed = capsys.readouterr().out
    assert "fixed_target: 288 tokens in 9 held-out documents.\n" in printed
    assert "per_position: undefined at every length.\n" in printed
