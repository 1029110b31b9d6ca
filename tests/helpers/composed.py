"""Compose a config as the command line does, without running it."""

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig

from posext.cli import app
from posext.config import TrainConfig
from posext.pe import CONFIGS


def composed(*overrides: str) -> TrainConfig:
    """Return the checked config of `posext train` with these overrides."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        config = compose("train", app.in_full(list(overrides)), return_hydra_config=True)
        HydraConfig.instance().set_config(config)
        del config.hydra
        typed = app.typed(config)
    typed.check()
    return typed
