"""``python -m lora_mcl``: see ``lora_mcl.cli``."""

import sys

from lora_mcl.cli import main

sys.exit(main())
