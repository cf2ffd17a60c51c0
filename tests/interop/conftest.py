"""The matrix as a table, at the end of `make interop`: a line for each feature and way of the media, a column for each
pair of phones."""

from collections.abc import Mapping

import pytest

_WORDS = {"passed": "ok", "skipped": "-", "failed": "FAIL", "error": "FAIL"}


def table(results: Mapping[tuple[str, str, str], str]) -> list[str]:
    """The lines. `results`: what became of each cell, by the way of the media, the feature and the pair."""
    pairs = sorted({pair for _, _, pair in results})
    rows = sorted({(feature, way) for way, feature, _ in results})
    width = max((len(f"{feature}, {way}") for feature, way in rows), default=0)
    lines = [" " * width + "".join(f"  {pair}" for pair in pairs)]
    for feature, way in rows:
        cells = [f"  {results.get((way, feature, pair), ''):<{len(pair)}}" for pair in pairs]
        lines.append(f"{f'{feature}, {way}':<{width}}{''.join(cells)}".rstrip())
    return lines


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    results: dict[tuple[str, str, str], str] = {}
    for outcome, word in _WORDS.items():
        for report in terminalreporter.getreports(outcome):
            if isinstance(report, pytest.TestReport) and "test_matrix.py::test_cell[" in report.nodeid:
                way, feature, *pair = report.nodeid.partition("[")[2].rstrip("]").split("-")
                results[way, feature, " > ".join(pair)] = word
    if results:
        terminalreporter.section("who can what with whom (caller > callee)")
        for line in table(results):
            terminalreporter.write_line(line)
