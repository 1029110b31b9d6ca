"""Training throughput under Muon relative to AdamW: what a step costs, not what it gains."""

import report
from paired import interleaved, speedup
from setting import bf16, compose_config, network, training_steps

from posext.data import dataset


def benchmark(repeats: int, model: str) -> list[report.Row]:
    """Speed of Muon relative to AdamW: RoPE, compiled, bf16, at the default training length."""
    accelerator = bf16()
    cases = {}
    for optimizer in ("adamw", "muon"):
        config = compose_config(f"model={model}", "precision=bf16", optimizer=optimizer)
        tokens = dataset.load_data(config.data, progress=False)
        steps = training_steps(
            config, tokens, network(config, tokens.vocab_size, "rope"), accelerator
        )
        steps(1)  # compiles
        cases[optimizer] = lambda steps=steps: steps(3)
    speed = speedup(interleaved(cases, repeats), "muon", "adamw")
    return [report.row(f"{model}, muon against adamw", "speed", speed, "times")]


if __name__ == "__main__":
    report.run("optimizer_step", benchmark, repeats=5, model="tiny")
