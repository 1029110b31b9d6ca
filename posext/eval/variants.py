"""What a measurement of one scheme holds.

That is the scheme, with a fixed factor, without scaling, and in a window of its training length.
"""

import logging
from dataclasses import replace

from posext.config import TrainConfig
from posext.pe import settings_of
from posext.pe.scaling import ScaledRoPE
from posext.runs.run import Run
from posext.utils.errors import PosextError

log = logging.getLogger(__name__)
OWN_WINDOW = "own_window"  # the control in the column `extend`


def variants(run: Run, config: TrainConfig, longest: int) -> list[TrainConfig]:
    """Return the configs that are measured together.

    A factor `auto` is measured once more, as the fixed factor that the longest context needs. A
    scaling as trained whose weights are RoPE's is measured without the scaling too. With
    `evaluation.own_window`, so is the run as trained in a window of its training length.

    Args:
        run: The run.
        config: Its config, or that of an extension.
        longest: The longest context length in tokens.
    """
    measured = [config]
    if config.pe.get("factor") == "auto":
        factor = max(1.0, longest / run.original_length)
        measured.append(replace(config, pe={**config.pe, "factor": factor}))
    if config == run.config and (plain := without_scaling(run)) is not None:
        measured.append(plain)
    if config == run.config and config.evaluation.own_window:
        measured += in_own_window(run)
    return measured


def in_own_window(run: Run) -> list[TrainConfig]:
    """Return the config of a run whose queries see the last trained_length keys alone.

    It is the control of KERPLE (Chi et al. 2022, arXiv:2205.09921, section 5.5). Empty, with a
    warning, for a scheme or a checkpoint that takes no window, and for a run that has one.
    """
    window = {**settings_of("window", "sliding"), "size": run.trained_length}
    windowed = replace(run.config, window=window)
    reason = "it has a window already" if run.config.window is not None else ""
    try:
        run.scheme(windowed)
    except PosextError as error:
        reason = reason or str(error)
    if reason:
        log.warning("%s is not measured in its own window: %s", run.config.title(), reason)
    return [] if reason else [windowed]


def without_scaling(run: Run) -> TrainConfig | None:
    """Return the config of a run with plain RoPE, if training turned its weights by nothing else.

    That is so if the scheme is RoPE bit for bit at a factor of one, and the factor stayed there.
    """
    scheme = run.scheme()
    scheme.set_progress(trained_length=scheme.effective_length(run.trained_length))
    if not (isinstance(scheme, ScaledRoPE) and scheme.rope_at_factor_one):
        return None
    if scheme.scale(run.trained_length) != 1 or run.config.init.path is not None:
        return None
    rope = {**settings_of("pe", "rope"), "base": run.config.pe["base"]}
    return replace(run.config, pe=rope)
