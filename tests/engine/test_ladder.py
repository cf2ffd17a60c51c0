"""The ladder as text, compared line by line."""

from rich.cells import cell_len

from engine.capture.ladder import LadderEntry, draw

CALL = [
    LadderEntry(10.0, "phone", "trunkline", "INVITE +15551234567", "PCMU"),
    LadderEntry(10.0012, "trunkline", "phone", "100 Trying"),
    LadderEntry(10.002, "trunkline", "trunk", "INVITE"),
    LadderEntry(10.003, "trunk", "trunkline", "503 Service Unavailable"),
    LadderEntry(10.5, "phone", "phone", "digit 5"),
    LadderEntry(12.25, "trunk", "phone", "BYE"),
]


def test_participants_are_columns_and_messages_are_arrows() -> None:
    assert draw(CALL, 90).splitlines() == [
        "      ms phone                        trunkline                        trunk",
        "         │                            │                                │",
        "     0.0 │── INVITE +15551234567 ────▶│                                │  PCMU",
        "     1.2 │◀─ 100 Trying ──────────────│                                │",
        "     2.0 │                            │── INVITE ─────────────────────▶│",
        "     3.0 │                            │◀─ 503 Service Unavailable ─────│",
        "   500.0 ● digit 5                    │                                │",
        "  2250.0 │◀─ BYE ──────────────────────────────────────────────────────│",
    ]


def test_a_narrow_terminal_gets_shorter_texts_and_notes_beneath() -> None:
    entries = [*CALL[:1], LadderEntry(10.003, "trunk", "trunkline", "503 Service Unavailable", "Retry-After: 30")]
    assert draw(entries, 52).splitlines() == [
        "      ms phone             trunkline         trunk",
        "         │                 │                 │",
        "     0.0 │── INVITE +15… ─▶│                 │  PCMU",
        "     3.0 │                 │◀─ 503 Servic… ──│",
        "           Retry-After: 30",
    ]


def test_a_terminal_without_utf_8_gets_ascii() -> None:
    entries = [
        LadderEntry(0, "a", "b", "INVITE é"),
        LadderEntry(0.0005, "b", "a", "200 OK"),
        LadderEntry(1, "b", "b", "x"),
    ]
    assert draw(entries, 60, ascii_only=True).splitlines() == [
        "      ms a                 b",
        "         |                 |",
        "     0.0 |-- INVITE ? ---->|",
        "     0.5 |<- 200 OK -------|",
        "  1000.0 |                 * x",
    ]


def test_what_peers_sent_is_escaped() -> None:
    drawn = draw([LadderEntry(0, "a", "b", "200 \x1b[31m\n", "note\r\u202e")])
    assert "200 \\x1b[31m\\x0a" in drawn
    assert "note\\x0d\\u202e" in drawn


def test_wide_characters_keep_the_lifelines_straight() -> None:
    lines = draw([LadderEntry(0, "a", "b", "183 呼び出し中"), LadderEntry(0, "b", "a", "200 OK")], 60).splitlines()
    assert len({cell_len(line) for line in lines[1:]}) == 1


def test_nothing_drawn_is_wider_than_the_terminal() -> None:
    for width in (50, 60, 80, 120, 200):
        assert max(cell_len(line) for line in draw(CALL, width).splitlines()) <= width


def test_one_participant_alone_and_none_at_all() -> None:
    assert draw([]) == ""
    assert draw([LadderEntry(0, "a", "a", "waiting")]).splitlines()[2] == "     0.0 ● waiting"
