"""Mistakes in the INVITE client transaction (RFC 3261 figure 5, RFC 6026 §8.4)."""

FILE = "engine/sip/transaction/client.py"
TESTS = "tests/sip/test_transactions_client.py::test_"

MUTANTS = [
    (
        FILE,
        '(§17.1.1.2)."""\n    transaction.interval *= 2\n',
        '(§17.1.1.2)."""\n    transaction.interval = min(transaction.interval * 2, 4.0)\n',
        TESTS + "timer_a_doubles_until_timer_b_17_1_1_2",
    ),
    (
        FILE,
        '"1xx": ("proceeding", (stop_timers, pass_up)),',
        '"1xx": ("calling", (pass_up,)),',
        TESTS + "a_provisional_response_stops_timers_a_and_b_17_1_1_2",
    ),
    (
        FILE,
        '"300-699": ("completed", (resend_ack,)),',
        '"300-699": ("completed", ()),',
        TESTS + "a_final_failure_is_acknowledged_and_its_retransmissions_too_17_1_1_2",
    ),
    (
        FILE,
        '"2xx": ("accepted", (pass_up,)),',
        '"2xx": ("accepted", ()),',
        TESTS + "a_2xx_is_passed_up_each_time_for_timer_m_rfc_6026_8_4",
    ),
    (
        FILE,
        "_absorb(transaction, now, transaction.transactions.timers.d)",
        "_wait(transaction, NEVER, now + transaction.transactions.timers.d)",
        TESTS + "no_timer_d_on_a_reliable_transport_17_1_1_2",
    ),
]
