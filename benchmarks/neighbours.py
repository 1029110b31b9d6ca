"""Training throughput beside other busy processes, with threads that spin or sleep while they wait.

Threads of OpenMP spin for a while before they sleep. Alone this saves the time of waking up; beside
other processes it takes the cores from whoever has work. This is what the passive policy costs
alone, and what it gains beside others.
"""

import argparse
import os
import subprocess
import sys
import time
from functools import partial

import report
from paired import interleaved

POLICIES = {
    "spinning": {"GOMP_SPINCOUNT": "300000"},  # what libgomp does by itself
    "passive": {"OMP_WAIT_POLICY": "PASSIVE"},
}
SITUATIONS = {  # runs side by side, and other busy processes
    "alone": (1, 0),
    "two runs": (2, 0),
    "beside two": (1, 2),
    "two runs beside two": (2, 2),
}
BUSY = "while True: pass"
WARM_STEPS = 3


def seconds_per_step(policy: str, runs: int, neighbours: int, seconds: float) -> float:
    """The mean seconds of a training step over runs that start together."""
    environment = {**os.environ, **POLICIES[policy]}
    busy = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(neighbours)]
    try:
        command = [sys.executable, __file__, "--train-for", str(seconds)]
        trainers = [
            subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
            for _ in range(runs)
        ]
        outputs = [trainer.communicate()[0] for trainer in trainers]
    finally:
        for process in busy:
            process.kill()
            process.wait()
    return sum(float(output.split()[-1]) for output in outputs) / runs


def train_for(seconds: float) -> float:
    """Train `tiny` for some seconds, not compiled, and return the mean seconds of a step."""
    from setting import bf16, compose_config, network, training_steps

    from posext.data import dataset

    config = compose_config("model=tiny", "precision=bf16")
    tokens = dataset.load_data(config.data, progress=False)
    model = network(config, tokens.vocab_size, "rope")
    steps = training_steps(config, tokens, model, bf16(), compiled=False)
    steps(WARM_STEPS)
    begin = time.perf_counter()
    done = 0
    while time.perf_counter() - begin < seconds:
        steps(1)
        done += 1
    return (time.perf_counter() - begin) / done


def benchmark(repeats: int, seconds: float, situations: str) -> list[report.Row]:
    """Tokens a second under both policies in every situation, and their ratio."""
    rows = []
    tokens_per_step = 4096
    for situation in situations.split(","):
        runs, neighbours = SITUATIONS[situation]
        cases = {
            policy: partial(seconds_per_step, policy, runs, neighbours, seconds)
            for policy in POLICIES
        }
        measured = interleaved(cases, repeats)
        rate = runs * tokens_per_step / measured
        rows += [
            report.row(f"{situation}, {policy}", "training", rate[policy], "tokens/s")
            for policy in POLICIES
        ]
        ratio = rate["passive"].to_numpy() / rate["spinning"].to_numpy()
        rows.append(report.row(f"{situation}, passive against spinning", "speed", ratio, "times"))
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--train-for", type=float)
    options, _ = parser.parse_known_args()
    if options.train_for:
        print(train_for(options.train_for))
    else:
        report.run("neighbours", benchmark, repeats=3, seconds=8.0, situations=",".join(SITUATIONS))
