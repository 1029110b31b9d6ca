"""Write the pages that are made from the code: python scripts/make_docs.py [--check]

docs/configuration.md from the dataclasses of posext.config and the files in configs/,
docs/schemes.md from what `posext schemes` lists, and the drawings in docs/protocols.md from the
protocols themselves.
"""

import argparse
import ast
import dataclasses
import inspect
import logging
import re
import sys
import tokenize
from collections.abc import Sequence
from functools import cache
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, get_type_hints

import attention_paths
import numpy as np
from hydra.utils import get_class
from omegaconf import OmegaConf

from posext import config
from posext.analysis import scheme_cost
from posext.cli import schemes
from posext.config import CORPORA, continuation, corpora, evaluation, model, optimizers
from posext.config import length as config_length
from posext.config import settings as config_settings
from posext.eval.perturbation import REPLACED, SHUFFLED
from posext.eval.protocols import PROTOCOLS, Documents, ProtocolPlan, ProtocolSettings
from posext.eval.scoring import TargetWindow
from posext.pe import CONFIGS, build, names
from posext.pe.base import STAGES
from posext.utils.ranges import describe

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
MADE = "<!-- made by scripts/make_docs.py: do not edit -->"
DRAWING = re.compile(r"(<!-- drawing: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
GROUPS = {  # how each is typed, and what it chooses
    "pe": ("+pe=", "the positional scheme; [schemes](schemes.md) says what each does"),
    "window": ("+window=", "which keys a query sees, and at which distances"),
    "attention_scale": ("+attention_scale=", "the temperature of attention"),
    "qk_norm": ("+qk_norm=", "the norm of queries and keys"),
    "qk_gain": ("+qk_gain=", "learned magnitudes on queries and keys"),
    "sink": ("+sink=", "a logit without a value in the softmax"),
    "normalizer": ("+normalizer=", "what makes weights of scores, in place of the softmax"),
    "gate": ("+gate=", "a gate on the output of attention"),
    "position_ids": ("+position_ids=", "the positions of tokens in training"),
    "model": ("model=", "the size of the network"),
    "data": ("data=", "the corpus"),
    "length": ("length=", "the lengths that training goes through"),
    "optimizer": ("optimizer=", "what updates the weights"),
    "experiment": ("experiment=", "a ready set of choices"),
    "debug": ("debug=", "a short look at a run that is otherwise chosen"),
}
KINDS: dict[str, type] = {**CORPORA, **config.OPTIMIZERS}  # each with settings of its own
CHANGED = {SHUFFLED: "~", REPLACED: "x"}  # marks of a drawing
ROWS_SHOWN = 4  # windows of one length in a drawing


def pages() -> dict[Path, str]:
    """The text of every page that is made, by its file."""
    protocols = DOCS / "protocols.md"
    return {
        DOCS / "configuration.md": configuration(),
        DOCS / "schemes.md": scheme_page(),
        protocols: DRAWING.sub(
            lambda found: f"{found[1]}{drawing(found[2])}{found[3]}", protocols.read_text()
        ),
    }


# Configuration


class Setting(NamedTuple):
    """A field of a dataclass, as its source has it."""

    name: str
    type: str
    default: str
    meaning: str
    section: bool  # other settings stand under it


def configuration() -> str:
    known = settings()
    meanings = {setting.name: setting.meaning for setting in known["TrainConfig"]}
    sections = []
    for title, command, name, prefix in (
        ("Training, top level", "posext train", "TrainConfig", ""),
        *((f"`{key}`", "both commands", of, f"{key}.") for key, of in parts("TrainConfig")),
        *((f"`data` of source {key}", "both commands", key, "data.") for key in CORPORA),
        *((f"`optimizer` of kind {key}", "", key, "optimizer.") for key in config.OPTIMIZERS),
        ("`length.stages`, each stage", "posext train", "StageConfig", ""),
        ("Measuring, top level", "posext evaluate", "EvaluateConfig", ""),
    ):
        rows = [
            (f"`{prefix}{s.name}`", s.type, s.default, s.meaning or meanings.get(s.name, ""))
            for s in own_settings(name) or known.get(name, [])
            if not s.section and f"{prefix}{s.name}" not in ("data.source", "optimizer.kind")
        ]
        if not rows and name in KINDS:  # nothing beyond what all have
            continue
        about = doc(KINDS.get(name) or getattr(config, name))
        command = "`posext train`" if prefix in ("length.", "optimizer.", "init.") else command
        head = f"## {title}\n\n" + (f"{about}\n\n" if about else "")
        sections.append(head + table(("setting", "type", "default", "meaning"), rows))
    choices = [group(name) for name in GROUPS]
    return "\n\n".join([INTRODUCTION, *sections, "## Groups and their choices", *choices]) + "\n"


def own_settings(kind: str) -> list[Setting]:
    """The fields that a corpus or optimizer has beyond those of all; none for another name."""
    own: dict[str, Setting] = {}
    for made in reversed(KINDS[kind].__mro__ if kind in KINDS else ()):
        if made not in (object, config.DataConfig, config.OptimizerConfig):
            own |= {setting.name: setting for setting in settings()[made.__name__]}
    return list(own.values())


INTRODUCTION = f"""# Configuration

{MADE}

A setting is typed as `key=value`, a choice in a group as `group=name`. `posext train --help` lists
the groups. `posext train +pe=yarn --cfg job` prints every setting with its value. An unknown key,
choice or type is refused in one sentence that names the valid ones.

`MISSING` stands where the chosen group gives the value.

A corpus of your own is a yaml in the folder `data` under `--config-dir`: it names its source, whose
settings are below, and changes some of them.

```yaml
defaults:
  - /schema/data@_here_: text
  - _self_
path: books/
```"""


def settings() -> dict[str, list[Setting]]:
    """The fields of every dataclass in posext/config/, by its name."""
    modules = (corpora, optimizers, continuation, model, evaluation, config_length, config_settings)
    return {name: fields for module in modules for name, fields in settings_in(module).items()}


def settings_in(module: ModuleType) -> dict[str, list[Setting]]:
    """The fields of every dataclass in a module, by its name."""
    text = inspect.getsource(module)
    comments = {
        token.start[0]: token.string.lstrip("# ").strip()
        for token in tokenize.generate_tokens(StringIO(text).readline)
        if token.type == tokenize.COMMENT
    }
    source_lines = text.splitlines()
    alone = {line for line in comments if source_lines[line - 1].lstrip().startswith("#")}
    found = {}
    for made in ast.parse(text).body:
        if isinstance(made, ast.ClassDef):
            fields = [part for part in made.body if isinstance(part, ast.AnnAssign)]
            hints = get_type_hints(getattr(module, made.name), include_extras=True)
            found[made.name] = [setting(part, hints, comments, alone) for part in fields]
    return found


def setting(
    part: ast.AnnAssign, hints: dict[str, Any], comments: dict[int, str], alone: set[int]
) -> Setting:
    """A field with its meaning: the comments on its lines, and those alone on the lines above."""
    first = part.lineno
    while first - 1 in alone:
        first -= 1
    lines = range(first, (part.end_lineno or part.lineno) + 1)
    meaning = " ".join(comments[line] for line in lines if line in comments)
    name = ast.unparse(part.target)
    value = part.value
    if isinstance(value, ast.Call):
        factory = value.keywords[0].value
        value = factory.body if isinstance(factory, ast.Lambda) else factory
    if isinstance(value, ast.Name) and hasattr(config, value.id):
        value = ast.Constant(getattr(config, value.id))
    default = "" if value is None else ast.unparse(value).replace("'", '"')
    default = {"list": "[]", "None": "null", "True": "true", "False": "false"}.get(default, default)
    hint = hints[name]
    is_section = dataclasses.is_dataclass(hint)
    kind = "any" if hint is Any or is_section else describe(hint)
    return Setting(name, kind, f"`{default}`", meaning, is_section)


def parts(name: str) -> list[tuple[str, str]]:
    """The keys of a dataclass under which others stand, and their names."""
    hints = get_type_hints(getattr(config, name))
    return [
        (s.name, hints[s.name].__name__)
        for s in settings()[name]
        if s.section and s.name != "length"
    ]


def group(name: str) -> str:
    """A group of configs/ with its choices, each with its comment or its class's first line."""
    typed, about = GROUPS[name]
    head = f"### `{typed}`\n\n{about[0].upper()}{about[1:]}."
    if name == "pe":
        return f"{head}\n\n{', '.join(f'`{choice}`' for choice in names('pe'))}"
    rows = []
    for choice in names(name):
        file = CONFIGS / name / f"{choice}.yaml"
        comment = re.sub(r"^# @package.*\n", "", file.read_text())
        loaded: Any = OmegaConf.to_container(OmegaConf.load(file))
        target = loaded.get("_target_")
        said = comment.removeprefix("# ").partition("\n")[0] if comment.startswith("# ") else ""
        changes = ", ".join(
            f"`{key}={str(value).lower()}`"
            for key, value in loaded.items()
            if target and key != "_target_" and value is not None
        )
        rows.append((f"`{choice}`", said or (doc(get_class(target)) if target else ""), changes))
    return f"{head}\n\n" + table(("choice", "what it is", "settings"), rows)


def doc(made: type) -> str:
    """The first line of a class's own docstring, where it is a sentence."""
    text = (inspect.getdoc(made) or "").partition("\n")[0]
    return "" if text.startswith(f"{made.__name__}(") else text


# Schemes


def scheme_page() -> str:
    logging.disable()  # what a scheme warns of when it is chosen is no news here
    try:
        rows = [
            scheme(schemes.scheme_row(name, build(name, **schemes.EXAMPLE_SHAPE)))
            for name in names()
        ]
        paths = attention_paths.rows()
    finally:
        logging.disable(logging.NOTSET)
    listed = table(("`+pe=`", "what it does", "use", "cost", "paper"), rows)
    held = table(("what the tables hold", "on a CPU", "on a GPU", "schemes"), paths)
    return (
        f"{SCHEMES}\n\n{listed}\n{attention_paths.ABOUT}{held}\n\n"
        f"\\* in some of its layers.\n{LEFT_OUT}"
    )


LEFT_OUT = """
## Left out, and why

- **CLEX, GALI, DCIS, SELF**: a solver, or a search at every length, for what scalings here do in
  closed form.
- **LongLoRA's shifted sparse attention**: saves time in tuning, and is no position. Its protocol is
  here (`protocols=[longlora]`).
- **3D-RPE, hyperbolic and wavelet rotations, TAPA, periodic RoPE**: little used, and no public code
  that could be an oracle.
- **TAPE, CoCA, RePo**: change more of a layer than its positions: tensors of positions that layers
  update, a constrained key matrix, tokens put in another order.
- **LieRE, two-dimensional and multimodal positions**: not for text.
- **Shaw's and Transformer-XL's relative positions**: T5's bias and rotations took their place.
- **InfLLM, Activation Beacon, NSA, MoBA, DSA**: sparse or compressed memory for speed.
- **Kimi Linear's pattern** (three layers of linear attention, one of full attention without
  positions): `model.kind` is that of all layers, and a pattern gives a layer a scheme, not another
  kind of mixer. `model.kind=gated_deltanet` is the nearest model; `rnope_swa` has windows in place
  of the linear layers.
- **Abacus, position coupling**: positions by the significance of a digit.
- **Ms-PoE**: a scaling for each head, chosen on tasks of a large model.
"""
SCHEMES = f"""# Schemes

{MADE}

`posext schemes` prints this list with the number of parameters and the cost of a training step
against RoPE's. `posext schemes show yarn factor=8` draws a scheme: its wavelengths, or its bias by
distance.

{". ".join(f"*{stage}*: {meaning}" for stage, meaning in STAGES.items())}. \
{scheme_cost.setting_in_words()}

Most schemes go with most windows, temperatures, gains and positions; a pair that does not is
refused in one sentence. See the groups in
[configuration](configuration.md#groups-and-their-choices). [The zoo](../results/zoo/README.md) \
has all
schemes at one small size."""


def scheme(cells: Sequence[str]) -> tuple[str, str, str, str, str]:
    """A row of `posext schemes` as a row of the page."""
    name, stages, _, _, cost, papers, what = cells
    used = ", ".join(stages.split("\n"))
    links = (link(paper) for paper in papers.replace("/\n", "/").split("\n") if paper)
    return f"`{name}`", what, used, cost, ", ".join(links)


def link(paper: str) -> str:
    """A source as a Markdown link: arXiv:NUMBER or an address without scheme; else unchanged."""
    if paper.startswith("arXiv:"):
        return f"[{paper}](https://arxiv.org/abs/{paper.removeprefix('arXiv:')})"
    if not re.match(r"\S+\.\w+/", paper):
        return paper
    return f"[{paper}](https://{paper.removeprefix('https://')})"


# Protocols


class Drawn(NamedTuple):
    """The sizes of a drawing: tokens per document, two lengths, tokens per character."""

    tokens: tuple[int, ...] = (26,)
    lengths: tuple[int, int] = (4, 8)
    unit: int = 1
    size: int = 2
    blocks: int = 2


AS_DRAWN = {
    "far_copy": Drawn(lengths=(7, 14), size=4, blocks=1),
    "key_tokens": Drawn(lengths=(7, 14), size=4, blocks=1),
    "perturbed": Drawn((26, 26), blocks=1),
    "pi": Drawn((1664,), (512, 1024), 64),
    "longlora": Drawn((1664,), (512, 1024), 64),
}


class Toy:
    """Documents whose tokens all differ, but that those 14 to 19 repeat those 6 to 11."""

    def __init__(self, tokens: Sequence[int]):
        self.lengths = list(tokens)
        self.names = [str(index) for index in range(len(tokens))]

    def document(self, index: int) -> np.ndarray:
        tokens = np.arange(self.lengths[index])
        tokens[14:20] = tokens[6:12]
        return tokens


def copies(documents: Documents, windows: Sequence[TargetWindow]) -> list[np.ndarray]:
    """Judge of key tokens: whatever stands in the context is known."""
    nll = []
    for window in windows:
        tokens = documents.document(window.document)
        read = [tokens[window.end - window.length : label] for label in range_of(window)]
        known = [tokens[label] in text for label, text in zip(range_of(window), read, strict=True)]
        nll.append(np.where(known, 0.0, 9.0))
    return nll


def range_of(window: TargetWindow) -> range:
    """The places of the scored labels."""
    return range(window.labels.start, window.labels.stop)


@cache
def drawing(name: str) -> str:
    """The windows of a protocol in one document at two context lengths, as a block of code."""
    drawn = AS_DRAWN.get(name, Drawn())
    documents = Toy(drawn.tokens)
    told = ProtocolSettings(drawn.lengths[0], drawn.size, drawn.blocks, judge=copies)
    plan = PROTOCOLS[name](documents, drawn.lengths, told)
    wide = drawn.tokens[0] // drawn.unit
    each = "" if drawn.unit == 1 else f"; a character is {drawn.unit} tokens"
    lines = [f"{'document':10}{'-' * wide}{each}"]
    for length, planned in plan.windows.items():
        windows = [window for window in planned if window.document == 0]
        letter = "k" if windows[0].perturbation else "L"
        for number, window in enumerate(windows[:ROWS_SHOWN]):
            head = f"{letter} = {length}" if number == 0 else ""
            lines.append(f"{head:10}{drawn_window(window, plan, drawn.unit)}".rstrip())
        if len(windows) > ROWS_SHOWN:
            lines.append(f"{'':10}and {len(windows) - ROWS_SHOWN} more")
    return "```text\n" + "\n".join(lines) + "\n```\n"


def drawn_window(window: TargetWindow, plan: ProtocolPlan, unit: int) -> str:
    """A window in its place: `.` what is read, `#` what is scored, which is of other groups `+`.

    Of what is read, `~` is shuffled and `x` is replaced.
    """
    marks = [" "] * (window.end + 1)
    marks[window.end - window.length : window.end + 1] = "." * (window.length + 1)
    if window.perturbation and (mark := CHANGED.get(window.perturbation.change)):
        start = window.end - window.length
        far = window.labels.start - window.perturbation.kept - start
        marks[start : start + far] = mark * far
    groups = plan.groups(window)
    for label, of in zip(range_of(window), groups, strict=True):
        marks[label] = "+" if of == "rest" else "#"
    return "".join(marks[unit // 2 :: unit])


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    cells = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    lines = [headers, ["---"] * len(headers), *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where stale")
    check = parser.parse_args().check
    stale = [file for file, text in pages().items() if not same(file, text)]
    for file in stale:
        if not check:
            file.write_text(pages()[file])
        print(f"{'stale' if check else 'written'}: {file.relative_to(ROOT)}")
    sys.exit(bool(check and stale))


def same(file: Path, text: str) -> bool:
    return file.is_file() and file.read_text() == text


if __name__ == "__main__":
    main()
