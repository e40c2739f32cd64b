"""Chance with its outcome given, to see what annotators write word by word."""


class Draw:
    """Draws the first of everything; ``random`` gives what says yes (0) or no (1) to optional words."""

    def __init__(self, value: float = 0.5):
        self.value = value

    def random(self) -> float:
        return self.value

    def choice(self, some):
        return some[0]
