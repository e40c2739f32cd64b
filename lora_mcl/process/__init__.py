"""A captioner whose model computes in a process of its own, next to the program that asks it."""

from lora_mcl.process.captioner import ProcessCaptioner, ProcessError

__all__ = ["ProcessCaptioner", "ProcessError"]
