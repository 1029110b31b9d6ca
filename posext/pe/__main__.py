"""The former name of `posext schemes`."""

import sys

sys.exit("python -m posext.pe is now: posext schemes")
