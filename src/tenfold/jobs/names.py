"""Jobs as the outside names them: `job_` and the 32 hex digits of the id."""

from uuid import UUID

from tenfold.core.ids import id_named


def job_name(job_id: UUID) -> str:
    return f"job_{job_id.hex}"


def job_id_of(name: str) -> UUID | None:
    """None: no job is named so."""
    return id_named("job_", name)
