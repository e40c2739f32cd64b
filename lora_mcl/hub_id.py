"""Ids of repositories on the Hugging Face Hub."""

from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id


def is_hub_id(text: str) -> bool:
    """Whether ``text`` has the form of a Hub id, ``owner/name`` or, for old models, ``name`` alone ("gpt2")."""
    try:
        validate_repo_id(text)
    except HFValidationError:
        return False
    return True
