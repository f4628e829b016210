"""What people may call things, and choose as passwords. Each check returns the clean value or raises InvalidRequest."""

import re
import secrets
import unicodedata

from tenfold.access.secret_text import MAX_SECRET_CHARS, is_mistyped
from tenfold.core.errors import InvalidRequest
from tenfold.core.inputs import REFUSED_CATEGORIES
from tenfold.core.principal import ALL_SCOPES, SCOPE_SUPPORT

MAX_NAME_CHARS = 80
MAX_SLUG_CHARS = 63  # a DNS label
MAX_LOGIN_CHARS = 254  # the longest e-mail address (RFC 5321)
MIN_PASSWORD_CHARS = 8  # NIST SP 800-63B
MAX_PASSWORD_CHARS = 256
MIN_INSTALLED_SECRET_CHARS = 16
MAX_ORIGINS = 20

_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
_LOGIN = re.compile(r"[a-z0-9](?:[a-z0-9._%+@-]*[a-z0-9])?")
_ORIGIN = re.compile(r"https?://[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?(?::[0-9]{1,5})?")
_VISIBLE_ASCII = re.compile(r"[!-~]+")
_BIDI_CONTROLS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_INVISIBLE_CATEGORIES = frozenset({"Cf", "Zs", "Mn", "Cn", "Co"})


def display_name(value: str, *, param: str = "name") -> str:
    """A name for people to read: any script, one line, 1 to 80 characters of which one at least is visible."""
    name = unicodedata.normalize("NFC", value).strip()
    if not name:
        raise InvalidRequest("A name is needed.", param=param)
    if len(name) > MAX_NAME_CHARS:
        raise InvalidRequest(f"A name has at most {MAX_NAME_CHARS} characters.", param=param)
    categories = {unicodedata.category(sign) for sign in name}
    if categories & REFUSED_CATEGORIES or _BIDI_CONTROLS & set(name):
        raise InvalidRequest("A name cannot hold control characters or line breaks.", param=param)
    if categories <= _INVISIBLE_CATEGORIES:
        raise InvalidRequest("A name needs at least one visible character.", param=param)
    return name


def tenant_slug(value: str, *, param: str = "slug") -> str:
    """The tenant's name in addresses and commands: lower-case letters, digits and inner hyphens, 1 to 63."""
    if len(value) > MAX_SLUG_CHARS or not _SLUG.fullmatch(value):
        raise InvalidRequest(
            "A tenant's slug has 1 to 63 lower-case letters, digits and hyphens, and no hyphen at either end.",
            param=param,
        )
    return value


def plan_name(value: str, *, param: str = "plan") -> str:
    """The name of a plan, as settings and commands write it: the same letters as a slug's."""
    if len(value) > MAX_SLUG_CHARS or not _SLUG.fullmatch(value):
        raise InvalidRequest(
            "A plan's name has 1 to 63 lower-case letters, digits and hyphens, and no hyphen at either end.",
            param=param,
        )
    return value


def slug_from(name: str) -> str:
    """A free-looking slug for a tenant named so: what is plain in the name, and a random end."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    words = "-".join(re.findall(r"[a-z0-9]+", plain))[:40].strip("-") or "tenant"
    return f"{words}-{secrets.token_hex(3)}"


def login_name(value: str, *, param: str = "login") -> str:
    """An e-mail address or user name in plain ASCII, so that no two look alike; case does not matter."""
    login = value.strip().lower()
    if not 3 <= len(login) <= MAX_LOGIN_CHARS or not _LOGIN.fullmatch(login):
        raise InvalidRequest(
            "A login is an e-mail address or a name of 3 or more letters, digits and the signs . _ % + @ -",
            param=param,
        )
    return login


def new_password(value: str, login: str, *, param: str = "password") -> str:
    """Length counts, not kinds of signs (NIST SP 800-63B)."""
    if len(value) < MIN_PASSWORD_CHARS:
        raise InvalidRequest(f"A password has at least {MIN_PASSWORD_CHARS} characters.", param=param)
    if len(value) > MAX_PASSWORD_CHARS:
        raise InvalidRequest(f"A password has at most {MAX_PASSWORD_CHARS} characters.", param=param)
    if value.lower() == login or len(set(value)) == 1:
        raise InvalidRequest("That password is too easy to guess.", param=param)
    return value


def password_bytes(value: str) -> bytes:
    """The same password typed on another keyboard may be composed otherwise: NFKC, then UTF-8."""
    return unicodedata.normalize("NFKC", value).encode("utf-8", "surrogatepass")


def key_scopes(values: frozenset[str], *, param: str = "scopes") -> frozenset[str]:
    if not values or not values <= ALL_SCOPES:
        raise InvalidRequest(f"Scopes are one or more of: {', '.join(sorted(ALL_SCOPES))}.", param=param)
    return values


def key_origins(values: frozenset[str], scopes: frozenset[str], *, param: str = "origins") -> frozenset[str]:
    """The web pages that a publishable key may stand in. It is no secret there, so it may do nothing but ask for
    support."""
    origins = frozenset(value.strip().lower().removesuffix("/") for value in values if value.strip())
    if origins and scopes != {SCOPE_SUPPORT}:
        raise InvalidRequest(
            f"A key for web pages can be read by everyone: it has the scope `{SCOPE_SUPPORT}` and no other.",
            param=param,
        )
    if len(origins) > MAX_ORIGINS:
        raise InvalidRequest(f"A key has at most {MAX_ORIGINS} origins.", param=param)
    for origin in origins:
        if not _ORIGIN.fullmatch(origin):
            raise InvalidRequest(
                "An origin is the address of a site without a path: https://shop.example, or http://localhost:3000.",
                param=param,
            )
    return origins


def installed_secret(value: str) -> str:
    """A key chosen by the operator: at least 16 visible ASCII characters, since it travels in a header."""
    if not MIN_INSTALLED_SECRET_CHARS <= len(value) <= MAX_SECRET_CHARS or not _VISIBLE_ASCII.fullmatch(value):
        raise InvalidRequest(
            f"An installed key has {MIN_INSTALLED_SECRET_CHARS} to {MAX_SECRET_CHARS} visible ASCII characters."
        )
    if is_mistyped(value):
        raise InvalidRequest("This looks like a Tenfold key, but its checksum is wrong: a character was mistyped.")
    return value
