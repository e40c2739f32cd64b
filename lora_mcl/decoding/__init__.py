"""Lockstep decoding: greedy, beam, diverse beam and sampled columns of many adapters, one model forward per token.

Names are imported on first use: the options' checks need no torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "beam": ["BeamSearch"],
        "diverse_beam": ["DiverseBeamSearch"],
        "engine": ["Engine"],
        "greedy": ["Greedy"],
        "logits_processor": ["LogitsOptions"],
        "options": ["EngineOptions", "SchedulerOptions"],
        "request": ["ColumnRequest", "Prompt", "StepEvent"],
        "sampling": ["Sampling"],
        "scheduler": ["Scheduler"],
        "token_decoder": ["Candidate", "DecodeContext", "DecodingStrategy", "NextTokens", "TokenDecoder"],
    },
)
