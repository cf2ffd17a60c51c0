"""Peers as a test wants them: known are those that it names."""

from engine.sip.peers import Everybody


class Known(Everybody):
    """Who is named is a known peer, or an edge, and everybody else a stranger."""

    def __init__(self, *hosts: str, edges: tuple[str, ...] = ()) -> None:
        self.hosts = {*hosts, *edges}
        self.edges = set(edges)

    def known(self, host: str) -> bool:
        return host in self.hosts

    def edge(self, host: str) -> bool:
        return host in self.edges
