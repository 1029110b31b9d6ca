"""Training throughput of every scheme, relative to `none` and `rope` within each round."""

import report
from paired import interleaved, speedup
from setting import bf16, compose_config, network, training_steps

from posext.data import dataset
from posext.pe import names


def benchmark(repeats: int, model: str, schemes: str) -> list[report.Row]:
    """Speed relative to rope and none: compiled, bf16, at the default training length."""
    config = compose_config(f"model={model}", "precision=bf16")
    accelerator = bf16()
    tokens = dataset.load_data(config.data, progress=False)
    cases = {}
    for name in dict.fromkeys(["none", "rope", *(schemes.split(",") if schemes else names())]):
        steps = training_steps(
            config, tokens, network(config, tokens.vocab_size, name), accelerator
        )
        steps(1)  # compiles
        print(name, flush=True)
        cases[name] = lambda steps=steps: steps(2)
    seconds = interleaved(cases, repeats)
    rows = [
        report.row(f"{name} against rope", "speed", speedup(seconds, name, "rope"), "times")
        for name in cases
    ]
    return [
        *rows,
        *(
            report.row(f"{name} against none", "speed", speedup(seconds, name, "none"), "times")
            for name in cases
        ),
    ]


if __name__ == "__main__":
    report.run("scheme_overhead", benchmark, repeats=5, model="tiny", schemes="")
