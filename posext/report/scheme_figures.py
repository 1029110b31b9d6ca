"""What a scheme does with positions, as figures: numbers here, ink in sketch.py. Only the interface is asked, never a name.

Shape suffixes: R rotated pairs, H heads, T positions or distances, C model width.
"""

import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from posext.pe.base import (
    AttentionTables,
    DistanceBias,
    KeyBias,
    PairBias,
    PositionalEncoding,
    Rotation,
)
from posext.pe.rope import RoPE
from posext.pe.scaling import ScaledRoPE
from posext.utils.errors import PosextError

PATTERN = 12  # layers, of which a scheme by layer is asked
STILL = 1e12  # tokens: a pair with a longer wavelength stands still


class FigureLine(NamedTuple):
    """One curve, float64 (N,) each; it has gaps where y is not finite."""

    label: str
    x: Tensor
    y: Tensor


class Figure(NamedTuple):
    """Curves, values to mark on one of the axes, and what is said beside them in sentences."""

    title: str
    x_label: str
    y_label: str
    lines: list[FigureLine]
    marks: dict[str, int]
    marked: str  # "x" or "y"
    logarithmic: bool
    notes: list[str]


def figures(name: str, scheme: PositionalEncoding, length: int) -> list[Figure]:
    """All that can be drawn of a scheme in a context of `length` tokens without text; empty where it acts otherwise.

    Raises PosextError for a length at which the scheme is undefined.
    """
    if scheme.max_length is not None and length > scheme.max_length:
        raise PosextError(
            f"{name} is defined up to {scheme.max_length} tokens, so not at length={length}"
        )
    layers = scheme.layers(PATTERN)
    kinds = dict.fromkeys(layers)
    with torch.no_grad():
        return [
            figure._replace(title=numbered(layers, kind) if len(kinds) > 1 else "")
            for kind in kinds
            for figure in of_layer(name, kind, length)
        ]


def of_layer(name: str, scheme: PositionalEncoding, length: int) -> list[Figure]:
    """The figures of one layer's scheme."""
    drawn, positions_T = [], torch.arange(length)
    rotation, bias = (
        scheme.rotation(torch.arange(2), length),
        bias_without_text(scheme, positions_T),
    )
    encoding_TC = scheme.embed(torch.zeros(1, length, scheme.shape.d_model), positions_T)[0]
    if rotation is not None:
        drawn.append(of_rotation(name, scheme, rotation, length))
    if isinstance(bias, DistanceBias | PairBias) or (
        isinstance(bias, KeyBias) and bias.values_HK.ndim == 2
    ):
        drawn.append(of_distance(scheme, "bias on the logit", bias_by_distance(bias, positions_T)))
    if encoding_TC.any():
        similarity_HT = similarity_by_distance(encoding_TC)[None]
        drawn.append(of_distance(scheme, "similarity (cosine) to the last position", similarity_HT))
    return drawn


def bias_without_text(scheme: PositionalEncoding, positions_T: Tensor) -> Any:
    """The bias of a scheme, or that of a new layer of one whose layers have biases of their own; None for all others."""
    own = scheme.make_layer_module() if scheme.family == "bias" else None
    if own is None:
        return scheme.bias(positions_T)
    return own(
        torch.zeros(1, len(positions_T), scheme.shape.d_model), AttentionTables(positions_T)
    ).bias


def numbered(layers: list[PositionalEncoding], kind: PositionalEncoding) -> str:
    """Which layers a scheme stands for, counted from 1."""
    return f"layers {', '.join(str(i + 1) for i, layer in enumerate(layers) if layer is kind)} of {len(layers)}"


def nothing_to_draw(name: str, scheme: PositionalEncoding) -> str:
    """Why a scheme has no figures, in a sentence."""
    content = any(
        layer.make_layer_module() is not None for layer in dict.fromkeys(scheme.layers(PATTERN))
    )
    reason = (
        "acts on the content, layer by layer"
        if content
        else "adds nothing that positions alone decide"
    )
    return f"{name} {reason}, so without text there is nothing to draw."


def of_rotation(name: str, scheme: PositionalEncoding, rotation: Rotation, length: int) -> Figure:
    """Wavelength by pair, beside plain RoPE's at the same base; `rotation` holds positions 0 and 1."""
    base, original = getattr(scheme, "base", 10000.0), scheme.shape.original_length
    rope = RoPE(scheme.shape, base=base).rotation(torch.arange(2), length)
    own_R, ropes_R = wavelengths(rotation), wavelengths(rope)
    factor = attention_factor(rotation)
    notes = [
        f"Attention factor {factor:.4g} on cos and sin: logits are multiplied by {factor**2:.4g}.",
        f"{int((own_R <= original).sum())} of {len(own_R)} pairs turn at least once within the original length, "
        f"{int((ropes_R <= original).sum())} of {len(ropes_R)} of plain RoPE's.",
    ]
    if isinstance(scheme, ScaledRoPE):
        notes.insert(0, f"Factor s = {scheme.scale(length):g} at a length of {length} tokens.")
    if still := int(own_R.isinf().sum()):
        notes.append(f"{still} of {len(own_R)} pairs stand still.")
    if rotation.gain_TR is not None:
        notes.append("Queries and keys also have a gain by position, which is not drawn.")
    lines = [
        FigureLine(f"rope, base {base:,.10g}", counted(ropes_R), ropes_R),
        FigureLine(name, counted(own_R), own_R),
    ]
    marks = {"original length": original, "length": length}
    return Figure("", "pair", "wavelength (tokens)", lines, marks, "y", True, notes)


def of_distance(scheme: PositionalEncoding, what: str, values_HT: Tensor) -> Figure:
    """A value by distance from the last position, a curve a head."""
    heads = [f"head {h + 1}" for h in range(len(values_HT))] if len(values_HT) > 1 else [what]
    lines = [
        FigureLine(label, counted(row), row) for label, row in zip(heads, values_HT, strict=True)
    ]
    notes = (
        ["Learned: as initialised, before any training."]
        if any(True for _ in scheme.parameters())
        else []
    )
    marks = {"original length": scheme.shape.original_length}
    return Figure("", "distance (tokens)", what, lines, marks, "x", False, notes)


def wavelengths(rotation: Rotation) -> Tensor:
    """Tokens in which each pair turns once: float64 (R,), inf where it stands still. From positions 0 and 1."""
    step_R = torch.atan2(rotation.sin_TR[1].double(), rotation.cos_TR[1].double()).abs()
    tokens_R = 2 * math.pi / step_R
    return tokens_R.where(tokens_R < STILL, math.inf)


def attention_factor(rotation: Rotation) -> float:
    """The factor on cos and sin; its square is on the logits. From position 0."""
    return float(rotation.cos_TR[0, 0])


def bias_by_distance(bias: KeyBias | DistanceBias | PairBias, positions_T: Tensor) -> Tensor:
    """What the last query adds to the logit of the key at distance 0 .. T - 1: float64 (H, T).

    A bias of the key alone is defined but for a constant, and taken to be 0 at distance 0.
    """
    if isinstance(bias, DistanceBias):
        return bias.values_HL.double()
    if isinstance(bias, PairBias):
        return bias.rows(positions_T[-1:], positions_T)[:, 0].flip(-1).double()
    return (bias.values_HK - bias.values_HK[:, -1:]).flip(-1).double()


def similarity_by_distance(encoding_TC: Tensor) -> Tensor:
    """The cosine of the last position's encoding and the one at distance 0 .. T - 1: float64 (T,)."""
    return F.cosine_similarity(encoding_TC.double(), encoding_TC[-1:].double(), dim=-1).flip(-1)


def counted(values: Tensor) -> Tensor:
    return torch.arange(len(values), dtype=torch.float64)
