"""`keys.csv`, with a row per document: how a judge chose the key tokens of a run.

Terms:
    key: A target that the judge predicts better after the long context than after the short one.
    mirrored: A target that would be a key with long and short exchanged. Errors that know nothing
        of the context make as many of these as keys.
    far: A far copy, as `far_copy` finds them without a model.

Shape suffix: D documents.
"""

import logging
import math
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from tabulate import tabulate

from posext.analysis.csv_table import read_csv_table
from posext.analysis.statistics import NO_INTERVAL, Estimate, difference, interval

log = logging.getLogger(__name__)
FILE = "keys.csv"
ITSELF = "itself"  # the judge of a run that chose its own keys
TEXT_COLUMNS = ["run", "judge", "document"]
COUNTS = ["targets", "keys", "mirrored", "far", "far_keys"]
NUMBERS = ["alpha", "beta", "short", "long", *COUNTS, "nll_long", "nll_short"]
HEADERS = (
    "keys of",
    "chosen by",
    "keys",
    "of targets",
    "mirrored, of keys",
    "far, of keys",
    "keys, of far",
    "far, of targets",
)


class KeyChoice(NamedTuple):
    """The keys of a run in numbers, with intervals over documents.

    `share` is keys over targets, `mirrored` is mirrored targets over keys. `precision` is the share
    of the keys that are far copies, `recall` the share of the far copies that are keys, and `far`
    the share of all targets that are far copies. `gain` is what the long context gives the judge on
    all targets, in nats a token.
    """

    run: str
    judge: str
    keys: int
    share: Estimate
    mirrored: Estimate
    precision: Estimate
    recall: Estimate
    far: Estimate
    gain: Estimate

    def cells(self) -> list[str]:
        """The choice as texts, under HEADERS."""
        shares = (self.share, self.mirrored, self.precision, self.recall, self.far)
        return [self.run, self.judge, f"{self.keys:,}", *map(share_text, shares)]


def read_key_counts(path: Path | str) -> pd.DataFrame:
    """Read a file of key counts; empty if it does not exist."""
    if not Path(path).exists():
        return pd.DataFrame(columns=[*TEXT_COLUMNS, *NUMBERS])
    return read_csv_table(path, TEXT_COLUMNS, NUMBERS)


def key_choices(counts: pd.DataFrame) -> list[KeyChoice]:
    """Put the counts of each run into numbers."""
    return [key_choice(of_run) for _, of_run in counts.groupby("run", sort=False)]


def key_choice(counts: pd.DataFrame) -> KeyChoice:
    """Put the counts of one run into numbers."""
    by_name = {name: counts[name].to_numpy(float) for name in [*COUNTS, "nll_long", "nll_short"]}

    def share(part: str, whole: str) -> Estimate:
        return interval(by_name[part], by_name[whole])

    return KeyChoice(
        run=str(counts.run.iloc[0]),
        judge=str(counts.judge.iloc[0]),
        keys=int(by_name["keys"].sum()),
        share=share("keys", "targets"),
        # no part of the keys: it may stand where there are none
        mirrored=interval(by_name["mirrored"], by_name["targets"], by_name["keys"]),
        precision=share("far_keys", "keys"),
        recall=share("far_keys", "far"),
        far=share("far", "targets"),
        gain=difference(by_name["nll_short"], by_name["nll_long"], by_name["targets"]),
    )


def share_text(estimate: Estimate) -> str:
    """A share in percent with its interval; empty if there is nothing to share."""
    if math.isnan(estimate.value):
        return ""
    if math.isnan(estimate.low):
        return f"{estimate.value:.1%} ({NO_INTERVAL})"
    return f"{estimate.value:.1%} ({max(0, estimate.low):.1%} to {estimate.high:.1%})"


def key_table(choices: list[KeyChoice]) -> str:
    """Table of choices, a row for each run."""
    cells = [choice.cells() for choice in choices]
    return tabulate(cells, headers=HEADERS, disable_numparse=True)


def warn_if_poor(choice: KeyChoice) -> None:
    """Warn of keys that say little: none, or of a judge that longer context makes worse."""
    remedy = "choose another with evaluation.key_judge=RUN"
    if choice.gain.value < 0 and not choice.gain.high >= 0:
        log.warning(
            "the long context makes the judge of key_tokens (%s) worse, by %.3f nats a token, "
            "so its keys are few and in part its errors; %s",
            choice.judge,
            -choice.gain.value,
            remedy,
        )
    elif not choice.keys:
        log.warning(
            "no target is a key to the judge of key_tokens (%s); %s, or a lower "
            "evaluation.key_alpha",
            choice.judge,
            remedy,
        )
