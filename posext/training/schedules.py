"""The sequence length of training as a pure function of the step."""

from dataclasses import dataclass

from posext.config import LengthConfig


@dataclass(frozen=True)
class LengthSchedule:
    """Stages of training, each with one sequence length.

    Attributes:
        stages: (first step after the stage, length in tokens) of each stage, in order.
    """

    stages: tuple[tuple[int, int], ...]

    def length_at(self, step: int) -> int:
        """Return the tokens of a sequence at a step, counted from 0."""
        return next((length for end, length in self.stages if step < end), self.longest)

    def trained_length_at(self, step: int) -> int:
        """Return the longest length of the stages begun by a step; schemes scale to it."""
        return max(
            length
            for index, (_, length) in enumerate(self.stages)
            if index == 0 or step >= self.stages[index - 1][0]
        )

    @property
    def longest(self) -> int:
        """The longest length of all stages."""
        return max(length for _, length in self.stages)


def schedule(config: LengthConfig, train_length: int, steps: int) -> LengthSchedule:
    """Return the stages of a config, in whole steps that add up to `steps`.

    Args:
        config: The stages: multiples of `train_length`, and shares of the steps.
        train_length: The length of the first stage, in tokens.
        steps: The number of steps of the run.
    """
    stages = []
    share = 0.0
    for stage in config.stages:
        share += stage.share
        stages.append((round(share * steps), train_length * stage.multiple))
    return LengthSchedule(tuple(stages))
