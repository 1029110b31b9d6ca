"""The former name of `posext export`, kept for a release."""

from posext.cli.export import main

if __name__ == "__main__":
    main()
