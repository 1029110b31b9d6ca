"""The card of an exported run: what it is, how it was made, and how far it extrapolates."""

from huggingface_hub import ModelCardData
from omegaconf import OmegaConf

from posext.analysis import curve_table, curves, same_targets
from posext.config import HEADLINE, OWN, HubData
from posext.runs.command_log import recorded_commands
from posext.runs.run import Run


def model_card(run: Run, repository: str, context: int) -> str:
    """Return the card of a run as Markdown, with the metadata that the hub reads.

    Args:
        run: A trained run.
        repository: Its name on the hub, OWNER/NAME, or that of the folder.
        context: The longest context that it is exported for, in tokens.
    """
    config = run.config
    metadata = run.metadata()
    data = config.data
    tags = ["posext", "length-extrapolation", config.pe["name"]]
    card = ModelCardData(
        library_name="transformers",
        pipeline_tag="text-generation",
        tags=tags,
        datasets=[str(data.path)] if isinstance(data, HubData) else None,
    )
    trained_on = sum(run.tokens_at(step) for step in range(run.first_step, run.last_step))
    parts = [
        f"---\n{card.to_yaml()}\n---",
        f"# {repository.rpartition('/')[2]}",
        f"A language model of {metadata['parameters']:,} parameters with the positional encoding "
        f"{config.title()}, trained on {data.origin()} with sequences of "
        f"{run.trained_length:,} tokens ({run.last_step:,} steps, {trained_on:,} tokens), to see "
        f"how far it extrapolates. It is exported for contexts of up to {context:,} tokens.",
        "## Use",
        "```python\n"
        "from transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
        f'model = AutoModelForCausalLM.from_pretrained("{repository}")\n'
        f'tokenizer = AutoTokenizer.from_pretrained("{repository}")\n'
        "```",
        *measured(run),
        "## How it was made",
        *([f"```\n{commands}\n```"] if (commands := "\n".join(made_by(run))) else []),
        f"posext at commit {metadata.get('commit', 'unknown')}, with these settings:",
        f"```yaml\n{OmegaConf.to_yaml(config).strip()}\n```",
    ]
    return "\n\n".join(parts) + "\n"


def measured(run: Run) -> list[str]:
    """The section on perplexity, if the run was measured."""
    rows = curves.read_curves(run.folder / "curves.csv")
    rows = rows.loc[(rows.protocol == HEADLINE) & (rows.corpus == OWN)]
    if not len(rows):
        return []
    rows = same_targets.latest(rows)
    return [
        "## Perplexity by context length",
        f"On the same {int(rows.tokens.max()):,} target tokens of {int(rows.documents.max())} "
        "held-out documents at every length; after ± half the 95 % interval over documents.",
        curve_table.table(rows, "github"),
    ]


def made_by(run: Run) -> list[str]:
    """The commands that trained the run."""
    return [line for line in recorded_commands(run.folder) if "posext.train" in line]
