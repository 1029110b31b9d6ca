"""Computed cost of a study: python scripts/costs.py prints the tables of docs/scaling.md

A multiply-add counts as two operations. A forward pass costs, per token at context T: 2 N, plus
2 n_layers d_model T for causal attention (half the square), plus 2 V d_model for each scored token.
A backward pass costs twice as much (Kaplan et al. 2020, arXiv:2001.08361, section 2.1).
"""

import argparse
from pathlib import Path
from typing import Any, cast

import pandas as pd
from omegaconf import OmegaConf

from posext.config import ModelConfig
from posext.model.attention import CHUNK
from posext.pe import CONFIGS

GB = 1e9
RESULTS = Path(__file__).resolve().parent.parent / "results"
BENCHMARK = RESULTS / "benchmarks" / "2026-11-25.csv"
STATE_BYTES = 16  # per parameter: weight, gradient and AdamW's two moments in float32
# Per token, layer and unit of width, in 16 bits with fused attention: Korthikanti et al. 2022,
# arXiv:2205.05198, equation 2.
ACTIVATION_BYTES = 34
TOKENS_PER_PARAMETER = 20  # Hoffmann et al. 2022, arXiv:2203.15556


def matrices(model: ModelConfig) -> int:
    """Parameters without the vocabulary."""
    attention = 2 * (model.n_heads + model.kv_heads()) * model.head_width()
    return model.n_layers * model.d_model * (attention + 3 * model.d_ff)


def forward(model: ModelConfig, length: int, vocab_size: int = 0) -> float:
    """Floating-point operations of one token of a context.

    With a `vocab_size`, the token is scored.
    """
    attention = 2 * model.n_layers * model.n_heads * model.head_width() * length
    return 2 * matrices(model) + attention + 2 * vocab_size * model.d_model


def training_bytes(model: ModelConfig, tokens: int, vocab_size: int, processes: int = 1) -> float:
    """Peak memory of one process under FSDP.

    That is its share of the training state, with the activations and float32 logits of `tokens`.
    """
    state = STATE_BYTES * (matrices(model) + vocab_size * model.d_model) / processes
    return state + tokens * (ACTIVATION_BYTES * model.d_model * model.n_layers + 8 * vocab_size)


def explicit_bytes(model: ModelConfig, length: int) -> float:
    """Extra memory of a forward pass with a dense bias.

    That is scores, bias and weights of one chunk of queries, in float32.
    """
    return 3 * 4 * model.n_heads * CHUNK * length


def duration(seconds: float) -> str:
    """Two digits, in the largest unit in which the duration is at least 1."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        if seconds >= size:
            return f"{float(f'{seconds / size:.2g}'):,g} {unit}"
    return "< 1 s"


def training(
    models: dict[str, ModelConfig], speeds: dict[str, float], vocab_size: int
) -> pd.DataFrame:
    """Cost of training on 20 tokens a parameter, at a short and a long training length."""
    rows = []
    for name, model in models.items():
        for length in (128, 8192):
            operations = (
                3 * forward(model, length, vocab_size) * TOKENS_PER_PARAMETER * matrices(model)
            )
            gigabytes = training_bytes(model, max(16384, length), vocab_size) / GB
            row = {
                "model": name,
                "train length": f"{length:,}",
                "FLOPs": f"{operations:.1e}",
                "GB": f"{gigabytes:.1f}",
            }
            rows.append(
                row | {machine: duration(operations / speed) for machine, speed in speeds.items()}
            )
    return pd.DataFrame(rows)


def evaluation(
    models: dict[str, ModelConfig], speeds: dict[str, float], contexts: int
) -> pd.DataFrame:
    """Cost of one point of a curve: whole contexts, every position computed in all layers."""
    rows = []
    for name, model in models.items():
        for length in (2**11, 2**14, 2**17, 2**20):
            operations = forward(model, length) * length * contexts
            hidden = 4 * length * (4 * model.d_model + 2 * model.d_ff) / GB
            row = {
                "model": name,
                "context": f"{length:,}",
                "FLOPs": f"{operations:.1e}",
                "GB": f"{hidden:.2g}",
            }
            row |= {"GB more, explicit": f"{explicit_bytes(model, length) / GB:.2g}"}
            rows.append(
                row | {machine: duration(operations / speed) for machine, speed in speeds.items()}
            )
    return pd.DataFrame(rows)


def tokens_per_second(benchmark: Path) -> float:
    """Measured training speed of `tiny` at 128 tokens."""
    rows = pd.read_csv(benchmark)
    return rows.loc[(rows.case == "tiny, ours") & (rows.quantity == "training"), "value"].item()


def load_model_config(name: str) -> ModelConfig:
    settings = OmegaConf.to_container(OmegaConf.load(CONFIGS / "model" / f"{name}.yaml"))
    return ModelConfig(**cast(dict[str, Any], settings))


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Print the computed cost of training and evaluation."
    )
    parser.add_argument(
        "--gpu",
        type=float,
        default=989e12,
        help="peak FLOP/s of a GPU; default: H100 SXM, bf16, dense",
    )
    parser.add_argument(
        "--utilization",
        type=float,
        default=0.3,
        help="share of the peak that is reached; an assumption",
    )
    parser.add_argument("--vocab", type=int, default=2048, help="size of the vocabulary")
    parser.add_argument(
        "--contexts",
        type=int,
        default=256,
        help="contexts of a point; default: 256 documents of a block",
    )
    arguments = parser.parse_args()
    names = ("tiny", "small", "base")
    models = {name: load_model_config(name) for name in names}
    laptop = 3 * forward(models["tiny"], 128, arguments.vocab) * tokens_per_second(BENCHMARK)
    gpu = arguments.gpu * arguments.utilization
    speeds = {"2 cores": laptop, "a GPU": gpu, "8 GPUs": 8 * gpu}
    print(
        f"2 cores: {laptop:.2g} FLOP/s, from the training of tiny in {BENCHMARK.name}; "
        f"a GPU: {gpu:.2g}, assumed\n"
    )
    print(
        training(models, speeds, arguments.vocab).to_markdown(index=False, disable_numparse=True),
        end="\n\n",
    )
    print(
        evaluation(models, speeds, arguments.contexts).to_markdown(
            index=False, disable_numparse=True
        ),
    )


if __name__ == "__main__":
    main()
