"""The command `posext`, with a subcommand for each step of a study."""

import sys
from importlib import import_module

COMMANDS = {  # name: module, summary
    "train": (
        "posext.train",
        "train a small GPT at a short length, then measure how far it extrapolates",
    ),
    "evaluate": (
        "posext.evaluate",
        "measure a run or a checkpoint again, also under another scheme",
    ),
    "study": ("posext.study.command", "run a study from its file, and make its figures and tables"),
    "report": ("posext.cli.report", "write one page about a run, or one that compares several"),
    "plot": ("posext.cli.plot", "draw the curves of several runs on one chart"),
    "table": ("posext.cli.table", "print the curves of several runs as a Markdown table"),
    "compare": (
        "posext.cli.compare",
        "print paired differences between runs, with intervals and verdicts",
    ),
    "accuracy": (
        "posext.cli.accuracy",
        "print and draw the accuracy of several runs on algorithmic tasks",
    ),
    "status": ("posext.cli.status", "print which runs are done, running, failed or left"),
    "corpora": ("posext.cli.corpora", "list the tokenized corpora, or check them whole"),
    "schemes": ("posext.cli.schemes", "list the positional schemes, or show one"),
    "export": ("posext.cli.export", "write a run as a LlamaForCausalLM of transformers"),
    "harness": ("posext.harness", "run lm-evaluation-harness on a run, with --model posext"),
    "collect": ("posext.cli.collect", "put what several runs measured into one folder"),
    "claims": ("posext.cli.claims", "decide the claims of the ledger from what studies store"),
}


def main() -> None:
    """Run the subcommand on the command line; list all of them for none, or for --help."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("-h", "--help"):
        print(usage())
        return
    if name not in COMMANDS:
        print(
            f"posext: unknown command {name!r}; choose one of {', '.join(COMMANDS)}",
            file=sys.stderr,
        )
        sys.exit(2)
    sys.argv = [f"posext {name}", *sys.argv[2:]]
    import_module(COMMANDS[name][0]).main()


def usage() -> str:
    """The list of subcommands, with an example of a whole study."""
    commands = "\n".join(f"  {name:10} {about}" for name, (_, about) in COMMANDS.items())
    return f"""usage: posext COMMAND [...]

{commands}

posext COMMAND --help says more of each. The usual way:

  posext train +pe=rope
  posext evaluate run=results/runs/rope-tiny-128-seed0 +pe@extend=yarn
  posext train -m +pe=rope,alibi,yarn seed=0,1,2
  posext compare --over-seeds results/runs/*
  posext report results/runs/*"""


if __name__ == "__main__":
    main()
