"""What flood.c does, where there is no compiler: slower, and otherwise the same. Loopback addresses alone."""

import socket
import sys
import time
from contextlib import suppress


def main() -> None:
    """`python -m benchmarks.flood_generator HOST PORT NETWORK SOURCES RATE SECONDS URI METHOD`; see flood.c."""
    host, port, network, sources, rate, seconds, uri, method = sys.argv[1:]
    if not host.startswith("127.") or not network.startswith("127.") or float(seconds) > 60 or int(sources) > 10_000:
        sys.exit(2)
    peers = []
    for index in range(int(sources)):
        own = f"{network}.{index // 250}.{index % 250 + 1}"
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((own, 5060))
        sock.setblocking(False)
        peers.append((sock, own))
    sent = sent_bytes = answers = answer_bytes = looked = 0
    engine, begun = (host, int(port)), time.monotonic()
    while (passed := time.monotonic() - begun) < float(seconds):
        while sent < passed * float(rate):
            sock, own = peers[sent % len(peers)]
            data = (
                f"{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {own}:5060;branch=z9hG4bKf{sent}\r\nMax-Forwards: 70\r\n"
                f"From: <sip:flood@{own}>;tag=f{sent}\r\nTo: <{uri}>\r\nCall-ID: flood-{sent}\r\nCSeq: 1 {method}\r\n"
                f"Contact: <sip:flood@{own}:5060>\r\nContent-Length: 0\r\n\r\n"
            ).encode()
            with suppress(OSError):
                sent_bytes += sock.sendto(data, engine)
            sent += 1
        for _ in range(min(len(peers), 64)):
            looked = (looked + 1) % len(peers)
            with suppress(OSError):
                while data := peers[looked][0].recv(65535):
                    answers += 1
                    answer_bytes += len(data)
        time.sleep(0.0005)
    print(sent, sent_bytes, answers, answer_bytes)


if __name__ == "__main__":
    main()
