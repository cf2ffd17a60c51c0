"""Hosts of the open Internet, and all the ways to write one that is not."""

import pytest

from flows.web_hosts import is_public, private_host

PUBLIC = [
    "8.8.8.8",
    "192.0.1.1",
    "100.63.255.255",
    "100.128.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "172.15.0.1",
    "172.32.0.1",
    "223.255.255.255",
    "2606:4700::1111",
    "2a00:1450:4001::200e",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
    "2002:808:808::1",
]
PRIVATE = [
    *("127.0.0.1", "127.255.255.254", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.0.1", "169.254.169.254"),
    *("0.0.0.0", "0.1.2.3", "100.64.0.1", "100.127.255.255", "192.0.0.8", "192.0.0.9", "192.0.0.255", "192.0.2.1"),
    *("192.88.99.1", "198.18.0.1", "198.19.255.255", "198.51.100.7", "203.0.113.7", "224.0.0.1", "239.1.1.1"),
    *("240.0.0.1", "255.255.255.255"),
    *("::", "::1", "::127.0.0.1", "::8.8.8.8", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:0:127.0.0.1"),
    *("::ffff:0:8.8.8.8", "fe80::1", "fe80::1%eth0", "fec0::1", "feff::1", "fc00::1", "fd00::1", "ff02::1"),
    *("64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b:1::7f00:1", "64:ff9b:1::808:808", "64:ff9b:1:ffff::1"),
    *("2002:7f00:1::", "2002:a00:1::1", "2002:c0a8:1::1", "2001:0:7f00:1::", "2001::a00:1:0:0:f5ff:fffe"),
    *("2606:4700::5efe:10.0.0.1", "2606:4700::200:5efe:127.0.0.1", "2001:db8::1", "2001:2::1", "100::1", "4000::1"),
    *("x", "", "localhost", "127.1"),
]


@pytest.mark.parametrize(
    "host", ["localhost%00.example.com", "%00", "a%00b:80", "\ud800.example", "%ff%fe", "x@%00@y%00"]
)
def test_what_no_resolver_could_be_asked_for_is_no_address(host: str) -> None:
    assert private_host(f"http://{host}/") == ""


@pytest.mark.parametrize("address", PUBLIC)
def test_addresses_of_the_open_internet(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("address", PRIVATE)
def test_addresses_that_are_none(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "uri",
    [
        *("http://127.0.0.1/", "http://127.0.0.1:8080/x", "HTTP://127.0.0.1", "https://user:pass@10.0.0.1/"),
        *("http://2130706433/", "http://0x7f.1/", "http://0x7f000001/", "http://0177.0.0.1/", "http://127.1/"),
        *("http://0/", "http://0:80/", "http://127.0.0.1./", "http://0x7F.0.0.0x1/", "http://3232235521/"),
        *("http://[::1]/", "http://[::ffff:127.0.0.1]/", "http://[::127.0.0.1]:80/", "http://[fd00::1]/"),
        *("http://[64:ff9b::7f00:1]/", "http://[2002:7f00:1::]/", "http://[64:ff9b:1::7f00:1]/", "http://[fec0::1]/"),
        *("http://[::ffff:0:127.0.0.1]/", "http://[fe80::1%25eth0]/", "http://[::]/"),
        *("http://169.254.169.254/latest/", "http://100.64.0.1/", "http://192.0.0.8/", "http://198.18.0.1/"),
        *("http://localhost/", "http://LocalHost./", "http://a.localhost:8080/", "http://localhost"),
        *(
            "http://%31%32%37.0.0.1/",
            "http://\uff11\uff12\uff17.0.0.1/",
            "http://127\u30020\uff0e0\uff611/",
            "http://\u2460\u2461\u2466.0.0.1/",
        ),
        *(
            "http://example.com@127.0.0.1/",
            "http://example.com%40127.0.0.1/",
            "http:\\\\127.0.0.1/",
            "http:///127.0.0.1",
        ),
        *("http://127.0.0.1/${path}", "http://10.0.0.1:80?x=${x}", " http://127.0.0.1/"),
    ],
)
def test_private_hosts_are_seen_however_they_are_written(uri: str) -> None:
    assert private_host(uri)


@pytest.mark.parametrize(
    "uri",
    [
        *("https://example.com/", "https://example.com/127.0.0.1", "http://8.8.8.8/", "http://134744072/"),
        *(
            "http://127.0.0.1.example.com/",
            "http://localhost.example.com/",
            "http://notlocalhost/",
            "http://[2606:4700::1]/",
        ),
        *(
            "http://${host}/",
            "http://${host}:80/127.0.0.1",
            "https://a.${b}.c/",
            "waltz.ogg",
            "tone:425/1000",
            "127.0.0.1",
        ),
        *("http://10.example/", "http://0x7f.example.com/", "http://fd00/"),
    ],
)
def test_others_are_not(uri: str) -> None:
    assert not private_host(uri)
