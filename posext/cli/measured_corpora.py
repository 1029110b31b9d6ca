"""The names in `evaluation.data` as settings: those of choices of the group `data`."""

from typing import Any

from hydra import compose
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from posext.config import OWN
from posext.config.evaluation_data import OF_THE_RUN


def with_settings(data: Any) -> Any:
    """Return `evaluation.data` with the settings of each choice in place of its name.

    A mapping without a source names a choice, whose settings it changes. What is no corpus is
    left for the check of the config.

    Args:
        data: The value as composed from the command line.
    """
    value = OmegaConf.to_container(data) if OmegaConf.is_config(data) else data
    return [settings_of(entry) for entry in (value if isinstance(value, list) else [value])]


def settings_of(entry: Any) -> Any:
    """Return the settings of an entry of the list; a hydra error for an unknown choice."""
    if isinstance(entry, str) and entry != OWN:
        return {"name": entry, **settings_of_choice(entry)}
    if isinstance(entry, dict) and "name" in entry and "source" not in entry:
        return {**settings_of_choice(str(entry["name"])), **entry}
    return entry


def settings_of_choice(name: str) -> dict[str, Any]:
    """Compose a choice of the group `data`, without the settings that the run decides."""
    composed = compose(HydraConfig.get().job.config_name, overrides=[f"data={name}"])
    settings: Any = OmegaConf.to_container(composed.data, resolve=True)
    return {key: value for key, value in settings.items() if key not in OF_THE_RUN}
