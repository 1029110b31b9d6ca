"""The model of a run, on the targets of a plan: sums per document, and what they cost, at every context length."""

import time
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from safetensors.torch import load_file
from tqdm import tqdm

from posext import data
from posext.config import EvaluationConfig, TrainConfig
from posext.memory import PeakMemory
from posext.model import GPT
from posext.pe import PositionalEncoding
from posext.perplexity import Target, fixed_targets, score
from posext.run import Run

COST = ["context_length", "logit_multiplier", "seconds", "peak_memory_bytes"]


@dataclass(frozen=True)
class Plan:
    """What is measured, the same for every curve of a run."""

    lengths: list[int]
    size: int
    targets: list[Target]
    tokens: data.Data


def make_plan(run: Run, tokens: data.Data) -> Plan:
    """What a run's curves are measured on. Raises ValueError where the corpus cannot give it."""
    lengths, config = context_lengths(run), run.config.evaluation
    size = config.targets or min(64, lengths[0] // 2)
    if size > lengths[0] // 2:
        raise ValueError(f"evaluation.targets={size} exceeds half the shortest context length, {lengths[0]}")
    held_out = tokens.validation.lengths.tolist()
    targets = fixed_targets(held_out, lengths[-1], size, config.blocks, config.seed, config.documents)
    return Plan(lengths, size, targets, tokens)


def context_lengths(run: Run) -> list[int]:
    """As given, or half the original length, doubled up to 16 times the longest length trained."""
    if run.config.context_lengths:
        return run.config.context_lengths
    lengths = [max(2, run.config.train_length // 2)]
    while lengths[-1] < 16 * run.schedule.longest:
        lengths.append(run.config.train_length * 2 ** (len(lengths) - 1))
    return lengths


class Measured(NamedTuple):
    """One scheme at one length."""

    scheme: PositionalEncoding
    length: int
    nll_NK: np.ndarray
    seconds: float
    peak_bytes: int


def measure_curve(
    run: Run, plan: Plan, config: TrainConfig, accelerator: Accelerator, known: list[Measured]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Sums per document, and cost, at every length; lengths at which the scheme is undefined are left out.

    What is measured joins `known`; a length at which a scheme turns as one that is known there is not measured again.
    """
    scheme = run.scheme(config)
    scheme.stage(trained_length=scheme.reach(run.schedule.longest))
    model = GPT(run.config.model, plan.tokens.vocab_size, scheme)
    try:
        model.load_state_dict(load_file(run.folder / "model.safetensors"))
    except RuntimeError as error:
        raise ValueError(f"the weights of {run.folder} do not fit {config.title()}: {error}") from error
    model.to(accelerator.device).eval()
    sums, costs = [], []
    bar = tqdm(
        plan.lengths,
        desc=config.title(),
        unit=" lengths",
        disable=None if accelerator.is_main_process else True,
    )
    for length in bar:
        bar.set_postfix(context=length)
        if scheme.max_length is not None and length > scheme.max_length:
            continue
        at = next((m for m in known if m.length == length and same_rotation(m.scheme, scheme, length)), None)
        if at is None:
            at = Measured(scheme, length, *measure_length(model, plan, length, run.config.evaluation, accelerator))
            known.append(at)
        cost = {"context_length": length, "seconds": at.seconds, "peak_memory_bytes": at.peak_bytes}
        costs.append(cost | {"logit_multiplier": model.logit_multiplier(length)})
        sums.append(document_sums(plan, at.nll_NK).assign(context_length=length))
    empty = pd.DataFrame(columns=["document", "nll", "tokens", "bytes", "context_length"])
    return (pd.concat(sums, ignore_index=True) if sums else empty), pd.DataFrame(costs, columns=COST)


def same_rotation(one: PositionalEncoding, other: PositionalEncoding, length: int) -> bool:
    """Whether two schemes of one class, which have no parameters, give the same rotation at a length."""
    if type(one) is not type(other) or one.state_dict() or other.state_dict():
        return False
    turns = [scheme.rotation(scheme.positions(length), length) for scheme in (one, other)]
    return None not in turns and all(torch.equal(a, b) for a, b in zip(*(t[:2] for t in turns if t), strict=True))


def measure_length(
    model: GPT, plan: Plan, length: int, config: EvaluationConfig, accelerator: Accelerator
) -> tuple[np.ndarray, float, int]:
    """NLL of all targets (N, K) after `length` tokens, the wall time, and the largest process's peak memory.

    Documents are dealt out to the processes; every one gets the whole result.
    """
    mine = list(data.shards(len(plan.targets), accelerator.process_index, accelerator.num_processes))
    targets = [plan.targets[index] for index in mine]
    budget = config.tokens_per_batch or (4096 if accelerator.device.type == "cpu" else 65536)
    document = plan.tokens.validation.document
    begin = time.perf_counter()
    with PeakMemory(accelerator.device) as peak, torch.inference_mode(), accelerator.autocast():
        scored = score(model, document, targets, length, plan.size, budget, accelerator.device) if targets else []
    seconds = time.perf_counter() - begin
    gathered = gather_object([(mine, scored, seconds, peak.bytes)])
    nll_NK = np.zeros((len(plan.targets), plan.size))
    for indices, part, _, _ in gathered:
        if len(indices):
            nll_NK[indices] = part
    return nll_NK, max(part[2] for part in gathered), max(part[3] for part in gathered)


def document_sums(plan: Plan, nll_NK: np.ndarray) -> pd.DataFrame:
    """NLL, tokens and bytes of the targets of each document: all that statistics need."""
    split, bytes_per_token = plan.tokens.validation, plan.tokens.bytes_per_token
    labels = (split.document(t.document)[t.end - plan.size + 1 : t.end + 1] for t in plan.targets)
    per_block = pd.DataFrame(
        {
            "document": [split.names[t.document] for t in plan.targets],
            "nll": nll_NK.sum(axis=1),
            "tokens": plan.size,
            "bytes": [int(bytes_per_token[block].sum()) for block in labels],
        }
    )
    return pd.DataFrame(per_block.groupby("document", as_index=False, sort=False).sum())
