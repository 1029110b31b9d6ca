"""Nothing that a study stores is kept from one test to the next."""

import pytest

from posext.claims import stored


@pytest.fixture(autouse=True)
def _fresh():
    stored.open_stored.cache_clear()
