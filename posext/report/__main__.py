"""The former name of `posext report`."""

import sys

sys.exit("python -m posext.report is now: posext report")
