"""Every setting, its type and default. Hydra composes these from `configs/`; the choice of scheme alone stays open."""

import math
import re
import string
from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING

from posext.utils.errors import PosextError

PROTOCOLS = (
    "fixed_target", "far_copy", "sliding", "nonoverlap", "per_position",
    "alibi", "alibi_s1", "pi", "yarn_paper", "longlora",
)  # fmt: skip
RETRIEVAL = (
    "retrieval",
    "passkey",
)  # asked for as protocols are, but on made-up contexts: posext.eval.retrieval
HEADLINE = "fixed_target"  # the protocol of charts, unless another is asked for
MODIFIERS = (
    "window",
    "attention_scale",
    "qk_gain",
    "position_ids",
)  # groups beside pe, each absent unless named
LETTERS = string.ascii_letters + string.digits  # what the symbols of a drawn corpus are written as
HUB_ID = r"\w[\w.-]*/\w[\w.-]*"  # owner/name: never a path, nor the name of one of the loaders of `datasets`
SYNTHETIC_SOURCES = ("markov", "copy")  # sources whose law is known
MOST_CELLS = 2**14  # in the transition table of one document


@dataclass
class ModelConfig:
    name: str = MISSING  # of the size, as in the name of a run
    n_layers: int = MISSING  # blocks of attention and SwiGLU
    n_heads: int = MISSING  # divides d_model
    d_model: int = MISSING  # width of the network
    d_ff: int = MISSING  # width inside SwiGLU
    learning_rate: float = MISSING  # the default of the top-level learning_rate at this size
    path: str | None = (
        None  # of model=hf: a checkpoint of transformers, a folder or an id on the hub
    )

    def head_dim(self) -> int:
        """Width of one head. Raises PosextError where the heads do not divide the model's width."""
        if self.d_model % self.n_heads:
            raise PosextError(
                f"model.n_heads={self.n_heads} does not divide model.d_model={self.d_model}"
            )
        return self.d_model // self.n_heads


@dataclass
class DataConfig:
    source: str = MISSING  # python, text, hub, markov or copy
    path: str | None = None  # text: a file or folder; hub: the id of a data set
    subset: str | None = None  # hub: the data set's configuration
    column: str = "text"  # of .jsonl, .parquet and hub data
    document_start: str | None = (
        None  # hub: a pattern of the rows at which a document begins; null: each row is one
    )
    tokenizer: str = "bpe"  # bpe (trained on the train split), bytes, a tokenizer.json or its folder, or a hub id;
    #                         letters, of markov and copy: one token a symbol
    vocab_size: int = 2048  # of bpe and letters
    validation_share: float = 0.1  # of the documents, chosen by a hash of their names
    recall_share: float = 0.0  # of the training sequences, in which there are pairs to recall: see posext.data.recall.mixing
    cache: str = "~/.cache/posext"  # folder of tokenized corpora
    documents: int = 1100  # this and the rest: of markov and copy
    document_tokens: int = 4200  # in each document
    seed: int = 0  # of the documents; never the model's
    symbols: int = 5  # that documents are made of
    order: int = 1  # markov: how many symbols the next one hangs on
    concentration: float = (
        0.3  # markov: of the symmetric Dirichlet that transition rows are drawn from
    )
    period_min: int = (
        16  # copy: the shortest and the longest block that a document repeats, in tokens
    )
    period_max: int = 512  # copy: see period_min

    def check_synthetic(self) -> None:
        """Raise PosextError for a corpus that cannot be drawn, naming the value and what would do."""
        if (self.source in SYNTHETIC_SOURCES) != (self.tokenizer == "letters"):
            raise PosextError(
                f"data={self.source} does not go with data.tokenizer={self.tokenizer}: letters is for markov, copy"
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
        if self.source == "markov" and self.symbols ** (self.order + 1) > MOST_CELLS:
            largest = int(math.log(MOST_CELLS, self.symbols) + 1e-9) - 1
            raise PosextError(
                f"data.order must be at most {largest} with {self.symbols} symbols, not {self.order}"
            )
        if self.period_max < self.period_min:
            raise PosextError(
                f"data.period_max must be at least data.period_min={self.period_min}, not {self.period_max}"
            )


@dataclass
class OptimizerConfig:
    """AdamW (Loshchilov and Hutter 2017, arXiv:1711.05101). Matrices decay, gains and other vectors do not."""

    beta1: float = 0.9  # decay of the mean gradient
    beta2: float = 0.95  # decay of the mean squared gradient
    weight_decay: float = 0.1  # of matrices
    clip: float = 1.0  # largest norm of the whole gradient
    schedule: str = "cosine"  # cosine, or wsd: constant, then linear decay
    warmup_share: float = 0.05  # of the steps
    decay_share: float = 0.2  # of the steps, for wsd
    final_share: float = 0.1  # of the learning rate, at the last step

    def check(self) -> None:
        """Raise PosextError for what is out of range, naming the value and what would do."""
        one_of("optimizer.schedule", self.schedule, ("cosine", "wsd"))
        for part in ("warmup_share", "decay_share", "final_share"):
            if not 0 <= getattr(self, part) <= 1:
                raise PosextError(
                    f"optimizer.{part} must lie between 0 and 1, not {getattr(self, part)}"
                )
        for part in ("beta1", "beta2"):
            if not 0 <= getattr(self, part) < 1:
                raise PosextError(
                    f"optimizer.{part} must be at least 0 and below 1, not {getattr(self, part)}"
                )
        if not 0 <= self.weight_decay < math.inf:
            raise PosextError(
                f"optimizer.weight_decay must be a number of at least 0, not {self.weight_decay}"
            )
        if not 0 < self.clip < math.inf:
            raise PosextError(f"optimizer.clip must be a number above 0, not {self.clip}")


@dataclass
class StageConfig:
    multiple: int = 1  # of train_length
    share: float = 1.0  # of the steps


@dataclass
class LengthConfig:
    stages: list[StageConfig] = field(default_factory=lambda: [StageConfig()])  # in order


@dataclass
class EvaluationConfig:
    """How curves are measured."""

    blocks: int = 4  # blocks of targets in a document
    targets: int | None = None  # targets in a block; null: min(64, half the shortest context)
    documents: int | None = None  # at most so many documents; null: all that are long enough
    tokens_per_batch: int | None = (
        None  # null: 4,096 on a CPU, whose caches are small, 65,536 on a GPU
    )
    bootstrap: int = 1000  # resamples of the documents, to say how sure a usable length is
    seed: int = 0  # of the choice of targets and of the bootstrap; never the model's
    stride: int | None = (
        None  # tokens by which protocol sliding moves on; null: an eighth of the context length
    )
    trials: int = 32  # protocols retrieval and passkey: at each length, depth and condition
    ngram: int = 3  # protocol far_copy: tokens before a target that must recur with it


@dataclass
class TrackingConfig:
    wandb: str = "offline"  # offline, online or disabled; the files in the run's folder are written in any case
    project: str = "posext"  # on wandb


@dataclass
class TrainConfig:
    pe: Any = MISSING  # the positional scheme: +pe=NAME, required
    window: Any = None  # which keys a query sees: +window=NAME
    attention_scale: Any = None  # temperature: +attention_scale=NAME
    qk_gain: Any = None  # magnitudes on queries and keys: +qk_gain=NAME
    position_ids: Any = None  # positions in training: +position_ids=NAME
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    length: LengthConfig = field(default_factory=LengthConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    train_length: int = 128  # tokens; with a length schedule, of its first stage
    steps: int = 1000  # of the optimizer
    tokens_per_step: int = 4096  # over all processes and micro-batches
    micro_batch_tokens: int = 16384  # most tokens in one forward pass of one process
    learning_rate: float = MISSING  # the highest; that of the model's size unless typed
    seed: int = 0  # of weights and batches
    precision: str = "auto"  # fp32, bf16; auto: bf16 where the hardware has it
    compile: str = "auto"  # true, false; auto: where the steps left repay it
    evaluate: bool = True  # measure the curve once trained
    context_lengths: list[int] | None = (
        None  # null: train_length / 2 .. 16 times the longest length trained
    )
    protocols: list[str] = field(default_factory=lambda: ["fixed_target"])  # see docs/protocols.md
    validate_every: int = 200  # steps between two losses on held-out text
    checkpoint_every: int = 200  # steps between two checkpoints
    name: str | None = None  # of the run's folder; null: made from the config
    study: str = "default"  # groups runs in tables and on wandb
    results: str = "results/runs"  # where the folders of runs lie
    own_modules: list[str] = field(
        default_factory=list
    )  # modules outside posext whose schemes are allowed to run

    def modifiers(self) -> dict[str, dict[str, Any]]:
        """What was chosen beside the scheme, by group."""
        chosen = {group: getattr(self, group) for group in MODIFIERS}
        return {group: settings for group, settings in chosen.items() if settings is not None}

    def title(self) -> str:
        """The scheme with its axes, as in rope+logn."""
        return "+".join(part["name"] for part in (self.pe, *self.modifiers().values()))

    def check(self) -> None:
        """Raise PosextError for what types alone do not catch, naming the value and what would do."""
        at_least_one = {
            "steps": self.steps,
            "tokens_per_step": self.tokens_per_step,
        }
        at_least_one |= {
            "micro_batch_tokens": self.micro_batch_tokens,
            "checkpoint_every": self.checkpoint_every,
        }
        at_least_one |= {
            "validate_every": self.validate_every,
            "data.vocab_size": self.data.vocab_size,
        }
        at_least_one |= {
            f"evaluation.{k}": getattr(self.evaluation, k)
            for k in ("blocks", "trials", "bootstrap")
        }
        at_least_one |= {
            f"evaluation.{k}": getattr(self.evaluation, k)
            for k in ("targets", "documents", "stride", "tokens_per_batch")
        }
        at_least_one |= {
            f"model.{k}": getattr(self.model, k) for k in ("n_layers", "n_heads", "d_model", "d_ff")
        }
        for key, value in at_least_one.items():
            if value is not None and value < 1:
                raise PosextError(f"{key} must be at least 1, not {value}")
        if self.train_length < 2:
            raise PosextError(f"train_length must be at least 2, not {self.train_length}")
        for key, seed in (("seed", self.seed), ("evaluation.seed", self.evaluation.seed)):
            if seed < 0:
                raise PosextError(f"{key} must be at least 0, not {seed}")
        for name in self.protocols:
            one_of("protocols", name, (*PROTOCOLS, *RETRIEVAL))
        if not set(PROTOCOLS) & set(self.protocols):
            raise PosextError(
                f"protocols must name at least one of {', '.join(PROTOCOLS)}, not {self.protocols}"
            )
        if self.evaluation.ngram < 3:
            raise PosextError(f"evaluation.ngram must be at least 3, not {self.evaluation.ngram}")
        one_of("precision", self.precision, ("auto", "fp32", "bf16"))
        one_of("compile", self.compile.lower(), ("auto", "true", "false"))
        one_of("tracking.wandb", self.tracking.wandb, ("offline", "online", "disabled"))
        one_of("data.source", self.data.source, ("python", "text", "hub", *SYNTHETIC_SOURCES))
        self.data.check_synthetic()
        self.optimizer.check()
        if self.data.source == "text" and not self.data.path:
            raise PosextError(
                "data=text needs data.path, a file or folder of .txt, .md, .jsonl or .parquet"
            )
        if not 0 < self.data.validation_share < 1:
            raise PosextError(
                f"data.validation_share must lie between 0 and 1, not {self.data.validation_share}"
            )
        if not 0 <= self.data.recall_share <= 1:
            raise PosextError(
                f"data.recall_share must lie between 0 and 1, not {self.data.recall_share}"
            )
        if self.data.recall_share and self.data.source in SYNTHETIC_SOURCES:
            raise PosextError(
                f"data.recall_share must be 0 with data={self.data.source}: all its symbols are common"
            )
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
        if self.name is not None and not re.fullmatch(r"\w[\w.-]{0,199}", self.name):
            raise PosextError(
                f"name must be at most 200 letters, digits, and . _ - after the first, not {self.name!r}"
            )
        check_lengths(self.context_lengths)
        if self.model.path is None:
            self.check_trainable()

    def check_trainable(self) -> None:
        """Raise PosextError for what only a network that is to be trained must fulfil."""
        if not 0 < self.learning_rate < math.inf:
            raise PosextError(f"learning_rate must be a number above 0, not {self.learning_rate}")
        self.model.head_dim()
        longest = self.train_length * self.length.stages[-1].multiple
        if longest > self.tokens_per_step:
            raise PosextError(
                f"a sequence of {longest} tokens does not fit tokens_per_step={self.tokens_per_step}"
            )


@dataclass
class EvaluateConfig:
    """A run, or a checkpoint of transformers, to measure. What is not typed is as in the run, whatever the defaults here."""

    run: str | None = None  # the folder of a finished run
    model: Any = MISSING  # instead of a run: model=hf model.path=FOLDER_OR_ID
    data: DataConfig = field(default_factory=DataConfig)  # this and the next two: of model=hf alone
    train_length: int | None = None  # null: what the checkpoint's config says
    name: str | None = None  # of the folder in results/runs; null: made from the path and the data
    extend: Any = None  # a scheme to measure the same weights with: +pe@extend=NAME
    window: Any = None  # keys seen while measuring: +window=NAME
    attention_scale: Any = None  # temperature while measuring: +attention_scale=NAME
    context_lengths: list[int] | None = None  # null: those of the run
    protocols: list[str] = field(default_factory=lambda: ["fixed_target"])
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    precision: str = "auto"
    own_modules: list[str] = field(default_factory=list)


def one_of(key: str, value: str, valid: tuple[str, ...]) -> None:
    if value not in valid:
        raise PosextError(f"{key} must be one of {', '.join(valid)}, not {value!r}")


def check_lengths(lengths: list[int] | None) -> None:
    if lengths is not None and (not lengths or min(lengths) < 2 or lengths != sorted(set(lengths))):
        raise PosextError(
            f"context_lengths must be increasing numbers of at least 2, not {lengths}"
        )


store = ConfigStore.instance()
store.store(name="train_schema", node=TrainConfig)
store.store(name="evaluate_schema", node=EvaluateConfig)
