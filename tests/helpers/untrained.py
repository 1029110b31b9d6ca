"""Runs that hold random weights, as if they were trained."""

import json

import torch
from safetensors.torch import save_file

from posext.config import ModelConfig, TrainConfig
from posext.data import dataset
from posext.model.gpt import GPT
from posext.runs.run import Run, prepare_run
from posext.training.checkpoint import weights


def untrained_run(config: TrainConfig, shape: ModelConfig, std: float, seed: int = 0) -> Run:
    """Write the folder of a run with weights from N(0, std^2), and gains from N(1, std^2)."""
    run = prepare_run(config)
    tokens = dataset.load_data(config.data)
    torch.manual_seed(seed)
    model = GPT(shape, tokens.vocab_size, run.scheme())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(1.0 if parameter.ndim == 1 else 0.0, std)
    save_file(weights(model), run.folder / "model.safetensors")
    tokens.tokenizer.save(str(run.folder / "tokenizer.json"))
    record = {"parameters": model.n_parameters(), "data": tokens.fingerprint}
    (run.folder / "run.json").write_text(json.dumps(record))
    return run
