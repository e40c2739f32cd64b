"""Serve the page on ZeroGPU, where Hugging Face lends a GPU for each comparison; options as of ``app.py``.

``spaces`` must be imported before anything that looks for a GPU. Spaces installs it; elsewhere it changes nothing.
"""

import sys

import spaces

import app

if __name__ == "__main__":
    sys.exit(app.main(gpu=spaces.GPU))
