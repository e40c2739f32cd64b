"""Marks of the tests that serve a page."""

import pytest

GRADIO_WARNINGS = [
    # Gradio's own statistics of its queue, computed with pandas after every event.
    pytest.mark.filterwarnings("ignore:'future.no_silent_downcasting':DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The copy keyword is deprecated:DeprecationWarning"),
]
