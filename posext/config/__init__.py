"""The settings of posext: their names, types, ranges and defaults."""

from posext.config.continuation import InitConfig
from posext.config.corpora import (
    CORPORA,
    HUB_ID,
    LETTERS,
    SYNTHETIC_SOURCES,
    CopyData,
    DataConfig,
    HubData,
    MarkovData,
    PythonData,
    SyntheticData,
    TextData,
)
from posext.config.evaluation_data import OWN
from posext.config.model import TRANSFORMER, ModelConfig, check_kind
from posext.config.names import HEADLINE, MODIFIERS, PERTURBED, PROTOCOLS, RETRIEVAL
from posext.config.optimizers import OPTIMIZERS, MuonConfig, OptimizerConfig
from posext.config.settings import (
    EvaluateConfig,
    EvaluationConfig,
    LengthConfig,
    StageConfig,
    TrackingConfig,
    TrainConfig,
    check_lengths,
)

__all__ = [
    "CORPORA",
    "HEADLINE",
    "HUB_ID",
    "LETTERS",
    "MODIFIERS",
    "OPTIMIZERS",
    "OWN",
    "PERTURBED",
    "PROTOCOLS",
    "RETRIEVAL",
    "SYNTHETIC_SOURCES",
    "TRANSFORMER",
    "CopyData",
    "DataConfig",
    "EvaluateConfig",
    "EvaluationConfig",
    "HubData",
    "InitConfig",
    "LengthConfig",
    "MarkovData",
    "ModelConfig",
    "MuonConfig",
    "OptimizerConfig",
    "PythonData",
    "StageConfig",
    "SyntheticData",
    "TextData",
    "TrackingConfig",
    "TrainConfig",
    "check_kind",
    "check_lengths",
]
