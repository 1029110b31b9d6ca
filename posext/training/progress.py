"""The progress bar of training."""

import sys

from tqdm import tqdm


def progress_bar(name: str, steps: int, start: int, shown: bool) -> tqdm:
    """Return the progress bar over steps; a log file gets fewer lines than a terminal."""
    seconds = 0.1 if sys.stderr.isatty() else 30.0
    return tqdm(
        desc=name,
        total=steps,
        initial=start,
        unit=" steps",
        mininterval=seconds,
        disable=not shown,
    )


def update_bar(bar: tqdm, loss: float, length: int, rate: float) -> None:
    """Advance the bar by one step and show its loss, length and tokens per second."""
    bar.set_postfix(
        loss=f"{loss:.3f}", length=length, tokens_per_second=f"{rate:,.0f}", refresh=False
    )
    bar.update()
