"""The egress guard: every way to write an address of the inside, names that lie, and what a connection goes to."""

import ipaddress
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.core.errors import InvalidRequest, UpstreamTimeout, UpstreamUnavailable
from tenfold.providers.transport import Timeouts
from tenfold.providers.transport.connecting import Address
from tenfold.providers.transport.egress import Answer, EgressGuard, GuardedClient, is_public
from tenfold.providers.transport.headers import encode_target
from tests.providers.transport.test_connecting import client_tls, server_tls
from tests.support.raw_server import Peer, RawServer, always, whole

LOOPBACK = ("127.0.0.0/8", "::1/128")
TIMEOUTS = Timeouts(connect_s=5, first_byte_s=5, total_s=5)


class Names:
    """A name server that says these in turn, the last one from then on."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int) -> list[Address]:
        self.asked.append((host, port))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if not answer:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return [(socket.AF_INET6, (ip, port, 0, 0)) if ":" in ip else (socket.AF_INET, (ip, port)) for ip in answer]


async def post(client: GuardedClient, url: str, *, most_bytes: int = 1024) -> Answer:
    return await client.post(url, [(b"x-test", b"1")], b"{}", timeouts=TIMEOUTS, most_bytes=most_bytes)


# -- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "127.0.0.1.",
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "017700000001",
        "0",
        "0.0.0.0",
        "localhost",
        "10.0.0.1",
        "100.100.100.200",
        "168.63.129.16",
        "169.254.169.254",
        "172.16.0.1",
        "192.0.0.192",
        "192.168.0.1",
        "198.18.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "[::]",
        "[::1]",
        "[::127.0.0.1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::ffff:169.254.169.254]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b::a9fe:a9fe]",
        "[64:ff9b:1::808:808]",
        "[2001::7f00:1]",
        "[2002:7f00:1::]",
        "[fc00::1]",
        "[fd00:ec2::254]",
        "[fe80::1]",
        "[fec0::1]",
        "[ff02::1]",
    ],
)
async def test_addresses_of_the_inside_are_refused_in_every_form(host: str) -> None:
    guard = EgressGuard()  # with the system's look-up: what it makes of these forms is what counts
    for url in (f"https://{host}/in", f"https://{host}:8443/in", f"http://{host}/in"):
        with pytest.raises(InvalidRequest) as refused:
            await guard.check(url)
        assert refused.value.param == "url"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "percent-encoded"),
        ("hooks.example", "http:// or https://"),
        ("ftp://hooks.example/", "http:// or https://"),
        ("file:///etc/passwd", "http:// or https://"),
        ("http://hooks.example/", "must begin with https://"),
        ("https://", "no valid host"),
        ("https://[::1", "no valid host"),
        ("https://[fe80::1%25eth0]/", "zone"),
        ("https://user:secret@hooks.example/", "user name or password"),
        ("https://hooks.example@127.0.0.1/", "user name or password"),
        ("https://hooks.example:0/", "no valid port"),
        ("https://hooks.example:99999/", "no valid host and port"),
        ("https://hooks.example/#there", "fragment"),
        ("https://hooks.example/a b", "percent-encoded"),
        ("https://hooks.example/\t", "percent-encoded"),
        ("https://hooks.example\\@127.0.0.1/", "user name or password"),
        ("https://\u2460\u2461\u2466.0.0.1/", "punycode"),
        ("https://0x7f.1/", "four decimal numbers"),
        ("https://3232235521/", "four decimal numbers"),
        (f"https://hooks.example/{'x' * 2048}", "more than 2048 characters"),
    ],
)
async def test_what_is_no_url_of_ours_is_refused_before_any_name_is_asked_for(url: str, reason: str) -> None:
    names = Names(["93.184.215.14"])
    with pytest.raises(InvalidRequest, match=reason) as refused:
        await EgressGuard(look_up=names).check(url)
    assert (names.asked, "secret" in refused.value.message) == ([], False)


async def test_what_is_public_may_be_called() -> None:
    names = Names(["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"])
    guard = EgressGuard(look_up=names)
    for port in ("", ":443", ":1024", ":8443"):
        await guard.check(f"https://hooks.example{port}/in?a=1")
    for number in (22, 25, 80, 1023):
        with pytest.raises(InvalidRequest, match=f"at port {number}"):
            await guard.check(f"https://hooks.example:{number}/")
    await EgressGuard(look_up=Names(["64:ff9b::5db8:d70e"])).check("https://hooks.example/")  # DNS64


async def test_it_is_not_told_whether_a_name_of_the_inside_exists() -> None:
    told = set()
    for answer in (["10.0.0.7"], []):
        with pytest.raises(InvalidRequest) as refused:
            await EgressGuard(look_up=Names(answer)).check("https://vault.internal/")
        told.add(refused.value.message)
    assert told == {"The URL cannot be called: vault.internal leads to no public address."}


@pytest.mark.parametrize("host", [f"{'a' * 64}.example", f"{'a.' * 126}a", "xn--a.example", "no-such-name.invalid"])
async def test_names_that_lead_nowhere(host: str) -> None:
    with pytest.raises(InvalidRequest, match="leads to no public address"):
        await EgressGuard().check(f"https://{host}/")


@given(st.text(), st.sampled_from(["", "https://", "https://h.example/", "https://h.example:", "http://["]))
def test_whatever_is_given_is_a_url_or_told_to_be_none(text: str, before: str) -> None:
    guard = EgressGuard(look_up=Names(["93.184.215.14"]))
    with suppress(InvalidRequest):
        origin, target = guard.split(before + text)
        assert origin.scheme == "https"
        assert target.isascii()
        assert target.isprintable()
        assert target.startswith("/")
        assert encode_target(target)


@given(st.ip_addresses(v=4))
def test_no_address_is_public_that_python_knows_to_be_otherwise(ip: ipaddress.IPv4Address) -> None:
    if is_public(ip):
        assert ip.is_global
        assert not ip.is_multicast
    assert is_public(ipaddress.IPv6Address(f"::ffff:{ip}")) == is_public(ip)
    assert is_public(ipaddress.IPv6Address(int(ipaddress.IPv6Address("64:ff9b::")) + int(ip))) == is_public(ip)
    assert not is_public(ipaddress.IPv6Address(int(ip)))
    assert not is_public(ipaddress.IPv6Address((0x2002 << 112) | (int(ip) << 80)))


@given(st.ip_addresses(v=6))
def test_nor_of_the_sixth_version(ip: ipaddress.IPv6Address) -> None:
    if is_public(ip) and ip.ipv4_mapped is None:
        assert ip.is_global
        assert not ip.is_multicast


def test_what_is_allowed_is_a_network() -> None:
    for wrong in ("localhost", "10.0.0.1/8", "10.0.0.0/33"):
        with pytest.raises(ValueError, match=r"appear|host bits"):
            EgressGuard(allow=[wrong])


# -- what is connected to ------------------------------------------------------------------------


async def test_the_connection_goes_to_the_address_that_was_looked_at() -> None:
    """With the name's own SNI and Host. A name server that answers otherwise from the second time on is not asked
    again."""
    server_names: list[str | None] = []
    tls = server_tls()

    def remember(_sock: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
        server_names.append(name)

    tls.sni_callback = remember
    names = Names(["127.0.0.1"], ["10.0.0.7"])
    async with RawServer(always(whole(b"ok")), tls=tls) as server:
        client = GuardedClient(EgressGuard(allow=LOOPBACK, look_up=names), tls=client_tls())
        answer = await post(client, f"https://localhost:{server.port}/in?a=1")
    assert (answer.status, answer.body) == (200, b"ok")
    assert (names.asked, server_names) == ([("localhost", server.port)], ["localhost"])


async def test_a_name_that_turns_to_the_inside_after_the_check_is_not_followed() -> None:
    connected = 0

    async def script(peer: Peer) -> None:
        nonlocal connected
        connected += 1
        await always(whole(b"secrets"))(peer)

    async with RawServer(script, tls=server_tls()) as server:
        client = GuardedClient(EgressGuard(look_up=Names(["93.184.215.14"], ["127.0.0.1"])), tls=client_tls())
        url = f"https://localhost:{server.port}/"
        await client.check(url)
        with pytest.raises(UpstreamUnavailable, match="leads to no public address"):
            await post(client, url)
    assert connected == 0


async def test_of_several_addresses_those_of_the_inside_are_struck_out() -> None:
    async with RawServer(always(whole(b"ok")), tls=server_tls()) as server:
        names = Names(["10.0.0.7", "::ffff:169.254.169.254", "127.0.0.1"])
        client = GuardedClient(EgressGuard(allow=["127.0.0.1/32"], look_up=names), tls=client_tls())
        assert (await post(client, f"https://localhost:{server.port}/")).status == 200


async def test_without_tls_goes_only_what_is_allowed() -> None:
    async with RawServer(always(whole(b"ok"))) as server:
        guard = EgressGuard(allow=LOOPBACK, look_up=Names(["93.184.215.14"], ["127.0.0.1"]))
        client = GuardedClient(guard)
        url = f"http://hooks.example:{server.port}/"
        with pytest.raises(UpstreamUnavailable, match="without TLS: use https"):
            await post(client, url)
        assert (await post(client, url)).body == b"ok"
    with pytest.raises(InvalidRequest, match="https"):
        await post(GuardedClient(EgressGuard()), url)


async def test_without_tls_goes_what_is_public_where_the_operator_says_so() -> None:
    guard = EgressGuard(allow_http=True, look_up=Names(["93.184.215.14"]))
    for port in ("", ":8080"):
        await guard.check(f"http://hooks.example{port}/")
    with pytest.raises(InvalidRequest, match="at port 443"):
        await guard.check("http://hooks.example:443/")
    with pytest.raises(InvalidRequest, match="no public address"):
        await EgressGuard(allow_http=True, look_up=Names(["10.0.0.7"])).check("http://hooks.example/")


async def test_redirects_are_not_followed() -> None:
    async with RawServer(always(whole(b"", status=b"302 Found", headers=b"location: http://10.0.0.7/\r\n"))) as server:
        client = GuardedClient(EgressGuard(allow=LOOPBACK))
        answer = await post(client, f"http://127.0.0.1:{server.port}/")
        assert (answer.status, len(server.peers)) == (302, 1)


async def test_the_beginning_of_an_answer_is_enough() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n" + b"x" * 5000)
        await peer.hung_up()

    async with RawServer(script) as server:
        client = GuardedClient(EgressGuard(allow=LOOPBACK))
        answer = await post(client, f"http://127.0.0.1:{server.port}/", most_bytes=100)
    assert (answer.status, answer.body) == (200, b"x" * 100)


async def test_an_answer_that_breaks_off_is_one() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nab")

    async with RawServer(script) as server:
        answer = await post(GuardedClient(EgressGuard(allow=LOOPBACK)), f"http://127.0.0.1:{server.port}/")
    assert (answer.status, answer.body) == (200, b"ab")


async def test_one_that_does_not_answer_is_left() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.hung_up()

    async with RawServer(script) as server:
        client = GuardedClient(EgressGuard(allow=LOOPBACK))
        brief = Timeouts(connect_s=5, first_byte_s=0.05, total_s=5)
        with pytest.raises(UpstreamTimeout):
            await client.post(f"http://127.0.0.1:{server.port}/", [], b"", timeouts=brief, most_bytes=1)
