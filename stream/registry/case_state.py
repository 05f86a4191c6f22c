"""Case states: where the champion's case may stand (``stream.registry.swap`` says how it moves on)."""

from typing import Final, Literal, get_args

CaseState = Literal["serving", "evaluating", "probation", "cooldown"]
STATES: Final[tuple[CaseState, ...]] = get_args(CaseState)
