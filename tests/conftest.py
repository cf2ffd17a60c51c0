"""How thoroughly hypothesis searches: `HYPOTHESIS_PROFILE=thorough` in the environment, or the quick default.

The quick profile tries the same examples in every run, so that a run that failed fails again, here and in CI. The
thorough one searches anew every time; what it finds becomes a test of its own or an `@example`.
"""

import os

from hypothesis import settings

settings.register_profile("quick", max_examples=50, derandomize=True, deadline=None)
settings.register_profile("thorough", max_examples=1000, derandomize=False, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))
