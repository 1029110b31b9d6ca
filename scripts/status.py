"""The former name of `posext status`, kept for a release."""

from posext.cli.status import main

if __name__ == "__main__":
    main()
