"""A strict reader of the Prometheus text format 0.0.4: what it does not understand fails the test."""

import re
from dataclasses import dataclass, field

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_HELP = re.compile(rf"# HELP ({_NAME}) (.+)")
_TYPE = re.compile(rf"# TYPE ({_NAME}) (counter|gauge|histogram)")
_LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"'
_SAMPLE = re.compile(rf"({_NAME})(?:\{{({_LABEL}(?:,{_LABEL})*)\}})? (-?[0-9.]+(?:e[+-]?[0-9]+)?)")
_PAIR = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')
_ESCAPED = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}

Labels = frozenset[tuple[str, str]]


@dataclass
class Family:
    kind: str
    samples: dict[tuple[str, Labels], float] = field(default_factory=dict)

    def value(self, name: str, **labels: str) -> float:
        """The one sample of that name whose labels hold these."""
        wanted = set(labels.items())
        found = [v for (sample, has), v in self.samples.items() if sample == name and wanted <= has]
        assert len(found) == 1, f"{len(found)} samples of {name} have {labels}"
        return found[0]


def parse(exposition: bytes) -> dict[str, Family]:
    text = exposition.decode()
    assert text.endswith("\n")
    families: dict[str, Family] = {}
    helped = ""
    for line in text[:-1].split("\n"):
        if match := _HELP.fullmatch(line):
            helped = match[1]
            assert helped not in families, f"{helped} twice"
        elif match := _TYPE.fullmatch(line):
            name = match[1]
            assert name == helped, f"{name} without HELP before it"
            families[name] = Family(kind=match[2])
        else:
            match = _SAMPLE.fullmatch(line)
            assert match, f"no sample: {line!r}"
            family = families[name]
            assert _belongs(match[1], name, family.kind), f"{match[1]} under {name}"
            key = match[1], _labels(match[2] or "")
            assert key not in family.samples, f"twice: {line}"
            family.samples[key] = float(match[3])
    for name, family in families.items():
        if family.kind == "histogram":
            _check_histogram(name, family)
    return families


def _belongs(sample: str, name: str, kind: str) -> bool:
    if kind == "histogram":
        return sample in (f"{name}_bucket", f"{name}_sum", f"{name}_count")
    return sample == name


def _labels(text: str) -> Labels:
    pairs = _PAIR.findall(text)
    assert len({name for name, _ in pairs}) == len(pairs), f"a label twice: {text}"
    return frozenset((name, re.sub(r"\\.", lambda m: _ESCAPED[m[0]], value)) for name, value in pairs)


def _check_histogram(name: str, family: Family) -> None:
    """Buckets rise, end in +Inf, and agree with the count."""
    series: dict[Labels, list[tuple[float, float]]] = {}
    for (sample, labels), value in family.samples.items():
        if sample == f"{name}_bucket":
            [bound] = [float(v) for n, v in labels if n == "le"]
            series.setdefault(frozenset(pair for pair in labels if pair[0] != "le"), []).append((bound, value))
    for labels, buckets in series.items():
        ordered = sorted(buckets)
        counts = [count for _, count in ordered]
        assert counts == sorted(counts)
        assert ordered[-1] == (float("inf"), family.samples[f"{name}_count", labels])
        assert (f"{name}_sum", labels) in family.samples
