"""The settings of a run that continues another."""

from dataclasses import dataclass

from posext.utils.ranges import Count, Natural, Positive, PositiveShare


@dataclass
class InitConfig:
    """The weights that training starts from: random, or those of its parent.

    The parent is a finished run, or a checkpoint of transformers.

    Settings that are not chosen are the parent's: see `posext.runs.parent`.
    """

    # folder of the parent, or its id on the hub; null: random weights. init=FOLDER sets it
    path: str | None = None
    checkpoint: Count | None = None  # a step of the parent that its keep_every kept; null: the end
    # go on with the parent's optimizer, schedule and count of steps, as one longer training
    optimizer: bool = False
    # of LoRA on a checkpoint's attention, beside its norms and embeddings; null: train all weights
    lora_rank: Count | None = None
    length_multiple: Count = 1  # default of train_length, in longest training lengths of the parent
    steps_share: PositiveShare = 0.15  # default of steps, in steps of the parent
    # default of the learning rates, in those of the parent; measured in results/extension
    learning_rate_share: Positive = 0.3
    weights: str = ""  # recorded: SHA-256 of the parent's weights
    lineage: str = ""  # recorded: how those came about
    own_steps: Natural = 0  # recorded: of the parent's training
    steps: Natural = 0  # recorded: of its training and that of its ancestors
    tokens: Natural = 0  # recorded: seen in those steps
