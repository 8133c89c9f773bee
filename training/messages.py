"""Sentences on standard error."""

from rich.console import Console


def messages() -> Console:
    """Says them as they are: brackets in a path are no mark-up, and no line is broken, so that it can be copied."""
    return Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
