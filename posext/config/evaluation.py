"""The settings of a measurement."""

from dataclasses import dataclass
from typing import Annotated, Any

from annotated_types import Ge, Gt, Le, Lt

from posext.config.corpora import DataConfig
from posext.config.evaluation_data import OWN, corpora_of
from posext.utils.ranges import Count, Natural, NonNegative, OneOf


@dataclass
class EvaluationConfig:
    """The measurement of curves."""

    # a corpus or a list: own, the held-out documents of data; a choice of data=; or settings such
    # as {name: books, source: text, path: books/}
    data: Any = OWN
    blocks: Count = 1  # blocks of targets in a document
    # targets in a block; null: 256, and at most half the longest context
    targets: Count | None = None
    # of a window is scored at most, the rest is context alone; longer blocks are cut into pieces
    scored_share: Annotated[float, Gt(0), Le(0.5)] = 0.5
    documents: Count | None = None  # the most documents; null: all that are long enough
    # null: 4,096 on a CPU, whose caches are small; 65,536 on a GPU, fewer if little of its memory
    # is free. Either way it is halved when memory runs out
    tokens_per_batch: Count | None = None
    bootstrap: Count = 1000  # resamples of the documents, for the interval of a usable length
    seed: Natural = 0  # of the choice of targets and the bootstrap, independent of the model's
    # protocol sliding: tokens between windows; null: an eighth of the context length
    stride: Count | None = None
    trials: Count = 32  # retrieval tasks: at each length, depth and condition
    # a checkpoint's start-of-text token, in place of the first token of a window: none; window;
    # auto: if its tokenizer puts one before a text
    bos: Annotated[str, OneOf(("auto", "none", "window"))] = "auto"
    # protocol far_copy: tokens before a target that must recur with it
    ngram: Annotated[int, Ge(3)] = 3
    # protocols far_copy and key_tokens: tokens back from which text is far, the same for runs that
    # are compared; null: the longest training length
    far_beyond: Count | None = None
    # protocol key_tokens: the folder of a run, or a checkpoint of transformers, that chooses the
    # keys; null: the run itself, as trained
    key_judge: str | None = None
    # protocol key_tokens: a key gains more nats from the long context
    key_alpha: NonNegative = 2.0
    key_beta: float = -2.0  # protocol key_tokens: a key has a higher log-likelihood there
    key_short: Count | None = None  # protocol key_tokens: short context; null: far_beyond
    # measure a run as trained once more, each query in a window of the training length
    own_window: bool = False
    # protocol perturbed: targets in a window at most; a distance is as sharp as that
    perturbed_piece: Count = 64
    # protocol perturbed: a rise below this share of the loss counts as none
    effective_rise: Annotated[float, Gt(0), Lt(1)] = 0.01
    attention_documents: Count = 8  # protocol attention: the most documents that it reads
    # protocol accuracy: lengths of examples; null: 0.5, 1, 1.5, 2, 4 and 8 times data.length
    example_lengths: list[int] | None = None
    examples: Count = 256  # protocol accuracy: at each length

    def block_size(self, longest: int) -> int:
        """Return the targets in a block, given the longest context length."""
        return self.targets or min(256, max(1, longest // 2))

    def corpora(self) -> dict[str, DataConfig | None]:
        """Return the corpora that are measured, by name: `evaluation_data.corpora_of`."""
        return corpora_of(self.data)
