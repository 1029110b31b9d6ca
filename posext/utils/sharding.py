"""Work shared out over processes."""

from typing import TypeVar

from torch import Tensor

Items = TypeVar("Items", Tensor, list[int], range)


def shard(items: Items, index: int, count: int) -> Items:
    """Return the items of process `index` of `count`: every `count`-th one, from `index` on."""
    return items[index::count]
