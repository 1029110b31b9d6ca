"""All settings with their types, ranges and defaults.

Hydra composes them from `configs/`; the schema leaves only the settings of a scheme open.
"""

import re
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Annotated, Any

from annotated_types import Ge, Len
from hydra.core.config_store import ConfigStore
from omegaconf import MISSING
from pydantic import BeforeValidator

from posext.config.continuation import InitConfig
from posext.config.corpora import CORPORA, AlgorithmicData, DataConfig
from posext.config.evaluation import EvaluationConfig
from posext.config.length import GROWING_WINDOW, LengthConfig
from posext.config.model import TRANSFORMER, ModelConfig
from posext.config.names import (
    ACCURACY,
    ATTENTION,
    MODIFIERS,
    NAMED_IN_TITLES,
    PROTOCOLS,
    WITHOUT_CURVES,
)
from posext.config.optimizers import OPTIMIZERS, OptimizerConfig
from posext.utils.errors import PosextError
from posext.utils.ranges import (
    AtLeastTwo,
    Count,
    InsideUnit,
    Natural,
    OneOf,
    Positive,
    check_ranges,
    checked,
)

Precision = Annotated[str, OneOf(("auto", "fp32", "bf16"))]
Protocol = Annotated[str, OneOf((*PROTOCOLS, *WITHOUT_CURVES, ACCURACY))]
Tag = Annotated[str, Len(1, 64)]  # as wandb takes them


@dataclass
class TrackingConfig:
    """Mirrors of the files in the run's folder, which are always written."""

    # disabled: none, not even a folder
    wandb: Annotated[str, OneOf(("offline", "online", "disabled"))] = "offline"
    project: str = "posext"  # on wandb
    weights: bool = False  # the trained weights too, as an artifact on wandb
    tensorboard: bool = False  # events in tensorboard/ in the run's folder: posext[tensorboard]
    # steps, counted from 1, that torch's profiler traces into trace/ in the run's folder
    traced_steps: list[Count] = field(default_factory=list)


@dataclass
class TrainConfig:
    """A run: the scheme, what is trained, and how it is measured."""

    pe: Any = MISSING  # the positional scheme: +pe=NAME, required
    window: Any = None  # keys that a query attends to: +window=NAME
    attention_scale: Any = None  # temperature of attention: +attention_scale=NAME
    qk_norm: Any = None  # norm of queries and keys: +qk_norm=NAME
    qk_gain: Any = None  # magnitudes on queries and keys: +qk_gain=NAME
    sink: Any = None  # a logit without a value in the softmax: +sink=NAME
    normalizer: Any = None  # in place of the softmax: +normalizer=NAME
    gate: Any = None  # on the output of attention: +gate=NAME
    position_ids: Any = None  # position ids in training: +position_ids=NAME
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    length: LengthConfig = field(default_factory=LengthConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    init: InitConfig = field(default_factory=InitConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    train_length: AtLeastTwo = 128  # tokens; with a length schedule, those of its first stage
    # tokens, from which schemes count; null: train_length, or that of the parent (init=)
    original_length: Annotated[int, Ge(2)] | None = None
    steps: Count = 700  # of the optimizer
    tokens_per_step: Count = 4096  # over all processes and micro-batches
    micro_batch_tokens: Count = 16384  # the most tokens in one forward pass of one process
    # the highest, of all that Muon does not train; the default is that of the model's size
    learning_rate: Positive = MISSING
    seed: Natural = 0  # of weights and batches
    # compute the activations of each layer again in the backward pass: less memory, a third slower
    activation_checkpointing: bool = False
    precision: Precision = "auto"  # auto: bf16 if the hardware supports it
    # auto: a run of 300 steps or more
    compile: Annotated[str, OneOf(("auto", "true", "false")), BeforeValidator(str.lower)] = "auto"
    evaluate: bool = True  # measure the curve after training
    # null: train_length / 2 .. 16 times the longest length trained
    context_lengths: list[int] | None = None
    # what is scored: docs/protocols.md
    protocols: list[Protocol] = field(default_factory=lambda: ["fixed_target"])
    # train on the first batches alone, over and over; null: on all
    overfit_batches: Count | None = None
    validate_every: Count = 200  # steps
    checkpoint_every: Count = 200  # steps
    keep_every: Count | None = None  # steps; keep weights and optimizer of these steps and the last
    name: str | None = None  # of the run's folder; null: made from the config
    study: str = "default"  # groups runs in tables and on wandb
    tags: list[Tag] = field(default_factory=list)  # on wandb
    results: str = "results/runs"  # parent folder of the runs
    # modules outside posext whose schemes may run
    own_modules: list[str] = field(default_factory=list)

    @property
    def is_trained_here(self) -> bool:
        """Whether posext trains the weights; else they are a checkpoint's, as they are."""
        return self.model.path is None or self.init.path is not None

    def modifiers(self) -> dict[str, dict[str, Any]]:
        """Return the settings of the chosen modifiers, by group."""
        chosen = {group: getattr(self, group) for group in MODIFIERS}
        return {group: settings for group, settings in chosen.items() if settings is not None}

    def title(self) -> str:
        """Return the scheme with its modifiers, as in rope+logn; or the kind of a recurrence."""
        if self.model.kind != TRANSFORMER:
            return self.model.kind
        prefixes = {group: f"{group}_" for group in NAMED_IN_TITLES}
        modifiers = self.modifiers().items()
        names = [prefixes.get(group, "") + choice["name"] for group, choice in modifiers]
        if self.length.has_windows:
            names.append(GROWING_WINDOW)
        return "+".join((self.pe["name"], *names))

    def check(self) -> None:
        """Raise PosextError for an invalid setting, naming the value and the valid ones.

        The types of all settings are checked earlier, by OmegaConf.
        """
        checked("data.validation_share", self.data.validation_share, InsideUnit)
        if self.is_trained_here:
            check_ranges(self)
        else:
            self.check_measurement()
        self.check_protocols()
        self.data.check()
        self.evaluation.corpora()
        self.length.check()
        self.check_name()
        check_lengths(self.context_lengths)
        if self.is_trained_here:
            self.check_trainable()
        if self.tracking.tensorboard and find_spec("tensorboard") is None:
            raise PosextError(
                "tracking.tensorboard=true needs tensorboard: pip install 'posext[tensorboard]' "
                "has it"
            )

    def check_measurement(self) -> None:
        """Check the ranges that concern a checkpoint, whose training settings are unknown."""
        checked("protocols", self.protocols, list[Protocol])
        for section in ("data", "evaluation", "tracking"):
            check_ranges(getattr(self, section), f"{section}.")

    def check_protocols(self) -> None:
        """Raise PosextError for no protocol, one for other data, or a look at no attention."""
        if isinstance(self.data, AlgorithmicData):
            self.check_algorithmic(self.data)
            return
        if ATTENTION in self.protocols and self.model.kind != TRANSFORMER:
            raise PosextError(
                f"protocols={ATTENTION} needs attention, and model.kind={self.model.kind} has none"
            )
        if not self.protocols:
            valid = ", ".join((*PROTOCOLS, *WITHOUT_CURVES))
            raise PosextError(f"protocols must name at least one of {valid}, not {self.protocols}")
        if ACCURACY in self.protocols:
            raise PosextError(
                f"protocols=[{ACCURACY}] goes with data=algorithmic, not data={self.data.source}"
            )

    def check_algorithmic(self, data: AlgorithmicData) -> None:
        """Raise PosextError for settings of texts beside an algorithmic task."""
        if self.protocols != [ACCURACY]:
            raise PosextError(
                f"data=algorithmic is measured by protocols=[{ACCURACY}] alone, "
                f"not {self.protocols}: its examples are no text"
            )
        if self.context_lengths is not None:
            raise PosextError(
                "context_lengths are of texts; with data=algorithmic set "
                "evaluation.example_lengths, in items of an example"
            )
        if (tokens := data.tokens_read(data.length)) != self.train_length:
            raise PosextError(
                f"train_length must be {tokens}, the tokens of an example of data.task={data.task} "
                f"with data.length={data.length}, not {self.train_length}; leave it out"
            )
        if len({stage.multiple for stage in self.length.stages}) > 1:
            raise PosextError("data=algorithmic has sequences of one length; use length=fixed")
        check_lengths(self.evaluation.example_lengths, "evaluation.example_lengths")

    def check_name(self) -> None:
        """Raise PosextError for a name that cannot be a folder's."""
        if self.name is not None and not re.fullmatch(r"\w[\w.-]{0,199}", self.name):
            raise PosextError(
                "name must be at most 200 letters, digits, and . _ - after the first, "
                f"not {self.name!r}"
            )

    def check_trainable(self) -> None:
        """Raise PosextError for an invalid setting of a network to train."""
        if self.data.mask_documents and (self.model.path or self.model.kind != TRANSFORMER):
            raise PosextError(
                "data.mask_documents=true is for a transformer of posext, "
                f"not for {self.model.path or self.model.kind}"
            )
        if self.model.path is None:
            self.model.head_width()
            self.model.kv_heads()
        elif self.length.has_windows:
            raise PosextError(
                "the windows of length.stages must be 1 for a checkpoint of transformers, whose "
                f"attention has none, not {[stage.window for stage in self.length.stages]}"
            )
        longest = self.train_length * self.length.stages[-1].multiple
        if longest > self.tokens_per_step:
            raise PosextError(
                f"a sequence of {longest} tokens does not fit "
                f"tokens_per_step={self.tokens_per_step}"
            )


@dataclass
class EvaluateConfig:
    """A run, or a checkpoint of transformers, to measure.

    Settings that the user does not type are taken from the run's config, not from these defaults.
    """

    run: str | None = None  # the folder of a finished run
    checkpoint: Count | None = None  # a step of the run that its keep_every kept; null: the end
    model: Any = MISSING  # instead of a run: model=hf model.path=FOLDER_OR_ID
    data: DataConfig = field(default_factory=DataConfig)  # with model=hf
    train_length: int | None = None  # with model=hf; null: as in the checkpoint's config
    name: str | None = None  # with model=hf: of the run's folder; null: from the path and the data
    extend: Any = None  # a scheme to apply to the same weights: +pe@extend=NAME
    window: Any = None  # keys that a query attends to: +window=NAME
    attention_scale: Any = None  # temperature of attention: +attention_scale=NAME
    context_lengths: list[int] | None = None  # null: those of the run
    protocols: list[Protocol] = field(default_factory=lambda: ["fixed_target"])
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    precision: Precision = "auto"
    own_modules: list[str] = field(default_factory=list)


def check_lengths(lengths: list[int] | None, key: str = "context_lengths") -> None:
    """Raise PosextError for lengths that are not increasing numbers from 2 on."""
    if lengths is not None and (not lengths or min(lengths) < 2 or lengths != sorted(set(lengths))):
        raise PosextError(f"{key} must be increasing numbers of at least 2, not {lengths}")


store = ConfigStore.instance()
store.store(name="train_schema", node=TrainConfig)
store.store(name="evaluate_schema", node=EvaluateConfig)
for source, corpus in CORPORA.items():
    store.store(group="schema/data", name=source, node=corpus)
for kind, optimizer in OPTIMIZERS.items():
    store.store(group="schema/optimizer", name=kind, node=optimizer)
