"""Write a trained run as a LlamaForCausalLM of transformers: posext export results/runs/NAME OUT

OUT then holds config.json, model.safetensors and the tokenizer, for transformers and whatever reads its folders.
"""

from pathlib import Path

from posext.cli import app
from posext.hf.export import export
from posext.runs.run import load_run


@app.script
def main() -> None:
    parser = app.Arguments(prog="posext export", description=__doc__)
    parser.add_argument("run", type=Path, help="folder of a trained run")
    parser.add_argument("out", type=Path, help="a new folder")
    parser.add_argument(
        "--length",
        type=int,
        help="longest context (tokens) it is for: an automatic factor is fixed at what that asks",
    )
    options = parser.parse_args()
    model = export(load_run(options.run), options.out, options.length)
    print(
        f"{options.out}: a Llama of {model.num_parameters():,} parameters, {model.config.rope_parameters}"
    )
    print(f"posext evaluate model=hf model.path={options.out}")
