"""Where requests go: the parsed base URL of an upstream, and the proxy on the way. Refuses what is not a plain one."""

import base64
import ipaddress
import re
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import unquote_to_bytes, urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}
_URL = re.compile(r"[\x21-\x7e]+")  # urlsplit drops tabs and newlines without a word
_HOST = re.compile(
    r"(?=.{1,253}\Z)[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?"
)
_PATH = re.compile(r"(/[A-Za-z0-9\-._~!$&'()*+,;=:@%/]*)?")


class InvalidOrigin(ValueError):
    """A base URL or proxy URL that cannot be used. The message never repeats user name or password."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """`authority` is the value of the Host header; `base_path` is "" or begins with "/" and ends without one."""

    scheme: str
    host: str  # without brackets
    port: int
    base_path: str
    authority: str

    @classmethod
    def parse(cls, url: str) -> Self:
        """Raises InvalidOrigin."""
        scheme, host, port, path, userinfo = _split(url, what="base URL", schemes=("http", "https"))
        if userinfo:
            raise InvalidOrigin("the base URL must not hold a user name or password")
        bracketed = f"[{host}]" if ":" in host else host
        return cls(
            scheme=scheme,
            host=host,
            port=port,
            base_path=path.rstrip("/"),
            authority=bracketed if port == _DEFAULT_PORTS[scheme] else f"{bracketed}:{port}",
        )

    @property
    def host_and_port(self) -> str:
        """What a CONNECT asks for: always with the port."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.base_path}"


def split_url(url: str) -> tuple[Origin, str]:
    """Of a whole URL: where it leads, and what is asked for there (path and query). Raises InvalidOrigin."""
    if not _URL.fullmatch(url):
        raise InvalidOrigin("the URL holds characters that must be percent-encoded (or a name to write in punycode)")
    if "#" in url:
        raise InvalidOrigin("the URL must not have a fragment")
    try:
        parts = urlsplit(url)
        origin = Origin.parse(f"{parts.scheme}://{parts.netloc}")
    except InvalidOrigin as error:
        raise InvalidOrigin(str(error).replace("the base URL", "the URL")) from None
    except ValueError as error:
        raise InvalidOrigin("the URL has no valid host and port") from error
    return origin, (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


@dataclass(frozen=True, kw_only=True)
class Proxy:
    """An HTTP proxy, spoken to in plain HTTP: CONNECT for https origins, absolute-form for http ones."""

    host: str
    port: int
    authorization: bytes | None = field(repr=False)  # value of Proxy-Authorization

    @classmethod
    def parse(cls, url: str) -> Self:
        """`http://[user:password@]host[:port]`. Raises InvalidOrigin."""
        _, host, port, path, userinfo = _split(url, what="proxy URL", schemes=("http",))
        if path not in ("", "/"):
            raise InvalidOrigin("the proxy URL must not have a path")
        credentials = unquote_to_bytes(userinfo)
        return cls(
            host=host,
            port=port,
            authorization=b"Basic " + base64.b64encode(credentials) if userinfo else None,
        )


def _split(url: str, *, what: str, schemes: tuple[str, ...]) -> tuple[str, str, int, str, str]:
    """Scheme, host, port, path, userinfo."""
    if not _URL.fullmatch(url):
        raise InvalidOrigin(f"the {what} must be printable ASCII without spaces (write other names in punycode)")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise InvalidOrigin(f"the {what} has no valid host and port") from error
    scheme = parts.scheme.lower()
    if scheme not in schemes:
        raise InvalidOrigin(f"the {what} must begin with {' or '.join(s + '://' for s in schemes)}")
    if "?" in url or "#" in url:
        raise InvalidOrigin(f"the {what} must not have a query or a fragment")
    userinfo, _, location = parts.netloc.rpartition("@")
    if location.endswith(":") or port == 0:
        raise InvalidOrigin(f"the {what} has no valid port")
    if not _PATH.fullmatch(parts.path):
        raise InvalidOrigin(f"the path of the {what} holds characters that must be percent-encoded")
    return scheme, _host(parts.hostname or "", location, what), port or _DEFAULT_PORTS[scheme], parts.path, userinfo


def _host(host: str, location: str, what: str) -> str:
    if location.startswith("["):
        if "%" in host:
            raise InvalidOrigin(f"the {what} must not have an IPv6 zone")
        try:
            return str(ipaddress.IPv6Address(host))
        except ValueError as error:
            raise InvalidOrigin(f"the {what} has no valid IPv6 address") from error
    if not _HOST.fullmatch(host):
        raise InvalidOrigin(f"the {what} has no valid host")
    return host.lower()
