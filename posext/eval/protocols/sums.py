"""Sums of scored windows per (context length, group, document), the input of all statistics."""

import hashlib
import json
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import cast

import numpy as np
import pandas as pd
import torch

from posext.eval.protocols.plan import Documents, ProtocolFn, ProtocolPlan, ProtocolSettings
from posext.eval.scoring import CACHED_DOCUMENTS, TargetWindow, score_windows

SUM_KEY = ["context_length", "group", "document"]
SUM_COLUMNS = [*SUM_KEY, "nll", "weight", "tokens", "bytes"]
DIGEST_DIGITS = 12


def measure_protocol(
    protocol: ProtocolFn,
    model: Callable[..., object],
    documents: Documents,
    lengths: Sequence[int],
    settings: ProtocolSettings,
    bytes_per_token: np.ndarray | None = None,
    tokens_per_batch: int = 4096,
    device: torch.device | str = "cpu",
) -> pd.DataFrame:
    """Measure a model under one protocol at all its context lengths.

    Args:
        protocol: One of PROTOCOLS.
        model: A causal model, as `posext.eval.scoring.target_nll` takes it.
        documents: Held-out documents.
        lengths: Context lengths, increasing.
        settings: Settings of the protocol.
        bytes_per_token: Bytes of text of each token of the vocabulary, (V,).
        tokens_per_batch: Upper limit of the tokens of a batch.
        device: Device of the model.

    Returns:
        SUM_COLUMNS, a row per context length, group and document.

    Raises:
        PosextError: The documents do not hold the windows of the protocol.
    """
    plan = protocol(documents, lengths, settings)
    frames = []
    for length, windows in plan.windows.items():
        nll = score_windows(model, documents.document, windows, tokens_per_batch, device)
        frames.append(sums_by_document(documents, plan, length, windows, nll, bytes_per_token))
    return pd.concat(frames, ignore_index=True)


def target_digests(documents: Documents, plan: ProtocolPlan, length: int) -> dict[str, str]:
    """Digest of the targets of each group at a context length.

    It covers, in order, the names of the documents and the labels with their indices. Two plans
    with one digest score the same tokens, for any cut into windows and any context.
    """
    windows = plan.windows[length]
    if not windows:
        return {}
    document = lru_cache(CACHED_DOCUMENTS)(documents.document)
    labels = per_label(plan, windows).assign(
        index=np.concatenate([np.arange(w.labels.start, w.labels.stop) for w in windows]),
        token=np.concatenate([document(w.document)[w.labels] for w in windows]),
    )
    digests = {}
    for key, rows in labels.groupby(["group", "document"], sort=False):
        group, number = cast(tuple[str, int], key)
        digest = digests.setdefault(group, hashlib.sha256())
        digest.update(json.dumps([documents.names[number], len(rows)]).encode())
        digest.update(rows[["index", "token"]].to_numpy("<i8").tobytes())
    return {group: digest.hexdigest()[:DIGEST_DIGITS] for group, digest in digests.items()}


def sums_by_document(
    documents: Documents,
    plan: ProtocolPlan,
    length: int,
    windows: Sequence[TargetWindow],
    nll: Sequence[np.ndarray],
    bytes_per_token: np.ndarray | None = None,
) -> pd.DataFrame:
    """Sum scored labels per group and document.

    The mean NLL is the sum of `nll` over the sum of `weight`. The weight is the number of tokens,
    unless a protocol weighs windows: then both sums are over weighted labels.

    Args:
        documents: Held-out documents.
        plan: Plan of the windows, for their groups.
        length: Context length in tokens.
        windows: Scored windows.
        nll: NLL in nats of the scored labels of each window.
        bytes_per_token: Bytes of text of each token of the vocabulary, (V,).

    Returns:
        SUM_COLUMNS: NLL in nats, weight, tokens, and bytes of text (0 if not known).
    """
    if not windows:
        return pd.DataFrame(columns=SUM_COLUMNS)
    weights = np.repeat([w.weight for w in windows], [w.scored for w in windows])
    label_bytes: np.ndarray | int = 0
    if bytes_per_token is not None:
        document = lru_cache(CACHED_DOCUMENTS)(documents.document)
        tokens = np.concatenate([document(w.document)[w.labels] for w in windows])
        label_bytes = bytes_per_token[tokens]
    labels = per_label(plan, windows).assign(
        nll=np.concatenate(nll) * weights, weight=weights, tokens=1, bytes=label_bytes
    )
    sums = pd.DataFrame(labels.groupby(["group", "document"], as_index=False, sort=False).sum())
    # Names are looked up after summing: a name for every label would fill the memory.
    names = [documents.names[index] for index in sums.document]
    return sums.assign(context_length=length, document=names).loc[:, SUM_COLUMNS]


def per_label(plan: ProtocolPlan, windows: Sequence[TargetWindow]) -> pd.DataFrame:
    """Group and document of every scored label, in the order of the windows."""
    return pd.DataFrame(
        {
            "group": np.concatenate([plan.groups(w) for w in windows]),
            "document": np.repeat([w.document for w in windows], [w.scored for w in windows]),
        }
    )
