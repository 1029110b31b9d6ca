"""List every scheme, or show one:

posext schemes
posext schemes show yarn factor=8 [length=2048 head_dim=64 n_heads=4 d_model=256 train_length=128]
                                  [png=FILE]
"""

import inspect
import logging
import sys
from pathlib import Path
from textwrap import fill
from typing import Any, cast

import torch
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from tabulate import tabulate
from yaml import YAMLError

from posext.analysis import scheme_cost
from posext.cli import app
from posext.pe import FOLDERS, PositionalEncoding, build, names, settings_of
from posext.pe.base import STAGES
from posext.report import scheme_render
from posext.report.scheme_figures import PATTERN, figures, nothing_to_draw
from posext.utils.errors import PosextError

EXAMPLE_SHAPE = {"head_dim": 64, "n_heads": 4, "d_model": 256, "train_length": 128}
WIDTH = 120  # of a terminal
# Start of the yaml comment with the papers of a pattern over layers, which has no class of its own.
PAPER_COMMENT = "paper: "


def main() -> None:
    try:
        match sys.argv[1:]:
            case []:
                print(listed())
            case ["-h" | "--help"]:
                print(__doc__)
            case ["show", name, *settings]:
                show(name, settings)
            case [*other]:
                raise PosextError(
                    f"unknown command {' '.join(other)!r}; "
                    "there are: show NAME [KEY=VALUE ...], or none to list"
                )
    except (PosextError, OSError) as error:
        app.stop(error)


def listed() -> str:
    """Return the table of all schemes."""
    logging.disable()  # a scheme's warnings are for users that choose it
    try:
        rows = [scheme_row(name, build(name, **EXAMPLE_SHAPE)) for name in names()]
    finally:
        logging.disable(logging.NOTSET)
    headers = ["+pe=", "use", "relative", "parameters", "cost", "paper", "what it is"]
    legend = [f"Use: {stage}: {meaning}." for stage, meaning in STAGES.items()]
    shape = "{n_heads} heads of {head_dim}".format(**EXAMPLE_SHAPE)
    legend.append(f"Parameters: beyond the network's, for {shape}.")
    legend.append(scheme_cost.setting_in_words())
    padded = [f"{header}  " for header in headers[:-1]]  # as tabulate does
    columns = zip(padded, *(cells[:-1] for cells in rows), strict=True)
    used = sum(
        2 + max(len(line) for cell in column for line in cell.split("\n")) for column in columns
    )
    table = tabulate(
        rows,
        headers=headers,
        maxcolwidths=[None] * 6 + [max(20, WIDTH - used)],
        disable_numparse=True,
    )
    return "\n".join([table, "", *(fill(sentence, WIDTH) for sentence in legend)])


def scheme_row(name: str, scheme: PositionalEncoding) -> list[str]:
    """Return the cells of one scheme."""
    comments = comments_of(name)
    summary = comments[0] if comments else (inspect.getdoc(type(scheme)) or "").partition("\n")[0]
    uses = [stage for stage in STAGES if stage in scheme.stages]
    sources = paper_of(name, scheme).split(", ")
    wrapped = [s.replace("/", "/\n") if len(s) > 18 else s for s in sources]
    relative = "yes" if scheme.relative else "no"
    cost = scheme_cost.cost_in_words(name)
    cells = [name, "\n".join(uses), relative, parameters(scheme), cost]
    return [*cells, "\n".join(wrapped), summary]


def paper_of(name: str, scheme: PositionalEncoding) -> str:
    """Return the papers of a scheme: its class's, or those in a comment of its yaml file."""
    for comment in comments_of(name):
        if comment.startswith(PAPER_COMMENT):
            return comment.removeprefix(PAPER_COMMENT)
    return scheme.paper


def comments_of(name: str) -> list[str]:
    """Return the comment lines at the top of a scheme's yaml file."""
    file = next(f for folder in FOLDERS if (f := folder / "pe" / f"{name}.yaml").is_file())
    head = file.read_text().partition("_target_")[0]
    return [line.lstrip("# ").strip() for line in head.splitlines() if line.strip()]


def parameters(scheme: PositionalEncoding) -> str:
    """How many parameters a scheme adds, and how many at most for every layer."""
    shared = sum(parameter.numel() for parameter in scheme.parameters())
    modules = [layer.make_layer_module() for layer in dict.fromkeys(scheme.layers(PATTERN))]
    each = max(
        sum(parameter.numel() for parameter in module.parameters()) if module else 0
        for module in modules
    )
    return " + ".join([f"{shared:,}"] * bool(shared) + [f"{each:,} a layer"] * bool(each))


def show(name: str, arguments: list[str]) -> None:
    """Draw a scheme on the terminal and to a PNG. Raises PosextError for what it cannot build."""
    settings = parsed(name, arguments)
    path = Path(str(settings.pop("png", ".")))
    path = path / f"pe-{name}.png" if path.is_dir() else path.with_suffix(".png")
    asked = settings.pop("length", None)
    shape = {key: settings.pop(key, default) for key, default in EXAMPLE_SHAPE.items()}
    app.log_warnings_once()
    torch.manual_seed(0)
    scheme = build(name, **shape, **settings)
    length = asked or min(2048, scheme.max_length or 2048)
    drawn = figures(name, scheme, length)
    if not drawn:
        print(nothing_to_draw(name, scheme))
        return
    for figure in drawn:
        print(scheme_render.terminal(figure), *figure.notes, sep="\n", end="\n\n")
    scheme_render.png(
        drawn, path, " ".join([name, *(a for a in arguments if not a.startswith("png="))])
    )
    print(f"Chart: {path}")


def parsed(name: str, arguments: list[str]) -> dict[str, Any]:
    """Parse KEY=VALUE arguments, values as in yaml.

    Raises:
        PosextError: An unknown key, or a size that is not a whole number.
    """
    sizes = ("length", *EXAMPLE_SHAPE)
    valid = [key for key in settings_of("pe", name) if key not in ("_target_", "name")]
    for argument in arguments:
        key, is_setting, _ = argument.partition("=")
        if not is_setting or key not in (*valid, *sizes, "png"):
            raise PosextError(
                f"unknown setting {argument!r} of {name}; "
                f"there are KEY=VALUE for {', '.join((*valid, *sizes, 'png'))}"
            )
    try:
        settings = cast(dict[str, Any], OmegaConf.to_container(OmegaConf.from_dotlist(arguments)))
    except (OmegaConfBaseException, YAMLError) as error:
        raise PosextError(f"{' '.join(arguments)}: {str(error).splitlines()[0]}") from error
    for key in sizes:
        if key in settings and (type(settings[key]) is not int or settings[key] < 1):
            raise PosextError(f"{key}={settings[key]} is not a whole number of at least 1")
    if "head_dim" in settings or "n_heads" in settings:
        heads = {**EXAMPLE_SHAPE, **settings}
        settings.setdefault("d_model", heads["head_dim"] * heads["n_heads"])
    return settings
