"""Write a trained run as a LlamaForCausalLM of transformers: python scripts/export_hf.py results/runs/NAME OUT

OUT then holds config.json, model.safetensors and the tokenizer, for transformers and whatever reads its folders.
"""

import argparse
from pathlib import Path

from posext.cli import app
from posext.hf.export import export
from posext.runs.run import load


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a trained run")
    parser.add_argument("out", type=Path, help="a new folder")
    parser.add_argument(
        "--length", type=int, help="longest context (tokens) it is for: an automatic factor is fixed at what that asks"
    )
    options = parser.parse_args()
    try:
        model = export(load(options.run), options.out, options.length)
    except ValueError as error:
        app.stop(error)
    print(f"{options.out}: a Llama of {model.num_parameters():,} parameters, {model.config.rope_parameters}")
    print(f"python -m posext.evaluate model=hf model.path={options.out}")


if __name__ == "__main__":
    main()
