"""Jobs as the outside names them: `job_` and the 32 hex digits of the id."""

import re
from uuid import UUID

_NAME = re.compile(r"job_([0-9a-f]{32})")


def job_name(job_id: UUID) -> str:
    return f"job_{job_id.hex}"


def job_id_of(name: str) -> UUID | None:
    """None: no job is named so."""
    found = _NAME.fullmatch(name)
    return None if found is None else UUID(hex=found[1])
