"""The examples that a run trains on and is tested on, as pure functions of (seed, step).

Shape suffixes: B examples of several lengths, R of one, T tokens.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor

from posext.config import AlgorithmicData
from posext.data.algorithmic import answers, streams
from posext.data.algorithmic.task import IGNORED, PAD, SPECIAL, Examples, Task
from posext.utils.errors import PosextError
from posext.utils.rng import Stream, step_generator

TASKS: dict[str, type[Task]] = {
    "copy": answers.Copy,
    "reverse": answers.Reverse,
    "addition": answers.Addition,
    "sorting": answers.Sorting,
    "parity": answers.Parity,
    "dyck": streams.Dyck,
    "flip_flop": streams.FlipFlop,
    "mqar": streams.MultiQueryRecall,
    "s5": streams.PermutationProduct,
    "counting": answers.Counting,
}
REACH = 16  # the longest example for which a task has symbols, in multiples of data.length


@dataclass(frozen=True)
class TaskCorpus:
    """Examples of a task: what `posext.data.dataset.Data` is for texts."""

    config: AlgorithmicData

    @cached_property
    def task(self) -> Task:
        """The task."""
        name = self.config.task
        made = answers.HintedAddition if self.config.index_hints else TASKS[name]
        return made(REACH * self.config.length)

    @property
    def fingerprint(self) -> str:
        """A hash of the settings that examples are made from."""
        settings = asdict(self.config)
        chosen = [self.task.layout, *(settings[key] for key in ("task", "length", "index_hints"))]
        return hashlib.sha256(json.dumps(chosen).encode()).hexdigest()[:16]

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """A tokenizer of words between spaces, for the vocabulary of the task."""
        vocabulary = {word: token for token, word in enumerate(self.task.words)}
        tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=SPECIAL[PAD]))
        tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        return tokenizer

    @property
    def vocab_size(self) -> int:
        """The number of tokens of the vocabulary."""
        return len(self.task.words)

    @property
    def overlap(self) -> dict[str, float]:
        """Nothing: longer examples than those trained on cannot be among them."""
        return {}

    def overlap_in_words(self) -> str:
        """Return what is known of test examples among those trained on, as a sentence."""
        return f"examples longer than {self.config.length} are not trained on"

    def training_batch(self, seed: int, step: int, count: int) -> tuple[Tensor, Tensor, list[str]]:
        """Return the examples of a step, a pure function of the arguments.

        Lengths are uniform from the task's shortest to data.length. Shorter examples are filled at
        their end, which a causal model does not see before it.

        Returns:
            Tokens and labels, int64 (count, T), and the origin of each example.
        """
        return self.mixed_lengths(step_generator(seed, step, Stream.BATCH), count)

    def validation_batch(self, count: int) -> tuple[Tensor, Tensor, list[str]]:
        """Return examples like those of training, from a stream of their own."""
        return self.mixed_lengths(step_generator(0, 0, Stream.EXAMPLES), count)

    def mixed_lengths(
        self, rng: np.random.Generator, count: int
    ) -> tuple[Tensor, Tensor, list[str]]:
        """Draw examples of lengths from the task's shortest to data.length, each as likely."""
        lengths_B = rng.integers(self.task.shortest, self.config.length + 1, size=count)
        width = self.config.tokens_read(self.config.length)
        tokens_BT = np.full((count, width), PAD, dtype=np.int64)
        labels_BT = np.full((count, width), IGNORED, dtype=np.int64)
        for length in np.unique(lengths_B).tolist():
            rows_R = np.flatnonzero(lengths_B == length)
            examples = self.task.draw(length, len(rows_R), rng)
            end = examples.tokens_RT.shape[1]
            tokens_BT[rows_R, :end] = examples.tokens_RT
            labels_BT[rows_R, :end] = examples.labels_RT
        origins = [f"{self.config.task} of length {length}" for length in lengths_B]
        return torch.from_numpy(tokens_BT), torch.from_numpy(labels_BT), origins

    def test_examples(self, seed: int, length: int, count: int) -> Examples:
        """Return examples of one length to test on, a pure function of the arguments.

        Raises PosextError for a length beyond the symbols of the task.
        """
        if length > self.task.reach:
            raise PosextError(
                f"examples of length {length} are too long: data.length={self.config.length} has "
                f"symbols for {self.task.reach} items"
            )
        return self.task.draw(length, count, step_generator(seed, length, Stream.EXAMPLES))
