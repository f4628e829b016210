"""The embedding process: `python -m tenfold.providers.offline.embed_worker [weights]`. It reads jobs from its standard
input, writes answers to its standard output and ends when the input does, so that it never outlives its parent.
"""

import os
import sys
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np

from tenfold.providers.offline.embed_protocol import LENGTH_BYTES, Embedded, Ready, Refused, decode_job, frame
from tenfold.providers.offline.encoder import Encoder
from tenfold.providers.offline.granite import installed_pack
from tenfold.providers.offline.pack import PackRefused

_THREADS: Final = min(4, len(os.sched_getaffinity(0)))  # one text each: the runtime leaves the interpreter's lock


def serve(encoder: Encoder, jobs: BinaryIO, answers: BinaryIO, threads: Executor) -> None:
    while prefix := jobs.read(LENGTH_BYTES):
        job = decode_job(jobs.read(int.from_bytes(prefix, "little")))
        encode = partial(encoder.encode, most_tokens=job.most_tokens)
        encoded = [encode(job.texts[0])] if len(job.texts) == 1 else list(threads.map(encode, job.texts))
        vectors = np.array([vector for vector, _ in encoded], np.float32).tobytes()
        _send(answers, Embedded(vectors=vectors, tokens=[tokens for _, tokens in encoded]))


def _send(answers: BinaryIO, answer: Ready | Refused | Embedded) -> None:
    answers.write(frame(answer))
    answers.flush()


def main(arguments: list[str]) -> int:
    # Whatever a library prints must not land between two frames.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    try:
        encoder = Encoder(Path(arguments[0]) if arguments else installed_pack())
    except (ModuleNotFoundError, PackRefused, OSError) as error:
        _send(answers, Refused(reason=str(error)))
        return 1
    _send(answers, Ready())
    try:
        with ThreadPoolExecutor(_THREADS) as threads:
            serve(encoder, sys.stdin.buffer, answers, threads)
    except BrokenPipeError:
        return 0  # nobody waits for the answer any more
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
