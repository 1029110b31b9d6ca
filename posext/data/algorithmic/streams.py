"""Tasks whose answers stand among what is read: Dyck words, flip-flops, recall, products in S5.

Shape suffixes: R examples of one length, N items, P pairs, T tokens, D depths, G elements of a
group.
"""

from functools import cache
from itertools import permutations

import numpy as np

from posext.data.algorithmic.task import SPECIAL, Examples, Task, scored, tagged

BRACKETS = 8
DEPTH = 10
WRITE, READ, IGNORE = range(3)
SHARES = (0.1, 0.1, 0.8)  # of writes, reads and ignores
KEYS = 64  # and as many values
PAIRS = 8  # posext.config.corpora counts their tokens
PERMUTED = 5


class Dyck(Task):
    """The kind of each closing bracket (Yao et al. 2021, arXiv:2105.11115), in words of N pairs.

    Words have 8 kinds of brackets, and are uniform among those of depth 10 at most: their lengths
    grow, their depth does not. Only closing brackets are scored.
    """

    symbols = tuple(f"{side}{kind}" for side in "()" for kind in range(BRACKETS))

    def draw(self, length: int, rows: int, rng: np.random.Generator) -> Examples:
        is_open_RT = words(length, rows, rng)
        place_T = np.arange(2 * length)
        depth_RT = np.where(is_open_RT, 1, -1).cumsum(axis=1) + ~is_open_RT  # of each one's pair
        opening_RT = np.zeros_like(depth_RT)
        for depth in range(1, DEPTH + 1):
            is_at_RT = depth_RT == depth
            last_RT = np.maximum.accumulate(np.where(is_at_RT & is_open_RT, place_T, 0), axis=1)
            opening_RT[is_at_RT] = last_RT[is_at_RT]
        kinds_RT = rng.integers(BRACKETS, size=is_open_RT.shape)
        kinds_RT = np.take_along_axis(kinds_RT, opening_RT, axis=1)
        text_RT = self.first + np.where(is_open_RT, 0, BRACKETS) + kinds_RT
        return scored(text_RT, ~is_open_RT)

    def chance(self, length: int) -> float:
        return 1 / BRACKETS


def words(pairs: int, rows: int, rng: np.random.Generator) -> np.ndarray:
    """Draw balanced words of depth DEPTH at most, all equally likely.

    Returns:
        Whether each place opens a bracket, bool (R, 2 pairs).
    """
    share_TD = opening_shares(pairs)
    random_RT = rng.random((rows, 2 * pairs))
    is_open_RT = np.empty(random_RT.shape, dtype=bool)
    depth_R = np.zeros(rows, dtype=np.int64)
    for place in range(2 * pairs):
        is_open_R = random_RT[:, place] < share_TD[place, depth_R]
        is_open_RT[:, place] = is_open_R
        depth_R += 2 * is_open_R - 1
    return is_open_RT


@cache
def opening_shares(pairs: int) -> np.ndarray:
    """Return the share of words that open a bracket at a place, by the depth before it: (T, D)."""
    ways_D = np.zeros(DEPTH + 3)  # to go on to the end from each depth, with a 0 on both sides
    ways_D[1] = 1
    share_TD = np.zeros((2 * pairs, DEPTH + 1))
    for place in reversed(range(2 * pairs)):
        opening_D, closing_D = ways_D[2:], ways_D[:-2]
        total_D = opening_D + closing_D
        share_TD[place] = opening_D / np.maximum(total_D, np.finfo(float).tiny)
        ways_D = np.pad(total_D / total_D.max(), 1)  # their ratios alone count
    return share_TD


class FlipFlop(Task):
    """The bit last written, at each read (Liu et al. 2023, arXiv:2306.00946): w 1 i 0 r 1 i 1 r 1

    N instructions of one bit each: the first writes, the last reads, and of those between a tenth
    write, a tenth read and the others are to be ignored. Bits after a read are scored.
    """

    layout = 2
    shortest = 2  # a write and a read
    marks = ("w", "r", "i")
    symbols = ("0", "1")

    def draw(self, length: int, rows: int, rng: np.random.Generator) -> Examples:
        kinds_RN = rng.choice(3, p=SHARES, size=(rows, length))
        kinds_RN[:, 0] = WRITE
        kinds_RN[:, -1] = READ
        bits_RN = rng.integers(2, size=(rows, length))
        written_RN = np.where(kinds_RN == WRITE, np.arange(length), 0)
        last_RN = np.maximum.accumulate(written_RN, axis=1)
        held_RN = np.take_along_axis(bits_RN, last_RN, axis=1)
        bits_RN = np.where(kinds_RN == READ, held_RN, bits_RN)
        text_RT = np.stack([len(SPECIAL) + kinds_RN, self.first + bits_RN], axis=2)
        is_read_RT = np.stack([np.zeros_like(kinds_RN), kinds_RN == READ], axis=2)
        return scored(text_RT.reshape(rows, -1), is_read_RT.reshape(rows, -1) == 1)

    def chance(self, length: int) -> float:
        """Return what 'as at the last read' gets right.

        A read whose last instruction that is not ignored was a read has the same bit. Any other
        read is a toss. Of the k instructions between the first and a read at least one is not
        ignored with 1 - p^k, and half of these last ones are reads.
        """
        write, read, ignore = SHARES
        between_N = np.arange(length - 1)
        follows_read_N = (1 - ignore**between_N) * read / (read + write)
        reads_N = np.where(between_N == length - 2, 1.0, read)
        return float((reads_N * (1 + follows_read_N) / 2).sum() / reads_N.sum())


class MultiQueryRecall(Task):
    """The values of keys, asked for again and again (Arora et al. 2023, arXiv:2312.04927).

    k5 v2 k1 v9 .. k1 k5 k1: eight pairs of different keys with independent values, then N of the
    keys, independent and uniform. The label of each of these is its value, which is not read. So
    the distance to the pairs grows with the length, and their number does not.
    """

    marks = tuple(f"k{index}" for index in range(KEYS))
    symbols = tuple(f"v{index}" for index in range(KEYS))

    def draw(self, length: int, rows: int, rng: np.random.Generator) -> Examples:
        keys_RK = np.tile(len(SPECIAL) + np.arange(KEYS), (rows, 1))
        keys_RP = rng.permuted(keys_RK, axis=1)[:, :PAIRS]
        values_RP = self.first + rng.integers(KEYS, size=(rows, PAIRS))
        asked_RN = rng.integers(PAIRS, size=(rows, length))
        pairs_RT = np.stack([keys_RP, values_RP], axis=2).reshape(rows, -1)
        tokens_RT = np.concatenate([pairs_RT, np.take_along_axis(keys_RP, asked_RN, 1)], axis=1)
        labels_RN = np.take_along_axis(values_RP, asked_RN, 1)
        return tagged(tokens_RT, labels_RN)

    def chance(self, length: int) -> float:
        return 1 / KEYS


class PermutationProduct(Task):
    """The product of N permutations of five, up to each (Merrill et al. 2024, arXiv:2404.08819).

    A permutation is written as the images of 0 to 4. The label of g_i is g_1 g_2 .. g_i, where
    (g h)(x) = g(h(x)).
    """

    symbols = tuple("".join(map(str, images)) for images in permutations(range(PERMUTED)))

    def draw(self, length: int, rows: int, rng: np.random.Generator) -> Examples:
        factors_RN = rng.integers(len(self.symbols), size=(rows, length))
        products_RN = factors_RN.copy()
        table_GG = products_in_s5()
        for place in range(1, length):
            products_RN[:, place] = table_GG[products_RN[:, place - 1], factors_RN[:, place]]
        return tagged(self.first + factors_RN, self.first + products_RN)

    def chance(self, length: int) -> float:
        return 1 / len(self.symbols)


@cache
def products_in_s5() -> np.ndarray:
    """Return the number of g h for the numbers of g and h: int64 (G, G)."""
    elements = list(permutations(range(PERMUTED)))
    number = {element: index for index, element in enumerate(elements)}
    return np.array([[number[tuple(g[image] for image in h)] for h in elements] for g in elements])
