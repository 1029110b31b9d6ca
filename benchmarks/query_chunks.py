"""Measuring in small chunks of queries against larger ones, for biases that no fused kernel takes.

Contexts of one batch of an evaluation: 65,536 tokens, unless told otherwise.
"""

import time
from functools import partial

import report
import torch
from accelerate import Accelerator
from paired import interleaved, speedup
from setting import bf16, compose_config, network
from torch import Tensor

from posext.model import attention
from posext.model.gpt import GPT

VOCAB = 2048
SMALL = attention.SMALL_CHUNK


def seconds(size: int, measured: GPT, tokens_BT: Tensor, accelerator: Accelerator) -> float:
    """Seconds of a forward pass in chunks of `size` queries."""
    attention.SMALL_CHUNK = size
    begin = time.perf_counter()
    with torch.inference_mode(), accelerator.autocast():
        measured.hidden(tokens_BT)
    return time.perf_counter() - begin


def benchmark(
    repeats: int, model: str, schemes: str, lengths: str, tokens: int
) -> list[report.Row]:
    """Speed in small chunks, against 128 queries, or all of them up to 1,024 tokens."""
    accelerator = bf16()
    config = compose_config(f"model={model}", "precision=bf16")
    generator = torch.Generator().manual_seed(0)
    rows = []
    for scheme in schemes.split(","):
        measured = network(config, VOCAB, scheme).eval()
        for length in map(int, lengths.split(",")):
            tokens_BT = torch.randint(VOCAB, (tokens // length, length), generator=generator)
            former = length if length <= attention.DENSE_LENGTH else attention.CHUNK
            run = {"measured": measured, "tokens_BT": tokens_BT, "accelerator": accelerator}
            cases = {
                "small": partial(seconds, SMALL, **run),
                "former": partial(seconds, former, **run),
            }
            speed = speedup(interleaved(cases, repeats), "small", "former")
            rows.append(report.row(f"{scheme} at {length}", "speed", speed, "times"))
    return rows


if __name__ == "__main__":
    report.run(
        "query_chunks",
        benchmark,
        repeats=3,
        model="nano",
        schemes="kerple_log,t5,cope",
        lengths="128,256,1024,4096",
        tokens=65536,
    )
