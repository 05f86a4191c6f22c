"""The renewal: a new fit of the champion, on probation against the fit whose place it has taken.

A champion that is fitted elsewhere is fitted again on schedule, and each fit serves from the moment it is
there: who waited for proof, with labels a week late, would serve old fits for good. So the proof comes
afterwards, as it does after a swap. Both fits score the labels that come in, which neither was fitted on, and
when the one before is the better one beyond doubt, it is put back until there is another.
"""

from typing import Final

from stream.registry.challengers import Contender
from stream.registry.gate import Looks, Verdict, look
from stream.registry.swap import SwapPolicy
from stream.registry.trial import Heard

_BEFORE: Final = "before"
_AFTER: Final = "after"


class Renewal:
    """Compares a fit that serves with the one before, as labels come in.

    Parameters
    ----------
    before
        The contender as it was.
    policy
        Of a probation.
    begin
        Labels that had come in when the new fit began to serve.
    """

    def __init__(self, before: Contender, policy: SwapPolicy, begin: int) -> None:
        self.before = before
        self.begin = begin
        self.trial = policy.trial_of(begin)
        self._policy = policy
        self._looks = Looks()

    def due(self, labels: int) -> bool:
        """Tell whether it is time for a look once so many labels have come in."""
        age = labels - self.begin
        return age > 0 and age % self._policy.check_labels == 0

    def over(self, labels: int) -> bool:
        """Tell whether the new fit has stood the test."""
        policy = self._policy
        return policy.lasted(labels - self.begin, self.trial.window.frauds, policy.probation_labels)

    def hear(self, after: Contender, heard: list[Heard], offset: int) -> None:
        """Let both score the labels since the last time; see :meth:`Trial.advance`."""
        self.trial.advance({_BEFORE: self.before, _AFTER: after}, heard, offset)

    def look(self) -> Verdict | None:
        """Ask the gate whether the fit before is better; None where there is too little news for it."""
        return look(self.trial.window, _AFTER, _BEFORE, self._looks, self._policy.trial)
