"""Runs as models of EleutherAI's lm-evaluation-harness, under any scheme or extension.

posext harness --model posext --model_args run=results/runs/NAME,extend=yarn,factor=8 --tasks TASK

It takes what the command lm_eval takes. Model arguments are those of `PosextLM`.
"""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from tqdm import tqdm

from posext import hf
from posext.cli import app
from posext.config import EvaluateConfig
from posext.data.tokenizer import loaded
from posext.eval.extension import extended
from posext.pe import settings_of
from posext.runs.naming import kept_folder
from posext.runs.run import Run
from posext.training import device
from posext.utils.errors import PosextError

try:
    import lm_eval.models  # noqa: F401  # it registers the others only while none is registered
    from lm_eval.__main__ import cli_evaluate
    from lm_eval.api.model import TemplateLM
    from lm_eval.api.registry import register_model
    from lm_eval.utils import get_rolling_token_windows, make_disjoint_window
except ModuleNotFoundError as missing:
    raise SystemExit(f"posext: {missing}; pip install 'posext[lm-eval]' has it") from missing

MAX_GENERATED = 256  # tokens, unless the task says


@register_model("posext")
class PosextLM(TemplateLM):
    """A trained run, or a checkpoint that was measured or continued here.

    Prompts are never cut: a request longer than `max_length` ends in an error. A run has no
    start-of-text token, so a newline stands before a text without context.

    Args:
        run: Folder of the run.
        checkpoint: A step that its `keep_every` kept; None: the end.
        extend: A scheme to apply to the weights, as in `posext evaluate +pe@extend=`.
        window: Keys that a query attends to, by name.
        attention_scale: A temperature of attention, by name.
        max_length: Longest context in tokens; None: that of the scheme, else the longest trained
            length, times a factor that is given.
        batch_size: Accepted and not used; requests are scored one by one.
        device: As `batch_size`: accelerate chooses the device.
        **settings: Settings of `extend`, such as factor.

    Raises:
        PosextError: The run is not trained, or the scheme cannot use its weights.
    """

    def __init__(
        self,
        run: str,
        checkpoint: int | None = None,
        extend: str | None = None,
        window: str | None = None,
        attention_scale: str | None = None,
        max_length: int | None = None,
        batch_size: Any = 1,
        device: Any = None,
        **settings: Any,
    ):
        super().__init__()
        folder = Path(run)
        opened = hf.open_run(kept_folder(folder, checkpoint) if checkpoint else folder)
        if not opened.trained:
            raise PosextError(f"{opened.folder} is not trained to its end yet")
        if settings and extend is None:
            raise PosextError(f"model argument {next(iter(settings))} needs extend=NAME")
        groups = {"pe": extend, "window": window, "attention_scale": attention_scale}
        chosen: dict[str, Any] = {
            "extend" if group == "pe" else group: settings_of(group, name)
            for group, name in groups.items()
            if name is not None
        }
        if extend is not None:
            chosen["extend"] |= settings
        given = {f"extend.{key}": str(value) for key, value in settings.items()}
        self.build(opened, EvaluateConfig(**chosen), given, max_length)

    def build(
        self, run: Run, config: EvaluateConfig, given: dict[str, str], max_length: int | None
    ) -> None:
        """Load the network and the tokenizer of a run."""
        extension = extended(run, config, given)
        measured = extension.config if extension else run.config
        self.accelerator = device.accelerator(run.config.precision)
        self.tokens: Tokenizer = tokenizer_of(run)
        network = run.network(measured, self.tokens.get_vocab_size())
        self.network = network.to(self.accelerator.device).eval()
        scheme = run.scheme(measured)
        factor = measured.pe.get("factor", "auto")
        scaled = 0 if isinstance(factor, str) else round(factor * run.original_length)
        longest = scheme.max_length or max(run.trained_length, scaled)
        self.max_length = max_length or longest

    @property
    def eot_token_id(self) -> int:
        return self.tokens.encode("\n", add_special_tokens=False).ids[0]

    @property
    def max_gen_toks(self) -> int:
        return MAX_GENERATED

    def tok_encode(
        self, string: str, add_special_tokens: bool | None = None, **options: Any
    ) -> list[int]:
        return self.tokens.encode(string, add_special_tokens=False).ids

    def _loglikelihood_tokens(self, requests: Any, **options: Any) -> list[tuple[float, bool]]:
        shown = not options.get("disable_tqdm", False)
        return [
            self.score(context, continuation)
            for _, context, continuation in tqdm(requests, disable=not shown)
        ]

    def loglikelihood_rolling(self, requests: Any, disable_tqdm: bool = False) -> list[float]:
        totals = []
        for request in tqdm(requests, disable=disable_tqdm):
            (text,) = request.args
            windows = get_rolling_token_windows(
                self.tok_encode(text), self.prefix_token_id, self.max_length, context_len=1
            )
            pairs = [make_disjoint_window(window) for window in windows]
            totals.append(sum(self.score(context, tokens)[0] for context, tokens in pairs))
        return totals

    def generate_until(self, requests: Any, disable_tqdm: bool = False) -> list[str]:
        answers = []
        for request in tqdm(requests, disable=disable_tqdm):
            prompt, options = request.args
            stops = options.get("until", [])
            stops = [stops] if isinstance(stops, str) else stops
            size = int(options.get("max_gen_toks", MAX_GENERATED))
            if options.get("do_sample") or options.get("temperature"):
                raise PosextError("posext generates greedily: leave out do_sample and temperature")
            answers.append(self.generate(self.tok_encode(prompt), stops, size))
        return answers

    def score(self, context: list[int], continuation: list[int]) -> tuple[float, bool]:
        """The log-likelihood (nats) of a continuation, and whether it is the greedy one."""
        tokens = [*context, *continuation]
        self.check_length(len(tokens) - 1)
        logits_KV = self.logits(tokens[:-1], len(continuation))
        targets_K = torch.tensor(continuation, device=logits_KV.device)
        log_shares_K = logits_KV.log_softmax(-1).gather(1, targets_K[:, None])
        return float(log_shares_K.sum()), bool((logits_KV.argmax(-1) == targets_K).all())

    def generate(self, prompt: list[int], stops: list[str], size: int) -> str:
        """Greedy text after a prompt, up to `size` tokens or the first of the stops."""
        self.check_length(len(prompt) + size)
        answer: list[int] = []
        while len(answer) < size:
            answer.append(int(self.logits([*prompt, *answer], 1).argmax()))
            text = self.tokens.decode(answer)
            ends = [text.index(stop) for stop in stops if stop and stop in text]
            if ends:
                return text[: min(ends)]
        return self.tokens.decode(answer)

    @torch.inference_mode()
    def logits(self, tokens: list[int], last: int) -> torch.Tensor:
        """Logits (last, V) of the last positions, float32."""
        tokens_BT = torch.tensor([tokens], device=self.accelerator.device)
        with self.accelerator.autocast():
            return self.network(tokens_BT, last=last)[0].float()

    def check_length(self, length: int) -> None:
        if length > self.max_length:
            raise PosextError(
                f"a request of {length} tokens is longer than max_length={self.max_length}, "
                "and prompts are not cut: give max_length, or another task"
            )


def tokenizer_of(run: Run) -> Tokenizer:
    """The tokenizer of a run."""
    file = run.folder / "tokenizer.json"
    return loaded(str(file)) if file.is_file() else loaded(run.tokenizer_setting)


@app.script
def main() -> None:
    """Run lm_eval with the model posext."""
    cli_evaluate()


if __name__ == "__main__":
    main()
