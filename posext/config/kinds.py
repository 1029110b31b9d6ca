"""What mixes the tokens of a block: attention, or a recurrence, which takes no positions."""

from collections.abc import Mapping
from typing import Annotated, Any

from posext.utils.errors import PosextError
from posext.utils.ranges import OneOf

TRANSFORMER = "transformer"
Kind = Annotated[str, OneOf((TRANSFORMER, "gated_deltanet", "mamba2"))]
OF_ATTENTION = ("n_kv_heads", "attention_softcap")  # settings of the model that need attention


def check_kind(model: Any, choices: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise PosextError for anything beside a recurrence that acts on attention.

    Args:
        model: The config of the network.
        choices: Settings of the scheme (`pe`) and of the modifiers, by group.
    """
    if model.kind == TRANSFORMER:
        return
    chosen = [f"{group}={settings['name']}" for group, settings in choices.items()]
    refused = [choice for choice in chosen if choice != "pe=none"]
    refused += [f"model.{key}" for key in OF_ATTENTION if getattr(model, key) is not None]
    if refused:
        raise PosextError(
            f"model.kind={model.kind} has no attention for {' '.join(refused)} to act on; "
            "it goes with +pe=none and nothing beside it"
        )
