"""Tasks with a question and an answer: copy, reverse, sorting, addition, parity, counting.

An answer of several symbols ends in a token of its own, which is scored too.

Shape suffixes: R examples of one length, N items, as many as the length.
"""

import numpy as np

from posext.data.algorithmic.task import SPECIAL, Examples, Task, answered, ended

COPIED_SYMBOLS = 100
BASE = 10
MOST_COUNTED = 9
INCREMENT_SHARE = 7 / 57  # of the statements before the reset, as in the paper's code


class Copy(Task):
    """The same symbols again (Kazemnejad et al. 2023, arXiv:2305.19466): a b c = a b c .

    Symbols are independent and uniform, so they recur.
    """

    symbols = tuple(f"x{index}" for index in range(COPIED_SYMBOLS))

    def draw(self, length: int, rows: int, rng: np.random.Generator) -> Examples:
        items_RN = self.first + rng.integers(COPIED_SYMBOLS, size=(rows, length))
        return answered(items_RN, ended(self.answer(items_RN)))

    def answer(self, items_RN: np.ndarray) -> np.ndarray:
        return items_RN

    def chance(self, length: int) -> float:
        return 1 / COPIED_SYMBOLS


class Reverse(Copy):
    """The same symbols from the last to the first (arXiv:2305.19466): a b c = c b a ."""

    def answer(self, items_RN: np.ndarray) -> np.ndarray:
        return items_RN[:, ::-1]


class Sorting(Task):
    """Different numbers in rising order (Zhou et al. 2023, arXiv:2310.16028): 7 2 5 = 2 5 7 .

    A number is one token, as in arXiv:2305.19466, where numbers may recur.
    """

    def __init__(self, reach: int):
        super().__init__(reach)
        self.symbols = tuple(f"{number}" for number in range(reach))

    def draw(self, length: int, rows: int, rng: np.random.Generator) -> Examples:
        numbers_RS = np.tile(self.first + np.arange(self.reach), (rows, 1))
        items_RN = rng.permuted(numbers_RS, axis=1)[:, :length]
        return answered(items_RN, ended(np.sort(items_RN, axis=1)))

    def chance(self, length: int) -> float:
        """Return n / S, what 'the next of all S numbers' gets right.

        After the k-th of n numbers the next higher one of all S is the likeliest. The expected
        number of neighbors among n of S numbers is n (n - 1) / S, and 0 is the first with n / S.
        """
        return length / self.reach


class Addition(Task):
    """The sum of two numbers of N digits, lowest first: 5 3 + 9 1 = 4 5 0 (35 + 19 = 054).

    Lowest first as in Zhou et al. 2024 (arXiv:2402.09371). The sum has N + 1 digits, so that all
    examples of a length are as long; the last is the carry.
    """

    marks = ("+",)
    symbols = tuple(map(str, range(BASE)))

    def draw(self, length: int, rows: int, rng: np.random.Generator) -> Examples:
        digits_2RN = rng.integers(BASE, size=(2, rows, length))
        sum_RN1 = self.first + added(*digits_2RN)
        first_RN, second_RN = self.first + digits_2RN
        plus_R1 = np.full((rows, 1), len(SPECIAL))
        question = np.concatenate([first_RN, plus_R1, second_RN], axis=1)
        return answered(question, ended(sum_RN1))

    def chance(self, length: int) -> float:
        """Return a tenth for each digit, and 3/4 for the carry, which the digit below tells.

        The sum of two digits and a carry that ends in d went over ten for 9 - d of the ten pairs
        without a carry in, 10 - d with one; the likelier case has 3/4 on average over d.
        """
        return (length / BASE + 0.75) / (length + 1)


class HintedAddition(Addition):
    """Addition with index hints: before each digit a symbol of its place (arXiv:2402.09371).

    An example's hints are consecutive ones of a fixed order, from a random one on, so that training
    meets all of them. The model has to predict those of the sum too.
    """

    def __init__(self, reach: int):
        super().__init__(reach)
        self.marks = ("+", *(f"#{index}" for index in range(reach + 1)))

    def draw(self, length: int, rows: int, rng: np.random.Generator) -> Examples:
        digits_2RN = rng.integers(BASE, size=(2, rows, length))
        start_R1 = rng.integers(self.reach - length + 1, size=(rows, 1))
        hints_RN1 = len(SPECIAL) + 1 + start_R1 + np.arange(length + 1)
        first_RN, second_RN = (hinted(hints_RN1, self.first + digits) for digits in digits_2RN)
        plus_R1 = np.full((rows, 1), len(SPECIAL))
        question = np.concatenate([first_RN, plus_R1, second_RN], axis=1)
        return answered(question, ended(hinted(hints_RN1, self.first + added(*digits_2RN))))


def added(first_RN: np.ndarray, second_RN: np.ndarray) -> np.ndarray:
    """Return the digits of sums, lowest first: (R, N + 1)."""
    sums_RN1 = np.pad(first_RN + second_RN, ((0, 0), (0, 1)))
    for place in range(first_RN.shape[1]):
        sums_RN1[:, place + 1] += sums_RN1[:, place] // BASE
    return sums_RN1 % BASE


def hinted(hints_RM: np.ndarray, digits_RN: np.ndarray) -> np.ndarray:
    """Return digits with the first hints before them: (R, 2 N)."""
    pairs_RN2 = np.stack([hints_RM[:, : digits_RN.shape[1]], digits_RN], axis=2)
    return pairs_RN2.reshape(len(digits_RN), -1)


class Parity(Task):
    """Whether the ones are odd in number, one symbol (arXiv:2305.19466): 1 0 1 1 = 1"""

    symbols = ("0", "1")

    def draw(self, length: int, rows: int, rng: np.random.Generator) -> Examples:
        bits_RN = rng.integers(2, size=(rows, length))
        parity_R1 = bits_RN.sum(axis=1, keepdims=True) % 2
        return answered(self.first + bits_RN, self.first + parity_R1)

    def chance(self, length: int) -> float:
        return 0.5


class Counting(Task):
    """Increments since the reset (Golovneva et al. 2024, arXiv:2405.18719): ++ reset ++ pass = 1

    One of N statements is the reset, at a random place, and there is one variable. All counts from
    0 to 9 are as likely at every length from 10 on, so that distances alone grow; the increments
    after the reset stand at random places. Before it they are as frequent as in the paper's code.
    """

    marks = ("reset", "++", "pass")
    symbols = tuple(map(str, range(MOST_COUNTED + 1)))

    def draw(self, length: int, rows: int, rng: np.random.Generator) -> Examples:
        reset, increment, skip = len(SPECIAL) + np.arange(3)
        most = min(MOST_COUNTED, length - 1)
        count_R1 = rng.integers(most + 1, size=(rows, 1))
        reset_R1 = rng.integers(length - count_R1)
        place_N = np.arange(length)
        after_RN = place_N > reset_R1
        # the places after the reset with the `count` lowest of random numbers are increments
        order_RN = np.where(after_RN, rng.random((rows, length)), 1).argsort(axis=1).argsort(axis=1)
        earlier_RN = rng.random((rows, length)) < INCREMENT_SHARE
        is_increment_RN = np.where(after_RN, order_RN < count_R1, earlier_RN)
        statements_RN = np.where(is_increment_RN, increment, skip)
        statements_RN[place_N == reset_R1] = reset
        return answered(statements_RN, self.first + count_R1)

    def chance(self, length: int) -> float:
        return 1 / (min(MOST_COUNTED, length - 1) + 1)
