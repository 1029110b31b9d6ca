"""The sequence length and the attention window of training as pure functions of the step."""

from dataclasses import dataclass
from typing import NamedTuple

from posext.config import LengthConfig
from posext.pe import PositionalEncoding
from posext.utils.errors import PosextError
from posext.window.sliding import SlidingWindow


class Stage(NamedTuple):
    """A stage of training.

    Attributes:
        end: The first step after it.
        length: Tokens of a sequence.
        window: The last keys that a query attends to, its own included; None: all.
    """

    end: int
    length: int
    window: int | None = None


@dataclass(frozen=True)
class LengthSchedule:
    """Stages of training, in order.

    Windows that grow at one length are those of SkyLadder (Zhu et al. 2025, arXiv:2503.15450),
    which cuts sequences into chunks of a size that grows a little in every step. Here the windows
    slide and grow from stage to stage, as in modded-nanogpt. As there, the frequencies of a scaling
    such as YaRN follow them, if its factor is automatic and original_length is the first window. By
    default original_length is train_length, which no window exceeds, so a scaling is RoPE.
    """

    stages: tuple[Stage, ...]

    def stage_at(self, step: int) -> Stage:
        """Return the stage of a step, counted from 0; beyond the end, the last."""
        return next((stage for stage in self.stages if step < stage.end), self.stages[-1])

    def length_at(self, step: int) -> int:
        """Return the tokens of a sequence at a step, counted from 0."""
        return self.stage_at(step).length

    def window_at(self, step: int) -> int | None:
        """Return the last keys that a query attends to at a step; None: all."""
        return self.stage_at(step).window

    def trained_length_at(self, step: int) -> int:
        """Return the longest length of the stages begun by a step; schemes scale to it."""
        return max(
            stage.length
            for index, stage in enumerate(self.stages)
            if index == 0 or step >= self.stages[index - 1].end
        )

    @property
    def longest(self) -> int:
        """The longest length of all stages."""
        return max(stage.length for stage in self.stages)


def schedule(config: LengthConfig, train_length: int, steps: int) -> LengthSchedule:
    """Return the stages of a config, in whole steps that add up to `steps`.

    Args:
        config: The stages: multiples of `train_length`, shares of the steps, and windows as shares
            of the length.
        train_length: The length of the first stage, in tokens.
        steps: The number of steps of the run.
    """
    stages = []
    share = 0.0
    for stage in config.stages:
        share += stage.share
        length = train_length * stage.multiple
        window = max(1, round(stage.window * length)) if stage.window < 1 else None
        stages.append(Stage(round(share * steps), length, window))
    return LengthSchedule(tuple(stages))


def check_windows(lengths: LengthSchedule, scheme: PositionalEncoding, n_layers: int) -> None:
    """Raise PosextError if a stage has a window, and a layer of the scheme takes none."""
    if all(stage.window is None for stage in lengths.stages):
        return
    for layer in dict.fromkeys(scheme.layers(n_layers)):
        SlidingWindow(layer.shape).check(layer)
        for group in ("window", "normalizer"):
            if group in layer.modifiers:
                chosen = type(layer.modifiers[group]).__name__
                raise PosextError(
                    f"the windows of length.stages go with no {group} of a layer, such as {chosen}"
                )
