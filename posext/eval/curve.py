"""Curves of a model under the protocols of a plan: sums per document, and cost, at each length."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from tqdm import tqdm

from posext.config import (
    OWN,
    WITHOUT_CURVES,
    AlgorithmicData,
    DataConfig,
    EvaluationConfig,
    TrainConfig,
)
from posext.data import dataset
from posext.data.split import pieces
from posext.eval import protocols
from posext.eval.accuracy import example_lengths
from posext.eval.batch_budget import BatchBudget
from posext.eval.cache import EvalCache, MeasuredWindows, ScoredWindows
from posext.eval.scoring import TargetWindow, score_windows
from posext.eval.targets import spare_tokens
from posext.pe import PositionalEncoding
from posext.runs.run import Run
from posext.utils.memory import PeakMemory
from posext.utils.sharding import shard

log = logging.getLogger(__name__)
COST_COLUMNS = [
    "protocol",
    "context_length",
    "logit_multiplier",
    "seconds",
    "tokens_per_second",
    "peak_memory_bytes",
]
CURVE_SUM_COLUMNS = ["protocol", *protocols.SUM_COLUMNS]
MAX_LENGTH_MULTIPLE = 16  # of the longest trained length, in the default context lengths


@dataclass(frozen=True)
class EvalPlan:
    """Windows and documents of a corpus to measure, the same for every curve of a run.

    `tokens` holds the held-out documents, cut into pieces if few are long enough. `corpus` is the
    name of the corpus in evaluation.data, and `source` its settings.
    """

    lengths: list[int]
    protocols: dict[str, protocols.ProtocolPlan]
    tokens: dataset.Data
    corpus: str = OWN
    source: DataConfig = field(default_factory=DataConfig)


class MeasuredCurve(NamedTuple):
    """Sums per document, in CURVE_SUM_COLUMNS, and the cost of each length, in COST_COLUMNS.

    `parts` has the sums of the finer groups of `per_position`.
    """

    sums: pd.DataFrame
    costs: pd.DataFrame
    parts: pd.DataFrame


def make_plan(
    tokens: dataset.Data,
    lengths: list[int],
    names: list[str],
    train_length: int,
    config: EvaluationConfig,
    judge: protocols.Judge | None = None,
) -> EvalPlan:
    """Choose the windows of every protocol in the held-out documents.

    Documents are cut into pieces if few are long enough.

    Args:
        tokens: Corpus.
        lengths: Context lengths, increasing.
        names: Protocols; those that make no curve are ignored.
        train_length: Longest length trained, in tokens.
        config: Evaluation settings.
        judge: Chooses the keys of `key_tokens`, which are not to be had without.

    Raises:
        PosextError: The corpus has no such windows.
    """
    size = config.block_size(lengths[-1])
    spare = spare_tokens(lengths, size, config.scored_share)
    tokens = in_pieces(tokens, lengths[-1] + spare, room=config.blocks * size)
    settings = protocol_settings(config, lengths, train_length, judge)
    protocol_plans = {
        name: protocols.PROTOCOLS[name](tokens.validation, lengths, settings)
        for name in names
        if name not in WITHOUT_CURVES
    }
    return EvalPlan(lengths, protocol_plans, tokens)


def protocol_settings(
    config: EvaluationConfig,
    lengths: list[int],
    train_length: int,
    judge: protocols.Judge | None = None,
) -> protocols.ProtocolSettings:
    """Return the settings of protocols at some context lengths, for a longest trained length."""
    return protocols.ProtocolSettings(
        train_length=train_length,
        size=config.block_size(lengths[-1]),
        blocks=config.blocks,
        seed=config.seed,
        documents=config.documents,
        stride=config.stride,
        ngram=config.ngram,
        far_beyond=config.far_beyond,
        scored_share=config.scored_share,
        piece=config.perturbed_piece,
        key_alpha=config.key_alpha,
        key_beta=config.key_beta,
        key_short=config.key_short,
        judge=judge,
    )


def in_pieces(tokens: dataset.Data, longest: int, room: int) -> dataset.Data:
    """Cut the held-out documents as `split.pieces` does, and warn if any was cut."""
    documents = tokens.validation
    cut = pieces(documents, longest, room)
    if cut is documents:
        return tokens
    log.warning(
        "held-out documents with the %d tokens that the longest context needs: %d; "
        "they are measured in %d pieces, "
        "so intervals are over pieces of the same text, and say nothing of other texts",
        longest + 1,
        np.count_nonzero(documents.lengths > longest),
        np.count_nonzero(cut.lengths > longest),
    )
    return replace(tokens, cut=(longest, room))


def plan_of(
    run: Run,
    tokens: dataset.Data,
    names: list[str] | None = None,
    judge: protocols.Judge | None = None,
) -> EvalPlan:
    """Evaluation plan of a run on a corpus, from its config.

    `names` stand in place of its protocols, and `judge` is as in `make_plan`.
    """
    config = run.config
    chosen = config.protocols if names is None else names
    lengths = context_lengths(run)
    return make_plan(tokens, lengths, chosen, run.trained_length, config.evaluation, judge)


def context_lengths(run: Run) -> list[int]:
    """Context lengths of a run, from its config or by default.

    The default is half the original length, doubled until 16 times the longest length trained, and
    that length itself. For an algorithmic task they are the tokens of its examples.
    """
    data = run.config.data
    if isinstance(data, AlgorithmicData):
        return [data.tokens_read(n) for n in example_lengths(data, run.config.evaluation)]
    if run.config.context_lengths:
        return run.config.context_lengths
    lengths = [max(2, run.original_length // 2)]
    while lengths[-1] < MAX_LENGTH_MULTIPLE * run.trained_length:
        lengths.append(run.original_length * 2 ** (len(lengths) - 1))
    return sorted({*lengths, run.trained_length})


def measure_curve(
    model: Any,
    plan: EvalPlan,
    config: TrainConfig,
    accelerator: Accelerator,
    cache: EvalCache,
) -> MeasuredCurve:
    """Measure a model under every protocol of a plan, at every context length.

    Lengths at which the scheme is undefined are left out. A length is not measured again if the
    cache has it from a scheme with the same rotation, or from an interrupted measurement.

    Args:
        model: Causal model; `pe`, if present, is its positional encoding.
        plan: Windows to score.
        config: Config of the model's scheme and modifiers, and of the evaluation.
        accelerator: Processes and device.
        cache: Windows already scored; newly scored windows are added.
    """
    modifiers = config.modifiers()
    settings = {"pe": config.pe, **modifiers}
    scheme: PositionalEncoding | None = getattr(model, "pe", None)
    longest = None if scheme is None else scheme.max_length
    budget = BatchBudget(config.evaluation.tokens_per_batch, accelerator.device)
    sums = [pd.DataFrame(columns=CURVE_SUM_COLUMNS)]
    parts = pd.DataFrame(columns=protocols.SUM_COLUMNS)
    costs = []
    passes = [
        (name, length)
        for name, protocol_plan in plan.protocols.items()
        for length, windows in protocol_plan.windows.items()
        if not longest or longest_read(length, windows) <= longest
    ]
    progress = tqdm(
        passes,
        desc=config.title(),
        unit=" lengths",
        disable=None if accelerator.is_main_process else True,
    )
    for name, length in progress:
        progress.set_postfix(context=length)
        protocol_plan = plan.protocols[name]
        windows = protocol_plan.windows[length]
        place = f"{plan.tokens.fingerprint} {name}"  # windows name documents by their numbers alone
        scored = cache.find_same_rotation(scheme, modifiers, place, length, windows)
        if scored is None:
            file = cache.file(settings, place, length, windows)
            scored = cache.read(file)
            if scored is None:
                scored = measure_windows(
                    model, plan.tokens.validation, windows, budget, accelerator
                )
                cache.write(file, scored)
            cache.remember(MeasuredWindows(scheme, modifiers, place, length, scored))
        multiplier = np.nan
        if scheme is not None:
            multiplier = model.logit_multiplier(longest_read(length, windows))
        rate = sum(window.length for window in windows) / scored.seconds
        costs.append((name, length, multiplier, scored.seconds, rate, scored.peak_bytes))
        documents = plan.tokens.validation
        sums_of_length = protocols.sums_by_document(
            documents, protocol_plan, length, windows, scored.nll, plan.tokens.bytes_per_token
        )
        sums.append(sums_of_length.assign(protocol=name))
        if protocol_plan.parts is not None:
            finer = protocol_plan._replace(groups=protocol_plan.parts)
            parts = protocols.sums_by_document(documents, finer, length, windows, scored.nll)
    filled = [frame for frame in sums if len(frame)] or sums[:1]
    all_sums = pd.concat(filled, ignore_index=True).loc[:, CURVE_SUM_COLUMNS]
    return MeasuredCurve(all_sums, pd.DataFrame(costs, columns=COST_COLUMNS), parts)


def longest_read(length: int, windows: Sequence[TargetWindow]) -> int:
    """The longest context read at a context length: more than that under `perturbed` alone."""
    return max([length, *(window.length for window in windows)])


def measure_windows(
    model: Any,
    documents: protocols.Documents,
    windows: Sequence[TargetWindow],
    budget: BatchBudget,
    accelerator: Accelerator,
) -> ScoredWindows:
    """Score windows of documents that are shared out over the processes.

    Returns:
        On every process: the NLL of the scored labels of all windows, and the longest wall time and
        the largest peak memory of any process.
    """
    own_indices = shard(range(len(windows)), accelerator.process_index, accelerator.num_processes)
    begin = time.perf_counter()
    with PeakMemory(accelerator.device) as peak, torch.inference_mode(), accelerator.autocast():
        own_nll = score_windows(
            model, documents.document, [windows[i] for i in own_indices], budget, accelerator.device
        )
    seconds = time.perf_counter() - begin
    gathered = gather_object([(own_indices, own_nll, seconds, peak.bytes)])
    nll: list[np.ndarray] = [np.empty(0)] * len(windows)
    for indices, nll_of_process, _, _ in gathered:
        for index, values in zip(indices, nll_of_process, strict=True):
            nll[index] = values
    longest_seconds = max(process[2] for process in gathered)
    largest_peak = max(process[3] for process in gathered)
    return ScoredWindows(nll, longest_seconds, largest_peak)
