"""Low-rank tuning of a checkpoint: LoRA on attention, with norms and embeddings trained whole."""

from typing import Any

from torch import Tensor, nn

from posext.utils.errors import PosextError

ADAPTER = "default"  # peft's name of the only adapter
ALPHA_OVER_RANK = 2  # as in LongLoRA: rank 8, alpha 16


def add_lora(model: Any, rank: int) -> None:
    """Freeze a model but for its norms and embeddings, and add LoRA to its attention matrices.

    That is the tuning of LongLoRA (Chen et al. 2023, arXiv:2309.12307, section 3.3), without its
    shifted attention.

    Args:
        model: A model of transformers; changed in place.
        rank: Rank of the added matrices.

    Raises:
        PosextError: peft is not installed, or no matrix of attention is found.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ModuleNotFoundError as error:
        raise PosextError(f"{error}; pip install 'posext[lora]' has it") from error
    targets = [name for name, module in model.named_modules() if is_attention_matrix(name, module)]
    if not targets:
        raise PosextError(f"init.lora_rank: {model.config.model_type} has no matrix of attention")
    config = LoraConfig(
        r=rank, lora_alpha=ALPHA_OVER_RANK * rank, lora_dropout=0.0, target_modules=targets
    )
    inject_adapter_in_model(config, model)
    for name, parameter in model.named_parameters():
        is_norm = parameter.ndim == 1 and "norm" in name
        is_embedding = parameter is model.get_input_embeddings().weight
        parameter.requires_grad_(".lora_" in name or is_norm or is_embedding)


def is_attention_matrix(name: str, module: nn.Module) -> bool:
    """Return whether a module is a linear map inside attention."""
    return isinstance(module, nn.Linear) and ("attn." in name or "attention." in name)


def merged(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return weights with each LoRA pair added to its matrix: W + alpha / r B A."""
    found = {}
    for name, tensor in weights.items():
        if ".lora_" in name:
            continue
        if name.endswith(".base_layer.weight"):
            prefix = name.removesuffix(".base_layer.weight")
            down = weights[f"{prefix}.lora_A.{ADAPTER}.weight"]
            up = weights[f"{prefix}.lora_B.{ADAPTER}.weight"]
            tensor = tensor + ALPHA_OVER_RANK * up @ down
        found[name.replace(".base_layer.", ".")] = tensor
    return found
