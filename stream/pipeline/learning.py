"""Learning: labels with the pending records they join in; better models, risk records and swaps out."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

import numpy as np

from stream.drift.detectors import Drift
from stream.evaluation.prequential import PrequentialWindow, Quality
from stream.features.catalogue import FEATURE_NAMES
from stream.models.compiled import CompiledModel
from stream.models.fitted import FittedModel
from stream.models.lessons import Lessons, View
from stream.models.online import OnlineModel
from stream.pipeline.decision import NOBODY
from stream.pipeline.pending import Pending
from stream.pipeline.risk_book import RiskNote
from stream.pipeline.verdicts import MOST_VERDICTS, Said, Verdicts, said_before, views_of
from stream.records import Label, ModelEvent, ModelEventKind
from stream.registry.challengers import Contender, Field
from stream.registry.gate import Verdict
from stream.registry.orders import Order
from stream.registry.renewal import Renewal
from stream.registry.snapshot import SnapshotInfo
from stream.registry.swap import Case, Confirmation, Refusal, Resumption, Rollback, Swap, SwapPolicy
from stream.registry.trial import Heard, Memory


@dataclass(frozen=True)
class LearningPolicy:
    """Who learns, and how they are judged."""

    champion: str = "ensemble"
    """Recipe that serves first."""
    challengers: tuple[str, ...] = ("logistic",)
    """Recipes scored in shadow."""
    most_models: int = 4
    """Models at a time, with those born on drift; a fit that is frozen while its successor is on probation
    comes on top."""
    seed: int = 7
    window_labels: int = 20_000
    """Matured labels that models are judged on; more, where fewer than `window_frauds` are frauds."""
    window_frauds: int = 100
    snapshot_labels: int = 1_000
    """Scorers get new snapshots after this many labels."""
    memory_labels: int = 4_000
    """The last labels, which a challenger that is born on a drift is taught first; more, where fewer than
    `memory_frauds` are frauds."""
    memory_frauds: int = 30
    swap: SwapPolicy = field(default_factory=SwapPolicy)


_MOST_PREDECESSORS: Final = 8


class Joined(NamedTuple):
    """A label with the pending record of its transaction, and what earlier labels said of it."""

    label: Label
    offset: int
    pending: Pending
    verdicts: Verdicts
    learnt: bool = True
    """Whether models are to learn it; it is judged and counted all the same."""


class _Lesson(NamedTuple):
    """What every model is to learn of one label."""

    transaction_id: str
    features: bytes
    is_fraud: bool
    views: frozenset[View]


class Outcome(NamedTuple):
    """What a batch of labels led to, besides what the models learnt."""

    notes: list[RiskNote]
    """Labels that the risk records are to count."""
    verdicts: dict[str, Verdicts]
    joined: int
    duplicates: int
    corrections: list[int]
    """Offsets of labels that contradicted earlier ones."""
    events: list[ModelEvent]
    contested: list[int]
    """Offsets of labels that came after too many that contradict each other: nothing was made of them."""


class Publication(NamedTuple):
    """A model as it is to be served: its contender's identity and its compiled form."""

    version: str
    recipe: str
    snapshot: int
    parent: str | None
    frauds_learned: int
    learned: int
    compiled: CompiledModel
    parameters: dict[str, float | int]
    fitted_to: int | None
    """Offset of the last label it was fitted on; None for a model that learns online."""


class Offer(NamedTuple):
    """A model that was fitted elsewhere, as the store holds it and opened."""

    revision: int
    """Of the store; each offer has its own."""
    info: SnapshotInfo
    compiled: CompiledModel


class Learner:
    """Everything that learns: models, their evaluation, and the case that swaps them.

    The object is the learner's checkpoint: it pickles, and a copy that is fed the same labels ends in the
    same bits.

    Parameters
    ----------
    policy
        Who learns, and how they are judged.

    Raises
    ------
    SettingsError
        A recipe has no such name.
    """

    def __init__(self, policy: LearningPolicy) -> None:
        self.policy = policy
        recipes = (policy.champion, *policy.challengers)
        self.field = Field(recipes, FEATURE_NAMES, policy.seed, policy.most_models)
        rare = policy.swap.rare
        self.window = PrequentialWindow(
            policy.window_labels, policy.window_frauds, rare * policy.window_labels
        )
        kept = max(policy.memory_labels, policy.swap.check_labels)
        self.memory = Memory(kept, policy.memory_frauds, rare * kept)
        self.case = Case(policy.swap)
        self.renewal: Renewal | None = None
        """While a new fit of the champion is compared with the one before."""
        self.offset = -1
        """Offset of the last label taken in."""
        self.label_time = 0
        """Its label time: the stream's own clock, milliseconds."""
        self.learned = 0
        """Labels learnt, corrections included."""
        self.roster = 0
        """Changes with the champion and with the list of contenders."""
        self.alarm = -1
        """Offset of the label at which a case on the champion was opened last."""
        self.swaps = 0
        self.drifts = 0
        self.rollbacks = 0
        self._served: list[str] = []
        """Who was champion before, newest last."""
        self._newborns: list[str] = []
        """Who was born on a drift, until it has served or was refused."""
        self._lessons: list[_Lesson] = []
        """What the models are still to learn of the batch in hand; between batches there is nothing."""
        self._published = 0
        self._publication: tuple[Publication, ...] | None = None
        self.publish()

    def learn_batch(
        self,
        batch: Sequence[Joined],
        now_ms: int,
        *,
        publishing: bool = True,
    ) -> Outcome:
        """Take in labels in offset order.

        Parameters
        ----------
        batch
            Labels that found their pending records.
        now_ms
            The present, milliseconds since 1970, for the events' ``recorded_at``.
        publishing
            Whether it is time for new snapshots, once there are labels enough; a swap does not ask.

        Returns
        -------
        Outcome
            What is to be stored and announced. A label that says what was known is only counted, but for
            models that learn from one side alone: what an analyst had said is news to them when time says it
            too. A label that contradicts an earlier one corrects the evaluation and the risk counts, and the
            models learn the transaction once more with the new verdict (none of them can unlearn). A
            settlement never contradicts anybody. After `MOST_VERDICTS` on one transaction, a label that
            contradicts is contested, and left.

        Notes
        -----
        A label whose own offset is among the stored verdicts was applied to the risk records before a
        restart: it is learnt, since the models come from an older checkpoint, and not counted again.
        """
        outcome = Outcome([], {}, 0, 0, [], [], [])
        duplicates = 0
        for label, offset, pending, stored, learnt in batch:
            # What an earlier label of this very batch said is not in the store yet.
            verdicts = outcome.verdicts.get(label.transaction_id, stored)
            earlier, applied = said_before(verdicts, offset) if verdicts else ((), False)
            self.offset = max(self.offset, offset)
            self.label_time = max(self.label_time, label.label_time)
            views = views_of(label, earlier, learnt=learnt)
            said = Said(offset, label.is_fraud, label.source == "analyst")
            # Settlement only says that nobody spoke: where somebody had, it is late, and says nothing.
            if earlier and (earlier[-1].is_fraud == label.is_fraud or label.source == "settlement"):
                duplicates += 1
                if views:
                    self._learn(label, pending, views)
                    if not applied:
                        outcome.verdicts[label.transaction_id] = tuple(sorted((*verdicts, said)))
                continue
            if len(earlier) >= MOST_VERDICTS:
                outcome.contested.append(offset)
                continue
            drift = None
            if earlier:
                outcome.corrections.append(offset)
                self._correct(label)
            else:
                drift = self._judge(label, pending, offset, views)
            self._learn(label, pending, views)
            if not earlier:
                self._decide(drift, outcome.events, now_ms)
            if not applied:
                outcome.verdicts[label.transaction_id] = tuple(sorted((*verdicts, said)))
                outcome.notes.append(RiskNote(label, pending, bool(earlier)))
            if publishing and self.unpublished >= self.policy.snapshot_labels:
                self.publish()
        self._teach()
        return outcome._replace(joined=len(batch) - len(outcome.contested), duplicates=duplicates)

    def admit(self, offer: Offer, now_ms: int) -> list[ModelEvent]:
        """Take a model in that was fitted elsewhere; it is scored from the next snapshot on.

        Parameters
        ----------
        offer
            Its recipe's first, or a refit: then it takes the place of the fit before, under its version, and
            where that one serves, on probation against it. Where a case on it is open, the refit is the
            answer: another version, which takes over at once, on probation as after any swap.
        now_ms
            The present, milliseconds since 1970, for the events' ``recorded_at``.

        Returns
        -------
        list[ModelEvent]
            What happened; nothing when there are as many models as there may be, and none of them has been
            judged yet: to be offered again.
        """
        events: list[ModelEvent] = []
        recipe, metrics = offer.info.recipe, offer.info.metrics
        last = self.field.fitted(recipe)
        if last is None and not self._make_room(events, now_ms):
            return events
        serving = last is not None and last.version == self.field.champion
        answering = serving and self.case.state == "evaluating"
        before = replace(last) if last is not None and serving else None
        learned, frauds = int(metrics["learned"]), int(metrics["frauds_learned"])
        contender = self.field.admit(
            recipe,
            FittedModel(offer.compiled, learned, frauds),
            self.offset,
            fitted_to=offer.info.label_offset,
            parameters=offer.info.parameters,
            freezing=answering,
        )
        detail = (
            f"{contender.version} fitted on {learned} labels with {frauds} frauds, up to label"
            f" {offer.info.label_offset}"
        )
        evidence: dict[str, float | int | str] = {
            "offer": offer.revision,
            "fitted_to": offer.info.label_offset,
            **metrics,
        }
        kind: ModelEventKind = "refitted" if contender is last else "born"
        events.append(self._event(kind, contender.version, contender.parent, detail, evidence, now_ms))
        if answering:
            self._renew(contender, events, now_ms)
        elif contender is last:
            # In a probation of its own it is compared with its predecessor already.
            if before is not None and self.case.state != "probation":
                self._compare(before, contender)
            self.publish()
        else:
            self._change_roster()
        return events

    def obey(self, order: Order, now_ms: int) -> list[ModelEvent]:
        """Carry out what a person has ordered, or refuse to; either is one event, with who and why.

        Parameters
        ----------
        order
            What to do. A model that is promoted by order is on probation as any other.
        now_ms
            The present, milliseconds since 1970, for the events' ``recorded_at``.
        """
        champion, events = self.field.champion, list[ModelEvent]()
        evidence: dict[str, float | int | str] = {"trigger": "order", "who": order.who, "why": order.why}
        version = order.model_version if order.action == "promote" else self._predecessor()
        refusal = self._unfit(version, order)
        if version is None or refusal is not None:
            detail = f"{order.who} may not {order.action} {order.model_version}".rstrip() + f": {refusal}"
            events.append(self._event("order_refused", champion, None, detail, evidence, now_ms))
        elif order.action == "promote":
            self.swaps += 1
            self.case.promoted(champion, self.window.added)
            detail = f"{version} takes over from {champion}, as {order.who} has ordered: {order.why}"
            self._promote(version, "swap", detail, evidence | {"state": self.case.state}, events, now_ms)
        else:
            self.rollbacks += 1
            self.case.rolled_back(champion, self.window.added)
            detail = f"{version} serves again in place of {champion}, as {order.who} has ordered: {order.why}"
            self._promote(version, "rollback", detail, evidence | {"state": self.case.state}, events, now_ms)
        return events

    def _predecessor(self) -> str | None:
        """Name who served last before the champion, and still learns."""
        there = self.field.challengers
        return next((version for version in reversed(self._served) if version in there), None)

    def _unfit(self, version: str | None, order: Order) -> str | None:
        """Say why a model cannot take over; None when it can."""
        if version is None:
            return "nobody that still learns has served before"
        contender = self.field.contenders.get(version)
        if contender is None:
            return f"there is no such model; there are: {', '.join(self.field.contenders)}"
        if version == self.field.champion:
            return "it serves already"
        model = contender.model
        if order.action == "promote" and isinstance(model, OnlineModel) and not model.ready:
            return "it has learnt too few frauds to say more than their average"
        return None

    def publication(self) -> tuple[Publication, ...] | None:
        """Return the models to hand to the scorers, the champion first, once; None when nothing is new."""
        publication, self._publication = self._publication, None
        return publication

    def publish(self) -> None:
        """Compile every model now, for :meth:`publication`."""
        self._teach()
        champion = self.field.champion
        order = [champion, *self.field.challengers]
        self._publication = tuple(_compiled(self.field.contenders[version]) for version in order)
        self._published = self.learned

    @property
    def unpublished(self) -> int:
        """Labels learnt since the last snapshot."""
        return self.learned - self._published

    def quality(self) -> dict[str, Quality]:
        """Judge every contender over the window; about 3 ms for each."""
        return {version: self.window.quality(version) for version in self.field.contenders}

    def _judge(self, label: Label, pending: Pending, offset: int, views: frozenset[View]) -> Drift | None:
        """Take in what the contenders had said of a transaction; return the drift that this completes."""
        contenders = self.field.contenders
        scores = zip(pending.models, pending.scores, strict=True)
        known = {version: score for version, score in scores if version in contenders}
        name, is_fraud, amount = label.transaction_id, label.is_fraud, pending.amount
        alerted = pending.decision == "alert"
        self.window.add(name, is_fraud, known, alerted=alerted, amount=amount)
        self.memory.add(Heard(offset, name, pending.features, is_fraud, views, amount, alerted))
        champion = self.field.champion
        if champion not in known:
            return None
        # Under another champion the threshold was that one's: what was alerted then says nothing of this one.
        threshold = pending.threshold if pending.models[0] == champion else NOBODY
        return self.case.observe(is_fraud, known[champion], threshold, self.window.added)

    def _learn(self, label: Label, pending: Pending, views: frozenset[View]) -> None:
        if not views:
            return
        self._lessons.append(_Lesson(label.transaction_id, pending.features, label.is_fraud, views))
        self.learned += 1

    def _teach(self) -> None:
        """Let the models learn what there is to learn: one after the other, each with its data at hand.

        That they learn later in the batch does not matter: judging asks only for what they said earlier.
        """
        if not self._lessons:
            return
        names, features, is_fraud, views = zip(*self._lessons, strict=True)
        rows = np.frombuffer(b"".join(features), "<f4").reshape(len(names), -1).astype(np.float64)
        lessons = Lessons(names, rows, np.array(is_fraud, bool), views)
        for contender in self.field.contenders.values():
            contender.model.learn_rows(lessons)
        self._lessons.clear()

    def _correct(self, label: Label) -> None:
        trials = [self.case.trial, None if self.renewal is None else self.renewal.trial]
        for window in [self.window, *(trial.window for trial in trials if trial is not None)]:
            window.correct(label.transaction_id, label.is_fraud)

    def _decide(self, drift: Drift | None, events: list[ModelEvent], now_ms: int) -> None:
        self._check_renewal(events, now_ms)
        if drift is not None:
            self._on_drift(drift, events, now_ms)
            return
        if not self.case.due(self.window.added):
            return
        self._advance_trial()
        decision = self.case.decide(self.window, self.field.champion, self.field.challengers)
        match decision:
            case Swap():
                self._on_swap(decision, events, now_ms)
            case Refusal():
                self._on_refusal(decision, events, now_ms)
            case Rollback():
                self._on_rollback(decision, events, now_ms)
            case Confirmation():
                self._on_confirmation(decision, events, now_ms)
            case Resumption():
                self._on_resumption(decision, events, now_ms)

    def _advance_trial(self) -> None:
        """Let the trial hear what has come in, and go on with the contenders as they are now."""
        trial, field_ = self.case.trial, self.field
        if trial is None:
            return
        self._teach()
        versions = self.case.on_trial(field_.champion, field_.challengers)
        trial.advance(
            {version: field_.contenders[version] for version in versions},
            self.memory.last(self.window.added - trial.heard),
            self.offset,
        )

    def _on_drift(self, drift: Drift, events: list[ModelEvent], now_ms: int) -> None:
        self._teach()  # before one is born, which is taught what it is to know of the past
        self.drifts += 1
        champion = self.field.contenders[self.field.champion]
        what = "frauds outranked by the rest" if drift.signal == "missed_frauds" else "false alerts"
        detail = f"{champion.version}: {what}, {drift.before:.0%} before and {drift.after:.0%} after"
        evidence: dict[str, float | int | str] = {
            "signal": drift.signal,
            "before": drift.before,
            "after": drift.after,
            "labels_since": drift.labels_since,
            "state": self.case.state,
            "window_end": self.window.added,
        }
        events.append(self._event("drift", champion.version, None, detail, evidence, now_ms))
        self._call_for_help(self._make_room(events, now_ms), events, now_ms)

    def _call_for_help(self, room: bool, events: list[ModelEvent], now_ms: int) -> None:
        """Ask the fitter for a fit and, where there is room, let a challenger be born; then compare all."""
        self.alarm = self.offset
        if room:
            self._bear(self.field.contenders[self.field.champion], events, now_ms)
        else:
            self.publish()  # the alarm, which the fitter waits for
        self._advance_trial()

    def _bear(self, champion: Contender, events: list[ModelEvent], now_ms: int) -> None:
        """Add a challenger with a short memory: it knows little of the old pattern, and all of the new."""
        # One that is fitted elsewhere cannot be born here: the recipe that served first stands in.
        recipe = champion.recipe if champion.fitted_to is None else self.policy.champion
        born = self.field.bear(recipe, self.offset, parent=champion.version)
        self._newborns.append(born.version)
        taught = self.memory.teach(born, self.policy.memory_labels)
        detail = (
            f"{born.version} born on the drift of {champion.version}: it knows the last {taught} labels, and"
            " learns on from there"
        )
        evidence: dict[str, float | int | str] = {"taught": born.model.taught}
        events.append(self._event("born", born.version, champion.version, detail, evidence, now_ms))
        self._change_roster()

    def _make_room(self, events: list[ModelEvent], now_ms: int) -> bool:
        """Retire the weakest challenger where there is room for no other; False when none can be told."""
        if not self.field.crowded():
            return True
        quality = {version: judged.average_precision for version, judged in self.quality().items()}
        predecessor = self.case.predecessor
        weakest = self.field.weakest(quality, () if predecessor is None else (predecessor,))
        if weakest is None:
            return False
        evidence: dict[str, float | int | str] = {"average_precision": quality[weakest]}
        self._retire(weakest, "the lowest average precision of the challengers", evidence, events, now_ms)
        return True

    def _retire(
        self,
        version: str,
        why: str,
        evidence: dict[str, float | int | str],
        events: list[ModelEvent],
        now_ms: int,
    ) -> None:
        self.field.retire(version)
        self.window.forget(version)
        self._newborns = [one for one in self._newborns if one != version]
        events.append(self._event("retired", version, None, f"{version} retired: {why}", evidence, now_ms))

    def _on_swap(self, swap: Swap, events: list[ModelEvent], now_ms: int) -> None:
        self.swaps += 1
        verdict = swap.verdict
        detail = f"{swap.challenger} takes over from {self.field.champion}: {_compared(verdict)}"
        evidence = {"trigger": swap.trigger, **self._numbers(verdict, swap.begin)}
        self._promote(swap.challenger, "swap", detail, evidence, events, now_ms)

    def _renew(self, fit: Contender, events: list[ModelEvent], now_ms: int) -> None:
        """Let a new fit of the champion that has failed take over: the gate asks afterwards, in probation."""
        self.swaps += 1
        champion = self.field.champion
        self.case.promoted(champion, self.window.added)
        detail = f"{fit.version}, its next fit, takes over from {champion}, which has failed: on probation"
        evidence = {"trigger": "refit", **self._span(self.window.added)}
        self._promote(fit.version, "swap", detail, evidence, events, now_ms)

    def _compare(self, before: Contender, after: Contender) -> None:
        """Put a new fit of the champion on probation."""
        self.renewal = Renewal(before, self.policy.swap, self.window.added)
        self.renewal.hear(after, [], self.offset)

    def _check_renewal(self, events: list[ModelEvent], now_ms: int) -> None:
        """Look whether the fit before was better than the one that serves, and put it back then."""
        renewal, labels = self.renewal, self.window.added
        if renewal is None or not renewal.due(labels):
            return
        fit = self.field.contenders[self.field.champion]
        renewal.hear(fit, self.memory.last(labels - renewal.trial.heard), self.offset)
        verdict = renewal.look()
        if verdict is not None and verdict.passed:
            self.renewal = None
            before = renewal.before
            fit.model, fit.fitted_to, fit.parameters = before.model, before.fitted_to, before.parameters
            detail = f"{fit.version} serves by the fit before its last again: {_compared(verdict)}"
            evidence = {"fitted_to": int(before.fitted_to or 0), **self._numbers(verdict, renewal.begin)}
            events.append(self._event("fit_undone", fit.version, None, detail, evidence, now_ms))
            self.publish()
        elif renewal.over(labels):
            self.renewal = None

    def _on_rollback(self, rollback: Rollback, events: list[ModelEvent], now_ms: int) -> None:
        self.rollbacks += 1
        detail = (
            f"{rollback.predecessor} serves again, {self.field.champion} has failed its probation:"
            f" {_compared(rollback.verdict)}"
        )
        evidence = self._numbers(rollback.verdict, rollback.begin)
        self._promote(rollback.predecessor, "rollback", detail, evidence, events, now_ms)

    def _promote(
        self,
        version: str,
        kind: ModelEventKind,
        detail: str,
        evidence: dict[str, float | int | str],
        events: list[ModelEvent],
        now_ms: int,
    ) -> None:
        previous, self.field.champion = self.field.champion, version
        self.renewal = None
        self._newborns = [one for one in self._newborns if one != version]
        self._served = [*self._served, previous][-_MOST_PREDECESSORS:]
        events.append(self._event(kind, version, previous, detail, evidence, now_ms))
        self._retire_frozen(events, now_ms)
        self._advance_trial()
        self._change_roster()

    def _on_refusal(self, refusal: Refusal, events: list[ModelEvent], now_ms: int) -> None:
        champion = self.field.champion
        evidence: dict[str, float | int | str]
        if refusal.verdict is None:
            detail = f"{champion} stays: no challenger has scored enough frauds to be judged"
            evidence = self._span(refusal.begin)
        else:
            detail = f"{champion} stays: {refusal.best} is not better beyond doubt"
            evidence = {"best": str(refusal.best), **self._numbers(refusal.verdict, refusal.begin)}
        evidence["trigger"] = refusal.trigger
        if refusal.drift is not None:
            detail += "; it has not recovered, and the next case is open"
        events.append(self._event("gate_refused", champion, None, detail, evidence, now_ms))
        if refusal.drift is not None:
            self._call_for_help(not self.field.crowded(), events, now_ms)
            return
        # A model that has come to nothing would cost its share of scoring and learning for ever, and each
        # alarm would add one: that is how a learner that is behind falls further behind.
        refused = self._newborns
        for version in refused:
            self._retire(version, "the gate has refused it", {"state": self.case.state}, events, now_ms)
        if refused:
            self._change_roster()

    def _on_confirmation(self, confirmed: Confirmation, events: list[ModelEvent], now_ms: int) -> None:
        champion = self.field.champion
        detail = f"{champion} has passed its probation: {confirmed.predecessor} is not better beyond doubt"
        if confirmed.verdict is None:
            detail = f"{champion} has passed its probation: there were too few frauds to compare it by"
            evidence = self._span(confirmed.begin)
        else:
            evidence = self._numbers(confirmed.verdict, confirmed.begin)
        events.append(self._event("confirmed", champion, confirmed.predecessor, detail, evidence, now_ms))
        if self._retire_frozen(events, now_ms):
            self._change_roster()

    def _retire_frozen(self, events: list[ModelEvent], now_ms: int) -> list[str]:
        """Retire fits that are neither renewed any more nor needed: nobody is to come back to them."""
        needed = (self.field.champion, self.case.predecessor)
        retired = [version for version in self.field.frozen if version not in needed]
        for version in retired:
            why = "another fit has taken its place"
            self._retire(version, why, {"state": self.case.state}, events, now_ms)
        return retired

    def _on_resumption(self, resumed: Resumption, events: list[ModelEvent], now_ms: int) -> None:
        champion = self.field.champion
        detail = f"{champion} serves, and cases may be opened again"
        evidence: dict[str, float | int | str] = {"state": self.case.state, "window_end": self.window.added}
        events.append(self._event("resumed", champion, None, detail, evidence, now_ms))
        if resumed.drift is not None:
            self._on_drift(resumed.drift, events, now_ms)

    def _numbers(self, verdict: Verdict, begin: int) -> dict[str, float | int | str]:
        """Return what a decision rests on, without nan and infinities, which JSON does not know."""
        numbers = {name: value for name, value in verdict._asdict().items() if name != "passed"}
        return self._span(begin) | {name: value for name, value in numbers.items() if np.isfinite(value)}

    def _span(self, begin: int) -> dict[str, float | int | str]:
        """Return the state that was entered, and the labels, by their count, on which the decision rests."""
        return {"state": self.case.state, "window_begin": begin, "window_end": self.window.added}

    def _change_roster(self) -> None:
        self.roster += 1
        self.publish()

    def _event(
        self,
        kind: ModelEventKind,
        version: str,
        previous: str | None,
        detail: str,
        evidence: dict[str, float | int | str],
        now_ms: int,
    ) -> ModelEvent:
        return ModelEvent(
            kind=kind,
            model_version=version,
            previous_version=previous,
            detail=detail,
            evidence=evidence,
            label_offset=self.offset,
            event_time=self.label_time,
            recorded_at=now_ms,
        )


def _compiled(contender: Contender) -> Publication:
    contender.snapshot += 1
    model = contender.model
    return Publication(
        contender.version,
        contender.recipe,
        contender.snapshot,
        contender.parent,
        model.frauds_learned,
        model.learned,
        model.compile(),
        contender.parameters,
        contender.fitted_to,
    )


def _compared(verdict: Verdict) -> str:
    return (
        f"average precision {verdict.challenger:.3f} against {verdict.champion:.3f} on {verdict.labels}"
        f" labels with {verdict.frauds} frauds"
    )
