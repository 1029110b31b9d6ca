"""Models whose use of their context is known, and their rises under `perturbed`."""

import numpy as np
import pandas as pd
import torch

from helpers.protocol_properties import Corpus
from posext.analysis import curves, effective_context
from posext.analysis.comparison import Bootstrap
from posext.eval.perturbation import CHANGES
from posext.eval.protocols import PROTOCOLS, ProtocolSettings, measure_protocol

V = 11
LENGTHS = [16, 64]
KEPT = [1, 2, 4, 8, 16, 32]
# One target a window, so that distances are exact.
SETTINGS = ProtocolSettings(train_length=16, size=4, blocks=1, piece=1)
BOOTSTRAP = Bootstrap(200, 0)


def periodic(period: int) -> Corpus:
    """Documents that repeat a block of their own."""
    rng = np.random.default_rng(period)
    return Corpus([np.resize(rng.integers(0, V, period), 200) for _ in range(20)])


def counting() -> Corpus:
    """Documents that count up in a step of their own."""
    return Corpus([(start + np.arange(200)) % V for start in range(20)])


def of_few_symbols() -> Corpus:
    """Documents of three symbols each, in any order."""
    rng = np.random.default_rng(0)
    return Corpus([rng.choice(rng.permutation(V)[:3], 200) for _ in range(20)])


def one_hot(tokens):
    return torch.nn.functional.one_hot(tokens, V).float()


def copier(distance: int):
    """Predict the token so far before the next one, and nothing where there is none."""

    def model(tokens):
        logits = torch.zeros(*tokens.shape, V)
        seen = tokens.shape[1] - distance + 1
        if seen > 0:
            logits[:, distance - 1 :] = 5 * one_hot(tokens[:, :seen])
        return logits

    return model


def voter(reach: int):
    """Let each of the last tokens vote for the next number."""

    def model(tokens):
        logits = torch.zeros(*tokens.shape, V)
        for distance in range(1, min(reach, tokens.shape[1]) + 1):
            votes = one_hot((tokens + distance) % V)
            logits[:, distance - 1 :] += 0.5 * votes[:, : tokens.shape[1] - distance + 1]
        return logits

    return model


def bag(tokens):
    """Predict by the counts of all tokens so far, in any order."""
    return (one_hot(tokens).cumsum(1) + 0.1).log()


def store(folder, sums: pd.DataFrame) -> None:
    """Write sums as an evaluation does, without the model."""
    sums = sums.assign(protocol="perturbed", extend="", factor="")
    sums.to_parquet(folder / "documents.parquet")
    rows = sums[["context_length", "group", "protocol", "extend", "factor"]].drop_duplicates()
    numbers = {"trained_length": 16, "original_length": 16, "seed": 0}
    rows = rows.assign(run="mine", scheme="fake", **numbers, **dict.fromkeys(curves.STATISTICS))
    rows = curves.with_statistics(rows.astype({"nll": float}), sums).reindex(columns=curves.COLUMNS)
    rows.to_csv(folder / "curves.csv", index=False)


def rises_of(folder, model, documents, settings=SETTINGS):
    """Measure a model; return its rises by change, read from what is stored."""
    sizes = np.full(V, 3)
    sums = measure_protocol(PROTOCOLS["perturbed"], model, documents, LENGTHS, settings, sizes)
    store(folder, sums)
    rises = effective_context.read_rises(folder)
    assert [curve.kept for curve in rises] == [KEPT] * len(CHANGES)
    return {curve.change: curve for curve in rises}


def rise(curve):
    return curve.table().rise.to_numpy()


def effective(curve):
    return curve.effective(0.01, BOOTSTRAP).value
