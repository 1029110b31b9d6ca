"""From scored windows to sums per (context length, group, document): all that statistics need."""

import hashlib
import json
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import cast

import numpy as np
import pandas as pd
import torch

from posext.eval.protocols.plan import Documents, ProtocolFn, ProtocolPlan, ProtocolSettings
from posext.eval.scoring import Window, score_windows

KEYS = ["context_length", "group", "document"]
COLUMNS = [*KEYS, "nll", "weight", "tokens", "bytes"]
DIGITS = 12  # of a digest of targets


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
    """A protocol's sums at all its context lengths, for a model as `posext.eval.scoring.target_nll` takes it."""
    plan, frames = protocol(documents, lengths, settings), []
    for length, windows in plan.windows.items():
        nll = score_windows(model, documents.document, windows, tokens_per_batch, device)
        frames.append(document_sums(documents, plan, length, windows, nll, bytes_per_token))
    return pd.concat(frames, ignore_index=True)


def targets(documents: Documents, plan: ProtocolPlan, length: int) -> dict[str, str]:
    """A digest of what each group scores at a context length: in order, the documents' names and their labels and places.

    Two plans with one digest score the same tokens, however these are cut into windows and whatever stands before them.
    """
    windows = plan.windows[length]
    if not windows:
        return {}
    document = lru_cache(32)(documents.document)
    labels = pd.DataFrame(
        {
            "group": np.concatenate([plan.groups(w) for w in windows]),
            "document": np.repeat([w.document for w in windows], [w.scored for w in windows]),
            "place": np.concatenate([np.arange(w.labels.start, w.labels.stop) for w in windows]),
            "token": np.concatenate([document(w.document)[w.labels] for w in windows]),
        }
    )
    found = {}
    for key, part in labels.groupby(["group", "document"], sort=False):
        group, index = cast(tuple[str, int], key)
        digest = found.setdefault(group, hashlib.sha256())
        digest.update(json.dumps([documents.names[index], len(part)]).encode())
        digest.update(part[["place", "token"]].to_numpy("<i8").tobytes())
    return {group: digest.hexdigest()[:DIGITS] for group, digest in found.items()}


def document_sums(
    documents: Documents,
    plan: ProtocolPlan,
    length: int,
    windows: Sequence[Window],
    nll: Sequence[np.ndarray],
    bytes_per_token: np.ndarray | None = None,
) -> pd.DataFrame:
    """Sums over the labels of some windows, in COLUMNS: NLL in nats, weight, tokens and bytes of text (0 if not known).

    The mean is the sum of `nll` over the sum of `weight`. That is the tokens, but where a protocol weighs windows instead:
    there both sums are over weighted labels.
    """
    if not windows:
        return pd.DataFrame(columns=COLUMNS)
    document = lru_cache(32)(documents.document)
    labels = (
        [document(w.document)[w.labels] for w in windows] if bytes_per_token is not None else []
    )
    weights = np.repeat([w.weight for w in windows], [w.scored for w in windows])
    per_label = pd.DataFrame(
        {
            "group": np.concatenate([plan.groups(w) for w in windows]),
            "document": np.repeat([w.document for w in windows], [w.scored for w in windows]),
            "nll": np.concatenate(nll) * weights,
            "weight": weights,
            "tokens": 1,
            "bytes": bytes_per_token[np.concatenate(labels)] if bytes_per_token is not None else 0,
        }
    )
    sums = pd.DataFrame(per_label.groupby(["group", "document"], as_index=False, sort=False).sum())
    names = [
        documents.names[index] for index in sums.document
    ]  # after summing, as a name a label would fill the memory
    return sums.assign(context_length=length, document=names).loc[:, COLUMNS]
