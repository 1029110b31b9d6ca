"""The former name of `posext plot`, kept for a release."""

from posext.cli.plot import main

if __name__ == "__main__":
    main()
