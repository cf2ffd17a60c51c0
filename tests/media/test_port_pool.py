"""RTP ports: even and bound, recycled, empty when handed out, and a clear error when there are none (RFC 3550 §11)."""

import errno
import socket
from collections.abc import Iterator

import pytest

from engine.media.port_pool import NoPortError, PortPool, RtpSocket

HOST = "127.0.1.21"


class TidyPool(PortPool):
    """Closes what a test did not give back, so that the next test finds its ports free."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.leased: list[RtpSocket] = []

    def acquire(self, host: str) -> RtpSocket:
        self.leased.append(super().acquire(host))
        return self.leased[-1]


@pytest.fixture
def pool() -> Iterator[PortPool]:
    with_four = TidyPool([HOST], 16001, 16009)
    yield with_four
    with_four.close()
    for port in with_four.leased:
        port.release()


def test_ports_are_even_bound_and_do_not_block(pool: PortPool) -> None:
    ports = [pool.acquire(HOST) for _ in range(4)]
    assert [port.port for port in ports] == [16002, 16004, 16006, 16008]
    for port in ports:
        assert port.sock.getsockname() == (HOST, port.port)
        assert not port.sock.getblocking()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as rtcp:
            rtcp.bind((HOST, port.port + 1))  # nobody of ours has it
        port.release()
    assert (pool.in_use, pool.idle) == (0, 4)


def test_a_port_that_comes_back_is_handed_out_again_without_a_new_socket(pool: PortPool) -> None:
    first = pool.acquire(HOST)
    sock = first.sock
    first.release()
    assert (pool.in_use, pool.idle) == (0, 1)
    again = pool.acquire(HOST)
    assert again.sock is sock
    again.release()


def test_the_longest_idle_port_goes_out_first(pool: PortPool) -> None:
    one, two = pool.acquire(HOST), pool.acquire(HOST)
    two.release()
    one.release()
    assert pool.acquire(HOST) is two


def test_giving_back_twice_gives_back_once(pool: PortPool) -> None:
    port = pool.acquire(HOST)
    port.release()
    port.release()
    assert (pool.in_use, pool.idle) == (0, 1)


def test_packets_of_the_last_call_are_gone_when_the_port_is_read(pool: PortPool) -> None:
    port = pool.acquire(HOST)
    port.widen()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        for _ in range(20):
            peer.sendto(b"late", (HOST, port.port))
    port.release()
    again = pool.acquire(HOST)
    assert again.port == port.port
    again.widen()
    with pytest.raises(BlockingIOError):
        again.sock.recv(1)
    again.release()


def test_a_socket_that_nobody_reads_holds_a_few_packets_only(pool: PortPool) -> None:
    port = pool.acquire(HOST)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        for _ in range(1000):
            peer.sendto(bytes(172), (HOST, port.port))
    assert port.sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) <= 4608
    held = 0
    while True:
        try:
            port.sock.recv(2048)
        except BlockingIOError:
            break
        held += 1
    assert held <= 8
    port.widen()
    assert port.sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == 65536
    port.release()
    assert pool.acquire(HOST).sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) <= 4608


def test_all_ports_in_use_is_a_503_with_the_reason(pool: PortPool) -> None:
    ports = [pool.acquire(HOST) for _ in range(4)]
    with pytest.raises(NoPortError, match=r"127\.0\.1\.21: all 4 are in use") as caught:
        pool.acquire(HOST)
    assert caught.value.status == 503
    assert pool.in_use == 4
    ports[2].release()
    assert pool.acquire(HOST) is ports[2]


def test_a_port_that_another_program_holds_is_passed_over(pool: PortPool) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind((HOST, 16002))
        assert pool.acquire(HOST).port == 16004
    ports = [pool.acquire(HOST).port for _ in range(3)]
    assert ports == [16006, 16008, 16002]


def test_ports_that_other_programs_hold_are_said_to_be_so() -> None:
    pool = PortPool([HOST], 16010, 16011)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind((HOST, 16010))
        with pytest.raises(NoPortError, match="other programs"):
            pool.acquire(HOST)
    pool.acquire(HOST).release()
    pool.close()


def test_a_run_of_ports_that_another_engine_keeps_idle_is_stepped_over() -> None:
    """Two engines on one host with one range: each keeps its idle sockets bound, hundreds of them in a row."""
    other, pool = PortPool([HOST], 16100, 16499), PortPool([HOST], 16100, 16999)
    kept = [other.acquire(HOST) for _ in range(200)]
    port = pool.acquire(HOST)
    assert port.port not in {one.port for one in kept}
    for one in (port, *kept):
        one.release()
    pool.close()
    other.close()


def test_out_of_descriptors_is_an_error_of_the_call(pool: PortPool, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> socket.socket:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patched:
        patched.setattr("engine.media.port_pool.socket.socket", refuse)
        with pytest.raises(NoPortError, match="Too many open files"):
            pool.acquire(HOST)
    assert pool.in_use == 0
    ports = [pool.acquire(HOST) for _ in range(4)]  # none was lost
    for port in ports:
        port.release()


def test_idle_sockets_are_kept_up_to_a_bound() -> None:
    pool = PortPool([HOST], 16020, 16040, max_idle=2)
    ports = [pool.acquire(HOST) for _ in range(5)]
    for port in ports:
        port.release()
    assert (pool.in_use, pool.idle) == (0, 2)
    assert [port.sock.fileno() == -1 for port in ports] == [False, False, True, True, True]
    pool.close()


def test_a_closed_pool_closes_ports_as_they_come_back(pool: PortPool) -> None:
    idle, used = pool.acquire(HOST), pool.acquire(HOST)
    idle.release()
    pool.close()
    assert idle.sock.fileno() == -1
    assert used.sock.fileno() != -1
    used.release()
    assert used.sock.fileno() == -1


def test_ipv6_ports() -> None:
    pool = PortPool(["::1", HOST], 16050, 16053)
    six, four = pool.acquire("::1"), pool.acquire(HOST)
    assert six.sock.getsockname()[:2] == ("::1", 16050)
    assert four.sock.getsockname() == (HOST, 16050)
    six.release()
    four.release()
    pool.close()


def test_wildcard_hosts_serve_every_address_of_their_family() -> None:
    pool = PortPool(["0.0.0.0", "::"], 16060, 16063)
    four, six = pool.acquire("127.0.1.22"), pool.acquire("::1")
    assert four.sock.getsockname() == ("0.0.0.0", 16060)
    assert six.sock.getsockname()[:2] == ("::", 16060)
    four.release()
    six.release()
    pool.close()


def test_a_host_that_is_not_served_is_a_programming_error(pool: PortPool) -> None:
    with pytest.raises(ValueError, match=r"127\.0\.1\.99.*127\.0\.1\.21"):
        pool.acquire("127.0.1.99")


@pytest.mark.parametrize(("low", "high"), [(0, 10), (10, 10), (9, 10), (20, 10), (65535, 65535), (10, 65536)])
def test_a_range_without_a_pair_of_ports_is_refused(low: int, high: int) -> None:
    with pytest.raises(ValueError, match="RTP ports"):
        PortPool([HOST], low, high)


def test_two_pools_with_one_range_may_begin_at_different_ports(pool: PortPool) -> None:
    turned = PortPool([HOST], 16001, 16009, first=2)
    ports = [turned.acquire(HOST) for _ in range(3)]
    assert [port.port for port in ports] == [16006, 16008, 16002]
    assert pool.acquire(HOST).port == 16004  # what the other one holds is passed over
    far = PortPool([HOST], 16030, 16034, first=1_000_001)
    ports.append(far.acquire(HOST))
    assert ports[-1].port == 16032
    for port in ports:
        port.release()
    turned.close()
    far.close()
