"""Every error that dpgen raises on purpose.

```
DpgenError
  InvalidValue           a number, shape or name outside its range (also a ValueError)
  ConfigError            unknown key, wrong type: names the key and the nearest valid one
  PrivacyError
    BudgetExceeded       .label .requested .spent .budget
      CapExceeded        the data owner's total over all runs
    PlanMismatch         .expected .got
    UnsupportedEvent     .event .accountant .alternatives
    SensitivityError     a bound is missing, infinite, or only estimated
    CalibrationError     no value of the parameter meets the budget
    ToleranceNotMet      .tolerance .width
    LedgerError          a ledger is torn, altered, locked, or belongs to another run
  OutOfMemory            not even the smallest piece of the work fits into the device's memory
  DataError              shape, range, dtype, a corrupt file, a label outside the declared classes
  StorageError           a file could not be written, read or verified
    ResumeError          the run cannot be continued: other data, other settings, nothing to resume
  PluginError
    PluginLoadError      .plugin .reason
    PluginVersionError   .plugin
    DuplicateName        .name .owners
    UnknownName          .name .known
  EvaluationError
    TestSetReused        the private test split was opened a second time
    SelectionOnTest      a choice was about to be made on the private test split
  DistributedError       the processes of one run do not agree
    ProcessLost          .rank .kind; one of them stopped, or does not answer
```

Each class has a stable `code`, explained in docs/reference/errors.md; a subclass elsewhere has its nearest parent's.
Message form: what was expected; what was found; what to do. No error ever carries the content of a private record.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from dpgen.budget import Budget
    from dpgen.events import DpEvent


class DpgenError(Exception):
    """Root of the tree: catch this to catch everything dpgen raises on purpose."""

    code: ClassVar[str] = "DPG000"
    """Stable: never given to another error. `docs/reference/errors.md` has a line on each."""


class InvalidValue(DpgenError, ValueError):
    """An argument lies outside its documented range."""

    code: ClassVar[str] = "DPG101"


class ConfigError(DpgenError):
    """A configuration has an unknown key or a value of the wrong type."""

    code: ClassVar[str] = "DPG102"


class PrivacyError(DpgenError):
    """Going on would break, or could not prove, the privacy guarantee."""

    code: ClassVar[str] = "DPG200"


class BudgetExceeded(PrivacyError):
    """A charge would bring the total over the budget; nothing was read and nothing was charged."""

    code: ClassVar[str] = "DPG201"

    def __init__(self, *, label: str, requested: float, spent: float, budget: Budget) -> None:
        self.label, self.requested, self.spent, self.budget = label, requested, spent, budget
        super().__init__(
            f"charge {label!r} would bring the total to epsilon={requested:.4g} at delta={budget.delta:.3g}; "
            f"the budget is epsilon={budget.epsilon:.4g}. Already spent: {spent:.4g}. Nothing was read. "
            "Raise the noise multiplier, take fewer steps, raise the budget, or see the prices with `dpgen plan`."
        )


class CapExceeded(BudgetExceeded):
    """A run would bring the total of all runs over the data owner's cap; nothing was read and nothing was reserved.

    `requested` and `spent` are epsilons, `budget` is the cap.
    """

    code: ClassVar[str] = "DPG202"

    def __init__(self, *, run: str, requested: tuple[float, float], spent: tuple[float, float], budget: Budget) -> None:
        self.label, self.requested, self.spent, self.budget = run, requested[0], spent[0], budget
        PrivacyError.__init__(
            self,
            f"run {run!r} would bring the total of all runs to epsilon={requested[0]:.6g}, delta={requested[1]:.3g}; "
            f"the data owner's cap is epsilon={budget.epsilon:.6g}, delta={budget.delta:.3g}. Already reserved: "
            f"epsilon={spent[0]:.6g}, delta={spent[1]:.3g}. Nothing was read. "
            "Give the run a smaller budget, or ask the data owner for a higher cap.",
        )


class PlanMismatch(PrivacyError):
    """A charge is not the next one of the adopted plan; nothing was read and nothing was charged."""

    code: ClassVar[str] = "DPG203"

    def __init__(self, *, expected: str, got: str) -> None:
        self.expected, self.got = expected, got
        super().__init__(
            f"the adopted plan expects {expected}; found {got}. Nothing was read. "
            "Charge exactly what `plan` returned, in its order, or adopt a plan that lists this charge."
        )


class UnsupportedEvent(PrivacyError):
    """The accountant has no proved price for this event under this relation."""

    code: ClassVar[str] = "DPG204"

    def __init__(self, event: DpEvent, *, accountant: str, reason: str = "", alternatives: Sequence[str] = ()) -> None:
        self.event, self.accountant, self.alternatives = event, accountant, tuple(alternatives)
        why = f" ({reason})" if reason else ""
        mend = f"Use accountant {' or '.join(alternatives)}." if alternatives else "Use another mechanism."
        super().__init__(f"accountant {accountant!r} has no proved price for {event}{why}. {mend}")


class SensitivityError(PrivacyError):
    """A sensitivity is missing, infinite, or only an estimate."""

    code: ClassVar[str] = "DPG205"


class CalibrationError(PrivacyError):
    """No value inside the bracket meets the budget."""

    code: ClassVar[str] = "DPG206"


class ToleranceNotMet(PrivacyError):
    """A bound cannot be made as narrow as was asked for."""

    code: ClassVar[str] = "DPG207"

    def __init__(self, tolerance: float, width: float) -> None:
        self.tolerance, self.width = tolerance, width
        super().__init__(
            f"expected bounds on epsilon at most {tolerance:.3g} apart; the finest grid leaves them {width:.3g} apart. "
            "Allow a larger tolerance, or leave it out to get the narrowest bounds that a default grid finds."
        )


class LedgerError(PrivacyError):
    """A ledger is torn, altered, locked by another run, or belongs to another run."""

    code: ClassVar[str] = "DPG208"


class OutOfMemory(DpgenError):
    """Not even the smallest piece of the work fits into the device's memory."""

    code: ClassVar[str] = "DPG301"


class DataError(DpgenError):
    """Images or labels are not what was declared."""

    code: ClassVar[str] = "DPG401"


class StorageError(DpgenError):
    """A file could not be written, read or verified."""

    code: ClassVar[str] = "DPG501"


class ResumeError(StorageError):
    """The run cannot be continued from what its folder holds."""

    code: ClassVar[str] = "DPG502"


class PluginError(DpgenError):
    """Something is wrong with a plugin or with the name asked for."""

    code: ClassVar[str] = "DPG600"


class PluginLoadError(PluginError):
    """A plugin could not be loaded or broke the contract of a hook."""

    code: ClassVar[str] = "DPG601"

    def __init__(self, plugin: str, reason: str, mend: str) -> None:
        self.plugin, self.reason = plugin, reason
        super().__init__(f"plugin {plugin!r} is unusable: {reason}. {mend}")


class PluginVersionError(PluginError):
    """A plugin speaks another version of the plugin interface."""

    code: ClassVar[str] = "DPG602"

    def __init__(self, plugin: str, *, found: int, expected: int) -> None:
        self.plugin = plugin
        mend = "a newer dpgen" if found > expected else f"a newer {plugin}"
        other = f"an older {plugin}" if found > expected else "an older dpgen"
        super().__init__(
            f"plugin {plugin!r} speaks API {found}, this dpgen speaks {expected}: install {mend} or {other}."
        )


class DuplicateName(PluginError):
    """Two plugins registered the same name."""

    code: ClassVar[str] = "DPG603"

    def __init__(self, kind: str, name: str, owners: Iterable[str]) -> None:
        self.name, self.owners = name, tuple(owners)
        super().__init__(
            f"{kind} name {name!r} is registered by {' and by '.join(self.owners)}; expected one owner. "
            "Uninstall one of them, or load only some plugins with DPGEN_PLUGINS=a,b."
        )


class UnknownName(PluginError):
    """No plugin registered this name."""

    code: ClassVar[str] = "DPG604"

    def __init__(self, kind: str, name: str, known: Iterable[str], hint: str = "") -> None:
        self.name, self.known = name, tuple(sorted(known))
        close = difflib.get_close_matches(name, self.known, n=3)
        suggestion = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
        super().__init__(
            f"unknown {kind} {name!r}; known: {', '.join(self.known) or 'none'}.{suggestion}"
            f" {hint or 'See `dpgen plugins`.'}"
        )


class EvaluationError(DpgenError):
    """A score would not be honest."""

    code: ClassVar[str] = "DPG700"


class TestSetReused(EvaluationError):
    """The private test split was opened a second time."""

    code: ClassVar[str] = "DPG701"

    __test__ = False  # the name starts with Test: tell pytest that this is no test class


class SelectionOnTest(EvaluationError):
    """A choice was about to be made by looking at the private test split."""

    code: ClassVar[str] = "DPG702"


class DistributedError(DpgenError):
    """The processes of one run do not agree."""

    code: ClassVar[str] = "DPG800"


class ProcessLost(DistributedError):
    """Another process of the run stopped or does not answer; this one stops with it.

    `rank` is the process that is known to have stopped, `kind` the name of its error; both are None where it died.
    """

    code: ClassVar[str] = "DPG801"

    def __init__(self, *, rank: int | None = None, kind: str | None = None, purpose: str = "") -> None:
        self.rank, self.kind = rank, kind
        found = f"another one that died or does not answer ({purpose})" if rank is None else f"{kind} in process {rank}"
        super().__init__(
            f"expected all processes of the run to go on together; found {found}. See the message of the process that "
            "stopped first; what is finished is saved, so the run can go on with --resume."
        )
