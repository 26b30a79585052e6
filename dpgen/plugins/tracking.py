"""The plugins that follow a run: each is told on its own, and none can stop the run or another one."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import final

from dpgen.plugins.failures import load_error
from dpgen.plugins.hooks import PluginHooks
from dpgen.plugins.progress_event import ProgressEvent

HOOK = "dpgen_run_progress"

_log = logging.getLogger("dpgen.plugins")


@final
class Trackers:
    """Who implements `dpgen_run_progress`. One that raises is told nothing more; `warn` names it after the run."""

    def __init__(self, hooks: PluginHooks) -> None:
        self._hooks = hooks
        self._listening = [name for name in hooks.names() if HOOK in hooks.implemented(name)]
        self._failures: list[str] = []

    def tell(self, event: ProgressEvent, folder: Path) -> None:
        """Hand `event` to every tracker that still listens. `folder` is the run's `internal/`."""
        for plugin in tuple(self._listening):
            try:
                self._hooks.call(plugin, HOOK, event=event, folder=folder)
            except (Exception, SystemExit) as error:
                cause = error if isinstance(error, Exception) else RuntimeError("it tried to end the process")
                self._listening.remove(plugin)
                self._failures.append(str(load_error(plugin, HOOK, cause)))
                _log.warning("tracker %s failed and is told nothing more: %s", plugin, type(error).__name__)

    def warn(self) -> None:
        """Say which trackers failed. Not before the record is safe: warnings may be errors."""
        if self._failures:
            warnings.warn("the run is complete, but " + "; ".join(self._failures), RuntimeWarning, stacklevel=2)
