"""Which sequence length a step trains at: a pure function of the step."""

from dataclasses import dataclass

from posext.config import LengthConfig


@dataclass(frozen=True)
class LengthSchedule:
    """Stages of (first step after the stage, length in tokens)."""

    stages: tuple[tuple[int, int], ...]

    def length_at(self, step: int) -> int:
        """Tokens of a sequence at this step (counted from 0)."""
        return next((length for end, length in self.stages if step < end), self.longest)

    def trained_length_at(self, step: int) -> int:
        """The longest length trained once this step's stage has begun: what a scheme takes its factor from."""
        return max(
            length
            for index, (_, length) in enumerate(self.stages)
            if index == 0 or step >= self.stages[index - 1][0]
        )

    @property
    def longest(self) -> int:
        return max(length for _, length in self.stages)


def schedule(config: LengthConfig, train_length: int, steps: int) -> LengthSchedule:
    """The stages of a config, in whole steps that add up to `steps`."""
    ends, done = [], 0.0
    for stage in config.stages:
        done += stage.share
        ends.append((round(done * steps), train_length * stage.multiple))
    return LengthSchedule(tuple(ends))
