"""Chance with its outcome given, to see what annotators write word by word."""


class Draw:
    """Draws the first of everything; ``random`` gives 0 (with optional words) or 1 (without)."""

    def __init__(self, value: float = 0.5):
        self.value = value

    def random(self) -> float:
        return self.value

    def choice(self, some):
        return some[0]
