"""One page of HTML about a run, or about several beside each other: `posext report RUN ...`.

It opens offline: what it draws with is inside, and nothing is fetched.
"""
