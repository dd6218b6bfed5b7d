from __future__ import annotations

from ipaddress import ip_address

import pytest

from relay_core.domain.destination import UnfitUrlError, is_public, judge_url


@pytest.mark.parametrize(
    "text",
    [
        *(
            "8.8.8.8",
            "192.0.1.1",
            "172.15.0.1",
            "172.32.0.1",
            "100.63.0.1",
            "2606:4700::1111",
        ),
        *("::ffff:8.8.8.8", "2002:808:808::", "64:ff9b::8.8.8.8", "::8.8.8.8"),
    ],
)
def test_an_address_that_everybody_reaches_is_public(text: str) -> None:
    assert is_public(ip_address(text))


@pytest.mark.parametrize(
    "text",
    [
        *(
            "0.0.0.0",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
        ),
        *(
            "192.0.0.8",
            "192.0.0.9",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
        ),
        *(
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.250",
            "240.0.0.1",
        ),
        *(
            "255.255.255.255",
            "::",
            "::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fe80::1%eth0",
        ),
        *(
            "fec0::1",
            "ff02::1",
            "ff0e::1",
            "2001:db8::1",
            "3fff::1",
            "100::1",
            "4000::1",
        ),
        *(
            "5f00::1",
            "2001::1",
            "2001:0:4136:e378:8000:63bf:3fff:fdd2",
            "2001:10::1",
        ),
    ],
)
def test_an_address_of_our_own_networks_or_of_nobody_is_not(text: str) -> None:
    assert not is_public(ip_address(text))


@pytest.mark.parametrize(
    "inner", ["127.0.0.1", "169.254.169.254", "10.0.0.1", "224.0.0.1"]
)
@pytest.mark.parametrize(
    "form", ["::ffff:{}", "64:ff9b::{}", "::{}", "64:ff9b:1::{}", "6to4"]
)
def test_an_address_is_judged_by_what_it_wraps(inner: str, form: str) -> None:
    number = int(ip_address(inner))
    six = f"2002:{number >> 16:x}:{number & 0xFFFF:x}::1"
    assert not is_public(
        ip_address(six if form == "6to4" else form.format(inner))
    )


@pytest.mark.parametrize(
    ("url", "receiver", "target", "host_header"),
    [
        (
            "https://shop.example",
            "https://shop.example:443",
            "/",
            "shop.example",
        ),
        (
            "HTTPS://Shop.Example/a",
            "https://shop.example:443",
            "/a",
            "shop.example",
        ),
        (
            "https://a.example:8443/x/y?b=1&c=%20",
            "https://a.example:8443",
            "/x/y?b=1&c=%20",
            "a.example:8443",
        ),
        (
            "https://a.example:443?b",
            "https://a.example:443",
            "/?b",
            "a.example",
        ),
        ("https://8.8.8.8/", "https://8.8.8.8:443", "/", "8.8.8.8"),
        (
            "https://[2606:4700::1111]/",
            "https://[2606:4700::1111]:443",
            "/",
            "[2606:4700::1111]",
        ),
        (
            "https://xn--bcher-kva.example/",
            "https://xn--bcher-kva.example:443",
            "/",
            None,
        ),
    ],
)
def test_a_url_of_a_public_host_is_taken(
    url: str, receiver: str, target: str, host_header: str | None
) -> None:
    destination = judge_url(url)
    assert (destination.receiver, destination.target) == (receiver, target)
    assert destination.host_header == (host_header or destination.host)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("", "must be a URL"),
        ("shop.example/hook", "must name a host"),
        ("http://shop.example/", "must begin with https://"),
        ("ftp://shop.example/", "must begin with https://"),
        ("https:///hook", "must name a host"),
        ("https://", "must name a host"),
        ("https://shop.example:80/", "must have port 443 or 8443"),
        ("https://shop.example:22/", "must have port 443 or 8443"),
        ("https://shop.example:0/", "a port from 1 to 65535"),
        ("https://shop.example:65536/", "a port from 1 to 65535"),
        ("https://shop.example:x/", "a port from 1 to 65535"),
        ("https://[::1/", "must be a URL with a host"),
        ("https://me@shop.example/", "no user name"),
        ("https://@shop.example/", "no user name"),
        ("https://me:secret@shop.example/", "no user name"),
        ("https://shop.example/#top", "no fragment"),
        ("https://shop.example/#", "no fragment"),
        ("https://shop.example/" + "a" * 2048, "at most 2048"),
        ("https://shop.example/a b", "visible ASCII"),
        ("https://shop.example/a\n", "visible ASCII"),
        ("https://shop.ex\tample/", "visible ASCII"),
        ("https://bücher.example/", "visible ASCII"),
        ("https://8.8.8.8\\@127.0.0.1/", "backslash"),
        ("https://shop%2eexample/", "must name a host"),
        ("https://-a.example/", "must name a host"),
        ("https://a..example/", "must name a host"),
        ("https://[2606:4700::1111%25eth0]/", "must name a host"),
        ("https://[v1.a]/", "must"),
        ("https://localhost/", "public address"),
        ("https://LocalHost:8443/", "public address"),
        ("https://127.0.0.1/", "public address"),
        ("https://169.254.169.254/", "public address"),
        ("https://[::1]/", "public address"),
        ("https://[::ffff:10.0.0.1]/", "public address"),
        ("https://[64:ff9b::a9fe:a9fe]/", "public address"),
        ("https://2130706433/", "a full address"),
        ("https://127.1/", "a full address"),
        ("https://0x7f.1/", "a full address"),
        ("https://0177.0.0.1/", "a full address"),
        ("https://shop.0x/", "a full address"),
        ("https://256.1.1.1/", "a full address"),
    ],
)
def test_another_url_is_refused(url: str, problem: str) -> None:
    with pytest.raises(UnfitUrlError, match=problem):
        judge_url(url)


@pytest.mark.parametrize(
    ("url", "receiver"),
    [
        ("http://127.0.0.1:8000/hook", "http://127.0.0.1:8000"),
        ("http://localhost/", "http://localhost:80"),
        ("http://[::1]:9000/", "http://[::1]:9000"),
        ("https://localhost:9443/", "https://localhost:9443"),
    ],
)
def test_loopback_is_taken_by_http_and_any_port_where_it_is_allowed(
    url: str, receiver: str
) -> None:
    assert judge_url(url, allow_loopback=True).receiver == receiver
    with pytest.raises(UnfitUrlError):
        judge_url(url)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://shop.example/", "must begin with https://"),
        ("http://8.8.8.8/", "must begin with https://"),
        ("https://shop.example:9443/", "must have port"),
        ("https://10.0.0.1/", "public address"),
        ("https://169.254.169.254/", "public address"),
        ("https://[::ffff:127.0.0.1]/", "public address"),
        ("https://2130706433/", "a full address"),
        ("http://127.1/", "a full address"),
        ("http://me@localhost/", "no user name"),
        ("ftp://localhost/", "must begin with https://"),
    ],
)
def test_other_hosts_gain_nothing_where_loopback_is_allowed(
    url: str, problem: str
) -> None:
    with pytest.raises(UnfitUrlError, match=problem):
        judge_url(url, allow_loopback=True)


def test_what_a_name_has_is_accepted_by_the_same_rule() -> None:
    outside = judge_url("https://shop.example/")
    assert outside.accepts(ip_address("8.8.8.8"))
    assert not outside.accepts(ip_address("127.0.0.1"))
    assert not outside.accepts(ip_address("10.0.0.1"))
    here = judge_url("http://localhost:8000/", allow_loopback=True)
    assert here.accepts(ip_address("127.0.0.1"))
    assert here.accepts(ip_address("::1"))
    assert not here.accepts(ip_address("8.8.8.8"))
    assert not here.accepts(ip_address("10.0.0.1"))
