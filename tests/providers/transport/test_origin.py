"""Base URLs and proxy URLs: what is accepted, how it is taken apart, what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.providers.transport import InvalidOrigin, Origin
from tenfold.providers.transport.origin import Proxy


@pytest.mark.parametrize(
    ("url", "scheme", "host", "port", "base_path", "authority"),
    [
        ("https://api.openai.com/v1", "https", "api.openai.com", 443, "/v1", "api.openai.com"),
        ("https://api.openai.com/v1/", "https", "api.openai.com", 443, "/v1", "api.openai.com"),
        ("https://api.anthropic.com", "https", "api.anthropic.com", 443, "", "api.anthropic.com"),
        ("HTTP://LocalHost:8000/", "http", "localhost", 8000, "", "localhost:8000"),
        ("http://10.0.0.7:80/a/b", "http", "10.0.0.7", 80, "/a/b", "10.0.0.7"),
        ("https://h:80", "https", "h", 80, "", "h:80"),
        ("http://[::1]:9100/v1", "http", "::1", 9100, "/v1", "[::1]:9100"),
        ("http://[2001:DB8:0::1]", "http", "2001:db8::1", 80, "", "[2001:db8::1]"),
        ("http://model_server.svc:1/x%20y", "http", "model_server.svc", 1, "/x%20y", "model_server.svc:1"),
    ],
)
def test_a_base_url(url: str, scheme: str, host: str, port: int, base_path: str, authority: str) -> None:
    assert Origin.parse(url) == Origin(scheme=scheme, host=host, port=port, base_path=base_path, authority=authority)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "printable ASCII"),
        ("api.openai.com/v1", "must begin with http:// or https://"),
        ("ftp://h/", "must begin with"),
        ("file:///etc/passwd", "must begin with"),
        ("https://", "no valid host"),
        ("https:///v1", "no valid host"),
        ("https://:443/v1", "no valid host"),
        ("https://user:hunter2@h/", "user name or password"),
        ("https://user@h/", "user name or password"),
        ("https://h/#part", "query or a fragment"),
        ("https://h/?key=hunter2", "query or a fragment"),
        ("https://h/?", "query or a fragment"),
        ("https://h:0/", "no valid port"),
        ("https://h:/", "no valid port"),
        ("https://h:65536/", "no valid host and port"),
        ("https://h:8o/", "no valid host and port"),
        ("https://h:-1/", "no valid host and port"),
        ("https://[::1/", "no valid host and port"),
        ("https://[::1%25eth0]/", "IPv6 zone"),
        ("https://[v1.x]/", "no valid"),
        ("https://bücher.example/", "punycode"),
        ("https://h /", "printable ASCII"),
        ("https://h\r\nHost: evil/", "printable ASCII"),
        ("https://h/\t", "printable ASCII"),
        ("https://a..b/", "no valid host"),
        ("https://-a/", "no valid host"),
        ("https://a,b/", "no valid host"),
        ("https://h/{x}", "percent-encoded"),
        ("https://h\\@evil/", "user name or password"),
    ],
)
def test_what_is_no_base_url(url: str, reason: str) -> None:
    with pytest.raises(InvalidOrigin, match=reason) as caught:
        Origin.parse(url)
    assert "hunter2" not in str(caught.value)


@given(st.text())
def test_any_text_is_an_origin_or_refused(text: str) -> None:
    for url in (text, f"https://{text}", f"https://h/{text}", f"https://h:{text}"):
        try:
            origin = Origin.parse(url)
        except InvalidOrigin:
            continue
        assert Origin.parse(str(origin)) == origin
        assert str(origin).isascii()
        assert str(origin).isprintable()


def test_a_proxy_url() -> None:
    proxy = Proxy.parse("http://us%65r:hunter2@proxy.test:3128")
    assert (proxy.host, proxy.port, proxy.authorization) == ("proxy.test", 3128, b"Basic dXNlcjpodW50ZXIy")
    assert "dXNlcjpodW50ZXIy" not in repr(proxy)
    assert Proxy.parse("http://proxy.test/") == Proxy(host="proxy.test", port=80, authorization=None)


@pytest.mark.parametrize(
    "url", ["https://proxy.test", "socks5://proxy.test", "http://proxy.test/path", "proxy.test:3128", "http://u:p@"]
)
def test_what_is_no_proxy_url(url: str) -> None:
    with pytest.raises(InvalidOrigin):
        Proxy.parse(url)
