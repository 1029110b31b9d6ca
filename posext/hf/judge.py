"""The judge of `key_tokens`: the run itself, another run, or a checkpoint of transformers."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from posext.config import KEY_TOKENS, EvaluateConfig
from posext.data.dataset import Data
from posext.eval.batch_budget import BatchBudget
from posext.eval.curve import context_lengths, measure_windows
from posext.eval.protocols import Documents, Judge
from posext.eval.scoring import TargetWindow
from posext.hf import open_run
from posext.runs.run import Run
from posext.training import device
from posext.utils.errors import PosextError


def judge_of(run: Run, tokens: Data) -> tuple[Judge, Run]:
    """Return what chooses the keys of a run: a function that scores windows, and the judge.

    The judge is read in float32, so that other hardware chooses the same keys up to rounding. It
    and the run share no accelerator: prepare that of the run afterwards. Call on every process.

    Raises PosextError as `open_judge` does.
    """
    judge = open_judge(run, tokens)
    accelerator = device.accelerator("fp32")
    budget = BatchBudget(run.config.evaluation.tokens_per_batch, accelerator.device)
    model = judge.network(judge.config, tokens.vocab_size).to(accelerator.device).eval()

    def score(documents: Documents, windows: Sequence[TargetWindow]) -> list[np.ndarray]:
        return measure_windows(model, documents, windows, budget, accelerator).nll

    return score, judge


def check_judge(run: Run, tokens: Data) -> None:
    """Raise PosextError, before anything is measured, if a run has keys to choose and no judge."""
    if KEY_TOKENS in run.config.protocols:
        open_judge(run, tokens)


def open_judge(run: Run, tokens: Data) -> Run:
    """Open the run or checkpoint that `evaluation.key_judge` names, by default the run itself.

    Raises PosextError if there is none, it is not trained, has another tokenizer, was trained on
    another corpus, or ends below the longest context.
    """
    path = run.config.evaluation.key_judge
    judge = run if path is None else named_judge(path, run)
    named = f"evaluation.key_judge={path}"
    if path is not None:
        if not judge.has_tokenizer(tokens.tokenizer):
            raise PosextError(
                f"{named} has another tokenizer than {run.name}: "
                "both must read the same tokens, as those of one are the targets of the other"
            )
        if judge.config.is_trained_here and judge.metadata()["data"] != tokens.fingerprint:
            raise PosextError(
                f"{named} was trained on another corpus than {run.name}, "
                "so it may have seen the held-out documents"
            )
    end = judge.scheme().max_length
    longest = context_lengths(run)[-1]
    if end is not None and end < longest:
        raise PosextError(
            f"the judge of key_tokens, {path or run.name}, ends at {end} tokens, below the longest "
            f"context, {longest}: choose another with evaluation.key_judge"
        )
    return judge


def named_judge(path: str, run: Run) -> Run:
    """Open a run folder, or describe a checkpoint of transformers.

    Raises PosextError if there is neither, or the run is not trained to its end.
    """
    folder = Path(path).expanduser()
    if (folder / "config.yaml").is_file():
        judge = open_run(folder)
        if not judge.trained:
            raise PosextError(f"evaluation.key_judge={path} is not trained to its end yet")
        return judge
    from posext.hf import load
    from posext.hf.checkpoint import Checkpoint
    from posext.hf.checkpoint_config import checkpoint_run_config, original_length

    try:
        hf_config = load.load_config(path)
        length = original_length(hf_config) or run.original_length
        data = replace(run.config.data, tokenizer=path)
        evaluation = run.config.evaluation
        asked = EvaluateConfig(
            model={"path": path}, data=data, train_length=length, evaluation=evaluation
        )
        config = checkpoint_run_config(asked, path, hf_config)
        return Checkpoint(Path(str(config.name)), config)
    except PosextError as error:
        raise PosextError(str(error).replace("model.path=", "evaluation.key_judge=")) from error
