"""The former name of `posext compare`, kept for a release."""

from posext.cli.compare import main

if __name__ == "__main__":
    main()
