"""Block masks of FlexAttention: which blocks of queries and keys it computes, skips, or masks.

They follow from a mask and the length alone, so they are kept from one forward pass to the next.

Shape suffixes: Q queries, K keys, N blocks.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from types import FunctionType

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask

# Queries and keys of a block.
BLOCK = 128
# Block masks that are kept; one takes length^2 / 1,000 bytes, so 16 MiB at 131,072 tokens.
KEPT = 32

# Maps the indices of queries and of keys to True for each key that the query attends to.
Mask = Callable[[Tensor, Tensor], Tensor]
kept_masks: OrderedDict[Hashable, BlockMask] = OrderedDict()


def block_mask(mask: Mask | None, length: int, device: torch.device) -> BlockMask:
    """Return the block mask of a mask under the causal one; None: the causal mask alone.

    Masks of the same code and the same captured values share one, so captured values must not
    change.
    """
    key = (identity(mask), length, device)
    if key not in kept_masks:
        kept_masks[key] = make_block_mask(mask, length, device)
        if len(kept_masks) > KEPT:
            kept_masks.popitem(last=False)
    kept_masks.move_to_end(key)
    return kept_masks[key]


def identity(mask: Mask | None) -> Hashable:
    """Return what tells masks apart: their code and the values that they capture."""
    if not isinstance(mask, FunctionType):
        return mask
    cells = mask.__closure__ or ()
    return (mask.__code__, mask.__defaults__, *(cell.cell_contents for cell in cells))


def make_block_mask(mask: Mask | None, length: int, device: torch.device) -> BlockMask:
    """Sort all blocks, one row of blocks at a time: memory is linear in the length."""

    def attended(queries: Tensor, keys: Tensor) -> Tensor:
        causal = keys <= queries
        return causal if mask is None else causal & mask(queries, keys)

    def mask_mod(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return attended(query, key)

    n_blocks = -(-length // BLOCK)
    # a kept mask serves training too, which takes no tensors of inference
    with torch.inference_mode(False), torch.no_grad():
        keys_1K = torch.arange(n_blocks * BLOCK, device=device)[None]
        counts = []
        for start in range(0, length, BLOCK):
            queries_Q1 = torch.arange(start, min(start + BLOCK, length), device=device)[:, None]
            attended_QK = attended(queries_Q1, keys_1K)
            counts.append(attended_QK.view(-1, n_blocks, BLOCK).sum((0, 2)))
        counts_NN = torch.stack(counts)
        full_NN = counts_NN == BLOCK**2
        return BlockMask.from_kv_blocks(
            *ordered((counts_NN > 0) & ~full_NN),
            *ordered(full_NN),
            BLOCK_SIZE=BLOCK,
            mask_mod=mask_mod,
            seq_lengths=(length, length),
        )


def ordered(chosen_NN: Tensor) -> tuple[Tensor, Tensor]:
    """Return the number of chosen blocks in each row, and all blocks with the chosen ones first.

    The shapes are (1, 1, N) and (1, 1, N, N), int32.
    """
    order_NN = chosen_NN.int().argsort(dim=-1, descending=True, stable=True)
    counts_N = chosen_NN.sum(-1)
    return counts_N.int()[None, None], order_NN.int()[None, None]
