"""The former name of `posext collect`, kept for a release."""

from posext.cli.collect import main

if __name__ == "__main__":
    main()
