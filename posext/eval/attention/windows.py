"""Windows under observation: sums per document, shared out over the processes.

Shape suffixes: B windows in a batch, T tokens, D documents, X heads, rotary pairs or 1.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor

from posext.eval.attention.tally import LARGEST_LOGIT, Tally
from posext.eval.batch_budget import BatchBudget
from posext.eval.protocols import Documents
from posext.eval.scoring import CACHED_DOCUMENTS, TargetWindow, read
from posext.utils.sharding import shard

Key = tuple[str, int]  # name and layer, as in `Tally`


class Sums(NamedTuple):
    """Sums and their weights by name and layer: float64 (D, X) each.

    LARGEST_LOGIT is the maximum of a document, of weight 1. `documents` are names, (D,).
    """

    documents: list[str]
    totals: dict[Key, np.ndarray]
    weights: dict[Key, np.ndarray]

    def means(self, name: str) -> dict[int, np.ndarray]:
        """The mean over all documents by layer, (X,)."""
        return {
            layer: total_DX.sum(0) / self.weights[key, layer].sum(0)
            for (key, layer), total_DX in self.totals.items()
            if key == name
        }


def observe_windows(
    model: Any,
    documents: Documents,
    windows: Sequence[TargetWindow],
    means: Mapping[int, np.ndarray] | None,
    budget: BatchBudget,
    accelerator: Accelerator,
) -> Sums:
    """Observe a model while it reads windows; the queries that count predict their targets.

    Args:
        model: A model with a method `observe(tokens_BT, observer)`.
        documents: Held-out documents.
        windows: Windows, at least one.
        means: For each layer the hidden state (C,) to compare with; None: sum hidden states.
        budget: The tokens of a batch.
        accelerator: Processes and device.

    Returns:
        The sums of all windows, on every process.
    """
    shapes = [(window.length, window.scored) for window in windows]
    own = shard(range(len(windows)), accelerator.process_index, accelerator.num_processes)
    document = lru_cache(CACHED_DOCUMENTS)(documents.document)
    tallies = []
    by_shape = sorted(own, key=shapes.__getitem__)
    for (length, scored), indices in groupby(by_shape, shapes.__getitem__):

        def observe(batch: Sequence[int], first: int = length - scored) -> list[Any]:
            tokens = [read(windows[index], document) for index in batch]
            tokens_BT = torch.from_numpy(np.stack(tokens)).to(budget.device)
            tally = Tally(first, means)
            with torch.inference_mode(), accelerator.autocast():
                model.observe(tokens_BT[:, :-1], tally)
            return [on_cpu(tally.totals), on_cpu(tally.counts)]

        for batch, sums in budget.map(observe, list(indices), length):
            tallies.append(([windows[index].document for index in batch], *sums))
    numbers = sorted({window.document for window in windows})
    names = [documents.names[number] for number in numbers]
    return joined(names, numbers, gather_object(tallies))


def on_cpu(tensors: Mapping[Key, Tensor]) -> dict[Key, np.ndarray]:
    return {key: tensor.double().cpu().numpy() for key, tensor in tensors.items()}


def joined(names: list[str], numbers: list[int], tallies: Sequence[Any]) -> Sums:
    """Add up tallies by document.

    Args:
        names: The names of the documents.
        numbers: Their indices, increasing.
        tallies: For each batch the documents of its windows, the totals and the counts.
    """
    totals: dict[Key, np.ndarray] = {}
    weights: dict[Key, np.ndarray] = {}
    for documents, batch_totals, batch_counts in tallies:
        places_B = np.searchsorted(numbers, documents)
        for key, total_BX in batch_totals.items():
            shape = (len(numbers), total_BX.shape[1])
            if key[0] == LARGEST_LOGIT:
                np.maximum.at(totals.setdefault(key, np.full(shape, -np.inf)), places_B, total_BX)
                weights[key] = np.ones(shape)
            else:
                np.add.at(totals.setdefault(key, np.zeros(shape)), places_B, total_BX)
                counts_DX = weights.setdefault(key, np.zeros(shape))
                np.add.at(counts_DX, places_B, batch_counts[key])
    return Sums(names, totals, weights)
