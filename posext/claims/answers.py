"""Shares of exact answers of a study that a claim names: from retrieval.csv."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from posext.analysis import curves, retrieval
from posext.claims.expression import Call
from posext.claims.values import Values, chosen, length_of
from posext.utils.errors import PosextError

FOUND = "found"
# what holds of a curve unless a claim says otherwise
DEFAULTS = {"extend": "", "factor": "matched"}


class StoredAnswers:
    """What a study stores of one retrieval task."""

    def __init__(self, folder: Path, task: str):
        self.folder = folder
        self.task = task
        file = folder / retrieval.FILE
        rows = retrieval.read_collected(file) if file.is_file() else pd.DataFrame({"task": []})
        self.rows = rows.loc[rows.task == task]
        if not len(self.rows):
            raise PosextError(f"{folder} holds no answers of {task}")

    @property
    def scale(self) -> str:
        """The sizes and training lengths of its models, in words."""
        rows = curves.read_curves(self.folder / "curves.csv")
        models = " and ".join(sorted(rows.model.unique()))
        parameters = rows.parameters.median() / 1e6
        length = int(self.rows.trained_length.min())
        return f"{models}, {parameters:.1f}M parameters, trained at {length} tokens"

    def values(self, call: Call, named: Mapping[str, Mapping[str, Any]]) -> Values:
        """The share of exact answers of one curve at one length, over all depths, by seed.

        Args:
            call: `found`, the name of a curve, and a length.
            named: What names of curves stand for.

        Raises:
            PosextError: There is no such share, curve or length, or the name fits several.
        """
        if call.function != FOUND or len(call.arguments) != 2 or call.settings:
            raise PosextError(f"{call} is no answer: {FOUND} takes a curve and a length")
        name, length = call.arguments
        rows = self.select(name, named.get(name, {}))
        tokens, is_multiple = length_of(length, call)
        at_length = rows.context_length / (rows.trained_length if is_multiple else 1) == tokens
        if not at_length.any():
            known = sorted(int(each) for each in rows.context_length.unique())
            raise PosextError(f"{call}: not measured at {length}, but at {known} tokens")
        shares = retrieval.over_trials(rows.loc[at_length], ["seed"])
        by_seed = zip(shares.seed, shares.accuracy, strict=True)
        return Values(None, {int(seed): float(share) for seed, share in by_seed})

    def select(self, name: str, columns: Mapping[str, Any]) -> pd.DataFrame:
        """The rows of a curve, of questions with an answer, over its seeds and depths.

        Raises PosextError if there is none, or several of one seed, length and depth.
        """
        wanted = {"scheme": name, "condition": "needle", **DEFAULTS, **columns}
        key = ["seed", "context_length", "depth"]
        return chosen(self.rows, name, wanted, key, self.folder / retrieval.FILE)

    def points(self, name: str, columns: Mapping[str, Any]) -> dict[int, float]:
        """The share of exact answers of a curve by context length, for a chart."""
        shares = retrieval.over_trials(self.select(name, columns), ["context_length"])
        by_length = zip(shares.context_length, shares.accuracy, strict=True)
        return {int(length): float(share) for length, share in by_length}
