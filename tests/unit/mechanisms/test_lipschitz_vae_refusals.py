"""R1 to R14: what the sampling refuses on construction, before anything is charged or read, and what it warns of."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from torch import nn

from dpgen.accountants import ContourAccountant, GdpAccountant, GdpCltAccountant, PldAccountant
from dpgen.accountants.shuffling import shuffled_epsilon
from dpgen.budget import ADD_OR_REMOVE_ONE, REPLACE_ONE, Budget
from dpgen.data.datasets import ArrayRecords, PrivateDataset
from dpgen.data.info import DatasetInfo, Shape
from dpgen.errors import BudgetExceeded, DataError, InvalidValue, PrivacyError, SensitivityError, UnsupportedEvent
from dpgen.events import AggregatePosterior, Composed, Gaussian, OnShards, PoissonSampled
from dpgen.ledger import Ledger
from dpgen.mechanisms.context import RunContext
from dpgen.mechanisms.lipschitz import certify
from dpgen.mechanisms.lipschitz_vae import LipschitzVaeSampling, MetricGuarantee, Provenance
from dpgen.mechanisms.lipschitz_vae.guarantee import GuaranteeKind, NoMeaningfulGuarantee
from dpgen.noise import SeededNoise

PUBLIC = Provenance.public("drawn from a seed")
SEEN = Provenance.trained_without_protection("20 epochs on the records")
TRAINED = Provenance.differentially_private("DP-SGD", Gaussian(2.0), ADD_OR_REMOVE_ONE, charged=False)
ENCODER = nn.Sequential(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(4, 3))
DECODER = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 5))


def sampling(**settings) -> LipschitzVaeSampling:
    plain = {
        "encoder": ENCODER,
        "weights": PUBLIC,
        "dimension": 3,
        "clip_radius": 1.0,
        "deviation": 2.0,
        "draws": 4,
        "minimum_records": 50,
    }
    return LipschitzVaeSampling(**(plain | settings))


def decoding(**settings) -> LipschitzVaeSampling:
    given = {"decoder": DECODER, "decoder_weights": PUBLIC, "decoder_certificate": certify(DECODER, (3,))}
    return sampling(**(given | {"output_deviation": 0.5} | settings))


def test_r1_weights_trained_on_the_records() -> None:
    with pytest.raises(PrivacyError, match="No Lipschitz constant bounds what they remember"):
        sampling(weights=SEEN)
    with pytest.raises(PrivacyError, match="Provenance"):
        sampling(weights="public, I swear")


def test_r2_a_decoder_by_dp_sgd_does_not_mend_its_encoder() -> None:
    with pytest.raises(PrivacyError, match="weights of the encoder"):
        decoding(weights=SEEN, decoder_weights=TRAINED)
    with pytest.raises(PrivacyError, match="weights of the decoder"):
        decoding(decoder_weights=SEEN)


@pytest.mark.parametrize("estimate", [1.0, torch.tensor(1.0), "penalty"])
def test_r3_an_estimate_is_no_certificate(estimate) -> None:
    with pytest.raises(SensitivityError, match="must be certified"):
        sampling(encoder_certificate=estimate)
    with pytest.raises(SensitivityError, match="must be certified"):
        decoding(decoder_certificate=estimate)
    with pytest.raises(SensitivityError, match="must be certified"):
        sampling().metric_guarantee()


@pytest.mark.parametrize("name", ["deviation", "clip_radius", "output_deviation"])
@pytest.mark.parametrize("value", [torch.ones(3), lambda x: x, nn.Linear(3, 3), None, True])
def test_r4_noise_that_a_record_sets(name, value) -> None:
    with pytest.raises(SensitivityError, match="one public number, the same for every record"):
        sampling(**{name: value})


def test_r5_one_relation_for_weights_and_sampling() -> None:
    mechanism = sampling(weights=TRAINED)
    own = sampling().event(ADD_OR_REMOVE_ONE)
    assert mechanism.event(ADD_OR_REMOVE_ONE) == Composed((Gaussian(2.0), own))
    with pytest.raises(PrivacyError, match="priced under one relation"):
        mechanism.event(REPLACE_ONE)
    charged = dataclasses.replace(TRAINED, charged=True)
    assert sampling(weights=charged).event(ADD_OR_REMOVE_ONE) == own
    with pytest.raises(PrivacyError, match="priced under one relation"):
        sampling(weights=charged).event(REPLACE_ONE)


def test_two_trainings_of_one_price_are_both_owed() -> None:
    again = dataclasses.replace(TRAINED)
    assert again == TRAINED
    together = decoding(weights=TRAINED, decoder_weights=TRAINED).event(ADD_OR_REMOVE_ONE)
    apart = decoding(weights=TRAINED, decoder_weights=again).event(ADD_OR_REMOVE_ONE)
    assert isinstance(together, Composed)
    assert isinstance(apart, Composed)
    assert (together.events.count(Gaussian(2.0)), apart.events.count(Gaussian(2.0))) == (1, 2)


def test_a_statement_says_what_its_numbers_leave_out() -> None:
    charged = dataclasses.replace(TRAINED, charged=True)
    said = sampling(weights=charged).guarantee(PldAccountant(), delta=1e-5, relation=ADD_OR_REMOVE_ONE).assumptions
    assert "not in these numbers" in said[0]
    said = sampling(weights=TRAINED).guarantee(PldAccountant(), delta=1e-5, relation=ADD_OR_REMOVE_ONE).assumptions
    assert "not in these numbers" not in said[0]


def test_a_decoder_that_changes_after_construction_is_credited_no_more() -> None:
    decoder = copy.deepcopy(DECODER)
    mechanism = decoding(decoder=decoder, decoder_certificate=certify(decoder, (3,)))
    before = mechanism.separation
    with torch.no_grad():
        decoder[0].weight *= 100
    with pytest.raises(SensitivityError, match="Certify the network anew"):
        mechanism.event(REPLACE_ONE)
    anew = decoding(decoder=decoder, decoder_certificate=certify(decoder, (3,)))
    assert anew.separation > before  # broken twin: the credit of the old weights


def test_r5_the_sampled_gaussian_pair_is_not_charged_under_replace_one() -> None:
    """It is too low: 0.0190 in place of 0.0291 (tests/statistical/test_aggregate_posterior_law.py has the twin)."""
    event = sampling().event(REPLACE_ONE)
    assert event == AggregatePosterior(50, 4, sampling().separation)
    naive = PoissonSampled(1 / 50, Gaussian(1 / sampling().separation))
    ours, low = (
        PldAccountant().delta(one, epsilon=0.01, relation=relation).upper
        for one, relation in ((event, REPLACE_ONE), (Composed((naive,) * 4), ADD_OR_REMOVE_ONE))
    )
    assert ours > 1.05 * low


@pytest.mark.parametrize("accountant", [GdpCltAccountant(), ContourAccountant()])
def test_r6_an_approximation_is_no_guarantee(accountant) -> None:
    with pytest.raises(PrivacyError, match="must be proved"):
        sampling().guarantee(accountant, delta=1e-5, relation=ADD_OR_REMOVE_ONE)


@pytest.mark.parametrize("accountant", [GdpAccountant(), GdpCltAccountant()])
@pytest.mark.parametrize("relation", [ADD_OR_REMOVE_ONE, REPLACE_ONE])
def test_r6_gaussian_privacy_has_no_price_of_an_aggregate(accountant, relation) -> None:
    event = sampling().event(relation)
    assert not accountant.supports(event, relation=relation)
    with pytest.raises(UnsupportedEvent):
        accountant.epsilon(event, delta=1e-5, relation=relation)


@pytest.mark.parametrize("distance", [float("inf"), float("nan"), -1.0, None])
def test_r7_a_metric_guarantee_needs_a_distance(distance) -> None:
    with pytest.raises(SensitivityError, match="finite distance"):
        MetricGuarantee(0.1, 0.0, (1, 4, 4)).epsilon(delta=1e-5, distance=distance)


def test_r8_a_promise_is_needed_and_counts_are_settings() -> None:
    with pytest.raises(PrivacyError, match="the owner must promise"):
        sampling(minimum_records=None)
    for wrong in ({"draws": torch.tensor(4)}, {"draws": 3.5}, {"draws": None}, {"minimum_records": 0}):
        with pytest.raises(InvalidValue):
            sampling(**wrong)
    event = sampling(draws=9).event(ADD_OR_REMOVE_ONE)
    assert isinstance(event, AggregatePosterior)
    assert (event.records, event.draws) == (50, 9)  # all of them, whatever is done with them later


def test_r8_fewer_records_than_promised_are_filled_up_and_never_refused() -> None:
    mechanism = sampling(draws=200, deviation=1e-6, minimum_records=4)  # as good as no noise: to see the codes
    for n, expected in ((0, 1.0), (1, 0.75), (4, 0.0), (9, 0.0)):
        records = ArrayRecords(torch.full((n, 1, 4, 4), 255, dtype=torch.uint8), torch.zeros(n, dtype=torch.int64))
        codes = mechanism._measure(records, noise=SeededNoise(1), relation=ADD_OR_REMOVE_ONE, context=RunContext())
        assert codes.shape == (200, 3)
        filled = float((codes.norm(dim=1) < 1e-3).double().mean())
        assert abs(filled - expected) < 0.2


def test_without_a_promise_the_price_is_that_of_replace_one() -> None:
    mechanism = sampling(promised=False)
    event = mechanism.event(ADD_OR_REMOVE_ONE)
    assert event == OnShards(sampling().event(REPLACE_ONE))
    without, promised, replaced = (
        PldAccountant().epsilon(one.event(relation), delta=1e-5, relation=relation).upper
        for one, relation in (
            (mechanism, ADD_OR_REMOVE_ONE),
            (sampling(), ADD_OR_REMOVE_ONE),
            (sampling(), REPLACE_ONE),
        )
    )
    assert promised < without == pytest.approx(replaced)
    said = mechanism.guarantee(PldAccountant(), delta=1e-5, relation=ADD_OR_REMOVE_ONE)
    assert said.assumptions == ("weights: public, drawn from a seed",)
    assert "B2" in said.proved_by


def test_r9_a_release_holds_codes_only() -> None:
    """There is no setting that copies labels; a mechanism that does is in the zoo of the conformance checks."""
    assert not any("label" in field.name for field in dataclasses.fields(LipschitzVaeSampling))
    by_class = sampling(classes=2)
    assert by_class.event(ADD_OR_REMOVE_ONE) == sampling().event(ADD_OR_REMOVE_ONE)  # a record is in one class
    assert by_class.event(REPLACE_ONE) == AggregatePosterior(50, 8, by_class.separation)  # and may leave it


def test_r9_labels_outside_are_refused_unquoted() -> None:
    records = ArrayRecords(torch.zeros(3, 1, 4, 4, dtype=torch.uint8), torch.tensor([0, 1, 7919]))
    with pytest.raises(DataError) as caught:
        sampling(classes=2)._measure(records, noise=SeededNoise(0), relation=ADD_OR_REMOVE_ONE, context=RunContext())
    assert "7919" not in str(caught.value)


def test_r10_an_encoder_that_mixes_records() -> None:
    class Standardising(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            rows = images.flatten(1)[:, :3]
            return rows - rows.mean(0)

    records = ArrayRecords(torch.zeros(3, 1, 4, 4, dtype=torch.uint8), torch.zeros(3, dtype=torch.int64))
    with pytest.raises(SensitivityError, match="computed alone"):
        sampling(encoder=Standardising())._measure(
            records, noise=SeededNoise(0), relation=ADD_OR_REMOVE_ONE, context=RunContext()
        )
    with pytest.raises(SensitivityError, match="batch statistics"):
        certify(nn.Sequential(nn.Flatten(), nn.BatchNorm1d(16)), (1, 4, 4))


def test_r11_a_decoder_counts_only_with_noise_on_its_output_and_the_code_withheld() -> None:
    with pytest.raises(SensitivityError, match="counts only where its output gets noise"):
        decoding(output_deviation=0.0)
    for missing in ("decoder", "decoder_weights", "decoder_certificate"):
        with pytest.raises(SensitivityError):
            decoding(**{missing: None})
    with pytest.raises(SensitivityError, match="certified for codes"):
        decoding(decoder_certificate=certify(DECODER[:1], (3,)), decoder=DECODER[:1], dimension=4)
    assert decoding().separation < sampling().separation  # the credit that theorem C gives


def test_r11_what_is_withheld_does_not_come_out() -> None:
    records = ArrayRecords(torch.zeros(3, 1, 4, 4, dtype=torch.uint8), torch.zeros(3, dtype=torch.int64))
    images = decoding()._measure(records, noise=SeededNoise(0), relation=ADD_OR_REMOVE_ONE, context=RunContext())
    assert images.shape == (4, 5)  # decoded, and nothing else


def test_r12_half_precision_and_a_missing_clip() -> None:
    for radius in (float("inf"), 0.0, -1.0, float("nan")):
        with pytest.raises(SensitivityError, match="must be clipped"):
            sampling(clip_radius=radius)
    half = nn.Linear(3, 5).to(torch.bfloat16)
    with pytest.raises(SensitivityError, match="half precision"):
        decoding(decoder=half, decoder_certificate=certify(half, (3,)))
    with torch.autocast("cpu"), pytest.raises(SensitivityError, match="autocast"):
        decoding()


def test_a_certificate_of_other_weights_is_void() -> None:
    decoder = nn.Linear(3, 5)
    certificate = certify(decoder, (3,))
    nn.init.ones_(decoder.weight)
    with pytest.raises(SensitivityError, match="Certify the network anew"):
        decoding(decoder=decoder, decoder_certificate=certificate)


def test_r13_the_closed_form_of_shuffling_is_for_pure_randomisers() -> None:
    with pytest.raises(UnsupportedEvent, match="pure"):
        shuffled_epsilon(sampling(mode="record", draws=None, minimum_records=None).event(REPLACE_ONE), records=10**5,
                         delta=1e-6)  # fmt: skip


@pytest.mark.parametrize(("deviation", "delta"), [(0.01, 1e-5), (2.0, 0.02)])
def test_r14_numbers_that_protect_nobody_are_said_loudly(deviation, delta) -> None:
    with pytest.warns(NoMeaningfulGuarantee, match=r"epsilon > 20|delta >= 1 / 50"):
        said = sampling(deviation=deviation).guarantee(PldAccountant(), delta=delta, relation=ADD_OR_REMOVE_ONE)
    assert said.guarantee.caveats


def test_what_is_said_of_each_mode() -> None:
    record = sampling(mode="record", draws=None, minimum_records=None, deviation=9.0)
    said = record.guarantee(GdpAccountant(), delta=1e-5, relation=REPLACE_ONE)
    assert said.kind is GuaranteeKind.LOCAL
    assert said.guarantee.epsilon_upper == pytest.approx(0.8132, abs=1e-3)  # theta = 2 / 9
    with pytest.raises(UnsupportedEvent, match="how many records"):
        record.guarantee(GdpAccountant(), delta=1e-5, relation=ADD_OR_REMOVE_ONE)
    prior = sampling(mode="prior", encoder=None, minimum_records=None)
    said = prior.guarantee(GdpAccountant(), delta=1e-5, relation=REPLACE_ONE)
    assert (said.kind, said.guarantee.epsilon_upper) == (GuaranteeKind.POST_PROCESSING, 0.0)
    said = sampling().guarantee(PldAccountant(), delta=1e-5, relation=ADD_OR_REMOVE_ONE)
    assert said.kind is GuaranteeKind.CENTRAL_ADD_REMOVE
    assert "at least 50 records" in said.assumptions


def test_a_refused_charge_reads_nothing() -> None:
    class Unread(ArrayRecords):
        @property
        def ids(self):
            raise AssertionError("read")

    records = Unread(torch.zeros(3, 1, 4, 4, dtype=torch.uint8), torch.zeros(3, dtype=torch.int64))
    info = DatasetInfo(Shape(1, 4, 4), ("a",), nominal_records=3)
    budget = Budget(1e-6, 1e-9, ADD_OR_REMOVE_ONE)
    from dpgen.budget import Charge, Plan

    with Ledger(PldAccountant(), budget) as ledger:
        private = PrivateDataset(records, info, ledger=ledger, noise=SeededNoise(0), context=RunContext())
        with pytest.raises(PrivacyError):
            private.release(sampling(), label="codes")
        with pytest.raises(BudgetExceeded):
            ledger.adopt(Plan((Charge("codes", sampling().event(ADD_OR_REMOVE_ONE)),)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"dimension": 0},
        {"phase": ""},
        {"deviation": 0.0},
        {"classes": 0},
        {"encoder": None},
        {"mode": "prior"},
        {"mode": "record"},
        {"mode": "posterior"},
    ],
)
def test_settings_out_of_range(wrong) -> None:
    with pytest.raises(ValueError, match=r"."):
        sampling(**wrong)


def test_prior_codes_are_public() -> None:
    mechanism = sampling(mode="prior", encoder=None, minimum_records=None, draws=6)
    codes = mechanism._measure(None, noise=None, relation=ADD_OR_REMOVE_ONE, context=RunContext(seed=3))
    assert codes.shape == (6, 3)
    assert mechanism.sensitivity(ADD_OR_REMOVE_ONE) == 0


def test_codes_of_another_shape() -> None:
    records = ArrayRecords(torch.zeros(3, 1, 4, 4, dtype=torch.uint8), torch.zeros(3, dtype=torch.int64))
    with pytest.raises(DataError, match=r"codes must be \[records, 7\]"):
        sampling(dimension=7)._measure(records, noise=SeededNoise(0), relation=ADD_OR_REMOVE_ONE, context=RunContext())


def test_the_metric_guarantee_is_graded() -> None:
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    graded = sampling(encoder=encoder, encoder_certificate=certify(encoder, (1, 4, 4))).metric_guarantee()
    assert 0 < graded.floor < 1e-12
    near, far = (graded.epsilon(delta=1e-5, distance=distance) for distance in (0.1, 1.0))
    assert near < far
    assert graded.delta(epsilon=far, distance=1.0) <= 1e-5 * (1 + 1e-6)


class OfFourByFour(ArrayRecords):
    """Twelve images of 4 x 4; asking for one of them is an error."""

    def __init__(self) -> None:
        super().__init__(torch.zeros(12, 1, 4, 4, dtype=torch.uint8), torch.zeros(12, dtype=torch.int64))

    def batch(self, ids):
        assert len(ids) == 0, "read"
        return super().batch(ids)


def test_a_certificate_for_images_of_another_size_is_refused_before_any_record_is_read() -> None:
    """A net that takes every size has another constant for each, and its rounding grows with the image."""
    encoder = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    larger, right = (certify(encoder, (1, side, side)) for side in (8, 4))
    assert larger.bound < right.bound  # so that the one for 8 x 8 would promise too much for 4 x 4
    given = {"noise": SeededNoise(0), "relation": ADD_OR_REMOVE_ONE, "context": RunContext()}
    with pytest.raises(SensitivityError, match=r"certified for images \[1, 8, 8\]; found \[1, 4, 4\]"):
        sampling(encoder=encoder, encoder_certificate=larger)._measure(OfFourByFour(), **given)
    with pytest.raises(AssertionError, match="read"):  # the right one gets as far as the records
        sampling(encoder=encoder, encoder_certificate=right)._measure(OfFourByFour(), **given)
    assert sampling(encoder=encoder, encoder_certificate=larger).metric_guarantee().image_shape == (1, 8, 8)


def test_a_metric_guarantee_is_of_codes_with_noise() -> None:
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    bare = decoding(encoder=encoder, encoder_certificate=certify(encoder, (1, 4, 4)), deviation=0.0)
    with pytest.raises(InvalidValue, match="deviation"):
        bare.metric_guarantee()
