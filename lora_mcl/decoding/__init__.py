"""Lockstep decoding: greedy, beam, diverse beam and sampled searches of many adapters, one model forward per token."""

from lora_mcl.decoding.beam import BeamSearch
from lora_mcl.decoding.diverse_beam import DiverseBeamSearch
from lora_mcl.decoding.engine import ColumnRequest, Engine, Prompt, StepEvent
from lora_mcl.decoding.greedy import Greedy
from lora_mcl.decoding.options import EngineOptions
from lora_mcl.decoding.rules import LogitRules
from lora_mcl.decoding.sampling import Sampling
from lora_mcl.decoding.strategy import Candidate, Move, Search, SearchContext, Strategy

__all__ = [
    "BeamSearch",
    "Candidate",
    "ColumnRequest",
    "DiverseBeamSearch",
    "Engine",
    "EngineOptions",
    "Greedy",
    "LogitRules",
    "Move",
    "Prompt",
    "Sampling",
    "Search",
    "SearchContext",
    "StepEvent",
    "Strategy",
]
