"""An end that a person can act on."""

from __future__ import annotations


class Sentence(Exception):
    """Why a command ended and what to change; printed as it is, without a traceback."""

    def __init__(self, text: str, *, status: int = 1) -> None:
        super().__init__(text)
        self.status = status
