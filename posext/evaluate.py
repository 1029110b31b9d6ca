"""Measure a run: the same targets at growing context lengths, as trained or with another scheme on the same weights.

python -m posext.evaluate run=results/runs/NAME [+pe@extend=yarn extend.factor=8]
"""

import dataclasses
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from omegaconf import DictConfig
from safetensors.torch import load_file
from tqdm import tqdm

from posext import command, curves, data, device, plot, tracking
from posext.config import EvaluateConfig, EvaluationConfig, check_lengths
from posext.memory import PeakMemory
from posext.model import GPT
from posext.perplexity import Target, fixed_targets, score
from posext.run import Run, commit, load
from posext.statistics import interval, mean_nll, resamples

PROTOCOL = "fixed_target"


@dataclass(frozen=True)
class Plan:
    """What is measured, the same for every curve of a run."""

    lengths: list[int]
    size: int
    targets: list[Target]
    tokens: data.Data


def evaluate(config: EvaluateConfig) -> Run:
    """Measure a finished run again; with `extend`, under another scheme."""
    check_lengths(config.context_lengths)
    run = load(config.run)
    if not run.trained:
        raise ValueError(f"{run.folder} is not trained to its end yet: run its training command again")
    given = {key: value for key, value in dataclasses.asdict(config.evaluation).items() if value is not None}
    changed: dict[str, Any] = {"evaluation": dataclasses.replace(run.config.evaluation, **given)}
    changed |= {key: value for key in ("context_lengths", "precision") if (value := getattr(config, key)) is not None}
    run = dataclasses.replace(run, config=dataclasses.replace(run.config, tracking=config.tracking, **changed))
    extension = extended(run, config.extend, command.overrides()) if config.extend else None
    measure(run, extension)
    return run


def extended(run: Run, extension: dict[str, Any], typed: list[str]) -> dict[str, Any]:
    """The settings of an extension: what belongs to the weights (a rotary base) is the run's, unless it was typed.

    Raises ValueError for a scheme of another family than the run's, as its weights mean nothing to it.
    """
    own = run.scheme()
    kept = {key: run.config.pe[key] for key in own.of_the_weights if key in extension}
    kept = {key: value for key, value in kept.items() if not any(t.startswith(f"extend.{key}=") for t in typed)}
    settings = {**extension, **kept}
    family = run.scheme(settings).family
    if family not in (own.family, "none"):
        raise ValueError(
            f"{settings['name']} ({family}) cannot extend a run of {run.config.pe['name']} ({own.family}): "
            f"choose a scheme of the family {own.family}, or none"
        )
    return settings


def measure(run: Run, extension: dict[str, Any] | None = None) -> pd.DataFrame:
    """Measure one scheme on a run's weights, with a matched and a fixed factor where it has one, and write all it leaves."""
    accelerator = device.accelerator(run.config.precision)
    plan = make_plan(run, accelerator.is_main_process)
    rows = []
    for settings in settings_to_measure(extension or run.config.pe, plan, run.config.train_length):
        replaced = settings if settings != run.config.pe else None
        sums, costs = measure_curve(run, plan, settings, accelerator)
        if accelerator.is_main_process:
            rows.append(write_curve(run, plan, replaced, sums, costs))
    if not accelerator.is_main_process:
        return pd.DataFrame(columns=curves.COLUMNS)
    measured = pd.concat(rows, ignore_index=True)
    report(run, measured)
    return measured


def make_plan(run: Run, progress: bool) -> Plan:
    lengths, config = context_lengths(run), run.config.evaluation
    size = config.targets or min(64, lengths[0] // 2)
    if size > lengths[0] // 2:
        raise ValueError(f"evaluation.targets={size} exceeds half the shortest context length, {lengths[0]}")
    tokens = data.load(run.config.data, progress)
    if run.record["data"] != tokens.fingerprint:
        raise ValueError(f"{run.folder} was trained on other data ({run.record['data']}, now {tokens.fingerprint})")
    blocks, seed = required(config, "blocks"), required(config, "seed")
    targets = fixed_targets(tokens.validation.lengths.tolist(), lengths[-1], size, blocks, seed, config.documents)
    return Plan(lengths, size, targets, tokens)


def context_lengths(run: Run) -> list[int]:
    """As given, or half the original length, doubled up to 16 times the longest length trained."""
    if run.config.context_lengths:
        return run.config.context_lengths
    lengths = [max(2, run.config.train_length // 2)]
    while lengths[-1] < 16 * run.schedule.longest:
        lengths.append(run.config.train_length * 2 ** (len(lengths) - 1))
    return lengths


def required(config: EvaluationConfig, key: str) -> int:
    value = getattr(config, key)
    if value is None or value < (0 if key == "seed" else 1):
        raise ValueError(
            f"evaluation.{key} must be a whole number of at least {0 if key == 'seed' else 1}, not {value}"
        )
    return value


def settings_to_measure(settings: dict[str, Any], plan: Plan, original_length: int) -> list[dict[str, Any]]:
    """A scheme as set; where its factor follows the length, also with the factor fixed at what the longest context asks."""
    if settings.get("factor") != "auto":
        return [settings]
    return [settings, {**settings, "factor": max(1.0, plan.lengths[-1] / original_length)}]


def measure_curve(
    run: Run, plan: Plan, settings: dict[str, Any], accelerator: Accelerator
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Sums per document, and cost, at every length; lengths at which the scheme is undefined are left out."""
    scheme = run.scheme(settings)
    scheme.trained_length = run.schedule.longest
    model = GPT(run.config.model, plan.tokens.vocab_size, scheme)
    try:
        model.load_state_dict(load_file(run.folder / "model.safetensors"))
    except RuntimeError as error:
        raise ValueError(f"the weights of {run.folder} do not fit {settings['name']}: {error}") from error
    model.to(accelerator.device).eval()
    sums, costs = [], []
    bar = tqdm(
        plan.lengths,
        desc=settings["name"],
        unit=" lengths",
        disable=None if accelerator.is_main_process else True,
    )
    for length in bar:
        bar.set_postfix(context=length)
        if scheme.max_length is not None and length > scheme.max_length:
            continue
        nll_NK, seconds, peak = measure_length(model, plan, length, run.config.evaluation, accelerator)
        costs.append({"context_length": length, "seconds": seconds, "peak_memory_bytes": peak})
        sums.append(document_sums(plan, nll_NK).assign(context_length=length))
    empty = pd.DataFrame(columns=["document", "nll", "tokens", "bytes", "context_length"])
    return (pd.concat(sums, ignore_index=True) if sums else empty), pd.DataFrame(costs, columns=COST)


COST = ["context_length", "seconds", "peak_memory_bytes"]


def measure_length(
    model: GPT, plan: Plan, length: int, config: EvaluationConfig, accelerator: Accelerator
) -> tuple[np.ndarray, float, int]:
    """NLL of all targets (N, K) after `length` tokens, the wall time, and the largest process's peak memory.

    Documents are dealt out to the processes; every one gets the whole result.
    """
    mine = list(data.shards(len(plan.targets), accelerator.process_index, accelerator.num_processes))
    targets = [plan.targets[index] for index in mine]
    budget = required(config, "tokens_per_batch")
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
    return per_block.groupby("document", as_index=False, sort=False).sum()


def write_curve(
    run: Run, plan: Plan, replaced: dict[str, Any] | None, sums: pd.DataFrame, costs: pd.DataFrame
) -> pd.DataFrame:
    """Intervals from the sums; rows into curves.csv, sums into documents.parquet. Undefined lengths have empty numbers."""
    settings = replaced or run.config.pe
    rows = costs.set_index("context_length").reindex(plan.lengths).reset_index()
    fixed = {
        "study": run.config.study,
        "run": run.name,
        "scheme": run.config.pe["name"],
        "extend": replaced["name"] if replaced else "",
        "factor": str(settings.get("factor", "")),
        "model": run.config.model.name,
        "parameters": run.record["parameters"],
        "original_length": run.config.train_length,
        "train_length": run.schedule.longest,
        "seed": run.config.seed,
        "protocol": PROTOCOL,
        "commit": commit(),
    }
    rows = rows.assign(**fixed, **dict.fromkeys(STATISTICS, np.nan))
    if len(sums):
        rows = with_statistics(
            rows, sums, required(run.config.evaluation, "bootstrap"), run.config.evaluation.seed or 0
        )
        rows["tokens_per_second"] = len(plan.targets) * rows.context_length / rows.seconds
    key = ["extend", "factor", "protocol"]
    curves.replace(run.folder / "curves.csv", rows)
    stored = run.folder / "documents.parquet"
    named = sums.assign(**{name: fixed[name] for name in key})
    if stored.exists():
        before = pd.read_parquet(stored)
        same = (before[key] == pd.Series({name: fixed[name] for name in key})).all(axis=1)
        named = pd.concat([before[~same], named], ignore_index=True)
    named.to_parquet(stored, index=False)
    return rows[curves.COLUMNS]


STATISTICS = [
    "nll",
    "nll_low",
    "nll_high",
    "perplexity",
    "bits_per_byte",
    "documents",
    "tokens",
    "tokens_per_second",
]


def with_statistics(rows: pd.DataFrame, sums: pd.DataFrame, bootstrap: int, seed: int) -> pd.DataFrame:
    """Fill in NLL with its interval, perplexity, bits per byte and counts, from sums per (length, document)."""
    nll_LD = sums.pivot(index="context_length", columns="document", values="nll").sort_index()
    first = sums[sums.context_length == nll_LD.index[0]].set_index("document").loc[nll_LD.columns]
    tokens_D = first.tokens.to_numpy()
    nll_L, resampled_SL = mean_nll(nll_LD.to_numpy(), tokens_D, resamples(len(tokens_D), bootstrap, seed))
    rows = rows.set_index("context_length")
    for index, length in enumerate(nll_LD.index):
        nll, low, high = interval(nll_L[index], resampled_SL[:, index])
        bits = nll * tokens_D.sum() / first.bytes.sum() / np.log(2)
        counts = (len(tokens_D), int(tokens_D.sum()))
        rows.loc[length, STATISTICS[:-1]] = (nll, low, high, np.exp(nll), bits, *counts)
    return rows.reset_index()


def report(run: Run, measured: pd.DataFrame) -> None:
    """The chart of all that the run has, the table of what was measured now, and both on wandb."""
    everything = curves.read(run.folder / "curves.csv")
    figure = run.folder / "curve.png"
    plot.draw(everything, figure, title=run.name)
    for (extend, factor), curve in measured.groupby(["extend", "factor"], sort=False):
        extension = f"{extend}-{factor}".strip("-") if extend else ""
        started = tracking.start(run, extension)
        tracking.mirror_curve(started, curve, figure, curves.summary(curve))
        if started is not None:
            started.finish()
    print(f"\n{curves.table(measured)}\n")
    count, documents = int(measured.tokens.max()), int(measured.documents.max())
    print(
        f"Perplexity of the same {count:,} tokens in {documents} held-out documents, ± half the 95 % interval over documents."
    )
    print(f"Chart: {figure}")


def job(composed: DictConfig) -> None:
    evaluate(command.typed(composed))


def main() -> None:
    command.entry("evaluate", job)


if __name__ == "__main__":
    main()
