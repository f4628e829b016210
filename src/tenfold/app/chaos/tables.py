"""Tables of a run put into a page of the docs, between lines that nobody sees there."""

from pathlib import Path


def markers(part: str) -> tuple[str, str]:
    """What the tables of a part stand between."""
    return f"[//]: # (chaos {part}: begin)", f"[//]: # (chaos {part}: end)"


def write_into(file: Path, made: dict[str, str]) -> None:
    """Each part between its markers. Raises ValueError when they are not there; OSError."""
    said = file.read_text(encoding="utf-8")
    for part, table in made.items():
        begin, end = markers(part)
        before, has_begin, rest = said.partition(begin)
        _, has_end, after = rest.partition(end)
        if not has_begin or not has_end:
            raise ValueError(f"{file} has no lines {begin!r} and {end!r}")
        said = f"{before}{begin}\n\n{table}\n\n{end}{after}"
    file.write_text(said, encoding="utf-8")
