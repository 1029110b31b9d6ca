"""Settings of the length schedule."""

from dataclasses import dataclass, field

from posext.utils.errors import PosextError
from posext.utils.ranges import Count, PositiveShare, checked

GROWING_WINDOW = "growing_window"  # in titles, of windows that stages give


@dataclass
class StageConfig:
    """A stage of the length schedule."""

    multiple: Count = 1  # of train_length
    share: PositiveShare = 1.0  # of the steps
    # of its length: the last keys that a query attends to; after training, it attends to all.
    # An automatic factor follows windows longer than original_length
    window: PositiveShare = 1.0


@dataclass
class LengthConfig:
    """The length schedule: one stage after the other."""

    stages: list[StageConfig] = field(default_factory=lambda: [StageConfig()])  # in order

    @property
    def has_windows(self) -> bool:
        """Whether queries attend to less than their sequence in some stage."""
        return any(stage.window < 1 for stage in self.stages)

    def check(self) -> None:
        """Raise PosextError for invalid shares, multiples or windows."""
        shares = [stage.share for stage in self.stages]
        if not shares or not (min(shares) > 0 and abs(sum(shares) - 1) <= 1e-6):
            raise PosextError(
                f"the shares of length.stages must be above 0 and sum to 1, not {shares}"
            )
        multiples = [stage.multiple for stage in self.stages]
        if multiples[0] != 1 or multiples != sorted(multiples):
            raise PosextError(
                f"the multiples of length.stages must start at 1 and never fall, not {multiples}"
            )
        for stage in self.stages:
            checked("length.stages.window", stage.window, PositiveShare)
