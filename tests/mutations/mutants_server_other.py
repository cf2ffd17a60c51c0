"""Mistakes in the server transaction of requests other than INVITE (RFC 3261 figure 8), and in matching (§17.2.3)."""

FILE = "engine/sip/transaction/server.py"
TESTS = "tests/sip/test_transactions_server.py::test_"

MUTANTS = [
    (
        FILE,
        """    "completed": {
        "request": ("completed", (resend,)),
        "timer J": (TERMINATED, ()),""",
        """    "completed": {
        "timer J": (TERMINATED, ()),""",
        TESTS + "timer_j_answers_retransmissions_for_64_t1_17_2_2",
    ),
    (
        FILE,
        "    _absorb(transaction, now, transaction.transactions.timers.timeout)",
        "    _absorb(transaction, now, transaction.transactions.timers.t4)",
        TESTS + "timer_j_answers_retransmissions_for_64_t1_17_2_2",
    ),
    (
        FILE,
        """    "trying": {
        "1xx": ("proceeding", (send,)),""",
        """    "trying": {
        "1xx": ("trying", (send,)),""",
        TESTS + "a_request_in_proceeding_gets_the_provisional_again_17_2_2",
    ),
    (
        FILE,
        "    if transaction.flow.transport.reliable:\n        transaction.state = TERMINATED",
        "    if False:\n        transaction.state = TERMINATED",
        TESTS + "no_timer_j_on_a_reliable_transport_17_2_2",
    ),
    (
        "engine/sip/transaction/table.py",
        "return (branch, request.sent_by, method)",
        "return (branch, method)",
        TESTS + "matching_by_branch_sent_by_and_method_17_2_3",
    ),
]
