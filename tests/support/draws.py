"""Annotators word by word: chance with a given outcome, and expected sentences."""


class Draw:
    """Draws the first of everything; ``random`` gives 0 (with optional words) or 1 (without)."""

    def __init__(self, value: float = 0.5):
        self.value = value

    def random(self) -> float:
        return self.value

    def choice(self, some):
        return some[0]


def sentences(text: str) -> tuple[str, ...]:
    """The sentences of a text that has one on each line."""
    return tuple(line.strip() for line in text.strip().splitlines())
