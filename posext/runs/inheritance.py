"""The settings of a run that continues another, its parent.

The network, its tokenizer and its original length are the parent's. Of the other settings, those
that the user has not chosen are the parent's too; steps and learning rate are shares of its own.
Position ids, which act in training alone, are inherited with the scheme or not at all.
"""

from collections.abc import Collection
from dataclasses import asdict, fields, replace
from typing import Any

from posext.config import MODIFIERS, InitConfig, LengthConfig, MuonConfig, TrainConfig
from posext.runs.run import Run
from posext.utils.errors import PosextError

AS_THEY_ARE = (
    "seed",
    "tokens_per_step",
    *(group for group in MODIFIERS if group != "position_ids"),
)
SECTIONS = ("data", "optimizer", "evaluation")  # inherited setting by setting
RECORDED = ("weights", "lineage", "own_steps", "steps", "tokens")  # of InitConfig


def inherit(config: TrainConfig, parent: Run, chosen: Collection[str]) -> TrainConfig:
    """Return a config with the settings of its parent, except for those that were chosen.

    Args:
        config: A config with `init.path`; its `pe` may be None, for the parent's scheme.
        parent: The run that it names.
        chosen: The groups and the dotted keys of settings that the user has chosen.

    Raises:
        PosextError: A chosen setting does not go with the weights.
    """
    before = parent.config
    refuse_chosen(config, parent, chosen)
    settings: dict[str, Any] = {name: getattr(before, name) for name in AS_THEY_ARE}
    settings |= lengths_and_steps(config, parent)
    settings |= {"learning_rate": before.learning_rate * learning_rate_share(config.init)}
    settings = {name: value for name, value in settings.items() if not touches(name, chosen)}
    settings |= {name: merged(name, config, before, chosen) for name in SECTIONS}
    if "data" in chosen and "data.tokenizer" not in chosen:
        settings["data"] = replace(config.data, tokenizer=parent.tokenizer_setting)
    if config.pe is None and "position_ids" not in chosen:
        settings["position_ids"] = before.position_ids
    optimizer = settings["optimizer"]
    own_rate = {"optimizer", "optimizer.matrix_learning_rate"} & set(chosen)
    if isinstance(optimizer, MuonConfig) and not own_rate:
        rate = optimizer.matrix_learning_rate * learning_rate_share(config.init)
        settings["optimizer"] = replace(optimizer, matrix_learning_rate=rate)
    continued = replace(
        config,
        init=recorded(config.init, parent),
        model=before.model,
        pe=scheme_settings(config.pe, parent, chosen),
        original_length=parent.original_length,
        **settings,
    )
    continued.context_lengths = context_lengths(continued, parent)
    return continued


def refuse_chosen(config: TrainConfig, parent: Run, chosen: Collection[str]) -> None:
    """Raise PosextError for a chosen setting that the parent's weights determine."""
    fixed = {f"model.{key}": value for key, value in asdict(parent.config.model).items()}
    fixed["original_length"] = parent.original_length
    given = {f"model.{key}": value for key, value in asdict(config.model).items()}
    given["original_length"] = config.original_length
    del fixed["model.learning_rate"]
    for key, value in fixed.items():
        is_named = touches(key, chosen) or (key.startswith("model.") and "model" in chosen)
        if is_named and given[key] != value:
            raise PosextError(
                f"init={config.init.path} has {key}={value}, which its weights fix, "
                f"not {given[key]}"
            )
    for key in RECORDED:
        if f"init.{key}" in chosen:
            raise PosextError(f"init.{key} is recorded from the parent, and cannot be set")


def touches(key: str, chosen: Collection[str]) -> bool:
    """Return whether a setting, or one within it, was chosen."""
    return any(each == key or each.startswith(f"{key}.") for each in chosen)


def merged(section: str, config: TrainConfig, before: TrainConfig, chosen: Collection[str]) -> Any:
    """Return a section of the parent's config with the chosen settings in it.

    A section whose group was chosen is the config's own.

    Raises PosextError for a setting that the parent's kind of section does not have.
    """
    own = getattr(config, section)
    if section in chosen:
        return own
    parents = getattr(before, section)
    names = {field.name for field in fields(parents)}
    prefix = f"{section}."
    typed = {key.removeprefix(prefix) for key in chosen if key.startswith(prefix)}
    if unknown := sorted(typed - names):
        raise PosextError(
            f"the {section} of init={config.init.path} has no setting {unknown[0]}; "
            f"it has {', '.join(sorted(names))}, or choose {section}=NAME"
        )
    return replace(parents, **{name: getattr(own, name) for name in typed})


def lengths_and_steps(config: TrainConfig, parent: Run) -> dict[str, Any]:
    """Return the defaults of a continuation's training lengths and steps.

    With the parent's optimizer, its schedule goes on: the steps that are left of it, if any are.
    """
    before = parent.config
    share = max(1, round(config.init.steps_share * before.steps))
    if not config.init.optimizer:
        return {
            "length": LengthConfig(),
            "train_length": config.init.length_multiple * parent.trained_length,
            "steps": share,
        }
    left = parent.last_step - parent.steps_done
    return {"length": before.length, "train_length": before.train_length, "steps": left or share}


def learning_rate_share(init: InitConfig) -> float:
    """Return the share of the parent's learning rates: all of it with the parent's optimizer."""
    return 1.0 if init.optimizer else init.learning_rate_share


def recorded(init: InitConfig, parent: Run) -> InitConfig:
    """Return the settings of a continuation with the record of its parent."""
    return replace(
        init,
        weights=parent.weights_version,
        lineage=parent.lineage or parent.config.title(),
        own_steps=parent.steps_done,
        steps=parent.data_step(parent.steps_done),
        tokens=parent.tokens_in_all,
    )


def scheme_settings(chosen_scheme: Any, parent: Run, chosen: Collection[str]) -> Any:
    """Return the settings of a continuation's scheme: the parent's if no scheme was chosen."""
    if chosen_scheme is None:
        return parent.config.pe
    own = {key.removeprefix("pe.") for key in chosen if key.startswith("pe.")}
    return with_settings_of_weights(chosen_scheme, parent, own)


def with_settings_of_weights(scheme: Any, run: Run, own: Collection[str]) -> Any:
    """Return the settings of a scheme, with those of a run that belong to its weights.

    Args:
        scheme: The settings of the scheme.
        run: The run, for example with a rotary base.
        own: The settings that were chosen, and stay.
    """
    inherited = {
        key: run.config.pe[key]
        for key in run.scheme().inherited_settings
        if key in scheme and key not in own
    }
    return {**scheme, **inherited}


def context_lengths(continued: TrainConfig, parent: Run) -> list[int] | None:
    """Return the context lengths of a continuation: the parent's, if they go far enough.

    Far enough is twice the longest training length. Equal lengths let both stand on one chart.
    """
    longest = continued.train_length * continued.length.stages[-1].multiple
    measured = parent.config.context_lengths
    if continued.context_lengths or not measured or measured[-1] < 2 * longest:
        return continued.context_lengths
    return measured
