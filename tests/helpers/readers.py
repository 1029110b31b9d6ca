"""Fake models that answer retrieval tasks from the context, and one that knows nothing."""

import math
from collections import Counter
from itertools import pairwise

import torch


class Fake(torch.nn.Module):
    """A model whose most likely next token is `answer(read, given)`.

    `read` are the tokens so far; the last `given` of them stand after the first position asked for.
    """

    def __init__(self, vocab_size: int):
        super().__init__()
        self.vocab_size = vocab_size

    def forward(self, tokens_BT, last):
        B, T = tokens_BT.shape
        logits = torch.zeros(B, last, self.vocab_size)
        for b in range(B):
            row = tokens_BT[b].tolist()
            for given in range(last):
                answer = self.answer(row[: T - last + 1 + given], given)
                if answer is not None:
                    logits[b, given, answer] = 50.0
        return logits

    def answer(self, read: list[int], given: int) -> int | None:
        """Return the token, or None where all are as likely."""
        return None


class Reader(Fake):
    """Finds the last token again, within `sight` tokens, and answers with what followed it.

    It takes the latest successor that followed only once.
    """

    def __init__(self, vocab_size: int, sight: float = math.inf):
        super().__init__(vocab_size)
        self.sight = sight

    def answer(self, read, given):
        end = len(read) - 1
        pairs = Counter(pairwise(read))
        for place in range(end - 1, -1, -1):
            if read[place] == read[end] and pairs[read[place], read[place + 1]] == 1:
                return read[place + 1] if end - place <= self.sight else None
        return None


class Counting(Fake):
    """Answers with the most frequent token that it has not given yet."""

    def answer(self, read, given):
        context, answers = read[: len(read) - given], read[len(read) - given :]
        counts = Counter(token for token in context if token not in answers)
        return counts.most_common(1)[0][0]
