"""Faults of metrics."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dpgen.evaluation.base import Metric, Score, Touched, check_features
from zoo.fault import faults

SOURCE = "check_scores_say_where_they_come_from"
ORDER = "check_order_of_images_does_not_matter"
SAME = "check_same_evidence_same_scores"
EVIDENCE = "check_leaves_the_evidence_as_it_was"
POOR = "check_poor_evidence_is_a_typed_error"
TRACE = "check_metric_leaves_no_trace"


class Distance(Metric):
    """The distance of the mean features."""

    name = "zoo_distance"

    def measure(self, evidence):
        check_features(real=evidence.reference_features, synthetic=evidence.synthetic_features)
        gap = evidence.reference_features.mean(0) - evidence.synthetic_features.mean(0)
        return (Score(self.name, float(np.linalg.norm(gap)), evidence.extractor, evidence.touched),)


class Public(Distance):
    """Says that it touched public data only."""

    def measure(self, evidence):
        return tuple(replace(score, touched=Touched.PUBLIC) for score in super().measure(evidence))


class Unnamed(Distance):
    """Does not say what measured it."""

    def measure(self, evidence):
        return tuple(replace(score, measured_by="a network") for score in super().measure(evidence))


class Arrays(Distance):
    """Puts arrays into its details."""

    def measure(self, evidence):
        found = super().measure(evidence)
        return tuple(replace(score, details={"means": evidence.synthetic_features.mean(0)}) for score in found)


class FirstHalf(Distance):
    """Uses the first half of the images only."""

    def measure(self, evidence):
        return super().measure(replace(evidence, synthetic_features=evidence.synthetic_features[:15]))


class Draws(Distance):
    """Adds a random number."""

    def measure(self, evidence):
        found = super().measure(evidence)
        return tuple(replace(score, value=score.value + np.random.default_rng().normal()) for score in found)


class TestSetTwice(Distance):
    """Keeps the test features and looks at them a second time."""

    __test__ = False

    def measure(self, evidence):
        before = getattr(self, "seen", evidence.reference_features)
        self.seen = evidence.reference_features
        return super().measure(replace(evidence, reference_features=np.concatenate([before, self.seen])))


class Centres(Distance):
    """Centres the features in place."""

    def measure(self, evidence):
        found = super().measure(evidence)
        features = evidence.synthetic_features
        features -= 1e-3
        return found


class NoNumber(Distance):
    """Gives NaN where there are too few images."""

    def measure(self, evidence):
        if len(evidence.reference_features) == 0:
            return (Score(self.name, float("nan"), evidence.extractor, evidence.touched),)
        return super().measure(evidence)


class Crashes(Distance):
    """Fails with an error of numpy."""

    def measure(self, evidence):
        np.linalg.solve(evidence.synthetic_features.T @ evidence.synthetic_features, evidence.reference_features[0])
        return super().measure(evidence)


class Prints(Distance):
    """Prints the score."""

    def measure(self, evidence):
        found = super().measure(evidence)
        print("distance", found[0].value)
        return found


FAULTS = faults(
    lambda cls: cls(),
    (Public, SOURCE, ()),
    (Unnamed, SOURCE, ()),
    (Arrays, SOURCE, ()),
    (FirstHalf, ORDER, ()),
    (Draws, SAME, (ORDER,)),
    (TestSetTwice, SAME, ()),
    (Centres, EVIDENCE, ()),
    (NoNumber, POOR, ()),
    (Crashes, POOR, ()),
    (Prints, TRACE, ()),
)
