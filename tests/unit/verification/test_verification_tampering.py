"""Whatever is altered in a `run.json` is found, or is one of the facts that nobody can know from outside."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import dpgen
from dpgen.accountants import RdpAccountant
from dpgen.budget import ADD_OR_REMOVE_ONE, Budget, Charge, Guarantee, Plan
from dpgen.errors import DpgenError
from dpgen.events import DiscreteGaussian, Gaussian, SelfComposed
from dpgen.ledger import Header, ledger_lines
from dpgen.plugins.registry import Registry
from dpgen.record import caveats
from dpgen.storage import digest
from dpgen.testing.toy_release import write_release
from dpgen.verification import Verification, verify

Data = dict[str, Any]

PLAN = Plan(
    (
        Charge("query", Gaussian(20.0)),
        Charge("rounds", SelfComposed(Gaussian(40.0), 3)),
        Charge("finetune", SelfComposed(Gaussian(30.0), 100)),
    ),
    notes=("the query is cheap",),
)
BUDGET = Budget(8.0, 1e-6, ADD_OR_REMOVE_ONE)

UNKNOWABLE = {
    *("plan/notes/0", "public_data", "cites/0", "versions/python", "data/class_names/0", "config/data/private"),
    *("config/method/steps", "config/run/count", "released/samples.png"),
}
"""Statements that nothing else in the record depends on; docs/how-to/verify-a-run.md names them."""


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.installed(only=["builtin"])


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The record and the ledger of a run whose second charge was released one by one."""
    folder = tmp_path_factory.mktemp("release")
    write_release(folder, RdpAccountant(), PLAN, BUDGET, counted={"rounds"})
    return folder


@pytest.fixture
def alone(release: Path, registry: Registry, tmp_path: Path) -> Callable[[Callable[[Data], object]], Verification]:
    """Verify the record alone, after a change to its JSON."""

    def altered(change: Callable[[Data], object]) -> Verification:
        data = json.loads((release / "run.json").read_text())
        change(data)
        (tmp_path / "run.json").write_text(json.dumps(data))
        return verify(tmp_path / "run.json", registry=registry)

    return altered


def failed(found: Verification) -> set[str]:
    return {check.name for check in found.failures}


def keys(path: str) -> list[str | int]:
    return [int(part) if part.isdigit() else part for part in path.split("/")]


def put(value: object, *paths: str) -> Callable[[Data], None]:
    """Put `value` at each path, such as "plan/charges/0/label"."""

    def change(data: Data) -> None:
        for path in paths:
            *parents, last = keys(path)
            functools.reduce(lambda place, key: place[key], parents, data)[last] = value

    return change


def claim(epsilon: float, delta: float = 1e-6) -> Callable[[Data], None]:
    """Claim something else, with what follows from it for the group."""
    group = Guarantee(epsilon, delta, ADD_OR_REMOVE_ONE, "rdp", "bound").for_group(2)
    facts = {"guarantee/epsilon_upper": epsilon, "guarantee/delta": delta}
    facts |= {"group/epsilon": group[0], "group/delta": group[1]}
    return both(*(put(value, path) for path, value in facts.items()))


def both(*changes: Callable[[Data], None]) -> Callable[[Data], None]:
    def change(data: Data) -> None:
        for one in changes:
            one(data)

    return change


def on(path: str, change: Callable[[Any], object]) -> Callable[[Data], None]:
    """Apply `change` to the list or table at `path`."""

    def altered(data: Data) -> None:
        change(functools.reduce(lambda place, key: place[key], keys(path), data))

    return altered


OTHER_DELTAS = "budget/delta", "config/privacy/delta"
EVERY_RELATION = "guarantee/relation", "budget/relation", "config/privacy/relation"
NOISE = "charges/2/event/event/noise_multiplier"
STEPS = "charges/2/event/count"
NEW = {"label": "peek", "event": {"type": "Gaussian", "noise_multiplier": 50.0}}

TAMPERED = {
    "epsilon lower than proved": (claim(1.55), {"price"}),
    "epsilon lower than the truth": (claim(1.47), {"price", "second price"}),
    "epsilon lower, and not for the group": (put(1.55, "guarantee/epsilon_upper"), {"facts", "price"}),
    "epsilon over the budget": (claim(8.1), {"facts"}),
    "a smaller delta": (claim(1.5906, 1e-9), {"facts", "price", "second price"}),
    "a larger delta": (claim(1.5906, 1e-5), {"facts"}),
    "a larger delta everywhere": (both(claim(1.5906, 1e-5), put(1e-5, *OTHER_DELTAS)), {"ledger"}),
    "another relation": (put("replace_one", "guarantee/relation"), {"facts", "price", "second price"}),
    "another relation everywhere": (put("replace_one", *EVERY_RELATION), {"price", "second price", "ledger"}),
    "a larger budget": (put(9.0, "budget/epsilon"), {"facts", "ledger"}),
    "a larger budget everywhere": (put(9.0, "budget/epsilon", "config/privacy/epsilon"), {"ledger"}),
    "another accountant everywhere": (put("gdp", "guarantee/accountant", "config/privacy/accountant"), {"ledger"}),
    "an unknown accountant": (put("oracle", "guarantee/accountant"), {"facts", "ledger", "price"}),
    "an approximation": (put("gdp_clt", "guarantee/accountant", "config/privacy/accountant"), {"ledger", "price"}),
    "a better kind": (put("certified", "guarantee/kind"), {"price"}),
    "a kind that proves nothing": (put("approximation", "guarantee/kind"), {"price"}),
    "a kind that there is not": (put("exact", "guarantee/kind"), {"price"}),
    "a caveat dropped": (on("guarantee/caveats", list.clear), {"caveats"}),
    "the group's epsilon": (put(0.1, "group/epsilon"), {"facts"}),
    "no group": (put(None, "group"), {"facts"}),
    "an image for a person": (put("image", "data/unit", "config/data/unit"), {"facts"}),
    "more records": (put(9999, "data/nominal_records"), {"facts"}),
    "a charge with more noise": (put(60.0, NOISE), {"plan", "ledger"}),
    "more noise in both places": (put(60.0, NOISE, f"plan/{NOISE}"), {"ledger"}),
    "less noise in both places": (put(3.0, NOISE, f"plan/{NOISE}"), {"ledger", "price", "second price"}),
    "fewer steps": (put(10, STEPS), {"plan", "ledger"}),
    "fewer steps in both places": (put(10, STEPS, f"plan/{STEPS}"), {"ledger"}),
    "a charge removed": (on("charges", list.pop), {"ledger"}),
    "a charge removed in both places": (both(on("charges", list.pop), on("plan/charges", list.pop)), {"ledger"}),
    "a charge that was not planned": (on("charges", lambda charges: charges.append(NEW)), {"plan", "ledger"}),
    "charges reordered": (on("charges", list.reverse), {"plan", "ledger"}),
    "a charge twice": (on("charges", lambda charges: charges.append(charges[0])), {"plan", "ledger"}),
    "another label": (put("tune", "charges/2/label"), {"plan", "ledger"}),
    "another label in both places": (put("tune", "charges/2/label", "plan/charges/2/label"), {"ledger"}),
    "a field added to a charge": (put("free", "charges/0/note"), {"ledger"}),
    "a digest of the chain": (put("0" * 64, "chain/1"), {"ledger"}),
    "a line less in the chain": (on("chain", list.pop), {"ledger"}),
    "no chain, and another plan": (both(put([], "chain"), put(60.0, NOISE, f"plan/{NOISE}")), {"ledger"}),
    "no digest of the ledger": (on("released", dict.clear), {"ledger"}),
    "counted releases denied": (put([], "counted"), {"ledger"}),
    "a test double": (put(False, "private"), {"caveats"}),
    "another name": (put("other", "name"), {"facts"}),
    "another seed": (put(4, "seeds/run"), {"facts"}),
    "another method": (put("dpdm", "generator"), {"facts"}),
}


def test_an_honest_record_alone_passes(alone) -> None:
    found = alone(lambda data: None)
    assert found.passed, [check.why for check in found.failures]
    assert [check.name for check in found.checks] == ["facts", "caveats", "plan", "ledger", "price", "second price"]
    found.require()


def test_a_claim_is_held_to_one_part_in_a_million(alone, release: Path) -> None:
    """Two machines round differently by far less; half of that is let pass, twice as much is not."""
    exact = json.loads((release / "run.json").read_text())["guarantee"]["epsilon_upper"]
    assert alone(claim(exact * (1 - 5e-7))).passed
    for short in (2e-6, 5e-3):
        assert failed(alone(claim(exact * (1 - short)))) == {"price"}


@pytest.mark.parametrize("what", TAMPERED)
def test_what_was_altered_is_found(alone, what: str) -> None:
    change, expected = TAMPERED[what]
    found = alone(change)
    assert failed(found) == expected
    with pytest.raises(DpgenError, match="checks failed"):
        found.require()


def leaves(data: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Every place in the JSON that holds no table: (path, value)."""
    children: Any = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in children:
        below = f"{path}/{key}".lstrip("/")
        if isinstance(value, dict | list) and value:
            yield from leaves(value, below)
        else:
            yield below, value


def other(value: object) -> object:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value * 3
    return f"{value}x"


def test_every_single_value_matters_or_is_one_that_nobody_can_know(alone, release: Path) -> None:
    silent = set()
    for path, value in leaves(json.loads((release / "run.json").read_text())):
        try:
            if alone(put(other(value), path)).passed:
                silent.add(path)
        except DpgenError:
            continue  # not even a record
    assert silent == UNKNOWABLE


def places(data: object, path: str = "") -> Iterator[str]:
    """Every place in the JSON, tables too."""
    children: Any = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in children:
        below = f"{path}/{key}".lstrip("/")
        yield below
        yield from places(value, below)


@pytest.mark.parametrize("junk", [None, [], {}, 7, -1e308, "x", [[1]]], ids=repr)
def test_junk_from_a_stranger_is_refused_and_never_crashes(alone, release: Path, junk: object) -> None:
    free = {path for known in UNKNOWABLE for path in (known, known.rsplit("/", 1)[0])}
    free.add("chain")  # none: the ledger is then checked through the digest of the whole file
    free.add("selection")  # none: a run without scores chose no classifier
    for path in places(json.loads((release / "run.json").read_text())):
        try:
            found = alone(put(junk, path))
        except DpgenError:
            continue
        assert not found.passed or path in free, path


def test_the_page_names_what_nobody_can_know() -> None:
    page = (Path(__file__).parents[3] / "docs/how-to/verify-a-run.md").read_text()
    for name in ("plan.notes", "public_data", "cites", "versions", "data.class_names", "config.method"):
        assert f"`{name}`" in page


def forged(data: Data) -> None:
    """Everything rewritten so that it fits together, with more noise than there was."""
    for charges in (data["charges"], data["plan"]["charges"]):
        charges[2]["event"]["event"]["noise_multiplier"] = 60.0
    lines = ledger_lines(Header(BUDGET, "rdp"), data["plan"]["charges"], data["charges"], data["counted"])
    data["chain"] = [digest(line) for line in lines]
    data["released"]["ledger.jsonl"] = digest(b"".join(line + b"\n" for line in lines))


def test_a_whole_forgery_shows_only_beside_the_ledger(alone, release: Path, registry: Registry, tmp_path: Path) -> None:
    assert alone(forged).passed  # the page says so: publish the digest of the record
    (tmp_path / "ledger.jsonl").write_bytes((release / "ledger.jsonl").read_bytes())
    assert failed(verify(tmp_path, registry=registry)) == {"ledger", "files"}


def test_the_altered_line_is_named(alone) -> None:
    found = alone(put(60.0, NOISE))
    assert "line 5 of the ledger" in next(check.why for check in found.failures if check.name == "ledger")


def test_a_price_of_another_version_is_to_be_repeated_with_that_one(alone) -> None:
    for version, mend in (("0.0.1", "verify with dpgen 0.0.1"), (dpgen.__version__, "do not rely on it")):
        found = alone(both(claim(1.55), put(version, "versions/dpgen")))
        assert failed(found) == {"price"}
        assert mend in found.failures[0].why


def test_a_record_of_before_the_chain_still_verifies(alone) -> None:
    """Its counted charges cannot be known; a run without any is checked through the digest of its ledger."""

    def older(data: Data) -> None:
        del data["chain"], data["counted"]

    assert failed(alone(older)) == {"ledger"}
    lines = ledger_lines(Header(BUDGET, "rdp"), *([charge.to_json() for charge in PLAN.charges] for _ in "ab"))
    plain = digest(b"".join(line + b"\n" for line in lines))
    assert alone(both(older, put(plain, "released/ledger.jsonl"))).passed


def test_discrete_noise_asks_for_no_caveat_on_floating_point() -> None:
    counts = Plan((Charge("query", DiscreteGaussian(20.0, 3)),))
    assert not any("floating point" in text for text in caveats(counts, BUDGET, records=10, private=True))
    assert any("floating point" in text for text in caveats(PLAN, BUDGET, records=10, private=True))
