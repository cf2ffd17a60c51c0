"""Mistakes in the policy of failover and in hunts through providers."""

FILE = "routing/hunt/failover.py"
HUNT = "routing/hunt/hunt.py"
TESTS = "tests/routing/test_hunts.py::test_"

MUTANTS = [
    (FILE, '"no_reply": True,', '"no_reply": False,', TESTS + "every_kind_of_outcome"),
    (FILE, '"ring_timeout": False,', '"ring_timeout": True,', TESTS + "every_kind_of_outcome"),
    (
        FILE,
        "return status in terms.failover and status not in terms.stop",
        "return status in terms.failover",
        TESTS + "codes_of_provider_and_route",
    ),
    (
        FILE,
        '    503: (500, "Server Internal Error"),\n',
        "",
        TESTS + "one_final_response",
    ),
    (
        HUNT,
        "            state.count_attempt(now)\n",
        "            pass\n",
        TESTS + "a_provider_is_not_called_more_often_than_it_may_be_in_any_second",
    ),
    (HUNT, "or self._attempts >= MOST_ATTEMPTS", "", TESTS + "a_call_makes_ten_attempts_at_most"),
    (
        HUNT,
        "if status == 503 and retry_after > 0:",
        "if retry_after > 0:",
        TESTS + "a_503_with_retry_after_gives_the_provider_a_rest",
    ),
]
