"""Figures of a scheme's effect on positions, as numbers; scheme_render.py draws them.

Only the interface of a scheme is used, never its name.

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

PATTERN = 12  # number of layers to ask a scheme for, since layers may differ
STATIONARY_WAVELENGTH = 1e12  # tokens; a pair with a longer wavelength counts as not turning


class FigureLine(NamedTuple):
    """One curve: `x` and `y` are float64 (N,), with a gap wherever y is not finite."""

    label: str
    x: Tensor
    y: Tensor


class Figure(NamedTuple):
    """Curves, values to mark on one of the axes, and sentences to print beside them."""

    title: str
    x_label: str
    y_label: str
    lines: list[FigureLine]
    marks: dict[str, int]
    marked: str  # "x" or "y"
    logarithmic: bool
    notes: list[str]


def figures(name: str, scheme: PositionalEncoding, length: int) -> list[Figure]:
    """Make the figures of a scheme that need no text.

    Args:
        name: the scheme's name, for labels.
        scheme: the scheme.
        length: the context length in tokens.

    Returns:
        Figures of rotation, bias and embedding; empty for a scheme that has none of these.

    Raises:
        PosextError: the scheme is undefined at `length`.
    """
    if scheme.max_length is not None and length > scheme.max_length:
        raise PosextError(
            f"{name} is defined up to {scheme.max_length} tokens, so not at length={length}"
        )
    layers = scheme.layers(PATTERN)
    kinds = dict.fromkeys(layers)
    with torch.no_grad():
        return [
            figure._replace(title=layer_title(layers, kind) if len(kinds) > 1 else "")
            for kind in kinds
            for figure in layer_figures(name, kind, length)
        ]


def layer_figures(name: str, scheme: PositionalEncoding, length: int) -> list[Figure]:
    """The figures of one layer's scheme."""
    figures = []
    positions_T = torch.arange(length)
    rotation = scheme.rotation(torch.arange(2), length)
    if rotation is not None:
        figures.append(wavelength_figure(name, scheme, rotation, length))
    bias = bias_without_text(scheme, positions_T)
    is_positional = isinstance(bias, DistanceBias | PairBias)
    is_key_bias_per_head = isinstance(bias, KeyBias) and bias.values_HK.ndim == 2
    if is_positional or is_key_bias_per_head:
        values_HT = bias_by_distance(bias, positions_T)
        figures.append(distance_figure(scheme, "bias on the logit", values_HT))
    encoding_TC = scheme.embed(torch.zeros(1, length, scheme.shape.d_model), positions_T)[0]
    if encoding_TC.any():
        similarity_HT = similarity_by_distance(encoding_TC)[None]
        label = "similarity (cosine) to the last position"
        figures.append(distance_figure(scheme, label, similarity_HT))
    return figures


def bias_without_text(scheme: PositionalEncoding, positions_T: Tensor) -> Any:
    """The bias of a scheme on empty input; of a new layer if layers have a bias of their own.

    Returns None for a scheme without a bias.
    """
    layer_module = scheme.make_layer_module() if scheme.family == "bias" else None
    if layer_module is None:
        return scheme.bias(positions_T)
    x_BTC = torch.zeros(1, len(positions_T), scheme.shape.d_model)
    return layer_module(x_BTC, AttentionTables(positions_T)).bias


def layer_title(layers: list[PositionalEncoding], kind: PositionalEncoding) -> str:
    """The numbers of the layers that share a scheme, counted from 1."""
    numbers = [str(number) for number, layer in enumerate(layers, start=1) if layer is kind]
    return f"layers {', '.join(numbers)} of {len(layers)}"


def nothing_to_draw(name: str, scheme: PositionalEncoding) -> str:
    """A sentence that says why a scheme has no figures."""
    kinds = dict.fromkeys(scheme.layers(PATTERN))
    if any(layer.make_layer_module() is not None for layer in kinds):
        reason = "acts on the content, layer by layer"
    else:
        reason = "adds nothing that positions alone decide"
    return f"{name} {reason}, so without text there is nothing to draw."


def wavelength_figure(
    name: str, scheme: PositionalEncoding, rotation: Rotation, length: int
) -> Figure:
    """Wavelength by pair, beside plain RoPE with the same base.

    `rotation` must hold positions 0 and 1.
    """
    base = getattr(scheme, "base", 10000.0)
    original_length = scheme.shape.original_length
    rope_rotation = RoPE(scheme.shape, base=base).rotation(torch.arange(2), length)
    own_R = wavelengths(rotation)
    rope_R = wavelengths(rope_rotation)
    lines = [
        FigureLine(f"rope, base {base:,.10g}", indices(rope_R), rope_R),
        FigureLine(name, indices(own_R), own_R),
    ]
    return Figure(
        title="",
        x_label="pair",
        y_label="wavelength (tokens)",
        lines=lines,
        marks={"original length": original_length, "length": length},
        marked="y",
        logarithmic=True,
        notes=rotation_notes(scheme, rotation, own_R, rope_R, length),
    )


def rotation_notes(
    scheme: PositionalEncoding, rotation: Rotation, own_R: Tensor, rope_R: Tensor, length: int
) -> list[str]:
    """Sentences about a rotation; `own_R` and `rope_R` are wavelengths (tokens) by pair."""
    original_length = scheme.shape.original_length
    notes = []
    if isinstance(scheme, ScaledRoPE):
        notes.append(f"Factor s = {scheme.scale(length):g} at a length of {length} tokens.")
    factor = attention_factor(rotation)
    own_turning = int((own_R <= original_length).sum())
    rope_turning = int((rope_R <= original_length).sum())
    notes += [
        f"Attention factor {factor:.4g} on cos and sin: logits are multiplied by {factor**2:.4g}.",
        f"{own_turning} of {len(own_R)} pairs turn at least once within the original length, "
        f"{rope_turning} of {len(rope_R)} of plain RoPE's.",
    ]
    if stationary := int(own_R.isinf().sum()):
        notes.append(f"{stationary} of {len(own_R)} pairs stand still.")
    if rotation.gain_TR is not None:
        notes.append("Queries and keys also have a gain by position, which is not drawn.")
    if scheme.make_layer_module() is not None:
        notes.append("Each layer changes this rotation, which is not drawn.")
    return notes


def distance_figure(scheme: PositionalEncoding, y_label: str, values_HT: Tensor) -> Figure:
    """A value by distance from the last position, a curve a head."""
    labels = [y_label]
    if len(values_HT) > 1:
        labels = [f"head {head + 1}" for head in range(len(values_HT))]
    lines = [
        FigureLine(label, indices(values_T), values_T)
        for label, values_T in zip(labels, values_HT, strict=True)
    ]
    is_learned = any(True for _ in scheme.parameters())
    return Figure(
        title="",
        x_label="distance (tokens)",
        y_label=y_label,
        lines=lines,
        marks={"original length": scheme.shape.original_length},
        marked="x",
        logarithmic=False,
        notes=["Learned: as initialised, before any training."] if is_learned else [],
    )


def wavelengths(rotation: Rotation) -> Tensor:
    """The tokens in which each pair turns once: float64 (R,), inf for a stationary pair.

    `rotation` must hold positions 0 and 1.
    """
    step_R = torch.atan2(rotation.sin_TR[1].double(), rotation.cos_TR[1].double()).abs()
    tokens_R = 2 * math.pi / step_R
    return tokens_R.where(tokens_R < STATIONARY_WAVELENGTH, math.inf)


def attention_factor(rotation: Rotation) -> float:
    """The factor on cos and sin, from position 0; the logits have its square."""
    return float(rotation.cos_TR[0, 0])


def bias_by_distance(bias: KeyBias | DistanceBias | PairBias, positions_T: Tensor) -> Tensor:
    """The bias of the last query's logits on the key at distance 0 .. T - 1: float64 (H, T).

    A bias of the key alone is defined up to a constant; here it is 0 at distance 0.
    """
    if isinstance(bias, DistanceBias):
        return bias.values_HL.double()
    if isinstance(bias, PairBias):
        return bias.rows(positions_T[-1:], positions_T)[:, 0].flip(-1).double()
    return (bias.values_HK - bias.values_HK[:, -1:]).flip(-1).double()


def similarity_by_distance(encoding_TC: Tensor) -> Tensor:
    """Cosine of the last position's encoding and the one at distance 0 .. T - 1: float64 (T,)."""
    return F.cosine_similarity(encoding_TC.double(), encoding_TC[-1:].double(), dim=-1).flip(-1)


def indices(values: Tensor) -> Tensor:
    return torch.arange(len(values), dtype=torch.float64)
