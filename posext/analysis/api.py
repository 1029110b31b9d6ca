"""One model of anybody's under the fixed-target protocol, from Python: `posext.measure`."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from posext.analysis.statistics import interval
from posext.config import EvaluationConfig, check_lengths
from posext.eval.protocols import PROTOCOLS, ProtocolSettings, sums_by_document
from posext.eval.scoring import score_windows
from posext.utils.ranges import Count, check_ranges, checked

MEASURED_COLUMNS = (
    "context_length nll nll_low nll_high perplexity perplexity_low perplexity_high bits_per_byte "
    "documents tokens"
).split()


class TokenDocuments:
    """Documents that are held in memory, int64 (n,) each, as protocols read them."""

    def __init__(self, tokens: list[np.ndarray]):
        self.tokens = tokens
        self.lengths = [len(document) for document in tokens]
        self.names = [str(index) for index in range(len(tokens))]

    def document(self, index: int) -> np.ndarray:
        return self.tokens[index]


def measure(
    model: Callable[..., Any],
    documents: Sequence[Any],
    context_lengths: Sequence[int],
    *,
    bytes_per_token: Sequence[int] | np.ndarray | None = None,
    targets: int | None = None,
    blocks: int = 1,
    scored_share: float = 0.5,
    seed: int = 0,
    most_documents: int | None = None,
    tokens_per_batch: int = 4096,
    device: torch.device | str = "cpu",
) -> pd.DataFrame:
    """Measure any causal model at growing context lengths, on the same targets at all of them.

    Args:
        model: Maps tokens (B, T) to logits (B, T, V), or to an object with `.logits`, as models of
            transformers do. It must be in evaluation mode and on `device`.
        documents: Token ids of each document. Documents longer than the longest context count.
        context_lengths: Context lengths in tokens, increasing.
        bytes_per_token: Bytes of each token of the vocabulary, for bits per byte.
        targets: Targets in a block; by default 256, and at most half the longest context.
        blocks: Disjoint blocks of targets drawn in a document, at most.
        scored_share: Largest share of a window that is scored, above 0 and at most 0.5; the rest is
            context alone. A longer block is cut into pieces.
        seed: Seed of the choice of documents and blocks.
        most_documents: Documents measured, at most; by default all.
        tokens_per_batch: Tokens in a forward pass, at most.
        device: Device of the model.

    Returns:
        A row for each context length: NLL in nats a token and perplexity with their 95 % intervals
        over documents (nan for one document), bits per byte, documents and tokens scored.

    Raises:
        PosextError: No document is long enough, or the lengths do not increase.
    """
    lengths = [int(length) for length in context_lengths]
    check_lengths(lengths)
    checked("tokens_per_batch", tokens_per_batch, Count)
    allocation = EvaluationConfig(
        blocks=blocks,
        targets=targets,
        scored_share=scored_share,
        seed=seed,
    )
    check_ranges(allocation)
    if most_documents is not None:
        checked("most_documents", most_documents, Count)
    held = TokenDocuments([np.asarray(tokens, dtype=np.int64).reshape(-1) for tokens in documents])
    told = ProtocolSettings(
        lengths[0],
        allocation.block_size(lengths[-1]),
        blocks,
        seed,
        most_documents,
        scored_share=scored_share,
    )
    plan = PROTOCOLS["fixed_target"](held, lengths, told)
    sizes = None if bytes_per_token is None else np.asarray(bytes_per_token)
    rows = []
    for length, windows in plan.windows.items():
        with torch.inference_mode():
            nll = score_windows(model, held.document, windows, tokens_per_batch, device)
        rows.append(curve_row(length, sums_by_document(held, plan, length, windows, nll, sizes)))
    return pd.DataFrame(rows, columns=MEASURED_COLUMNS)


def curve_row(length: int, sums: pd.DataFrame) -> dict[str, Any]:
    """A context length in words of the result, from its sums by document."""
    found = interval(sums.nll.to_numpy(float), sums.weight.to_numpy(float))
    tokens, size = int(sums.tokens.sum()), float(sums.bytes.sum())
    perplexity, low, high = (float(np.exp(number)) for number in found)
    return {
        "context_length": length,
        "nll": found.value,
        "nll_low": found.low,
        "nll_high": found.high,
        "perplexity": perplexity,
        "perplexity_low": low,
        "perplexity_high": high,
        "bits_per_byte": found.value * tokens / size / np.log(2) if size else float("nan"),
        "documents": len(sums),
        "tokens": tokens,
    }
