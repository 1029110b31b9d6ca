"""Training batches in which a share of the sequences holds pairs to recall, so that recall can be learned at all.

Shape suffixes: B sequences, T tokens of a window, M places of a pair, P pairs, N tokens of a pair.
"""

import numpy as np
import torch
from torch import Tensor

from posext.config import DataConfig
from posext.data.dataset import Data
from posext.data.recall.episode import RecallSettings
from posext.data.recall.pool import Pool, pool_of
from posext.utils.errors import PosextError

STREAM = 2**33  # apart from the numbers of batches and of posext.position_ids.draws
FILLED = 0.5  # of a window, at most, is pairs


def batch(
    tokens: Data, config: DataConfig, seed: int, step: int, length: int, count: int
) -> tuple[Tensor, list[str]]:
    """A training batch as `Split.batch` gives it, in which each sequence holds pairs with probability `recall_share`.

    A pure function of its arguments; with a share of 0 it is that batch. Raises PosextError as it does, for a corpus without
    enough rare tokens, and for a length that holds no pair twice.
    """
    windows_BT, origins = tokens.train.batch(seed, step, length, count)
    if config.recall_share:
        rng = np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, STREAM, step]))
        recall_B = torch.from_numpy(rng.random(count) < config.recall_share)
        windows_BT = torch.where(
            recall_B[:, None], with_pairs(windows_BT, pool_of(tokens), rng), windows_BT
        )
    return windows_BT, origins


def with_pairs(windows_BT: Tensor, pool: Pool, rng: np.random.Generator) -> Tensor:
    """Each window with as many pairs as half of it holds, each written over the text at two places; (B, T).

    Every choice of disjoint places is equally likely. The tokens of a window's keys and values all differ; unlike in an
    episode that is measured, the text between may have them too. Nothing marks a pair, and all labels are trained.
    """
    (B, T), N = windows_BT.shape, RecallSettings().pair
    if 2 * N > T:
        raise PosextError(
            f"data.recall_share needs sequences of at least {2 * N - 1} tokens, not {T - 1}"
        )
    P = min(len(pool.rare) // N, max(1, int(FILLED * T) // (2 * N)))
    M = 2 * P
    pairs_BPN = rng.permuted(np.tile(pool.rare, (B, 1)), axis=1)[:, : P * N].reshape(B, P, N)
    pair_BM = rng.permuted(np.tile(np.arange(M) // 2, (B, 1)), axis=1)
    gaps_BM = np.sort(
        rng.permuted(np.tile(np.arange(T - M * (N - 1)), (B, 1)), axis=1)[:, :M], axis=1
    )
    places_BMN = (gaps_BM + np.arange(M) * (N - 1))[..., None] + np.arange(N)
    mixed_BT, each_B = windows_BT.clone(), np.arange(B)
    mixed_BT[each_B[:, None, None], places_BMN] = torch.from_numpy(
        pairs_BPN[each_B[:, None], pair_BM]
    )
    return mixed_BT
