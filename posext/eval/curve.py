"""A model under the protocols of a plan: sums per document, and what they cost, at every context length."""

import logging
import time
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from tqdm import tqdm

from posext.config import RETRIEVAL, EvaluationConfig, TrainConfig
from posext.data import dataset
from posext.eval import protocols
from posext.eval.cache import EvalCache
from posext.eval.scoring import Window, score_windows
from posext.pe import PositionalEncoding
from posext.runs.run import Run
from posext.utils.errors import PosextError
from posext.utils.memory import PeakMemory
from posext.utils.sharding import shard

log = logging.getLogger(__name__)
COST = [
    "protocol",
    "context_length",
    "logit_multiplier",
    "seconds",
    "tokens_per_second",
    "peak_memory_bytes",
]
SUMS = ["protocol", *protocols.SUMS]


@dataclass(frozen=True)
class EvalPlan:
    """What is measured, the same for every curve of a run."""

    lengths: list[int]
    protocols: dict[str, protocols.ProtocolPlan]
    tokens: dataset.Data  # its held-out documents are the ones measured on, cut where there are few


def make_plan(
    tokens: dataset.Data,
    lengths: list[int],
    names: list[str],
    train_length: int,
    config: EvaluationConfig,
) -> EvalPlan:
    """The windows of every protocol in the held-out documents, which are cut into pieces where few are long enough.

    Raises PosextError where the corpus cannot give them.
    """
    size = config.targets or min(64, lengths[0] // 2)
    if size > lengths[0] // 2:
        raise PosextError(
            f"evaluation.targets={size} exceeds half the shortest context length, {lengths[0]}"
        )
    tokens = in_pieces(tokens, lengths[-1], room=config.blocks * size)
    settings = protocols.ProtocolSettings(
        train_length,
        size,
        config.blocks,
        config.seed,
        config.documents,
        config.stride,
        config.ngram,
    )
    made = {
        name: protocols.PROTOCOLS[name](tokens.validation, lengths, settings)
        for name in names
        if name not in RETRIEVAL
    }
    return EvalPlan(lengths, made, tokens)


def in_pieces(tokens: dataset.Data, longest: int, room: int) -> dataset.Data:
    """A corpus whose held-out documents are those that `data.pieces` gives; says so where it cuts any."""
    whole = tokens.validation
    cut = dataset.pieces(whole, longest, room)
    if cut is whole:
        return tokens
    log.warning(
        "held-out documents with the %d tokens that a context of %d needs: %d; they are measured in %d pieces, so intervals "
        "are over pieces of the same text, and say nothing of other texts",
        longest + 1, longest, np.count_nonzero(whole.lengths > longest), np.count_nonzero(cut.lengths > longest),
    )  # fmt: skip
    return replace(tokens, cut=(longest, room))


def plan_of(run: Run, tokens: dataset.Data) -> EvalPlan:
    """What a run's curves are measured on."""
    config = run.config
    return make_plan(
        tokens, context_lengths(run), config.protocols, run.schedule.longest, config.evaluation
    )


def context_lengths(run: Run) -> list[int]:
    """As given, or half the original length, doubled up to 16 times the longest length trained."""
    if run.config.context_lengths:
        return run.config.context_lengths
    lengths = [max(2, run.config.train_length // 2)]
    while lengths[-1] < 16 * run.schedule.longest:
        lengths.append(run.config.train_length * 2 ** (len(lengths) - 1))
    return lengths


class MeasuredWindows(NamedTuple):
    """One model under one protocol at one length; the scheme tells whether another would be measured the same."""

    scheme: PositionalEncoding | None
    protocol: str
    length: int
    nll: list[np.ndarray]
    seconds: float
    peak_bytes: int


def network(run: Run, config: TrainConfig, plan: EvalPlan, accelerator: Accelerator) -> Any:
    """A run's weights under the scheme and axes of a config. Raises PosextError where they do not fit."""
    return run.network(config, plan.tokens.vocab_size).to(accelerator.device).eval()


def measure_curve(
    model: Any,
    plan: EvalPlan,
    config: TrainConfig,
    accelerator: Accelerator,
    known: list[MeasuredWindows],
    partial: EvalCache,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Sums per document, and cost, at every length; lengths at which the scheme is undefined are left out.

    What is measured joins `known`; a length at which a scheme turns as one that is known there is not measured again, nor
    is one that a measurement that was stopped left in `partial`.
    """
    drawn, title = {"pe": config.pe, **config.modifiers()}, config.title()
    scheme: PositionalEncoding | None = getattr(model, "pe", None)
    longest = None if scheme is None else scheme.max_length
    sums, costs = [pd.DataFrame(columns=SUMS)], []
    passes = [
        (name, n)
        for name, made in plan.protocols.items()
        for n in made.windows
        if not longest or n <= longest
    ]
    bar = tqdm(
        passes, desc=title, unit=" lengths", disable=None if accelerator.is_main_process else True
    )
    for name, length in bar:
        bar.set_postfix(context=length)
        windows = plan.protocols[name].windows[length]
        same = (
            m
            for m in known
            if (m.protocol, m.length) == (name, length) and same_rotation(m.scheme, scheme, length)
        )
        if (at := next(same, None)) is None:
            file = partial.file(drawn, name, length, windows)
            if (scored := partial.read(file)) is None:
                scored = measure_windows(model, plan, windows, config.evaluation, accelerator)
                partial.write(file, scored)
            at = MeasuredWindows(scheme, name, length, *scored)
            known.append(at)
        multiplier = model.logit_multiplier(length) if scheme is not None else np.nan
        rate = sum(window.length for window in windows) / at.seconds
        costs.append((name, length, multiplier, at.seconds, rate, at.peak_bytes))
        made = (
            plan.tokens.validation,
            plan.protocols[name],
            length,
            windows,
            at.nll,
            plan.tokens.bytes_per_token,
        )
        sums.append(protocols.document_sums(*made).assign(protocol=name))
    filled = [frame for frame in sums if len(frame)] or sums[:1]
    return pd.concat(filled, ignore_index=True).loc[:, SUMS], pd.DataFrame(costs, columns=COST)


def same_rotation(
    one: PositionalEncoding | None, other: PositionalEncoding | None, length: int
) -> bool:
    """Whether two schemes of one class, which have no parameters, give the same rotation at a length."""
    if (
        one is None
        or other is None
        or type(one) is not type(other)
        or one.state_dict()
        or other.state_dict()
    ):
        return False
    turns = [scheme.rotation(scheme.positions(length), length) for scheme in (one, other)]
    return None not in turns and all(
        torch.equal(a, b) for a, b in zip(*(t[:2] for t in turns if t), strict=True)
    )


def measure_windows(
    model: Any,
    plan: EvalPlan,
    windows: list[Window],
    config: EvaluationConfig,
    accelerator: Accelerator,
) -> tuple[list[np.ndarray], float, int]:
    """NLL of the scored labels of every window, the wall time, and the largest process's peak memory.

    Windows are dealt out to the processes; every one gets the whole result.
    """
    mine = shard(range(len(windows)), accelerator.process_index, accelerator.num_processes)
    budget = config.tokens_per_batch or (4096 if accelerator.device.type == "cpu" else 65536)
    document = plan.tokens.validation.document
    begin = time.perf_counter()
    with PeakMemory(accelerator.device) as peak, torch.inference_mode(), accelerator.autocast():
        scored = score_windows(
            model, document, [windows[i] for i in mine], budget, accelerator.device
        )
    seconds = time.perf_counter() - begin
    gathered = gather_object([(mine, scored, seconds, peak.bytes)])
    nll: list[np.ndarray] = [np.empty(0)] * len(windows)
    for indices, part, _, _ in gathered:
        for index, values in zip(indices, part, strict=True):
            nll[index] = values
    return nll, max(part[2] for part in gathered), max(part[3] for part in gathered)
