"""One page of HTML about a run, or about several beside each other: `python -m posext.report RUN ...`.

It opens offline: what it draws with is inside, and nothing is fetched.
"""
