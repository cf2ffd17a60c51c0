"""Mistakes in the client transaction of requests other than INVITE (RFC 3261 figure 6)."""

FILE = "engine/sip/transaction/client.py"
TESTS = "tests/sip/test_transactions_client.py::test_"

MUTANTS = [
    (
        FILE,
        '(§17.1.2.2)."""\n    transaction.interval = min(transaction.interval * 2, transaction.transactions.timers.t2)',
        '(§17.1.2.2)."""\n    transaction.interval *= 2',
        TESTS + "timer_e_doubles_up_to_t2_until_timer_f_17_1_2_2",
    ),
    (
        FILE,
        '"1xx": ("proceeding", (slow_e, pass_up)),',
        '"1xx": ("proceeding", (pass_up,)),',
        TESTS + "in_proceeding_timer_e_is_t2_and_timer_f_runs_on_17_1_2_2",
    ),
    (
        FILE,
        'NON_INVITE_EXPIRY = {"trying": "timer F", "proceeding": "timer F", ',
        'NON_INVITE_EXPIRY = {"trying": "timer F", ',
        TESTS + "in_proceeding_timer_e_is_t2_and_timer_f_runs_on_17_1_2_2",
    ),
    (
        FILE,
        "_absorb(transaction, now, transaction.transactions.timers.t4)",
        "_absorb(transaction, now, transaction.transactions.timers.t1)",
        TESTS + "a_final_response_is_passed_up_once_and_timer_k_absorbs_the_rest_17_1_2_2",
    ),
    (
        FILE,
        '"completed": {"timer K": (TERMINATED, ())},',
        '"completed": {"timer F": (TERMINATED, ())},',
        TESTS + "a_final_response_is_passed_up_once_and_timer_k_absorbs_the_rest_17_1_2_2",
    ),
]
