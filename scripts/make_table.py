"""The former name of `posext table`, kept for a release."""

from posext.cli.table import main

if __name__ == "__main__":
    main()
