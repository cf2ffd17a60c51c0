"""Mistakes in calls: both sides of an INVITE, re-INVITE and UPDATE, session timers, and the bridge of two legs."""

SESSION, UAS, UAC = (
    "engine/sip/dialog/session.py",
    "engine/sip/dialog/invite_server.py",
    "engine/sip/dialog/invite_client.py",
)
LEG, CREDENTIALS, NEXT_HOP = (
    "engine/sip/dialog/usage.py",
    "engine/sip/auth/credentials.py",
    "engine/sip/dialog/next_hop.py",
)
DIALOG, TIMER, BRIDGE = "engine/sip/dialog/dialog.py", "engine/sip/dialog/session_timer.py", "engine/bridge.py"
T_SESSION, T_UAS, T_UAC = "tests/sip/test_session.py", "tests/sip/test_uas.py", "tests/sip/test_uac.py"
T_TIMER, T_BRIDGE = "tests/sip/test_session_timer.py", "tests/engine/test_bridge.py"
T_THROUGH = "tests/engine/test_random_calls_through.py::test_no_cycle_keeps_a_call_alive"

MUTANTS = [
    # Dialogs as they are used, both sides
    (DIALOG, "            -1,  #", "            0,  #", "tests/sip/test_dialog.py"),
    (NEXT_HOP, 'if rule == "never" or dialog.route_set:', 'if rule == "never":', "tests/sip/test_next_hop.py"),
    (
        DIALOG,
        "return flow if flow is not None and flow.connected else None",
        "return flow",
        "tests/sip/test_dialog.py",
    ),
    (SESSION, "        if not self.dialog.accepts(request):", "        if False:", T_SESSION),
    # The callee: 2xx, ACK, CANCEL
    (LEG, "self._interval = min(self._interval * 2, self.endpoint.policy.timers.t2)", "self._interval *= 2", T_UAS),
    (LEG, '        self._arm("no ack", now + timers.timeout)\n', "", T_UAS),
    (
        LEG,
        "        if self._unacked is not None:\n            self._bye_reason = reason\n            return\n",
        "",
        T_UAS,
    ),
    (LEG, "if transaction is None or request.cseq != transaction.cseq:", "if transaction is None:", T_UAS),
    (UAS, "        elif not transaction.answered:\n            self._stop_reliable()", "        elif False:", T_UAS),
    (NEXT_HOP, "return dialog.behind_nat  # RFC 3581", "return False  # RFC 3581", "tests/sip/test_next_hop.py"),
    # The callee: PRACK
    (UAS, 'if waiting is None or parts != [number, str(self.invite.cseq), "INVITE"]:', "if waiting is None:", T_UAS),
    (UAS, "        if self._reliable is not None and self._reliable[2]:", "        if False:", T_UAS),
    (UAS, '        self._arm("no prack", now + timers.timeout)\n', "", T_UAS),
    (UAS, "        elif self._reliable is None:\n", "        elif True:\n", T_UAS),
    # The caller: answers, forks, CANCEL
    (UAC, "            self._resend_ack(response)\n            return", "            return", T_UAC),
    (UAC, "        if self.dialer is None or self.ended or self._to_tag:", "        if self.ended:", T_UAC),
    (UAC, '        if request.transaction.state == "proceeding":', "        if True:", T_UAC),
    (UAC, "            if response.branch != request.transaction.key:", "            if False:", T_UAC),
    (UAC, "        if last is not None and rseq != last + 1:", "        if False:", T_UAC),
    (CREDENTIALS, "before is None or (challenge.stale and not before.challenge.stale)", "before is None", T_UAC),
    (UAC, "        if request is not None and request.transaction is None:", "        if False:", T_UAC),
    # re-INVITE, UPDATE and glare
    (
        SESSION,
        "        elif self._offers():\n            transaction.respond(491, now)",
        "        elif False:\n            pass",
        T_SESSION,
    ),
    (
        SESSION,
        "            self._exchange.request = None\n        random",
        "            pass\n        random",
        T_SESSION,
    ),
    (SESSION, "wait = 2.1 + 1.9 * random if self._owns_call_id() else 2.0 * random", "wait = 2.0 * random", T_SESSION),
    (SESSION, "or response.cseq == self.ack_due:", "or False:", T_SESSION),
    (SESSION, "        elif status in (408, 481):", "        elif status in (481,):", T_SESSION),
    (
        SESSION,
        "            if self._reinvite is not None or self._answers_update():",
        "            if False:",
        T_SESSION,
    ),
    # Session timers
    (TIMER, "        return self.interval / 2", "        return float(self.interval)", T_TIMER),
    (
        TIMER,
        "        return self.interval - min(32.0, self.interval / 3)",
        "        return float(self.interval)",
        T_TIMER,
    ),
    (
        TIMER,
        'return 0 < interval < min_se and "timer" in request.tokens("Supported")',
        "return 0 < interval < min_se",
        T_TIMER,
    ),
    (
        TIMER,
        'return SessionTimer(interval, refresher != "uas") if interval else None',
        'return SessionTimer(interval, refresher == "uas") if interval else None',
        T_TIMER,
    ),
    (SESSION, '        self._disarm("expired")\n', "", T_TIMER),
    # The bridge
    (BRIDGE, "        if not bridge._waiting_answer:\n", "        if True:\n", T_BRIDGE),
    (BRIDGE, "                leg.session.bye(now, reason)", "                leg.session.bye(now)", T_BRIDGE),
    (
        BRIDGE,
        'self._over = self._over or "callee"\n            leg.finish(by',
        'self._over = self._over or "callee"\n            self.caller.hangup()\n            leg.finish(by',
        T_BRIDGE,
    ),
    (BRIDGE, "                if not request.body and taken:", "                if False:", T_BRIDGE),
    (
        BRIDGE,
        "            relay_info(self._other(session), session, transaction, request, now)",
        "            session.reply(transaction, 200, now)",
        T_BRIDGE,
    ),
    ("engine/call.py", "return body, int(text) - 1,", "return body, int(text),", T_BRIDGE),
    ("engine/call.py", "        if body == session.last_body:", "        if False:", T_BRIDGE),
    # Circles that would keep a call alive after its end
    (UAC, "        self._invite = None  # it knows", "        pass  # it knows", T_THROUGH),
    (SESSION, "        user, self.user = self.user, None\n", "        user = self.user\n", T_THROUGH),
]
