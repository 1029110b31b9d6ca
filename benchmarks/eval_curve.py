"""Cost of a whole curve of fixed targets, 128 to 4,096 tokens, beside other ways to measure it.

One window at a time: the model of transformers with the same weights scores the same targets, with
all logits of a window computed. Sliding: the same documents are read with a stride of 256 tokens,
as in published evaluations. That scores more targets, so the comparison is the time for equal
certainty; the width of an interval falls with the square root of the documents.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import report
import torch
from accelerate import Accelerator
from paired import interleaved, speedup
from setting import as_llama, bf16, compose_config, network, training_steps, wait

from posext.analysis import statistics
from posext.data import dataset
from posext.eval.batch_budget import BatchBudget
from posext.eval.curve import EvalPlan, make_plan, measure_windows
from posext.eval.protocols.plan import slide
from posext.eval.scoring import TargetWindow, score_windows
from posext.training import checkpoint

LENGTHS = [128, 256, 512, 1024, 2048, 4096]
STRIDE = 256


class OneAtATime(torch.nn.Module):
    """A model of transformers as a plain script uses it: one window, all its logits."""

    def __init__(self, model: Any):
        super().__init__()
        self.model = model

    def forward(self, tokens_BT: torch.Tensor) -> torch.Tensor:
        return self.model(tokens_BT, use_cache=False).logits.float()


def benchmark(repeats: int, documents: int, model: str) -> list[report.Row]:
    """Seconds and ratios of whole curves; the largest difference of two ways in nats a token."""
    config = compose_config(f"model={model}", "precision=bf16", f"evaluation.documents={documents}")
    accelerator = bf16()
    tokens = dataset.load_data(config.data, progress=False)
    learner = network(config, tokens.vocab_size, "rope")
    ours = network(config, tokens.vocab_size, "rope")
    train_steps = training_steps(config, tokens, learner, accelerator, compiled=False)
    train_steps(60)  # so that losses differ by context
    ours.load_state_dict(checkpoint.weights(learner))
    ours = ours.to(accelerator.device).eval()
    theirs = OneAtATime(as_llama(config, ours).to(accelerator.device).eval())
    plan = make_plan(tokens, LENGTHS, ["fixed_target"], 128, config.evaluation)
    windows = plan.protocols["fixed_target"].windows
    budget = BatchBudget(config.evaluation.tokens_per_batch, accelerator.device)
    losses: dict[str, dict[int, np.ndarray]] = {"ours": {}, "transformers": {}}

    def our_curve(lengths: list[int]) -> Callable[[], float]:
        def seconds() -> float:
            begin = time.perf_counter()
            for n in lengths:
                nll, *_ = measure_windows(
                    ours, plan.tokens.validation, windows[n], budget, accelerator
                )
                losses["ours"][n] = np.concatenate(nll)
            wait(accelerator.device)
            return time.perf_counter() - begin

        return seconds

    def their_curve() -> float:
        begin = time.perf_counter()
        for n in LENGTHS:
            with torch.inference_mode(), accelerator.autocast():
                nll = score_windows(
                    theirs, tokens.validation.document, windows[n], 1, accelerator.device
                )
            losses["transformers"][n] = np.concatenate(nll)
        wait(accelerator.device)
        return time.perf_counter() - begin

    seconds = interleaved(
        {
            "ours": our_curve(LENGTHS),
            "one window at a time": their_curve,
            "ours, 4,096 alone": our_curve([4096]),
        },
        repeats,
    )
    difference = max(
        abs(losses["ours"][n].mean() - losses["transformers"][n].mean()) for n in LENGTHS
    )
    rows = [report.row(f"{model}, {case}", "whole curve", seconds[case], "s") for case in seconds]
    both = f"{model}, ours against one window at a time"
    alone = f"{model}, all lengths against 4,096 alone"
    rows.append(
        report.row(both, "speed", speedup(seconds, "ours", "one window at a time"), "times")
    )
    rows.append(report.row(both, "largest difference of a point", difference, "nats"))
    rows.append(report.row(alone, "cost", speedup(seconds, "ours, 4,096 alone", "ours"), "times"))
    return rows + against_sliding(
        model, theirs, plan, accelerator, losses["ours"], float(np.median(seconds["ours"]))
    )


def against_sliding(
    model: str,
    theirs: Any,
    plan: EvalPlan,
    accelerator: Accelerator,
    our_losses: dict[int, np.ndarray],
    our_seconds: float,
) -> list[report.Row]:
    """Read the documents of the plan whole, at a stride of 256.

    The time for equal certainty is seconds times width squared.
    """
    split = plan.tokens.validation
    windows = plan.protocols["fixed_target"].windows
    documents = sorted({window.document for window in windows[LENGTHS[0]]})
    begin = time.perf_counter()
    widths = {}
    for n in LENGTHS:
        whole = [w for d in documents for w in slide(d, int(split.lengths[d]), n, min(n, STRIDE))]
        with torch.inference_mode(), accelerator.autocast():
            nll = score_windows(theirs, split.document, whole, 1, accelerator.device)
        our_nll = np.split(our_losses[n], len(windows[n]))
        widths[n] = (width(whole, nll), width(windows[n], our_nll))
    seconds = time.perf_counter() - begin
    ratios = [seconds * theirs**2 / (our_seconds * ours**2) for theirs, ours in widths.values()]
    name = f"{model}, sliding with stride 256"
    return [
        report.row(name, "whole curve", seconds, "s"),
        report.row(
            name,
            "width of the interval, by length",
            [theirs for theirs, _ in widths.values()],
            "nats",
        ),
        report.row(
            f"{model}, ours",
            "width of the interval, by length",
            [ours for _, ours in widths.values()],
            "nats",
        ),
        report.row(
            f"{model}, ours against sliding", "time for equal certainty, by length", ratios, "times"
        ),
    ]


def width(windows: list[TargetWindow], nll: list[np.ndarray]) -> float:
    """The width (nats) of the 95 % interval of the mean NLL over documents."""
    documents = sorted({window.document for window in windows})
    sums = np.zeros(len(documents))
    tokens = np.zeros(len(documents))
    for window, values in zip(windows, nll, strict=True):
        sums[documents.index(window.document)] += values.sum()
        tokens[documents.index(window.document)] += len(values)
    estimate = statistics.interval(sums, tokens)
    return estimate.high - estimate.low


if __name__ == "__main__":
    report.run("eval_curve", benchmark, repeats=5, documents=8, model="tiny")
