"""Hoeffding trees, alone and in a random forest: as River grows them, and flattened to be compiled."""

from collections import deque
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from river import drift, forest, tree
from river.tree.nodes.branch import DTBranch, NumericBinaryBranch

from stream.models.forest import Forest
from stream.models.one_by_one import OneByOne
from stream.models.splitter import LeanSplitter

MOST_SPLITS_DEEP: Final = 18
"""Trees stop growing there: it bounds the time to score a row, the snapshot, and the depth of the pickle."""


class OnlineAdaptiveForest(OneByOne):
    """River's adaptive random forest, with leaves that answer their share of frauds.

    Its inner drift detectors are off (River needs `NoDrift` for that: None means ADWIN): the case for another
    champion is judged outside, on the whole model; members do not replace themselves behind its back.

    Parameters
    ----------
    feature_names
        In the order of the matrices' columns.
    seed
        Of the bootstrap and of the features each leaf looks at.
    trees
        How many.
    bagging
        Mean of the Poisson weight with which each tree sees a transaction.
    negative_rate
        Share of the legitimate transactions that it is shown.
    weighted_vote
        Whether trees count by their accuracy. They are about as good as each other, so it changes little.

    References
    ----------
    Gomes et al. (2017), Adaptive random forests for evolving data stream classification.
    """

    def __init__(
        self,
        feature_names: tuple[str, ...],
        seed: int,
        *,
        trees: int,
        bagging: int,
        negative_rate: float,
        weighted_vote: bool = False,
    ) -> None:
        self.feature_names = feature_names
        self.negative_rate = negative_rate
        self.forest: Any = forest.ARFClassifier(
            n_models=trees,
            lambda_value=bagging,
            leaf_prediction="mc",
            splitter=LeanSplitter(),
            drift_detector=drift.NoDrift(),
            warning_detector=drift.NoDrift(),
            disable_weighted_vote=not weighted_vote,
            max_depth=MOST_SPLITS_DEEP,
            seed=seed,
        )

    @property
    def knows(self) -> bool:
        """Whether any label has planted its trees."""
        return len(self.forest) > 0

    def learn_row(self, row: Sequence[float], y: bool) -> None:
        """Learn one transaction. About 0.5 to 1 ms with ten trees."""
        self.forest.learn_one(dict(zip(self.feature_names, row, strict=True)), y)

    def predict_row(self, row: Sequence[float]) -> float:
        """Return the share of frauds in the sample; 0 before anything was learnt."""
        # River would make its trees now, for good, from whatever the first question looks like.
        if not self.knows:
            return 0.0
        return _share(self.forest.predict_proba_one(dict(zip(self.feature_names, row, strict=True))))

    def compile(self, prior: float) -> Forest | None:
        """Flatten the trees; `prior` is for when none of them knows anything. About 5 ms."""
        if not self.knows:
            return None
        trees = [member._root for member in self.forest]  # noqa: SLF001 (River shows its nodes nowhere else)
        weights = [1.0] * len(trees)
        if not self.forest.disable_weighted_vote:
            accuracies = [metric.get() for metric in self.forest._metrics]  # noqa: SLF001 (nor the weights)
            # River's rule: a tree that was never right counts in full.
            weights = [accuracy if accuracy > 0.0 else 1.0 for accuracy in accuracies][: len(trees)]
        return _flatten(trees, weights, self.feature_names, self.negative_rate, prior)


class OnlineTree(OneByOne):
    """River's Hoeffding tree, with leaves that answer their share of frauds.

    Parameters
    ----------
    feature_names
        In the order of the matrices' columns.
    seed
        Taken as every classifier takes one; nothing here is random.
    grace_period
        Labels that a leaf waits between two thoughts of splitting.
    delta
        Probability that a split is taken for better than it is; smaller ones wait for more labels.
    negative_rate
        Share of the legitimate transactions that it is shown.

    References
    ----------
    Domingos & Hulten (2000), Mining high-speed data streams.
    """

    def __init__(
        self,
        feature_names: tuple[str, ...],
        seed: int,  # noqa: ARG002 (a single tree looks at every feature)
        *,
        grace_period: int,
        delta: float,
        negative_rate: float,
    ) -> None:
        self.feature_names = feature_names
        self.negative_rate = negative_rate
        self.tree: Any = tree.HoeffdingTreeClassifier(
            grace_period=grace_period,
            delta=delta,
            leaf_prediction="mc",
            splitter=LeanSplitter(),
            max_depth=MOST_SPLITS_DEEP,
        )

    @property
    def knows(self) -> bool:
        """Whether any label has planted it."""
        return self.tree._root is not None  # noqa: SLF001 (nor whether it is there)

    def learn_row(self, row: Sequence[float], y: bool) -> None:
        """Learn one transaction. About 0.1 ms."""
        self.tree.learn_one(dict(zip(self.feature_names, row, strict=True)), y)

    def predict_row(self, row: Sequence[float]) -> float:
        """Return the share of frauds in the sample; 0 before anything was learnt."""
        return _share(self.tree.predict_proba_one(dict(zip(self.feature_names, row, strict=True))))

    def compile(self, prior: float) -> Forest | None:
        """Flatten the tree; `prior` is for when it knows nothing."""
        root = self.tree._root  # noqa: SLF001 (River shows its nodes nowhere else)
        if not self.knows:
            return None
        return _flatten([root], [1.0], self.feature_names, self.negative_rate, prior)


def _share(votes: dict[bool, float]) -> float:
    """Return the part of the votes that says fraud; 0 when nobody has voted."""
    total = sum(votes.values())
    return votes.get(True, 0.0) / total if total > 0 else 0.0


def _flatten(
    trees: Sequence[Any],
    weights: Sequence[float],
    feature_names: tuple[str, ...],
    negative_rate: float,
    prior: float,
) -> Forest:
    """Lay River's trees out level by level, as :class:`~stream.models.forest.Forest` wants them.

    A tree without a root, since it was shown nothing yet, becomes a leaf without weight.
    """
    column = {name: number for number, name in enumerate(feature_names)}
    feature: list[int] = []
    threshold: list[float] = []
    child: list[int] = []
    share: list[float] = []
    roots: list[int] = []
    for root in trees or [None]:
        roots.append(len(feature))
        queue = deque([root])
        fraud: list[float] = []
        total: list[float] = []
        while queue:
            node = queue.popleft()
            if isinstance(node, DTBranch):
                # Every feature is a number and nothing else is ever split on.
                assert isinstance(node, NumericBinaryBranch), f"cannot compile a {type(node).__name__}"
                feature.append(column[node.feature])
                threshold.append(float(node.threshold))
                child.append(len(feature) + len(queue))
                queue.extend(node.children)
                fraud.append(0.0)
                total.append(0.0)
            else:
                seen = node.stats if node is not None else {}
                feature.append(-1)
                threshold.append(0.0)
                child.append(0)
                fraud.append(float(seen.get(True, 0.0)))
                total.append(float(sum(seen.values())))
        share += _shares(roots[-1], feature, child, fraud, total)
    known = [weight if root is not None else 0.0 for root, weight in zip(trees, weights, strict=True)]
    return Forest(
        feature=np.array(feature, np.int32),
        threshold=np.array(threshold),
        child=np.array(child, np.int32),
        share=np.array(share),
        roots=np.array(roots, np.int32),
        weight=np.array(known or [0.0]),
        negative_rate=negative_rate,
        prior=prior,
    )


def _shares(
    root: int, feature: list[int], child: list[int], fraud: list[float], total: list[float]
) -> list[float]:
    """Return the share of frauds under each node of the tree at `root`; adds up `fraud` and `total` in place.

    River's own counts of an inner node stopped when it was split; those of its leaves went on.
    """
    for number in reversed(range(len(fraud))):
        if feature[root + number] >= 0:
            first = child[root + number] - root
            fraud[number] = fraud[first] + fraud[first + 1]
            total[number] = total[first] + total[first + 1]
    return [
        min(max(frauds / labels, 0.0), 1.0) if labels > 0 else 0.0
        for frauds, labels in zip(fraud, total, strict=True)
    ]
