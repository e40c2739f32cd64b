"""Lockstep decoding: greedy, beam, diverse beam and sampled columns of many adapters, one model forward per token."""

from lora_mcl.decoding.beam import BeamSearch
from lora_mcl.decoding.diverse_beam import DiverseBeamSearch
from lora_mcl.decoding.engine import Engine
from lora_mcl.decoding.greedy import Greedy
from lora_mcl.decoding.logits_processor import LogitsOptions
from lora_mcl.decoding.options import EngineOptions
from lora_mcl.decoding.request import ColumnRequest, Prompt, StepEvent
from lora_mcl.decoding.sampling import Sampling
from lora_mcl.decoding.scheduler import Scheduler, SchedulerOptions
from lora_mcl.decoding.token_decoder import Candidate, DecodeContext, DecodingStrategy, NextTokens, TokenDecoder

__all__ = [
    "BeamSearch",
    "Candidate",
    "ColumnRequest",
    "DecodeContext",
    "DecodingStrategy",
    "DiverseBeamSearch",
    "Engine",
    "EngineOptions",
    "Greedy",
    "LogitsOptions",
    "NextTokens",
    "Prompt",
    "Sampling",
    "Scheduler",
    "SchedulerOptions",
    "StepEvent",
    "TokenDecoder",
]
