"""Twins of our estimators that learn a row at a time, in the plainest way; to the same bits."""

from bisect import bisect
from math import log
from random import Random
from typing import Any

import numpy as np

from stream.models.binned import _INTERCEPT_STEP, BinnedLogisticRegression, _sigmoid
from stream.models.binned_forest import _PAUSE, BinnedForestClassifier, _best_split
from stream.models.binning import Bins, Sample

Row = list[float]


class NaiveForest:
    """A `BinnedForestClassifier` as it is described: each leaf with its own counts, each row by itself."""

    def __init__(self, like: BinnedForestClassifier, features: int) -> None:
        self.like = like
        self.random = Random(like.seed)
        self.sample = Sample(features, like.quantiles)
        self.trees: list[dict[str, Any]] = []
        self.early: list[tuple[Row, bool]] = []
        self.positives = 0

    def learn(self, row: Row, y: bool) -> None:
        older = self.sample.bins
        self.positives += y
        self.sample.add(np.array([row]), np.array([y]))
        bins = self.sample.bins
        if bins is not older and bins is not None:
            if older is None:
                prior = (self.positives + 0.5) / (self.sample.seen + 1.0)
                self.trees = [self.leaf(0, prior, 0, 0) for _ in range(self.like.trees)]
                for before in self.early:
                    self.grow(bins, *before)
            else:
                for leaf in [leaf for tree in self.trees for leaf in leaves(tree)]:
                    leaf["counts"] = recounted(leaf, older, bins)
        if bins is None:
            self.early.append((row, y))
        else:
            self.grow(bins, row, y)

    def predict(self, row: Row) -> float:
        shares = [self.share(arrived(tree, row)) for tree in self.trees]
        return sum(shares) / len(shares)

    def leaf(self, depth: int, prior: float, legitimate: int, frauds: int) -> dict[str, Any]:
        assert self.sample.bins is not None
        widths = self.sample.bins.counts
        looked_at = sorted(
            self.random.sample(range(len(widths)), max(1, round(self.like.features * len(widths))))
        )
        counts = np.zeros((2, len(looked_at), max(widths)), np.uint32)
        known = {"depth": depth, "prior": prior, "by_class": [legitimate, frauds], "seen": 0, "think_at": 0}
        return {"looked_at": looked_at, "counts": counts, **known}

    def share(self, leaf: dict[str, Any]) -> float:
        (legitimate, frauds), leaning = leaf["by_class"], self.like.leaning
        return float((frauds + leaning * leaf["prior"]) / (legitimate + frauds + leaning))

    def grow(self, bins: Bins, row: Row, y: bool) -> None:
        placed = bins.place(row)
        for tree in self.trees:
            weight = bisect(self.like._weights, self.random.random())
            leaf = arrived(tree, row)
            leaf["seen"] += weight
            leaf["by_class"][y] += weight
            for number, feature in enumerate(leaf["looked_at"]):
                leaf["counts"][int(y), number, placed[feature]] += weight
            if weight and leaf["seen"] >= leaf["think_at"]:
                leaf["think_at"] = round(max(leaf["seen"] + self.like.grace, _PAUSE * leaf["seen"]))
                if all(leaf["by_class"]):
                    self.think(leaf, bins)

    def think(self, leaf: dict[str, Any], bins: Bins) -> None:
        edges = np.array([len(bins.edges[feature]) for feature in leaf["looked_at"]])
        found = _best_split(leaf["counts"], edges, self.like.delta, self.like.tie, self.like.worth)
        if found is None:
            return
        number, at, *sides = found
        feature = leaf["looked_at"][number]
        children = [self.leaf(leaf["depth"] + 1, self.share(leaf), *side) for side in sides]
        leaf.clear()
        leaf |= {"feature": feature, "threshold": bins.edges[feature][at], "children": children}


def arrived(node: dict[str, Any], row: Row) -> dict[str, Any]:
    while "children" in node:
        node = node["children"][not row[node["feature"]] <= node["threshold"]]
    return node


def leaves(node: dict[str, Any]) -> list[dict[str, Any]]:
    return [leaf for child in node["children"] for leaf in leaves(child)] if "children" in node else [node]


def recounted(leaf: dict[str, Any], older: Bins, bins: Bins) -> Any:
    fresh = np.zeros((2, len(leaf["looked_at"]), max(bins.counts)), np.uint32)
    for number, feature in enumerate(leaf["looked_at"]):
        for place, moved in enumerate(older.within(feature, bins)):
            fresh[:, number, moved] += leaf["counts"][:, number, place]
    return fresh


class NaiveRegression:
    """A `BinnedLogisticRegression` whose weights are updated number by number, on bins cut only once."""

    def __init__(self, like: BinnedLogisticRegression) -> None:
        assert like._table is not None
        self.like, self.bins = like, like._table.bins
        self.pairs = like._table.pairs
        self.sums: dict[Any, tuple[float, float, float]] = {}
        """Of each cell: z, sum of squares, weight."""
        prior = like._prior()
        self.intercept = log(prior / (1.0 - prior))
        self.intercept_squares = 1.0

    def predict(self, row: Row) -> float:
        weights = [self.sums.get(cell, (0.0, 0.0, 0.0))[2] for cell in self.cells(row)]
        return _sigmoid(self.intercept + float(np.array(weights).sum()))

    def learn(self, row: Row, y: bool) -> None:
        like, gradient = self.like, self.predict(row) - y
        for cell in self.cells(row):
            z, squares, weight = self.sums.get(cell, (0.0, 0.0, 0.0))
            grown = squares + gradient * gradient
            z = z + gradient - (grown**0.5 - squares**0.5) / like.alpha * weight
            shrunk = min(max(z, -like.l1), like.l1) - z
            weight = shrunk / ((like.beta + grown**0.5) / like.alpha + like.l2)
            self.sums[cell] = z, grown, weight
        self.intercept_squares += gradient * gradient
        self.intercept -= _INTERCEPT_STEP * gradient / self.intercept_squares**0.5

    def cells(self, row: Row) -> list[tuple[int, ...]]:
        placed = self.bins.place(row)
        crossed = [(one, other, placed[one], placed[other]) for one, other in self.pairs]
        return [*((feature, place) for feature, place in enumerate(placed)), *crossed]
