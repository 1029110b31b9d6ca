"""Observers of networks, and networks whose attention is known."""

from types import SimpleNamespace

import torch

from posext.model.gpt import GPT
from posext.pe.base import DistanceBias, PositionalEncoding


class Kept:
    """Keeps the weights, logits and hidden states of every layer."""

    def __init__(self, length: int):
        self.length = length
        self.weights: dict[int, torch.Tensor] = {}  # (B, H, T, T)
        self.logits: dict[int, torch.Tensor] = {}  # -inf where a key is not visible
        self.states: dict[int, torch.Tensor] = {}

    def attention(self, layer, tables, rows):
        batch, heads, queries, _ = rows.weights_BHQK.shape
        shape = (batch, heads, self.length, self.length)
        weights = self.weights.setdefault(layer, torch.zeros(shape))
        logits = self.logits.setdefault(layer, torch.full(shape, -torch.inf))
        for q in range(queries):
            for place in rows.visible_QK[q].nonzero().flatten().tolist():
                at = (..., rows.start + q, int(rows.keys_K[place]))
                assert (logits[at] == -torch.inf).all(), "a key is visible twice"
                weights[at] = rows.weights_BHQK[..., q, place]
                logits[at] = rows.logits_BHQK[..., q, place]

    def hidden(self, layer, x_BTC):
        self.states[layer] = x_BTC


def kept(model: GPT, tokens_BT: torch.Tensor) -> Kept:
    """What an observer of the model keeps of a batch of tokens."""
    observer = Kept(tokens_BT.shape[1])
    model.observe(tokens_BT, observer)
    return observer


class LooksBack(PositionalEncoding):
    """Puts all weight on the key `back` tokens before the query, head by head.

    Queries that stand nearer to the start put it on the first token.
    """

    def __init__(self, shape, back: list[int], length: int = 512):
        super().__init__(shape)
        self.back, self.length = back, length

    def bias(self, positions_K):
        distances = torch.arange(self.length)
        far = [torch.where(distances > back, -1000.0, 100.0 * distances) for back in self.back]
        return DistanceBias(torch.stack(far))


def documents(count: int, length: int, vocab_size: int) -> SimpleNamespace:
    """Documents of random tokens, as a plan holds them."""
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(vocab_size, (count, length), generator=generator).numpy()
    names = [f"d{index}" for index in range(count)]
    split = SimpleNamespace(lengths=[length] * count, names=names, document=lambda i: tokens[i])
    return SimpleNamespace(validation=split)
