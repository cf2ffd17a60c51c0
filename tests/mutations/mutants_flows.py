"""Mistakes in the interpreter of flows."""

FILE = "flows/language/interpreter.py"
TESTS = "tests/flows/test_actions.py::test_"

MUTANTS = [
    (
        FILE,
        "        if budget.left <= 0:\n            return EXHAUSTED\n",
        "        if budget.left <= 0:\n            return COMPLETED\n",
        TESTS + "at_most_1000_actions_then_the_call_has_failed",
    ),
    (
        FILE,
        "            outer.append((program, index))\n",
        "            outer.append((program, len(steps)))\n",
        TESTS + "fetched_actions_run_in_place",
    ),
    (
        FILE,
        """error=f"{type(error).__name__}: {error}"[:500])
            continue
""",
        """error=f"{type(error).__name__}: {error}"[:500])
            return COMPLETED
""",
        TESTS + "a_failing_action_is_logged_with_its_id_and_the_flow_goes_on",
    ),
    (
        FILE,
        "                    await run.call.wait_ended()\n",
        "                    run.call.hangup()\n",
        TESTS + "stop_leaves_the_call_up_until_it_ends",
    ),
    (FILE, 'if run.depth == 0 and reason != "normal":', "if False:", TESTS + "reasons_in_the_record"),
]
