"""`python -m service.cli`: the same as `trunkline`."""

import sys

from service.cli.commands import main

sys.exit(main())
