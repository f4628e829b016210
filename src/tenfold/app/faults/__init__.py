"""The fault-injecting provider: a model provider that goes wrong in the way it is told to, for tests of whatever calls
one. `tenfold chaos provider` runs it as a process, `FaultyProvider` inside a test. Imports nothing of the serving path.
"""

from tenfold.app.faults.rules import Rule
from tenfold.app.faults.server import FaultyProvider
from tenfold.app.faults.spec import FaultSpecError

__all__ = ["FaultSpecError", "FaultyProvider", "Rule"]
