"""Curves of a study that a claim names: from curves.csv with its sums, or from rates.csv.

What is said of attention is from attention.csv.

Shape suffixes: S seeds, D documents.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from posext.analysis import attention, curves, document_sums, same_targets
from posext.claims.accuracies import StoredAccuracies
from posext.claims.answers import StoredAnswers
from posext.claims.expression import Call
from posext.claims.values import Values, fits, length_of
from posext.config import ACCURACY, HEADLINE, OWN, RETRIEVAL
from posext.utils.errors import PosextError

RATES = "rates.csv"
ANY = "any"  # a column with whatever value
# What holds of a curve unless a claim says otherwise
DEFAULTS = {"extend": "", "lineage": "", "factor": "matched", "settings": ""}
COSTS = {"log2_seconds": "seconds", "log2_memory": "peak_memory_bytes"}
OF_ATTENTION = ("sink_rate", "first_token")  # means over all layers and heads
FUNCTIONS = ("nll", *COSTS, *OF_ATTENTION)


class Stored:
    """What a study stores under one protocol."""

    def __init__(self, folder: Path, protocol: str = HEADLINE):
        self.folder = folder
        self.protocol, _, self.group = protocol.partition(" ")
        self.is_rates = not (folder / "curves.csv").is_file()
        if self.is_rates and not (folder / RATES).is_file():
            raise PosextError(f"{folder} holds neither curves.csv nor {RATES}")
        self.rows = rates(folder) if self.is_rates else self.curve_rows()
        self.stored = self.stored_sums()

    @property
    def scale(self) -> str:
        """The sizes and training lengths of its models, in words."""
        models = " and ".join(sorted(self.rows.model.unique()))
        if self.is_rates:
            return models
        parameters = self.rows.parameters.median() / 1e6
        length = int(self.rows.original_length.min())
        return f"{models}, {parameters:.1f}M parameters, trained at {length} tokens"

    def curve_rows(self) -> pd.DataFrame:
        rows = curves.read_curves(self.folder / "curves.csv")
        rows = rows.loc[rows.corpus == OWN]
        is_asked = (rows.protocol == self.protocol) & rows.group.isin((self.group, ""))
        if not is_asked.any():
            named = (rows.protocol + " " + rows.group).str.strip()
            asked = f"{self.protocol} {self.group}".strip()
            raise PosextError(
                f"{self.folder} has no curves under {asked}, but {', '.join(sorted(set(named)))}"
            )
        rows = rows.loc[is_asked]
        same_targets.refuse_mixed_targets(rows)
        return rows

    def stored_sums(self) -> dict[tuple, pd.DataFrame]:
        """Frames of sums with index `document`, by run, extension, factor and length."""
        sums = document_sums.sums(self.folder)
        if sums is None:
            return {}
        groups = sums.group.fillna("") if "group" in sums else ""
        sums = sums.assign(group=groups)
        sums = sums.loc[sums.corpus == OWN]
        sums = sums.loc[(sums.protocol == self.protocol) & sums.group.isin((self.group, ""))]
        key = ["run", *curves.EXTENSION, "context_length"]
        return {of: frame.set_index("document") for of, frame in sums.groupby(key, sort=False)}

    def values(self, call: Call, named: Mapping[str, Mapping[str, Any]]) -> Values:
        """The values of a function of one curve at one length.

        Args:
            call: A function, the name of a curve, and a length.
            named: What names of curves stand for.

        Raises:
            PosextError: There is no such function, curve or length, or the name fits several.
        """
        if call.function not in FUNCTIONS or len(call.arguments) != 2 or call.settings:
            raise PosextError(
                f"{call} is nothing that is measured: "
                f"{', '.join(FUNCTIONS)} take a curve and a length"
            )
        name, length = call.arguments
        rows = self.at_length(self.select(name, named.get(name, {})), length, str(call))
        if call.function in COSTS:
            column = rows[COSTS[call.function]].astype(float).fillna(np.inf)  # undefined, as a loss
            return Values(None, dict(zip(rows.seed, np.log2(column), strict=True)))
        if call.function in OF_ATTENTION:
            return Values(None, self.of_attention(rows, call))
        means = dict(zip(rows.seed, rows.nll.astype(float).fillna(np.inf), strict=True))
        return Values(self.sums_of(rows), means)

    def select(self, name: str, columns: Mapping[str, Any]) -> pd.DataFrame:
        """The rows of a curve over its seeds.

        Unless told otherwise it is trained from scratch at the shortest length of the study and at
        no other, without an extension, and a factor follows the context.

        Raises PosextError if none fits, or several of one seed and length.
        """
        wanted = {**DEFAULTS, **{key: str(value) for key, value in columns.items()}}
        if not {"scheme", "lineage", "run"} & columns.keys():
            wanted["scheme"] = name
        rows = self.rows if {"lineage", "run"} & columns.keys() else self.from_scratch(columns)
        for column, value in wanted.items():
            if value == ANY or (column in DEFAULTS and column not in rows):
                continue
            if column not in rows:
                raise PosextError(
                    f"{name}: {self.folder} has no column {column!r}; it has {', '.join(rows)}"
                )
            rows = rows.loc[fits(rows.loc[:, column], column, value)]
        if not len(rows):
            raise PosextError(f"{name}: {self.folder} holds no such curve ({wanted})")
        doubled = rows.loc[rows.duplicated(["seed", "context_length"], keep=False)]
        if len(doubled):
            runs = ", ".join(dict.fromkeys(curves_in_words(doubled)))
            raise PosextError(f"{name} stands for several curves of {self.folder}: {runs}")
        return rows

    def points(self, name: str, columns: Mapping[str, Any]) -> dict[int, float]:
        """The mean NLL of a curve by context length, for a chart."""
        means = self.select(name, columns).groupby("context_length").nll.mean()
        return {int(length): float(nll) for length, nll in means.items()}

    def from_scratch(self, columns: Mapping[str, Any]) -> pd.DataFrame:
        """The rows that began at the shortest length and stayed there, unless told otherwise."""
        rows = self.rows
        if self.is_rates:
            return rows
        if "original_length" not in columns:
            rows = rows.loc[rows.original_length == rows.original_length.min()]
        if "trained_length" not in columns:
            rows = rows.loc[rows.trained_length == rows.original_length]
        return rows

    def at_length(self, rows: pd.DataFrame, length: str, call: str) -> pd.DataFrame:
        """The rows of a curve at a length in tokens or training lengths, by seed."""
        tokens, is_multiple = length_of(length, call)
        if is_multiple:
            if self.is_rates:
                raise PosextError(f"{call}: {self.folder} tells lengths in tokens alone")
            tokens *= int(rows.original_length.iloc[0])
        found = rows.loc[rows.context_length == tokens].sort_values("seed")
        if not len(found):
            known = sorted(int(each) for each in rows.context_length.unique())
            raise PosextError(f"{call}: not measured at {tokens} tokens, but at {known}")
        return found

    def of_attention(self, rows: pd.DataFrame, call: Call) -> dict[int, float]:
        """A number of attention by seed. Raises PosextError if it was not measured."""
        measured = attention.over_heads(attention.read_attention(self.folder / attention.FILE))
        measured = measured.loc[measured.metric == call.function]
        found = rows.merge(measured, on=["run", *curves.EXTENSION, "context_length"])
        if not len(found):
            raise PosextError(f"{call}: {self.folder} holds no attention of this curve and length")
        return dict(zip(found.seed, found.value, strict=True))

    def sums_of(self, rows: pd.DataFrame) -> dict[int, pd.DataFrame] | None:
        """The sums of a curve at one length, by seed; None if any is not stored."""
        if self.is_rates:
            return None
        by_seed = {}
        for row in rows.to_dict("records"):
            key = (row["run"], row["extend"], row["factor"], row["context_length"])
            if key not in self.stored:
                return None
            by_seed[int(row["seed"])] = self.stored[key]
        return by_seed


@cache
def open_stored(folder: Path, protocol: str) -> Stored | StoredAccuracies | StoredAnswers:
    """What a study stores under a protocol, read once."""
    if protocol in RETRIEVAL:
        return StoredAnswers(folder, protocol)
    return StoredAccuracies(folder) if protocol == ACCURACY else Stored(folder, protocol)


def curves_in_words(rows: pd.DataFrame) -> list[str]:
    """The curves of some rows, with what tells them apart."""
    columns = [name for name in ("run", "scheme", "extend", "factor", "settings") if name in rows]
    return [" ".join(map(str, row)) for row in rows[columns].itertuples(index=False)]


def rates(folder: Path) -> pd.DataFrame:
    """The rows of rates.csv with a row for each context length, as in curves.csv."""
    table = pd.read_csv(folder / RATES, keep_default_na=False, na_values=[""])
    table = table.assign(settings=table.settings.fillna(""))
    lengths = [name for name in table if name.startswith("nll_")]
    others = [name for name in table if name not in lengths]
    rows = table.melt(others, lengths, "context_length", "nll").dropna(subset="nll")
    return rows.assign(
        context_length=rows.context_length.str.removeprefix("nll_").astype(int),
    )
