"""Requests with random columns and options, and an adapter stack to decode them with."""

import random
from dataclasses import dataclass, replace

from lora_mcl.adapters import BASE_ROW
from lora_mcl.decoding import (
    BeamSearch,
    ColumnRequest,
    DiverseBeamSearch,
    Greedy,
    LogitsOptions,
    Sampling,
    Scheduler,
)
from tests.support.tiny_decoders import (
    DECODERS,
    EmbeddedPrompt,
    assert_same,
    decode,
    engine_of,
    prompt_of,
    random_stack,
)

EOS = (3, 11, 27)
COLUMNS = (
    (
        ColumnRequest("hypothesis", 0, Greedy()),
        ColumnRequest("beam", 2, BeamSearch(3)),
        ColumnRequest("diverse", 2, DiverseBeamSearch(4, 2, 0.8)),
    ),
    (ColumnRequest("other", 1, BeamSearch(2)), ColumnRequest("samples", 0, Sampling(2, seed=3))),
    (ColumnRequest("base", BASE_ROW, Greedy()),),
)
OPTIONS = (LogitsOptions(), LogitsOptions(1.4, 3, (1, 8)))


@dataclass(eq=False)
class Visitor:
    """A request with its own prompt, columns and options; what it got so far."""

    prompt: EmbeddedPrompt
    columns: list[ColumnRequest]
    max_new_tokens: int
    logits_options: LogitsOptions

    def start(self, scheduler: Scheduler, should_stop=None):
        self.found: dict[str, tuple] = {}
        self.events = scheduler.decode(
            lambda: self.prompt,
            self.columns,
            max_new_tokens=self.max_new_tokens,
            logits_options=self.logits_options,
            should_stop=should_stop,
        )
        return self

    def advance(self) -> bool:
        """Take one event; whether there is more."""
        event = next(self.events)
        self.found.update(event.columns)
        return not event.done

    def alone(self, engine) -> dict[str, tuple]:
        return decode(engine, self.prompt, self.columns, self.max_new_tokens, self.logits_options).columns

    def assert_right(self, engine) -> None:
        expected = self.alone(engine)
        assert self.found.keys() == expected.keys()
        for id, candidates in expected.items():
            assert_same(self.found[id], candidates)


def visitor(model, index: int, chance: random.Random) -> Visitor:
    lengths = [chance.randint(3, 14) for _ in range(chance.choice((1, 1, 2)))]
    columns = [
        replace(column, id=f"{column.id}-{prompt}", prompt=prompt)
        for prompt in range(len(lengths))
        for column in chance.choice(COLUMNS)
    ]
    return Visitor(prompt_of(model, *lengths, seed=index), columns, chance.randint(1, 14), chance.choice(OPTIONS))


def adapted(name: str, seed: int = 1):
    model = DECODERS[name](seed)
    layers = (1,) if name in ("qwen2", "llava-next") else (0, 1)
    suffixes = ("c_attn", "c_fc") if name == "gpt2" else ("q_proj", "v_proj", "down_proj")
    stack = random_stack(
        model,
        (2, 4, 3),
        target_modules=suffixes,
        exclude_modules=r".*(vision_tower|audio_tower).*",
        layers_to_transform=layers,
    )
    return model, engine_of(model, stack, EOS)
