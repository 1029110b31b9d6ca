"""Accuracies of a study of algorithmic tasks that a claim names: from accuracy.csv."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from posext.analysis import accuracy
from posext.claims.expression import Call
from posext.claims.values import Values, chosen, length_of
from posext.utils.errors import PosextError


class StoredAccuracies:
    """What a study stores of algorithmic tasks."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.rows = accuracy.read_accuracy(folder / accuracy.FILE)
        if not len(self.rows):
            raise PosextError(f"{folder} holds no accuracies")

    @property
    def scale(self) -> str:
        """The sizes and longest trained examples of its models, in words."""
        models = " and ".join(sorted(self.rows.model.unique()))
        parameters = self.rows.parameters.median() / 1e6
        length = int(self.rows.trained_length.min())
        return f"{models}, {parameters:.1f}M parameters, trained on up to {length} items"

    def values(self, call: Call, named: Mapping[str, Mapping[str, Any]]) -> Values:
        """An accuracy of one curve at one length, by seed: the mean over its tasks.

        A scheme that is undefined at the length has 0. Lengths at which a guess makes no error have
        no normalized accuracy.

        Args:
            call: `exact` or `normalized`, the name of a curve, and a length.
            named: What names of curves stand for.

        Raises:
            PosextError: There is no such accuracy, curve or length, or a seed lacks a task.
        """
        if call.function not in accuracy.METRICS or len(call.arguments) != 2 or call.settings:
            raise PosextError(
                f"{call} is no accuracy: {', '.join(accuracy.METRICS)} take a curve and a length"
            )
        name, length = call.arguments
        rows = self.select(name, named.get(name, {}))
        items, is_multiple = length_of(length, call)
        at_length = rows.length / (rows.trained_length if is_multiple else 1) == items
        if call.function == "normalized":
            at_length &= rows.chance < 1
        found = rows.loc[at_length]
        if not len(found):
            known = sorted(int(each) for each in rows.length.unique())
            raise PosextError(f"{call}: not measured at {length}, but at {known} items")
        column = accuracy.METRICS[call.function]
        table = found.fillna({column: 0}).pivot(index="seed", columns="task", values=column)
        if table.isna().any(axis=None):
            raise PosextError(f"{call}: not every seed has every task")
        return Values(None, {int(seed): float(mean) for seed, mean in table.mean(axis=1).items()})

    def select(self, name: str, columns: Mapping[str, Any]) -> pd.DataFrame:
        """The rows of a curve over its seeds and tasks, without an extension unless told otherwise.

        Raises PosextError if there is none, or several of one seed, task and length.
        """
        wanted = {"scheme": name, "extend": "", **columns}
        key = ["seed", "task", "length"]
        return chosen(self.rows, name, wanted, key, self.folder / accuracy.FILE)

    def points(self, name: str, columns: Mapping[str, Any]) -> dict[int, float]:
        """The mean exact match of a curve by length, for a chart."""
        means = self.select(name, columns).groupby("length").exact_match.mean()
        return {int(length): float(value) for length, value in means.items()}
