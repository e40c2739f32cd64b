"""Serve the page on ZeroGPU, where Hugging Face lends a GPU for each comparison; options as of ``app.py``.

``spaces`` is imported before all that may look for a GPU. Spaces installs it; elsewhere it changes nothing.
"""

import sys

import app
from tests.support import spaces as spaces

if __name__ == "__main__":
    sys.exit(app.main(gpu=spaces.GPU))
