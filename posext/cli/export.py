"""`posext export`: write a trained run as a LlamaForCausalLM of transformers."""

from pathlib import Path

from posext.cli import app
from posext.hf.export import export
from posext.hf.push import check_repository, push
from posext.report.model_card import model_card
from posext.runs.run import load_run
from posext.utils.atomic import write_text
from posext.utils.errors import PosextError

DESCRIPTION = """
Write a trained run as a LlamaForCausalLM of transformers: config.json, model.safetensors and the
tokenizer, with a README.md for the hub. The logits of both networks are compared before anything is
written.
"""
EXAMPLES = """
posext export results/runs/rope-tiny-128-seed0 exported
posext export results/runs/yarn-tiny-128-seed0 exported --length 1024
posext export results/runs/rope-tiny-128-seed0 exported --push OWNER/NAME --dry-run
"""


@app.script
def main() -> None:
    parser = app.subcommand_parser("export", DESCRIPTION, EXAMPLES)
    parser.add_argument("run", type=Path, metavar="RUN", help="the folder of a trained run")
    parser.add_argument(
        "out", type=Path, metavar="OUT", help="the folder to write: empty, or not there yet"
    )
    parser.add_argument(
        "--length",
        type=int,
        metavar="TOKENS",
        help="the longest context to export for; an automatic factor is fixed at its value there "
        "(default: the longest trained length)",
    )
    parser.add_argument(
        "--push",
        metavar="OWNER/NAME",
        help="upload the folder to the hub as this model, private if it is new; needs a token "
        "(huggingface-cli login)",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="with --push: list what would be uploaded"
    )
    options = parser.parse_args()
    if options.dry_run and options.push is None:
        raise PosextError("--dry-run goes with --push OWNER/NAME")
    if options.push is not None:
        check_repository(options.push)
    run = load_run(options.run)
    model = export(run, options.out, options.length)
    repository = options.push or options.out.name
    card = model_card(run, repository, options.length or run.trained_length)
    write_text(options.out / "README.md", card)
    parameters = model.num_parameters()
    rope = model.config.rope_parameters
    print(f"{options.out}: a Llama of {parameters:,} parameters, {rope}")
    print(f"posext evaluate model=hf model.path={options.out}")
    if options.dry_run:
        for file in sorted(options.out.iterdir()):
            print(f"would go to {options.push}: {file.name}, {file.stat().st_size:,} bytes")
    elif options.push is not None:
        print(push(options.out, options.push))
