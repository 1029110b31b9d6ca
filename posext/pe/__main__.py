"""List every scheme: python -m posext.pe"""

import inspect
import logging
import re

from tabulate import tabulate

from posext.pe import build, names


def main() -> None:
    logging.disable()  # what a scheme warns of when it is chosen is no news here
    rows = []
    for name in names():
        scheme = build(name, head_dim=64, n_heads=4, d_model=256, train_length=128)
        text = inspect.getdoc(type(scheme)) or ""
        source = ", ".join(dict.fromkeys(re.findall(r"arXiv:\d{4}\.\d{5}|kexue\.fm/archives/\d+", text)))
        parameters = sum(parameter.numel() for parameter in scheme.parameters())
        relative = "yes" if scheme.relative else "no"
        rows.append([name, scheme.family, relative, parameters or "", source, text.splitlines()[0]])
    headers = ["+pe=", "family", "relative", "parameters (4 heads of 64)", "source", "what it is"]
    print(tabulate(rows, headers=headers, maxcolwidths=[None, None, None, 12, 16, 70], disable_numparse=True))


if __name__ == "__main__":
    main()
