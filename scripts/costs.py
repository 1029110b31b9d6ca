"""What a study costs, computed: python scripts/costs.py prints the tables of docs/scaling.md

Multiply-adds count two operations. Forward, per token at context T: 2 N + 2 n_layers d_model T of causal attention (half the
square) + 2 V d_model for each scored token; backward is twice forward (Kaplan et al. 2020, arXiv:2001.08361, section 2.1).
"""

import argparse
from pathlib import Path

import pandas as pd
from omegaconf import OmegaConf

from posext.analysis import curves
from posext.config import HEADLINE, ModelConfig
from posext.model.attention import CHUNK
from posext.pe import CONFIGS

GB = 1e9
RESULTS = Path(__file__).resolve().parent.parent / "results"
STATE = 16  # bytes a parameter: weight, gradient and AdamW's two moments in float32
ACTIVATIONS = 34  # bytes a token, layer and unit of width, in 16 bits: Korthikanti et al. 2022 (arXiv:2205.05198), eq. 2, fused


def matrices(model: ModelConfig) -> int:
    """Parameters without the vocabulary."""
    return model.n_layers * model.d_model * (4 * model.d_model + 3 * model.d_ff)


def forward(model: ModelConfig, length: int, vocab_size: int = 0) -> float:
    """Floating-point operations of one token of a context; with a vocabulary, of one that is scored."""
    make_layer_module = 2 * model.n_layers * model.d_model * length
    return 2 * matrices(model) + make_layer_module + 2 * vocab_size * model.d_model


def training_bytes(model: ModelConfig, tokens: int, vocab_size: int, processes: int = 1) -> float:
    """Most memory of one process: its share of the state (FSDP), and activations and float32 logits of `tokens` at once."""
    state = STATE * (matrices(model) + vocab_size * model.d_model) / processes
    return state + tokens * (ACTIVATIONS * model.d_model * model.n_layers + 8 * vocab_size)


def explicit_bytes(model: ModelConfig, length: int) -> float:
    """Scores, bias and weights of one chunk of queries, in float32: what a bias that does not fold adds to a forward pass."""
    return 3 * 4 * model.n_heads * CHUNK * length


def duration(seconds: float) -> str:
    """Two digits in the largest unit that leaves one before the point."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        if seconds >= size:
            return f"{float(f'{seconds / size:.2g}'):,g} {unit}"
    return "< 1 s"


def training(
    models: dict[str, ModelConfig], speeds: dict[str, float], vocab_size: int
) -> pd.DataFrame:
    """20 tokens a parameter (Hoffmann et al. 2022, arXiv:2203.15556), at a short and a long training length."""
    rows = []
    for name, model in models.items():
        for length in (128, 8192):
            operations = 3 * forward(model, length, vocab_size) * 20 * matrices(model)
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
    """A point of a curve: so many contexts, whole, as if the last layer computed every position."""
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


def measured(zoo: pd.DataFrame) -> pd.DataFrame:
    """Seconds of trained schemes relative to RoPE's, one curve each, at the training length and at the longest context."""
    own = zoo.loc[(zoo.extend == "") & (zoo.protocol == HEADLINE)]
    rope = own.loc[own.scheme == "rope"]
    lengths = {"train": rope.trained_length.min(), "longest": rope.context_length.max()}
    seconds = own.groupby(["scheme", "context_length"]).seconds.min().unstack()
    table = (seconds / seconds.loc["rope"])[list(lengths.values())].dropna()
    return table.sort_values(lengths["longest"]).rename(columns=lambda length: f"at {length:,}")


def main() -> None:
    parser = argparse.ArgumentParser(description="What a study costs, computed.")
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
    parser.add_argument("--vocab", type=int, default=2048)
    parser.add_argument(
        "--contexts", type=int, default=256, help="of a point: 64 documents of 4 blocks"
    )
    arguments = parser.parse_args()
    names = ("tiny", "small", "base")
    models = {
        name: ModelConfig(**OmegaConf.load(CONFIGS / "model" / f"{name}.yaml")) for name in names
    }  # type: ignore[arg-type]
    quickstart = curves.read_curves(RESULTS / "quickstart" / "curves.csv")
    rope = quickstart.loc[(quickstart.scheme == "rope") & (quickstart.extend == "")]
    laptop = (
        forward(models["tiny"], int(rope.context_length.max()))
        * rope.set_index("context_length").tokens_per_second.iloc[-1]
    )
    gpu = arguments.gpu * arguments.utilization
    speeds = {"2 cores": laptop, "a GPU": gpu, "8 GPUs": 8 * gpu}
    print(
        f"2 cores: {laptop:.2g} FLOP/s, from tokens per second in results/quickstart; a GPU: {gpu:.2g}, assumed\n"
    )
    print(
        training(models, speeds, arguments.vocab).to_markdown(index=False, disable_numparse=True),
        end="\n\n",
    )
    print(
        evaluation(models, speeds, arguments.contexts).to_markdown(
            index=False, disable_numparse=True
        ),
        end="\n\n",
    )
    print(measured(curves.read_curves(RESULTS / "zoo" / "curves.csv")).to_markdown(floatfmt=".2f"))


if __name__ == "__main__":
    main()
