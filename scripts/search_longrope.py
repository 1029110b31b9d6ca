"""Search LongRoPE's divisors for a trained RoPE run: python scripts/search_longrope.py results/runs/NAME --factor 8

Every candidate is scored by the NLL of the last tokens of some windows of `factor` times the original length. The windows
are of documents of the training split, never of those that curves are measured on, which are held out; as the model has
trained on these texts the NLLs are lower than a curve's, and only their differences say something. PI, NTK and YaRN stand
for their divisors here, under LongRoPE's temperature. The result is checked on windows of other training documents: a gain
that is only in the first column is of the few windows searched on. About a minute and a half for `tiny` on one core.
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
from posext.pe.longrope import TURNS, LongRoPE
from posext.pe.ntk import NTK
from posext.pe.rope import RoPE
from posext.pe.yarn import YaRN
from posext.runs.run import Run, load_run
from posext.utils.errors import PosextError

TOKENS_PER_BATCH = 4096


class Judge:
    """The NLL of the last tokens of some windows, under any divisors: nats per token."""

    def __init__(self, run: Run, factor: float, tokens: dataset.Data):
        settings = {
            **settings_of("pe", "longrope"),
            "base": run.config.pe["base"],
            "factor": factor,
        }
        self.scheme = cast(LongRoPE, run.scheme(replace(run.config, pe=settings)))
        self.model = GPT(run.config.model, tokens.vocab_size, self.scheme).eval()
        self.model.load_state_dict(run.weights())
        self.split, self.length = tokens.train, round(factor * run.config.train_length)
        self.size = max(1, self.length // 4)

    def windows(self, count: int, seed: int) -> list[Target]:
        """One window in each of at most 2 `count` documents, in two halves: to search on, and to check on."""
        lengths = self.split.lengths.tolist()
        return fixed_targets(lengths, self.length, self.size, 1, seed, 2 * count)

    def nll(self, divisors: np.ndarray | None, windows: list[Target]) -> float:
        self.scheme.long_factor = "auto" if divisors is None else divisors.tolist()
        with torch.inference_mode():
            scored = score(
                self.model, self.split.document, windows, self.length, self.size, TOKENS_PER_BATCH
            )
        return float(scored.mean())


def starting_points(shape: Shape, base: float, factor: float) -> dict[str, np.ndarray]:
    """What PI, NTK and YaRN divide each frequency by."""
    schemes = {"PI": Linear, "NTK": NTK, "YaRN": YaRN}
    rope_R = RoPE(shape, base=base).inv_freq(base)
    made = {name: scheme(shape, base=base, factor=factor) for name, scheme in schemes.items()}
    return {
        name: (rope_R / scheme.frequencies(shape.original_length)[0]).numpy()
        for name, scheme in made.items()
    }


def knots_of(divisors: np.ndarray, shape: Shape, base: float, factor: float) -> list[float]:
    """ln lambda / ln s at TURNS, straight in log2 of the turns between the pairs: non-increasing."""
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
        "--windows", type=int, default=4, help="to search on; as many again to check on"
    )
    parser.add_argument("--population", type=int, default=16)
    parser.add_argument("--generations", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    report(parser.parse_args())


def report(options: argparse.Namespace) -> None:
    run, factor = load_run(options.run), options.factor
    if not run.trained or run.config.pe["name"] != "rope":
        raise PosextError(
            f"{run.folder} is not a trained run of rope, whose frequencies LongRoPE would divide"
        )
    if not 1 < factor < math.inf or options.windows < 1:
        raise PosextError(
            f"--factor must be a number above 1, and --windows above 0: got {factor} and {options.windows}"
        )
    for key, least in {
        "population": longrope_search.MIN_POPULATION,
        "generations": 0,
        "seed": 0,
    }.items():
        if getattr(options, key) < least:
            raise PosextError(f"--{key} must be at least {least}, not {getattr(options, key)}")
    judge = Judge(run, factor, dataset.load_data(run.config.data))
    windows = judge.windows(options.windows, options.seed)
    searched, checked = windows[::2], windows[1::2]
    shape, base = judge.scheme.shape, judge.scheme.base
    starts = starting_points(shape, base, factor)
    bar = tqdm(desc="candidates", disable=None)

    def objective(divisors: np.ndarray) -> float:
        bar.update()
        return judge.nll(divisors, searched)

    size = {
        "population": options.population,
        "generations": options.generations,
        "seed": options.seed,
    }
    with bar:
        found = longrope_search.search(objective, starts, 1.25 * factor, **size)
    found_R = found.divisors.round(4)
    rows = [[name, value, judge.nll(starts[name], checked)] for name, value in found.starts.items()]
    rows += [["default", *(judge.nll(None, part) for part in (searched, checked))]]
    rows += [["searched", judge.nll(found_R, searched), judge.nll(found_R, checked)]]
    print(
        f"NLL of the last {judge.size} of {judge.length} tokens, in nats, {len(searched)} and {len(checked)} windows:"
    )
    print(tabulate(rows, headers=["divisors", "searched on", "others"], floatfmt=".4f"))
    print(f"\nln lambda / ln s at 2^{TURNS} turns: {knots_of(found_R, shape, base, factor)}")
    listed = ",".join(f"{divisor:g}" for divisor in found_R)
    print(f"short_factor: auto\nlong_factor: [{listed}]\n")
    print(
        f"python -m posext.evaluate run={run.folder} '+pe@extend=longrope' extend.factor={factor:g} \\"
    )
    print(f"  'extend.long_factor=[{listed}]'")


if __name__ == "__main__":
    main()
