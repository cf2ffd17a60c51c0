"""Mistakes in the INVITE server transaction (RFC 3261 figure 7, RFC 6026 §7.1)."""

FILE = "engine/sip/transaction/server.py"
TESTS = "tests/sip/test_transactions_server.py::test_"

MUTANTS = [
    (
        FILE,
        "transaction.interval = min(transaction.interval * 2, transaction.transactions.timers.t2)",
        "transaction.interval *= 2",
        TESTS + "timer_g_doubles_up_to_t2_until_timer_h_17_2_1",
    ),
    (
        FILE,
        '"timer H": (TERMINATED, (report_no_ack,)),',
        '"timer H": (TERMINATED, ()),',
        TESTS + "timer_g_doubles_up_to_t2_until_timer_h_17_2_1",
    ),
    (
        FILE,
        '"ACK": ("confirmed", (start_i,)),',
        '"ACK": ("completed", (start_i,)),',
        TESTS + "the_ack_ends_retransmissions_and_timer_i_absorbs_17_2_1",
    ),
    (
        FILE,
        '"2xx": ("accepted", (send, start_l)),',
        '"2xx": ("completed", (send, start_g_and_h)),',
        TESTS + "a_2xx_is_accepted_and_retransmitted_invites_absorbed_for_timer_l_rfc_6026_7_1",
    ),
    (
        "engine/sip/endpoint.py",
        'if transaction is not None and transaction.state != "accepted":',
        "if transaction is not None:",
        TESTS + "the_ack_of_a_2xx_is_not_the_transactions_rfc_6026_7_1",
    ),
]
