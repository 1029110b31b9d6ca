"""The folder of a run: its name, its config and its files.

results/runs/NAME/
    config.yaml, commands.jsonl, metrics.jsonl, tokenizer.json, wandb/
    checkpoints/                            until trained
    model.safetensors, run.json             once trained
    optimizer.safetensors                   beside them with keep_every
    kept/NAME-step-N/                       a run of its own, with keep_every
    measuring/                              until measured
    curves.csv, documents.parquet, curve.png, report.html
    positions.parquet, keys.csv             under per_position and key_tokens
    run.lock                                held by the process that works on the run
    error.txt                               the error that ended it, if one did
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from safetensors import SafetensorError
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor

from posext.config import NOT_IN_IDENTITY, TrainConfig, check_kind
from posext.model.gpt import GPT
from posext.pe import FORMER_TARGETS, PositionalEncoding, Shape, from_config
from posext.runs.stored_config import stored_config, with_types
from posext.training.document_mask import check_document_mask
from posext.training.schedules import LengthSchedule, check_windows, schedule
from posext.utils.atomic import digest, write_text
from posext.utils.errors import PosextError
from posext.utils.trees import flat

OPTIMIZER = "optimizer.safetensors"  # the state of the optimizer at the end of training


@dataclass(frozen=True)
class Run:
    """A folder and the config that it was made for."""

    folder: Path
    config: TrainConfig

    @property
    def name(self) -> str:
        return self.folder.resolve().name

    @property
    def schedule(self) -> LengthSchedule:
        """The training length at every step."""
        return schedule(self.config.length, self.config.train_length, self.last_step)

    @property
    def original_length(self) -> int:
        """The length that factors and schemes count from: that of the first ancestor's start."""
        return self.config.original_length or self.config.train_length

    @property
    def first_step(self) -> int:
        """The number of steps before the first: the parent's, if its optimizer goes on."""
        return self.config.init.own_steps if self.config.init.optimizer else 0

    @property
    def last_step(self) -> int:
        """The number of steps at the end of training."""
        return self.first_step + self.config.steps

    @property
    def steps_done(self) -> int:
        """The number of steps behind the weights of a trained run; fewer than all if kept early."""
        return self.metadata().get("steps", self.last_step)

    @property
    def trained_length(self) -> int:
        """The longest training length, so far if the weights were kept early."""
        if not self.trained:
            return self.schedule.longest
        return self.schedule.trained_length_at(self.steps_done - 1)

    @property
    def effective_length(self) -> int:
        """The largest position + 1 that training met; more than its length under PoSE."""
        return self.scheme().effective_length(self.trained_length)

    @property
    def tokens_in_all(self) -> int:
        """The tokens that the weights have seen, those of all ancestors included."""
        own = (self.tokens_at(step) for step in range(self.first_step, self.steps_done))
        return self.config.init.tokens + sum(own)

    @property
    def lineage(self) -> str:
        """How the weights came about, such as `rope → yarn, +100 steps at 512`.

        Empty for weights that were trained from scratch to the end.
        """
        init = self.config.init
        if init.path is None:
            early = self.trained and self.steps_done < self.last_step
            return f"{self.config.title()}, {self.steps_done} steps" if early else ""
        steps = (self.steps_done if self.trained else self.last_step) - self.first_step
        unit = "step" if steps == 1 else "steps"
        return f"{init.lineage} → {self.config.title()}, +{steps} {unit} at {self.trained_length}"

    def tokens_at(self, step: int) -> int:
        """Return the tokens of an optimizer step: whole sequences within `tokens_per_step`."""
        length = self.schedule.length_at(step)
        return self.config.tokens_per_step // length * length

    def data_step(self, step: int) -> int:
        """Return the number of a step in the stream of batches, which ancestors began."""
        if self.config.overfit_batches:
            return step % self.config.overfit_batches
        return self.config.init.steps - self.first_step + step

    @property
    def trained(self) -> bool:
        """Whether training has reached its last step."""
        return (self.folder / "run.json").is_file()

    def metadata(self) -> dict[str, Any]:
        """Read run.json: parameters, lengths, scheme, data fingerprint, commit and versions.

        Raises PosextError if the file is damaged or lacks a key that training writes.
        """
        file = self.folder / "run.json"
        try:
            metadata = json.loads(file.read_text())
        except ValueError as error:
            raise PosextError(f"{file} is damaged: {error}") from error
        if lacking := {"parameters", "data"} - metadata.keys():
            raise PosextError(
                f"{file} lacks {' and '.join(sorted(lacking))}, which training leaves there"
            )
        return metadata

    @property
    def start_of_windows(self) -> str:
        """The text of the token that takes the place of the first of a measured window."""
        return ""  # a run trained here saw none

    @property
    def weights_version(self) -> str:
        """The SHA-256 of the trained weights."""
        return digest(self.folder / "model.safetensors")

    @property
    def tokenizer_setting(self) -> str:
        """The setting `data.tokenizer` that makes this run's tokenizer on any corpus."""
        kind = self.config.data.tokenizer
        return str((self.folder / "tokenizer.json").absolute()) if kind == "bpe" else kind

    def has_tokenizer(self, tokenizer: Tokenizer) -> bool:
        """Return whether a tokenizer is the one that the run was trained with."""
        return (self.folder / "tokenizer.json").read_text() == tokenizer.to_str(pretty=True)

    def weights(self) -> dict[str, Tensor]:
        """Load the trained weights, by parameter name.

        Raises PosextError if the file is damaged or not in the safetensors format.
        """
        file = self.folder / "model.safetensors"
        expected = self.metadata().get("weights", {}).get("sha256")
        try:
            if expected not in (None, digest(file)):
                raise OSError("not what training wrote, by its hash in run.json")
            return load_file(file)
        except (SafetensorError, OSError) as error:
            raise PosextError(f"the weights in {file} are damaged: {error}") from error

    def scheme(self, config: TrainConfig | None = None) -> PositionalEncoding:
        """Build the scheme and modifiers of a config, by default the run's, for its network.

        Raises PosextError if they do not go with the kind of network.
        """
        config = config or self.config
        model = self.config.model
        check_kind(model, {"pe": config.pe, **config.modifiers()})
        shape = Shape(model.head_width(), model.n_heads, model.d_model, self.original_length)
        return from_config(config.pe, shape, config.modifiers())

    def network(self, config: TrainConfig, vocab_size: int) -> Any:
        """Load the run's weights into a network with the scheme and modifiers of a config.

        Raises PosextError if they do not fit.
        """
        scheme = self.scheme(config)
        scheme.read_vocabulary(texts_of(Tokenizer.from_file(str(self.folder / "tokenizer.json"))))
        scheme.set_progress(
            trained_length=scheme.effective_length(self.trained_length),
            progress=self.steps_done / self.last_step,
        )
        model = GPT(self.config.model, vocab_size, scheme)
        try:
            model.load_state_dict(self.weights())
        except RuntimeError as error:
            raise PosextError(
                f"the weights of {self.folder} do not fit {config.title()}: {error}"
            ) from error
        return model


def prepare_run(config: TrainConfig, write: bool = True) -> Run:
    """Return the run of a config, in a new folder or in the one that has the same config.

    Args:
        config: The config; `results` and `name` say where the folder is.
        write: Whether to write config.yaml; of several processes only one should.

    Returns:
        The run.

    Raises:
        PosextError: The folder has another config, the scheme cannot be built, takes no window of
            a stage or no mask, or ends below the longest training length. Nothing is written then.
    """
    run = Run(Path(config.results) / str(config.name), config)
    scheme = run.scheme()
    check_windows(run.schedule, scheme, config.model.n_layers)
    if config.data.mask_documents:
        check_document_mask(scheme, config.model.n_layers)
    end = scheme.max_length
    longest = run.schedule.longest
    if end is not None and end < longest:
        raise PosextError(
            f"{config.pe['name']} ends at {end}, but training goes to {longest} tokens"
        )
    claim(run, asdict(config), write)
    return run


def texts_of(tokenizer: Tokenizer) -> Iterator[str]:
    """Yield the text of every token of a vocabulary, in order."""
    for index in range(tokenizer.get_vocab_size()):
        yield tokenizer.decode([index], skip_special_tokens=False)


def claim(run: Run, settings: dict[str, Any], write: bool = True) -> None:
    """Write settings into the folder of a run, unless `write` is false.

    Raises PosextError if the folder has other settings, naming the ones that differ.
    """
    folder = run.folder
    file = folder / "config.yaml"
    if file.exists():
        changed = differing_settings(load_run(folder).config, run.config)
        if changed:
            changes = ", ".join(changed[:5])
            raise PosextError(f"{folder} holds another config ({changes}); choose another name=")
    if write:
        folder.mkdir(parents=True, exist_ok=True)
        write_text(file, OmegaConf.to_yaml(settings))


def differing_settings(before: TrainConfig, now: TrainConfig) -> list[str]:
    """Say which settings differ between two configs, of those that change the weights."""
    settings_before = flat(asdict(before))
    settings_now = flat(asdict(now))
    return [
        f"{key} was {settings_before.get(key)}, is {settings_now.get(key)}"
        for key in sorted(settings_before | settings_now)
        if key.split(".")[0] not in NOT_IN_IDENTITY
        and settings_before.get(key) != settings_now.get(key)
    ]


def load_run(folder: Path | str) -> Run:
    """Load the run in a folder.

    The folder may come from a stranger: its config is parsed, but nothing in it is resolved,
    imported or run. `posext.hf.open_run` also opens the folder of a measured checkpoint.

    Raises PosextError if the folder has no valid config.yaml.
    """
    folder = Path(folder)
    file = folder / "config.yaml"
    if not file.is_file():
        raise PosextError(f"{folder} is not the folder of a run: it has no config.yaml")
    try:
        merged = OmegaConf.merge(OmegaConf.structured(TrainConfig), with_types(stored_config(file)))
        config = cast(TrainConfig, OmegaConf.to_object(merged))
    except OmegaConfBaseException as error:
        raise PosextError(
            f"{file} is not a config of this version: {str(error).splitlines()[0]}"
        ) from error
    if config.model.path is not None:
        return Run(folder, config)
    for choice in (config.pe, *config.modifiers().values()):
        if not isinstance(choice, dict) or not {"name", "_target_"} <= choice.keys():
            raise PosextError(
                f"{file} is no config of a run: {choice} has not both a name and a _target_"
            )
        choice["_target_"] = FORMER_TARGETS.get(choice["_target_"], choice["_target_"])
    return Run(folder, config)
