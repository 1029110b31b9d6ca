"""Training batches in which a share of the sequences has recall pairs, so that recall is learned.

Shape suffixes: B sequences, T tokens of a window, M places of a pair, P pairs, N tokens of a pair.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from posext.config import DataConfig
from posext.data.dataset import Data
from posext.data.recall.pool import Pool, pool_of
from posext.utils.errors import PosextError
from posext.utils.rng import Stream, step_generator

PAIR = 2  # tokens: a key and its value
PAIR_SHARE = 0.5  # of a window
SHORTEST = round(2 * PAIR / PAIR_SHARE) - 1  # tokens read of a pair and its repetition


def batch(
    tokens: Data, config: DataConfig, seed: int, step: int, length: int, count: int
) -> tuple[Tensor, Sequence[str]]:
    """Return a training batch in which each sequence has pairs with probability `recall_share`.

    A pure function of its arguments; with a share of 0 it is the batch of `Data.windows`.

    Args:
        tokens: The corpus.
        config: Its config, with `recall_share` and `recall_pairs`.
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
        mixed_BT = with_pairs(windows_BT, pool_of(tokens), config.recall_pairs, rng)
        windows_BT = torch.where(recall_B[:, None], mixed_BT, windows_BT)
    return windows_BT, origins


def with_pairs(windows_BT: Tensor, pool: Pool, most: int, rng: np.random.Generator) -> Tensor:
    """Write pairs of a key and its value over half the text of each window, many times each.

    A window has 1 to `most` different pairs, each as often as the others. Every repetition is a
    question whose answer stands earlier. Every choice of disjoint places is equally likely. The
    tokens of a window's keys and values all differ, but the text between may have them too, unlike
    in an evaluation episode. Nothing marks a pair, and all labels are trained.
    """
    T = windows_BT.shape[1]
    M = int(PAIR_SHARE * T) // PAIR
    if M < 2:
        raise PosextError(
            f"data.recall_share needs sequences of at least {SHORTEST} tokens, not {T - 1}"
        )
    mixed_BT = windows_BT.clone()
    for window_T in mixed_BT:
        P = min(int(rng.integers(1, most, endpoint=True)), M // 2, len(pool.rare) // PAIR)
        pairs_PN = rng.permutation(pool.rare)[: P * PAIR].reshape(P, PAIR)
        written_MN = pairs_PN[rng.permutation(np.arange(M) % P)]
        gaps_M = np.sort(rng.permutation(T - M * (PAIR - 1))[:M])
        places_MN = (gaps_M + np.arange(M) * (PAIR - 1))[:, None] + np.arange(PAIR)
        window_T[places_MN] = torch.from_numpy(written_MN)
    return mixed_BT
