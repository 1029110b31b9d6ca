"""`posext study`, `python -m posext.study`."""

from posext.study.command import main

if __name__ == "__main__":
    main()
