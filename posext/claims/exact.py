"""What is exact of a scheme: numbers that its tables give, without a model or a measurement.

Settings are those of the scheme's yaml; the shape is that of the quickstart's network unless
`head_dim`, `n_heads`, `d_model` or `train_length` is among them. Functions of the language:

    frequencies(SCHEME, length=N)     inverse frequencies of its rotary pairs in a context of N
                                      tokens (default: the training length)
    temperature(SCHEME, length=N)     its factor on the attention logits
    geometric(BASE)                   BASE^(-2i/head_dim) for every rotary pair i
    bias(SCHEME, DISTANCE)            its bias at a distance less that at distance 0, of every head
    parameters(SCHEME)                the number that it adds to a network of one layer
    shift(SCHEME)                     the largest change of a logit when all positions shift
    order(SCHEME)                     the largest change of a logit when two tokens change places

`bias`, `shift` and `order` refuse schemes that act in the layers, or have scores or weights of
their own, as tables do not tell what those do.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from yaml import safe_load

from posext.claims.expression import Call, Comparison, Sum
from posext.model import queries_and_keys
from posext.pe import PositionalEncoding, build
from posext.pe.base import DistanceBias, KeyBias, PairBias
from posext.utils.errors import PosextError

SHAPE = {"head_dim": 64, "n_heads": 4, "d_model": 256, "train_length": 128}
TOLERANCE = 1e-6  # relative: tables are rounded to float32
TOKENS = 16
SHIFT = 1000


def holds(comparison: Comparison) -> bool:
    """Whether a comparison holds for every pair, head or number of its sides.

    Raises PosextError for an unknown function, scheme or setting, or sides of different lengths.
    """
    left, right = (value(side) for side in (comparison.left, comparison.right))
    if left.ndim and right.ndim and left.shape != right.shape:
        raise PosextError(f"{comparison.text!r} compares {len(left)} numbers with {len(right)}")
    near = np.isclose(left, right, rtol=TOLERANCE, atol=TOLERANCE * 1e-3)
    if comparison.relation == "==":
        return bool(near.all())
    below = left < right if comparison.relation == "<" else left > right
    return bool((below & ~near).all())


def value(side: Sum) -> np.ndarray:
    """The numbers of a side of a comparison."""
    total = np.asarray(side.constant, dtype=float)
    for factor, call in side.terms:
        total = total + factor * number(call)
    return total


def number(call: Call) -> np.ndarray:
    """The numbers that a function gives."""
    if call.function not in FUNCTIONS:
        raise PosextError(f"{call} is nothing exact: there are {', '.join(FUNCTIONS)}")
    try:
        return np.asarray(FUNCTIONS[call.function](call), dtype=float)
    except (ValueError, IndexError, AttributeError, TypeError) as error:
        raise PosextError(f"{call} cannot be computed: {error}") from error


def scheme_of(call: Call) -> tuple[PositionalEncoding, int]:
    """The scheme of a call, and the length of its context."""
    settings: dict[str, Any] = {key: safe_load(text) for key, text in call.settings}
    length = int(settings.pop("length", settings.get("train_length", SHAPE["train_length"])))
    shape = {key: settings.pop(key, default) for key, default in SHAPE.items()}
    scheme = build(call.arguments[0], **shape, **settings)
    return scheme.eval().requires_grad_(False), length


def plain_scheme_of(call: Call) -> PositionalEncoding:
    """The scheme of a call, whose tables say all that it does to scores.

    Raises PosextError for any other.
    """
    scheme, _ = scheme_of(call)
    tables = scheme.tables(torch.arange(TOKENS))
    acts = tables.score_rows is not None or tables.attention_fn is not None
    if acts or scheme.make_layer_module() is not None:
        raise PosextError(
            f"{call}: {call.arguments[0]} acts in the layers, which its tables do not tell"
        )
    return scheme


def frequencies(call: Call) -> Tensor:
    scheme, length = scheme_of(call)
    return scheme.frequencies(length)[0]  # type: ignore[operator]


def temperature(call: Call) -> float:
    scheme, length = scheme_of(call)
    return scheme.logit_factor(length)


def geometric(call: Call) -> np.ndarray:
    head_dim = SHAPE["head_dim"]
    return float(call.arguments[0]) ** (-np.arange(0, head_dim, 2) / head_dim)


def bias(call: Call) -> Tensor:
    distance = int(call.arguments[1])
    bias_HK = added(plain_scheme_of(call), torch.arange(distance + 1))[:, -1]
    return bias_HK[:, 0] - bias_HK[:, -1]


def parameters(call: Call) -> int:
    """Those of the scheme and of what it has in one layer."""
    scheme, _ = scheme_of(call)
    module = scheme.make_layer_module()
    own = [*scheme.parameters(), *(module.parameters() if module is not None else [])]
    return sum(parameter.numel() for parameter in own)


def shift(call: Call) -> float:
    """The largest change of a causal logit when all positions are larger by SHIFT."""
    scheme = plain_scheme_of(call)
    x_BTC = tokens(scheme)
    near = logits(scheme, x_BTC, torch.arange(TOKENS))
    far = logits(scheme, x_BTC, torch.arange(TOKENS) + SHIFT)
    return changed(near - near[..., :1], far - far[..., :1])


def order(call: Call) -> float:
    """The largest change of the last token's logits when the two first tokens change places."""
    scheme = plain_scheme_of(call)
    x_BTC = tokens(scheme)
    swapped_T = torch.tensor([1, 0, *range(2, TOKENS)])
    positions_T = torch.arange(TOKENS)
    before = logits(scheme, x_BTC, positions_T)[:, -1]
    after = logits(scheme, x_BTC[:, swapped_T], positions_T)[:, -1]
    return float((before - after[:, swapped_T]).abs().max())


def changed(one_HQK: Tensor, other_HQK: Tensor) -> float:
    """The largest difference of logits under the causal mask, up to a constant of each row."""
    causal_QK = torch.ones(TOKENS, TOKENS).tril().bool()
    return float((one_HQK - other_HQK)[:, causal_QK].abs().max())


def tokens(scheme: PositionalEncoding) -> Tensor:
    """Random inputs of a layer, before positions: (1, T, C)."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(1, TOKENS, scheme.shape.d_model, generator=generator, dtype=torch.float64)


def logits(scheme: PositionalEncoding, x_BTC: Tensor, positions_T: Tensor) -> Tensor:
    """Logits of a layer whose queries and keys are random maps of its input: (H, Q, K)."""
    shape = scheme.shape
    generator = torch.Generator().manual_seed(1)
    size = (2, shape.d_model, shape.n_heads * shape.head_dim)
    maps = torch.randn(size, generator=generator, dtype=torch.float64) / shape.d_model**0.5
    embedded_BTC = scheme.embed(x_BTC, positions_T).double()
    q_BHTD, k_BHTD = (
        (embedded_BTC @ map_CE).unflatten(-1, (shape.n_heads, shape.head_dim)).transpose(1, 2)
        for map_CE in maps
    )
    tables = scheme.tables(positions_T)
    q_BHTD = queries_and_keys.turned_queries(q_BHTD, tables)
    k_BHTD = queries_and_keys.turned_keys(k_BHTD, tables)
    products_HQK = (q_BHTD @ k_BHTD.mT)[0] / shape.head_dim**0.5
    return products_HQK + added(scheme, positions_T)


def added(scheme: PositionalEncoding, positions_T: Tensor) -> Tensor:
    """The bias of a scheme by head, query and key, (H or 1, Q, K); 0 for none."""
    found = scheme.bias(positions_T)
    count = len(positions_T)
    match found:
        case None:
            return torch.zeros(1, count, count)
        case KeyBias():
            return found.values_HK[:, None, :].expand(-1, count, -1)
        case DistanceBias():
            distances_QK = (positions_T[:, None] - positions_T).clamp(min=0)
            return found.values_HL[:, distances_QK]
        case PairBias():
            return found.rows(positions_T, positions_T)


FUNCTIONS: dict[str, Callable[[Call], Any]] = {
    each.__name__: each
    for each in (frequencies, temperature, geometric, bias, parameters, shift, order)
}
