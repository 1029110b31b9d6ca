"""The settings of posext: their names, types, ranges and defaults."""

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
from posext.config.names import HEADLINE, MODIFIERS, PROTOCOLS, RETRIEVAL
from posext.config.settings import (
    EvaluateConfig,
    EvaluationConfig,
    LengthConfig,
    ModelConfig,
    OptimizerConfig,
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
    "PROTOCOLS",
    "RETRIEVAL",
    "SYNTHETIC_SOURCES",
    "CopyData",
    "DataConfig",
    "EvaluateConfig",
    "EvaluationConfig",
    "HubData",
    "LengthConfig",
    "MarkovData",
    "ModelConfig",
    "OptimizerConfig",
    "PythonData",
    "StageConfig",
    "SyntheticData",
    "TextData",
    "TrackingConfig",
    "TrainConfig",
    "check_lengths",
]
