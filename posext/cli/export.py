"""`posext export`: write a trained run as a LlamaForCausalLM of transformers."""

from pathlib import Path

from posext.cli import app
from posext.hf.export import export
from posext.runs.run import load_run

DESCRIPTION = """
Write a trained run as a LlamaForCausalLM of transformers: config.json, model.safetensors and the
tokenizer. The logits of both networks are compared before anything is written.
"""
EXAMPLES = """
posext export results/runs/rope-tiny-128-seed0 exported
posext export results/runs/yarn-tiny-128-seed0 exported --length 1024
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
    options = parser.parse_args()
    model = export(load_run(options.run), options.out, options.length)
    parameters = model.num_parameters()
    rope = model.config.rope_parameters
    print(f"{options.out}: a Llama of {parameters:,} parameters, {rope}")
    print(f"posext evaluate model=hf model.path={options.out}")
