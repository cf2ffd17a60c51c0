"""Mistakes in dialogs of both sides (RFC 3261 §12)."""

FILE = "engine/sip/dialog/dialog.py"
TESTS = "tests/sip/test_dialog.py::test_"

MUTANTS = [
    (
        FILE,
        """            target,
            response.values("Record-Route")[::-1],""",
        """            target,
            response.values("Record-Route"),""",
        TESTS + "caller_reverses_record_route_12_1_2",
    ),
    (
        FILE,
        'invite.values("Record-Route"),',
        'invite.values("Record-Route")[::-1],',
        TESTS + "callee_keeps_record_route_in_order_12_1_1",
    ),
    (
        FILE,
        "if request.cseq <= self.remote_cseq:",
        "if request.cseq < self.remote_cseq:",
        TESTS + "cseq_must_grow_12_2_2",
    ),
    (
        FILE,
        """        self.route_set = response.values("Record-Route")[::-1]
        self.refresh""",
        "        self.refresh",
        TESTS + "the_2xx_sets_the_route_set_anew_13_2_2_4",
    ),
    (
        FILE,
        'return first.uri_text, [*routes[1:], f"<{self.remote_target}>"], first.uri_text',
        "return first.uri_text, routes, first.uri_text",
        TESTS + "strict_route_takes_the_request_uri_and_the_target_goes_last_12_2_1_1",
    ),
    (
        FILE,
        "                self.remote_target = contact_of(message)",
        "                contact_of(message)",
        TESTS + "target_refresh_moves_the_target_but_not_the_routes_12_2",
    ),
]
