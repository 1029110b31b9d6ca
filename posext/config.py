"""All settings with their types and defaults.

Hydra composes them from `configs/`; the schema leaves only the settings of a scheme open.
"""

import math
import re
import string
from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING

from posext.utils.errors import PosextError

PROTOCOLS = (
    "fixed_target",
    "far_copy",
    "sliding",
    "nonoverlap",
    "per_position",
    "alibi",
    "alibi_s1",
    "pi",
    "yarn_paper",
    "longlora",
)
# Chosen like protocols, but on constructed contexts: posext.eval.retrieval
RETRIEVAL = ("retrieval", "passkey")
HEADLINE = "fixed_target"  # the protocol of charts, unless another is chosen
# Groups besides pe, each absent unless named
MODIFIERS = ("window", "attention_scale", "qk_gain", "position_ids")
LETTERS = string.ascii_letters + string.digits  # the symbols of a synthetic corpus as text
# OWNER/NAME: never a path, nor the name of one of the loaders of `datasets`
HUB_ID = r"\w[\w.-]*/\w[\w.-]*"
SYNTHETIC_SOURCES = ("markov", "copy")  # sources of a known law
MAX_TABLE_CELLS = 2**14  # of the transition table of one document


@dataclass
class ModelConfig:
    """The size of a network, or the path of a checkpoint of transformers."""

    name: str = MISSING  # of the size, as in the name of a run
    n_layers: int = MISSING  # blocks of attention and SwiGLU
    n_heads: int = MISSING  # a divisor of d_model
    d_model: int = MISSING  # width of the network
    d_ff: int = MISSING  # width inside SwiGLU
    learning_rate: float = MISSING  # default of the top-level learning_rate at this size
    path: str | None = None  # model=hf: the folder of a checkpoint, or its id on the hub

    def head_dim(self) -> int:
        """Return the width of a head. Raises PosextError if the heads do not divide d_model."""
        if self.d_model % self.n_heads:
            raise PosextError(
                f"model.n_heads={self.n_heads} does not divide model.d_model={self.d_model}"
            )
        return self.d_model // self.n_heads


@dataclass
class DataConfig:
    """A corpus and its tokenizer."""

    source: str = MISSING  # python, text, hub, markov or copy
    path: str | None = None  # text: a file or folder; hub: the id of a data set
    subset: str | None = None  # hub: the data set's configuration
    column: str = "text"  # of .jsonl, .parquet and hub data
    # hub: a pattern of the rows that begin a document; null: each row is a document
    document_start: str | None = None
    # bpe (trained on the train split), bytes, a tokenizer.json or its folder, or a hub id;
    # letters, of markov and copy: one token a symbol
    tokenizer: str = "bpe"
    vocab_size: int = 2048  # of bpe and letters
    validation_share: float = 0.1  # of the documents, chosen by a hash of their names
    # of the training sequences, with recall pairs: posext.data.recall.mixing
    recall_share: float = 0.0
    cache: str = "~/.cache/posext"  # folder of tokenized corpora

    documents: int = 1100  # number of documents
    document_tokens: int = 4200  # in each document
    seed: int = 0  # of the documents, independent of the model's
    symbols: int = 5  # size of the alphabet
    order: int = 1  # markov: the number of symbols that determine the next one's distribution
    concentration: float = 0.3  # markov: of the symmetric Dirichlet of transition rows
    period_min: int = 16  # copy: the shortest repeated block, in tokens
    period_max: int = 512  # copy: the longest

    def check(self) -> None:
        """Raise PosextError for an invalid setting, naming the value and the valid ones."""
        one_of("data.source", self.source, ("python", "text", "hub", *SYNTHETIC_SOURCES))
        self.check_synthetic()
        if self.source == "text" and not self.path:
            raise PosextError(
                "data=text needs data.path, a file or folder of .txt, .md, .jsonl or .parquet"
            )
        if not 0 < self.validation_share < 1:
            raise PosextError(
                f"data.validation_share must lie between 0 and 1, not {self.validation_share}"
            )
        if not 0 <= self.recall_share <= 1:
            raise PosextError(
                f"data.recall_share must lie between 0 and 1, not {self.recall_share}"
            )
        if self.recall_share and self.source in SYNTHETIC_SOURCES:
            raise PosextError(
                f"data.recall_share must be 0 with data={self.source}: all its symbols are common"
            )

    def check_synthetic(self) -> None:
        """Raise PosextError for an invalid synthetic corpus, naming the valid values."""
        if (self.source in SYNTHETIC_SOURCES) != (self.tokenizer == "letters"):
            raise PosextError(
                f"data={self.source} does not go with data.tokenizer={self.tokenizer}: "
                "letters is for markov, copy"
            )
        if self.source not in SYNTHETIC_SOURCES:
            return
        for name in ("documents", "document_tokens", "order", "period_min"):
            if getattr(self, name) < 1:
                raise PosextError(f"data.{name} must be at least 1, not {getattr(self, name)}")
        if self.seed < 0:
            raise PosextError(f"data.seed must be at least 0, not {self.seed}")
        if not 2 <= self.symbols <= len(LETTERS):
            raise PosextError(
                f"data.symbols must lie between 2 and {len(LETTERS)}, not {self.symbols}"
            )
        if self.vocab_size != self.symbols:
            raise PosextError(
                f"data.vocab_size must be data.symbols={self.symbols}, not {self.vocab_size}"
            )
        if not 0 < self.concentration < math.inf:
            raise PosextError(
                f"data.concentration must be a number above 0, not {self.concentration}"
            )
        cells = self.symbols ** (self.order + 1)
        if self.source == "markov" and cells > MAX_TABLE_CELLS:
            largest = int(math.log(MAX_TABLE_CELLS, self.symbols) + 1e-9) - 1
            raise PosextError(
                f"data.order must be at most {largest} with {self.symbols} symbols, "
                f"not {self.order}"
            )
        if self.period_max < self.period_min:
            raise PosextError(
                f"data.period_max must be at least data.period_min={self.period_min}, "
                f"not {self.period_max}"
            )


@dataclass
class OptimizerConfig:
    """AdamW (Loshchilov and Hutter 2017, arXiv:1711.05101).

    Weight decay applies to matrices, not to gains and other vectors.
    """

    beta1: float = 0.9  # decay of the mean gradient
    beta2: float = 0.95  # decay of the mean squared gradient
    weight_decay: float = 0.1  # of matrices
    clip: float = 1.0  # largest norm of the full gradient
    schedule: str = "cosine"  # cosine, or wsd: constant, then linear decay
    warmup_share: float = 0.05  # of the steps
    decay_share: float = 0.2  # of the steps, for wsd
    final_share: float = 0.1  # of the learning rate, at the last step

    def check(self) -> None:
        """Raise PosextError for an invalid setting, naming the value and the valid ones."""
        one_of("optimizer.schedule", self.schedule, ("cosine", "wsd"))
        for name in ("warmup_share", "decay_share", "final_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise PosextError(
                    f"optimizer.{name} must lie between 0 and 1, not {getattr(self, name)}"
                )
        for name in ("beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise PosextError(
                    f"optimizer.{name} must be at least 0 and below 1, not {getattr(self, name)}"
                )
        if not 0 <= self.weight_decay < math.inf:
            raise PosextError(
                f"optimizer.weight_decay must be a number of at least 0, not {self.weight_decay}"
            )
        if not 0 < self.clip < math.inf:
            raise PosextError(f"optimizer.clip must be a number above 0, not {self.clip}")


@dataclass
class StageConfig:
    """A stage of the length schedule."""

    multiple: int = 1  # of train_length
    share: float = 1.0  # of the steps


@dataclass
class LengthConfig:
    """The length schedule: one stage after the other."""

    stages: list[StageConfig] = field(default_factory=lambda: [StageConfig()])  # in order


@dataclass
class EvaluationConfig:
    """The measurement of curves."""

    blocks: int = 4  # blocks of targets in a document
    targets: int | None = None  # targets in a block; null: min(64, half the shortest context)
    documents: int | None = None  # the most documents; null: all that are long enough
    # null: 4,096 on a CPU, whose caches are small, 65,536 on a GPU
    tokens_per_batch: int | None = None
    bootstrap: int = 1000  # resamples of the documents, for the interval of a usable length
    seed: int = 0  # of the choice of targets and the bootstrap, independent of the model's
    # protocol sliding: tokens between windows; null: an eighth of the context length
    stride: int | None = None
    trials: int = 32  # protocols retrieval and passkey: at each length, depth and condition
    ngram: int = 3  # protocol far_copy: tokens before a target that must recur with it

    def check(self) -> None:
        """Raise PosextError for an invalid setting, naming the value and the valid ones."""
        if self.ngram < 3:
            raise PosextError(f"evaluation.ngram must be at least 3, not {self.ngram}")


@dataclass
class TrackingConfig:
    """Tracking on wandb; the files in the run's folder are always written."""

    wandb: str = "offline"  # offline, online or disabled
    project: str = "posext"  # on wandb


@dataclass
class TrainConfig:
    """A run: the scheme, what is trained, and how it is measured."""

    pe: Any = MISSING  # the positional scheme: +pe=NAME, required
    window: Any = None  # keys that a query attends to: +window=NAME
    attention_scale: Any = None  # temperature of attention: +attention_scale=NAME
    qk_gain: Any = None  # magnitudes on queries and keys: +qk_gain=NAME
    position_ids: Any = None  # position ids in training: +position_ids=NAME
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    length: LengthConfig = field(default_factory=LengthConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    train_length: int = 128  # tokens; with a length schedule, those of its first stage
    steps: int = 1000  # of the optimizer
    tokens_per_step: int = 4096  # over all processes and micro-batches
    micro_batch_tokens: int = 16384  # the most tokens in one forward pass of one process
    learning_rate: float = MISSING  # the highest; the default is that of the model's size
    seed: int = 0  # of weights and batches
    precision: str = "auto"  # fp32, bf16; auto: bf16 if the hardware supports it
    compile: str = "auto"  # true, false; auto: if the run is long enough to repay it
    evaluate: bool = True  # measure the curve after training
    # null: train_length / 2 .. 16 times the longest length trained
    context_lengths: list[int] | None = None
    protocols: list[str] = field(default_factory=lambda: ["fixed_target"])  # posext.eval.protocols
    validate_every: int = 200  # steps
    checkpoint_every: int = 200  # steps
    name: str | None = None  # of the run's folder; null: made from the config
    study: str = "default"  # groups runs in tables and on wandb
    results: str = "results/runs"  # parent folder of the runs
    # modules outside posext whose schemes may run
    own_modules: list[str] = field(default_factory=list)

    def modifiers(self) -> dict[str, dict[str, Any]]:
        """Return the settings of the chosen modifiers, by group."""
        chosen = {group: getattr(self, group) for group in MODIFIERS}
        return {group: settings for group, settings in chosen.items() if settings is not None}

    def title(self) -> str:
        """Return the scheme with its modifiers, as in rope+logn."""
        return "+".join(choice["name"] for choice in (self.pe, *self.modifiers().values()))

    def check(self) -> None:
        """Raise PosextError for an invalid setting, naming the value and the valid ones.

        The types of all settings are checked earlier, by OmegaConf.
        """
        self.check_counts()
        self.check_protocols()
        self.check_choices()
        self.data.check()
        self.optimizer.check()
        self.check_stages()
        self.check_name()
        check_lengths(self.context_lengths)
        if self.model.path is None:
            self.check_trainable()

    def check_counts(self) -> None:
        """Raise PosextError for a count or seed that is too small."""
        model = self.model
        evaluation = self.evaluation
        at_least_one = {
            "steps": self.steps,
            "tokens_per_step": self.tokens_per_step,
            "micro_batch_tokens": self.micro_batch_tokens,
            "checkpoint_every": self.checkpoint_every,
            "validate_every": self.validate_every,
            "data.vocab_size": self.data.vocab_size,
            "evaluation.blocks": evaluation.blocks,
            "evaluation.trials": evaluation.trials,
            "evaluation.bootstrap": evaluation.bootstrap,
            "evaluation.targets": evaluation.targets,
            "evaluation.documents": evaluation.documents,
            "evaluation.stride": evaluation.stride,
            "evaluation.tokens_per_batch": evaluation.tokens_per_batch,
            "model.n_layers": model.n_layers,
            "model.n_heads": model.n_heads,
            "model.d_model": model.d_model,
            "model.d_ff": model.d_ff,
        }
        for key, value in at_least_one.items():
            if value is not None and value < 1:
                raise PosextError(f"{key} must be at least 1, not {value}")
        if self.train_length < 2:
            raise PosextError(f"train_length must be at least 2, not {self.train_length}")
        for key, seed in (("seed", self.seed), ("evaluation.seed", evaluation.seed)):
            if seed < 0:
                raise PosextError(f"{key} must be at least 0, not {seed}")

    def check_protocols(self) -> None:
        """Raise PosextError for an unknown protocol or setting of one, or for no protocol."""
        for name in self.protocols:
            one_of("protocols", name, (*PROTOCOLS, *RETRIEVAL))
        if not set(PROTOCOLS) & set(self.protocols):
            raise PosextError(
                f"protocols must name at least one of {', '.join(PROTOCOLS)}, not {self.protocols}"
            )
        self.evaluation.check()

    def check_choices(self) -> None:
        """Raise PosextError for an unknown precision, compile or tracking mode."""
        one_of("precision", self.precision, ("auto", "fp32", "bf16"))
        one_of("compile", self.compile.lower(), ("auto", "true", "false"))
        one_of("tracking.wandb", self.tracking.wandb, ("offline", "online", "disabled"))

    def check_stages(self) -> None:
        """Raise PosextError for an invalid length schedule."""
        shares = [stage.share for stage in self.length.stages]
        if not shares or not (min(shares) > 0 and abs(sum(shares) - 1) <= 1e-6):
            raise PosextError(
                f"the shares of length.stages must be above 0 and sum to 1, not {shares}"
            )
        multiples = [stage.multiple for stage in self.length.stages]
        if multiples[0] != 1 or multiples != sorted(multiples):
            raise PosextError(
                f"the multiples of length.stages must start at 1 and never fall, not {multiples}"
            )

    def check_name(self) -> None:
        """Raise PosextError for a name that cannot be a folder's."""
        if self.name is not None and not re.fullmatch(r"\w[\w.-]{0,199}", self.name):
            raise PosextError(
                "name must be at most 200 letters, digits, and . _ - after the first, "
                f"not {self.name!r}"
            )

    def check_trainable(self) -> None:
        """Raise PosextError for an invalid setting of a network to train."""
        if not 0 < self.learning_rate < math.inf:
            raise PosextError(f"learning_rate must be a number above 0, not {self.learning_rate}")
        self.model.head_dim()
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
    model: Any = MISSING  # instead of a run: model=hf model.path=FOLDER_OR_ID
    data: DataConfig = field(default_factory=DataConfig)  # with model=hf only, as the next two
    train_length: int | None = None  # null: as in the checkpoint's config
    name: str | None = None  # of the folder in results/runs; null: made from the path and the data
    extend: Any = None  # a scheme to apply to the same weights: +pe@extend=NAME
    window: Any = None  # keys that a query attends to: +window=NAME
    attention_scale: Any = None  # temperature of attention: +attention_scale=NAME
    context_lengths: list[int] | None = None  # null: those of the run
    protocols: list[str] = field(default_factory=lambda: ["fixed_target"])
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    precision: str = "auto"
    own_modules: list[str] = field(default_factory=list)


def one_of(key: str, value: str, valid: tuple[str, ...]) -> None:
    """Raise PosextError for a value that is not among the valid ones."""
    if value not in valid:
        raise PosextError(f"{key} must be one of {', '.join(valid)}, not {value!r}")


def check_lengths(lengths: list[int] | None) -> None:
    """Raise PosextError for context lengths that are not increasing numbers from 2 on."""
    if lengths is not None and (not lengths or min(lengths) < 2 or lengths != sorted(set(lengths))):
        raise PosextError(
            f"context_lengths must be increasing numbers of at least 2, not {lengths}"
        )


store = ConfigStore.instance()
store.store(name="train_schema", node=TrainConfig)
store.store(name="evaluate_schema", node=EvaluateConfig)
