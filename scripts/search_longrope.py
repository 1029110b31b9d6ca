"""Search LongRoPE's divisors for a trained RoPE run.

    python scripts/search_longrope.py results/runs/NAME --factor 8

Every candidate is scored by the NLL of the last tokens of a few windows of `factor` times the
original length. The windows are from documents of the training split, never from the held-out ones
that curves are measured on. The model has trained on these texts, so the NLLs are lower than a
curve's, and only their differences are meaningful.

PI, NTK and YaRN stand for their divisors here, under LongRoPE's temperature. The result is checked
on windows of other training documents: a gain in the first column alone is overfitting to the
windows of the search. Takes about a minute and a half for `tiny` on one core.
"""

import argparse
import math
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from tabulate import tabulate
from tqdm import tqdm

from posext.cli import app
from posext.data import dataset
from posext.eval.targets import Target, fixed_targets, score
from posext.model.gpt import GPT
from posext.pe import Shape, longrope_search, settings_of
from posext.pe.linear import Linear
from posext.pe.longrope import LongRoPE
from posext.pe.longrope_default import TURNS
from posext.pe.ntk import NTK
from posext.pe.rope import RoPE
from posext.pe.yarn import YaRN
from posext.runs.run import Run, load_run
from posext.utils.errors import PosextError

TOKENS_PER_BATCH = 4096


class Scorer:
    """The NLL (nats per token) of the last tokens of some windows, under any divisors."""

    def __init__(self, run: Run, factor: float, tokens: dataset.Data):
        settings = {
            **settings_of("pe", "longrope"),
            "base": run.config.pe["base"],
            "factor": factor,
        }
        self.scheme = cast(LongRoPE, run.scheme(replace(run.config, pe=settings)))
        self.model = GPT(run.config.model, tokens.vocab_size, self.scheme).eval()
        self.model.load_state_dict(run.weights())
        self.split = tokens.train
        self.length = round(factor * run.original_length)
        self.size = max(1, self.length // 4)

    def windows(self, count: int, seed: int) -> list[Target]:
        """One window in each of at most 2 `count` documents, half to search on, half to check."""
        lengths = self.split.lengths.tolist()
        return fixed_targets(lengths, self.length, self.size, 1, seed, 2 * count)

    def nll(self, divisors: np.ndarray | None, windows: list[Target]) -> float:
        """The mean NLL under some divisors; None for LongRoPE's default ones."""
        self.scheme.long_factor = "auto" if divisors is None else divisors.tolist()
        with torch.inference_mode():
            scored = score(
                self.model, self.split.document, windows, self.length, self.size, TOKENS_PER_BATCH
            )
        return float(scored.mean())


def starting_points(shape: Shape, base: float, factor: float) -> dict[str, np.ndarray]:
    """The divisor of each frequency under PI, NTK and YaRN: (R,) each."""
    schemes = {"PI": Linear, "NTK": NTK, "YaRN": YaRN}
    rope_R = RoPE(shape, base=base).inv_freq(base)
    divisors = {}
    for name, scheme_class in schemes.items():
        scheme = scheme_class(shape, base=base, factor=factor)
        inv_freq_R, _ = scheme.frequencies(shape.original_length)
        divisors[name] = (rope_R / inv_freq_R).numpy()
    return divisors


def knots_of(divisors: np.ndarray, shape: Shape, base: float, factor: float) -> list[float]:
    """ln lambda / ln s at TURNS, linear in log2 of the turns between pairs: non-increasing."""
    turns_R = np.log2(
        shape.original_length * RoPE(shape, base=base).inv_freq(base).numpy() / (2 * np.pi)
    )
    powers_R = np.log(divisors) / np.log(factor)
    return [round(float(power), 2) for power in np.interp(TURNS, turns_R[::-1], powers_R[::-1])]


@app.script
def main() -> None:
    parser = app.Arguments(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="folder of a trained run of plain RoPE")
    parser.add_argument(
        "--factor",
        type=float,
        default=8.0,
        help="context length searched at, over the original length",
    )
    parser.add_argument(
        "--windows", type=int, default=4, help="windows to search on; as many again are checked"
    )
    parser.add_argument("--population", type=int, default=16, help="candidates of a generation")
    parser.add_argument("--generations", type=int, default=10, help="generations of the search")
    parser.add_argument("--seed", type=int, default=0, help="the seed of the search")
    search_and_print(parser.parse_args())


def search_and_print(options: argparse.Namespace) -> None:
    """Search divisors, print them beside those of known schemes, and the command to use them."""
    run = load_run(options.run)
    factor = options.factor
    if not run.trained or run.config.pe["name"] != "rope":
        raise PosextError(
            f"{run.folder} is not a trained run of rope, whose frequencies LongRoPE would divide"
        )
    if not 1 < factor < math.inf or options.windows < 1:
        raise PosextError(
            f"--factor must be a number above 1, and --windows above 0: "
            f"got {factor} and {options.windows}"
        )
    for key, least in {
        "population": longrope_search.MIN_POPULATION,
        "generations": 0,
        "seed": 0,
    }.items():
        if getattr(options, key) < least:
            raise PosextError(f"--{key} must be at least {least}, not {getattr(options, key)}")
    scorer = Scorer(run, factor, dataset.load_data(run.config.data))
    windows = scorer.windows(options.windows, options.seed)
    searched = windows[::2]
    checked = windows[1::2]
    shape = scorer.scheme.shape
    base = scorer.scheme.base
    starts = starting_points(shape, base, factor)
    bar = tqdm(desc="candidates", disable=None)

    def objective(divisors: np.ndarray) -> float:
        bar.update()
        return scorer.nll(divisors, searched)

    size = {
        "population": options.population,
        "generations": options.generations,
        "seed": options.seed,
    }
    with bar:
        result = longrope_search.search(objective, starts, 1.25 * factor, **size)
    divisors_R = result.divisors.round(4)
    rows = [
        [name, value, scorer.nll(starts[name], checked)] for name, value in result.starts.items()
    ]
    rows += [["default", scorer.nll(None, searched), scorer.nll(None, checked)]]
    rows += [["searched", scorer.nll(divisors_R, searched), scorer.nll(divisors_R, checked)]]
    print(
        f"NLL of the last {scorer.size} of {scorer.length} tokens, in nats, "
        f"{len(searched)} and {len(checked)} windows:"
    )
    print(tabulate(rows, headers=["divisors", "searched on", "others"], floatfmt=".4f"))
    print(f"\nln lambda / ln s at 2^{TURNS} turns: {knots_of(divisors_R, shape, base, factor)}")
    listed = ",".join(f"{divisor:g}" for divisor in divisors_R)
    print(f"short_factor: auto\nlong_factor: [{listed}]\n")
    print(
        f"python -m posext.evaluate run={run.folder} "
        f"'+pe@extend=longrope' extend.factor={factor:g} \\"
    )
    print(f"  'extend.long_factor=[{listed}]'")


if __name__ == "__main__":
    main()
