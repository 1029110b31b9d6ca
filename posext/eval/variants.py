"""What a measurement of one scheme holds: the scheme, with a fixed factor, and without scaling."""

from dataclasses import replace

from posext.config import TrainConfig
from posext.pe import settings_of
from posext.pe.scaling import ScaledRoPE
from posext.runs.run import Run


def variants(run: Run, config: TrainConfig, longest: int) -> list[TrainConfig]:
    """Return the configs that are measured together.

    A factor `auto` is measured once more, as the fixed factor that the longest context needs. A
    scaling as trained whose weights are RoPE's is measured without the scaling too.

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
    return measured


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
