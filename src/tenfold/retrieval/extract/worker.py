"""The process that reads files: `python -m tenfold.retrieval.extract.worker <limits as JSON>`. What comes is untrusted:
it may hang, eat memory or break a library, and takes no more than this process with it, which holds no secret, no
connection and writes no file. It ends when its input does.
"""

import gc
import os
import re
import resource
import sys
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from tenfold.retrieval.extract.protocol import LENGTH_BYTES, Answer, Read, Ready, Refused, decode_file, frame
from tenfold.retrieval.extract.reading import read
from tenfold.retrieval.extract.types import FileFault, Limits, UnreadableFile

_FILES: Final = 200  # read by one process: what a library leaks is gone with it
_GROWN_SHARE = 0.5  # of the memory it may have; a process that has had more of it is not used again
_LARGE: Final = 1024 * 1024
_OPEN_FILES: Final = 64


def serve(files: BinaryIO, answers: BinaryIO, limits: Limits) -> None:
    for number in range(1, _FILES + 1):
        prefix = files.read(LENGTH_BYTES)
        if not prefix:
            return
        file = decode_file(files.read(int.from_bytes(prefix, "little")))
        data = files.read(file.size)
        _allow_cpu(limits.cpu_s)
        answer = _answer(data, file.filename, file.content_type, limits, last=number == _FILES)
        _send(answers, answer)
        if not isinstance(answer, Ready) and answer.last:
            return
        if len(data) > _LARGE:
            del data, answer
            gc.collect()  # trees are full of circles


def _answer(data: bytes, filename: str, content_type: str, limits: Limits, *, last: bool) -> Answer:
    try:
        found = read(data, filename, content_type, limits)
    except UnreadableFile as error:
        return Refused(message=error.message, fault=error.fault, last=last or _has_grown(limits))
    except RecursionError:
        return _refused("Its parts are nested too deep. Save it in a simpler form and upload that.")
    except MemoryError:
        return _refused("It takes more memory than a file may. Split it and upload its parts.")
    except Exception as error:  # whatever a library makes of a broken file; the file is told, nothing is logged of it
        return _refused(
            f"It is broken in a way that nobody foresaw ({type(error).__name__}). Save it anew and try again."
        )
    return Read(text=found.text, title=found.title, pages=found.pages, last=last or _has_grown(limits))


def _refused(message: str, fault: FileFault = "invalid_file") -> Refused:
    return Refused(message=f"The file cannot be read. {message}", fault=fault, last=True)


def _has_grown(limits: Limits) -> bool:
    # Not ru_maxrss: the kernel hands a process that of whoever started it.
    at_most = re.search(rb"^VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_bytes(), re.MULTILINE)
    return at_most is not None and int(at_most[1]) * 1024 > _GROWN_SHARE * limits.memory_bytes


def _send(answers: BinaryIO, answer: Answer) -> None:
    answers.write(frame(answer))
    answers.flush()


def _allow_cpu(seconds: int) -> None:
    """This much from now on; the kernel ends the process behind it."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _limit(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime) + seconds + 1, keep_hard=True)


def _confine(limits: Limits) -> None:
    _limit(resource.RLIMIT_AS, limits.memory_bytes)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_NOFILE, _OPEN_FILES)
    _limit(resource.RLIMIT_NPROC, 0)  # no child of its own; root is not bound by it


def _limit(what: int, value: int, *, keep_hard: bool = False) -> None:
    _, hard = resource.getrlimit(what)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    with suppress(ValueError, OSError):  # a system that has no such limit
        resource.setrlimit(what, (value, hard if keep_hard else value))


def main(arguments: list[str]) -> int:
    # Whatever a library prints must not land between two frames.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    limits = msgspec.json.decode(arguments[0].encode(), type=Limits) if arguments else Limits()
    _confine(limits)
    _send(answers, Ready())
    try:
        serve(sys.stdin.buffer, answers, limits)
    except BrokenPipeError:
        return 0  # nobody waits for the answer any more
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
