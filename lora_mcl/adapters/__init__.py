"""Low-rank adapters on a frozen model, computed together, stored as standard PEFT folders."""

from lora_mcl.adapters.linear import BASE_ROW, GroupedLoraLinear
from lora_mcl.adapters.spec import LANGUAGE_MODEL_LINEARS, AdapterSpec
from lora_mcl.adapters.stack import AdapterStack, hypothesis_rows

__all__ = [
    "BASE_ROW",
    "LANGUAGE_MODEL_LINEARS",
    "AdapterSpec",
    "AdapterStack",
    "GroupedLoraLinear",
    "hypothesis_rows",
]
