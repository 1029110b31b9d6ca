"""Training batches in which a share of the sequences has recall pairs, so that recall is learned.

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
from posext.utils.rng import Stream, step_generator

MAX_PAIR_SHARE = 0.5  # of a window


def batch(
    tokens: Data, config: DataConfig, seed: int, step: int, length: int, count: int
) -> tuple[Tensor, list[str]]:
    """Return a training batch in which each sequence has pairs with probability `recall_share`.

    A pure function of its arguments; with a share of 0 it is the batch of `Data.windows`.

    Args:
        tokens: The corpus.
        config: Its config, with `recall_share`.
        seed: The seed of the run.
        step: The step, counted from 0.
        length: Tokens of a sequence; windows have one more.
        count: The number of sequences.

    Returns:
        Windows, int64 (count, length + 1), and the origin of each, as name:offset.

    Raises:
        PosextError: No document is long enough, the corpus has too few rare tokens, or the length
            is too short for a pair and its repetition.
    """
    drawn = tokens.windows(validation=False, pack=config.pack)
    windows_BT, origins = drawn.batch(seed, step, length, count)
    if config.recall_share:
        rng = step_generator(seed, step, Stream.RECALL)
        recall_B = torch.from_numpy(rng.random(count) < config.recall_share)
        mixed_BT = with_pairs(windows_BT, pool_of(tokens), rng)
        windows_BT = torch.where(recall_B[:, None], mixed_BT, windows_BT)
    return windows_BT, origins


def with_pairs(windows_BT: Tensor, pool: Pool, rng: np.random.Generator) -> Tensor:
    """Write as many pairs as fit half a window over the text of each, at two places each; (B, T).

    Every choice of disjoint places is equally likely. The tokens of a window's keys and values
    all differ, but the text between may have them too, unlike in an evaluation episode. Nothing
    marks a pair, and all labels are trained.
    """
    B, T = windows_BT.shape
    N = RecallSettings().pair
    if 2 * N > T:
        raise PosextError(
            f"data.recall_share needs sequences of at least {2 * N - 1} tokens, not {T - 1}"
        )
    P = min(len(pool.rare) // N, max(1, int(MAX_PAIR_SHARE * T) // (2 * N)))
    M = 2 * P
    pairs_BPN = permuted_rows(pool.rare, B, rng)[:, : P * N].reshape(B, P, N)
    pair_BM = permuted_rows(np.arange(M) // 2, B, rng)
    gaps_BM = np.sort(permuted_rows(np.arange(T - M * (N - 1)), B, rng)[:, :M], axis=1)
    places_BMN = (gaps_BM + np.arange(M) * (N - 1))[..., None] + np.arange(N)
    index_B = np.arange(B)
    mixed_BT = windows_BT.clone()
    written_BMN = torch.from_numpy(pairs_BPN[index_B[:, None], pair_BM])
    mixed_BT[index_B[:, None, None], places_BMN] = written_BMN
    return mixed_BT


def permuted_rows(values_K: np.ndarray, B: int, rng: np.random.Generator) -> np.ndarray:
    """Return B independent permutations of the values: (B, K)."""
    return rng.permuted(np.tile(values_K, (B, 1)), axis=1)
