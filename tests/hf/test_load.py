"""Loading of checkpoints: what is refused, and that no code beside them runs."""

import json
from pathlib import Path

import torch
import transformers
from helpers.checkpoints import SIZES, llama
from safetensors.torch import load_file, save_file


def test_load_config_refuses_weights_that_could_hold_code(checkpoint, try_evaluate):
    folder = checkpoint(llama())
    (folder / "model.safetensors").unlink()
    torch.save(llama().state_dict(), folder / "pytorch_model.bin")
    code, err = try_evaluate(folder)
    assert code == 2
    assert "holds no .safetensors" in err


def test_load_config_runs_no_code_beside_a_checkpoint(checkpoint, evaluate, try_evaluate):
    """A type that transformers knows is loaded with its own code; any other is refused."""
    folder = checkpoint(llama())
    (folder / "modeling_own.py").write_text("from pathlib import Path\nPath('it_ran').touch()\n")
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {
        "AutoConfig": "modeling_own.Config",
        "AutoModelForCausalLM": "modeling_own.Model",
    }
    (folder / "config.json").write_text(json.dumps(config))
    assert evaluate(folder).nll.notna().all()
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "own"}))
    code, err = try_evaluate(folder, "name=other")
    assert code == 2
    assert "needs code of its own, which is never run" in err
    assert not list(Path().rglob("it_ran"))


def test_load_model_refuses_missing_weights(checkpoint, try_evaluate):
    folder = checkpoint(llama())
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    code, err = try_evaluate(folder)
    assert code == 2
    assert "lacks 1 of its weights, among them model.layers.1.mlp.up_proj.weight" in err


def test_check_causal_refuses_a_model_that_sees_later_tokens(checkpoint, try_evaluate):
    config = transformers.BertConfig(**SIZES, intermediate_size=48, max_position_embeddings=64)
    code, err = try_evaluate(checkpoint(transformers.BertLMHeadModel(config)))
    assert code == 2
    assert "is no causal model" in err
