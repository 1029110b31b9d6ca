"""Which path of attention each scheme takes, found from the tables of its layers."""

import torch
from torch import nn

from posext.cli.schemes import EXAMPLE_SHAPE
from posext.model import attention, flex
from posext.model.block_mask import BLOCK
from posext.pe import PositionalEncoding, build, names
from posext.pe.tables import AttentionTables, KeyBias

TOKENS = 8
LAYERS = 12
PATHS = {  # what tables hold: on a CPU, on a GPU
    "a rotation, or nothing": ("fused", "fused"),
    "a bias of the key alone": (
        "fused, the bias in extra head dimensions",
        "fused, the bias in extra head dimensions",
    ),
    "a bias by distance or pair, a window, a sink": ("dense", "FlexAttention"),
    "scores or weights of its own": ("dense", "dense"),
}
PLAIN, BY_KEY, BY_TABLE, OWN = PATHS
ABOUT = f"""
## How attention computes them

Chosen from what a scheme's tables hold, the length and the device; a scheme's name plays no part.

- *fused* is torch's causal attention. Training on a CPU it begins at
  {attention.EXPLICIT_LENGTH + 1} tokens; before, dense scores are faster.
- *dense* holds all scores up to {attention.DENSE_LENGTH:,} tokens, then those of
  {attention.CHUNK} queries at a time, and without gradients on a CPU always those of
  {attention.SMALL_CHUNK}: memory linear in the length, slow.
- *FlexAttention* reads the bias from its table in the kernel, skips what a window hides, and takes
  sinks, remapped distances, capped logits and documents in one context. It is taken in a compiled
  network from {flex.LEAST_LENGTH} tokens on, and elsewhere beyond {attention.DENSE_LENGTH:,}, for
  heads of at least {flex.LEAST_HEAD_DIM} dimensions. A bias by pair is made as a matrix first, of
  at most {flex.PAIR_BIAS_BYTES // 2**30} GiB a layer; beyond, dense. Gradients of a table are
  summed in no fixed order, so two runs on a GPU agree to rounding alone. Dense takes its place on
  a machine that cannot compile, and where a bias that learns is trained with a sink, a window of
  several views, or at a length that is not a multiple of {BLOCK}: there torch's kernel can get its
  gradient wrong.

Windows (`+window=`), sinks (`+sink=`) and `model.attention_softcap` move a scheme of the first two
rows to the third. Normalizers (`+normalizer=`) move a scheme to the last;
those with weights or windows of their own refuse one.

"""


def path_of(layer: PositionalEncoding, modules: list[nn.Module]) -> str:
    """Return what the tables of a layer hold, a key of PATHS."""
    shape = layer.shape
    tables: AttentionTables = layer.tables(layer.positions(TOKENS))
    x_BTC = torch.zeros(1, TOKENS, shape.d_model)
    for module in modules:
        tables = module(x_BTC, tables)
    q_BHTD = torch.zeros(1, shape.n_heads, TOKENS, shape.head_dim)
    if attention.fuses(tables):
        return BY_KEY if isinstance(tables.bias, KeyBias) else PLAIN
    return BY_TABLE if flex.expresses(tables, q_BHTD, q_BHTD) else OWN


@torch.no_grad()
def rows() -> list[tuple[str, str, str, str]]:
    """The rows of the table: what is held, on a CPU, on a GPU, and the schemes."""
    schemes: dict[str, list[str]] = {path: [] for path in PATHS}
    for name in names():
        layers = dict.fromkeys(build(name, **EXAMPLE_SHAPE).layers(LAYERS))
        found = {path_of(layer, layer.make_layer_modules()) for layer in layers}
        for path in PATHS:
            if path in found:
                schemes[path].append(f"`{name}`" if len(found) == 1 else f"`{name}`*")
    return [(path, *devices, ", ".join(schemes[path])) for path, devices in PATHS.items()]
