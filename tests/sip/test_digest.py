"""Digest authentication (RFC 7616, RFC 8760, RFC 3261 §22.4) with the published examples."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.sip.auth import digest_server
from engine.sip.auth.digest_client import Challenge, ClientSession, answer, choose, parse_challenges
from engine.sip.auth.digest_server import DigestServer, Verdict, secrets_of_passwords
from engine.sip.message.grammar import ParseError

BODY = (
    b"v=0\r\no=bob 2890844526 2890844526 IN IP4 media.biloxi.com\r\ns=-\r\nc=IN IP4 media.biloxi.com\r\nt=0 0\r\n"
    b"m=audio 49170 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\nm=video 51372 RTP/AVP 31\r\na=rtpmap:31 H261/90000\r\n"
    b"m=video 53000 RTP/AVP 32\r\na=rtpmap:32 MPV/90000\r\n"
)


def params_of(credentials: str) -> dict[str, str]:
    assert credentials.startswith("Digest ")
    return {name: value.strip('"') for name, value in re.findall(r'(\w+)=("[^"]*"|[^ ,]+)', credentials)}


def one(value: str) -> Challenge:
    (challenge,) = parse_challenges([value])
    return challenge


class TestExamples:
    """What the RFCs print, byte for byte."""

    @pytest.mark.parametrize(
        ("algorithm", "expected"),
        [
            ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
            ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ],
    )
    def test_7616_3_9_1(self, algorithm: str, expected: str) -> None:
        challenge = one(
            'Digest realm="http-auth@example.org", qop="auth, auth-int", '
            f"algorithm={algorithm}, "
            'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", '
            'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
        )
        credentials = answer(
            challenge,
            username="Mufasa",
            password="Circle of Life",
            method="GET",
            uri="/dir/index.html",
            cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
        )
        assert params_of(credentials) == {
            "username": "Mufasa",
            "realm": "http-auth@example.org",
            "uri": "/dir/index.html",
            "algorithm": algorithm,
            "nonce": "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
            "nc": "00000001",
            "cnonce": "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
            "qop": "auth",
            "response": expected,
            "opaque": "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS",
        }
        assert "qop=auth, nc=00000001" in credentials

    def test_7616_3_9_2_as_erratum_4897_corrects_it(self) -> None:
        challenge = one(
            'Digest realm="api@example.org", qop="auth", algorithm=SHA-512-256, '
            'nonce="5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK", '
            'opaque="HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS", charset=UTF-8, userhash=true'
        )
        credentials = params_of(
            answer(
                challenge,
                username="J\u00e4s\u00f8n Doe",
                password="Secret, or not?",
                method="GET",
                uri="/doe.json",
                cnonce="NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v",
            )
        )
        assert credentials["username"] == "793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b"
        assert credentials["userhash"] == "true"
        assert credentials["response"] == "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5"

    def test_2617_3_5(self) -> None:
        challenge = one(
            'Digest realm="testrealm@host.com",qop="auth,auth-int",nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093"'
        )
        credentials = answer(
            challenge,
            username="Mufasa",
            password="Circle Of Life",
            method="GET",
            uri="/dir/index.html",
            cnonce="0a4f113b",
        )
        assert params_of(credentials)["response"] == "6629fae49393a05397450978507c4ef1"
        assert "algorithm" not in credentials

    def test_2069_2_4_as_its_erratum_corrects_it(self) -> None:
        challenge = one('Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093"')
        credentials = params_of(
            answer(
                challenge, username="Mufasa", password="CircleOfLife", method="GET", uri="/dir/index.html", cnonce="x"
            )
        )
        assert credentials["response"] == "1949323746fe6a43ef61f9606e7febea"
        assert credentials.keys() == {"username", "realm", "nonce", "uri", "response"}

    @pytest.mark.parametrize(
        ("offered", "expected"),
        [
            ("", "bf57e4e0d0bffc0fbaedce64d59add5e"),
            (', qop="auth", algorithm=MD5', "89eb0059246c02b2f6ee02c7961d5ea3"),
            (', qop="auth", algorithm=MD5-sess', "e4e4ea61d186d07a92c9e1f6919902e9"),
            (', qop="auth-int", algorithm=MD5', "bdbeebb2da6adb6bca02599c2239e192"),
            (', qop="auth-int", algorithm=MD5-sess', "91984da2d8663716e91554859c22ca70"),
            (', qop="auth-int,auth"', "89eb0059246c02b2f6ee02c7961d5ea3"),
        ],
    )
    def test_sip_examples_of_draft_smith_sipping_auth_examples(self, offered: str, expected: str) -> None:
        challenge = one(f'Digest realm="biloxi.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093"{offered}')
        credentials = answer(
            challenge,
            username="bob",
            password="zanzibar",
            method="INVITE",
            uri="sip:bob@biloxi.com",
            cnonce="0a4f113b",
            body=BODY,
        )
        assert params_of(credentials)["response"] == expected


class TestChallenges:
    def test_several_in_one_field_and_in_several_7235_4_1(self) -> None:
        challenges = parse_challenges(
            [
                'Digest realm="a, b" , nonce = "1", algorithm=MD5,Digest realm=b,nonce="2",algorithm="SHA-256"',
                'Newauth realm="x", type=1, title="t"',
                "NTLM",
                "Negotiate abc==",
                'DIGEST Realm="c", NONCE="3", stale=TRUE, opaque=""',
            ]
        )
        assert [(challenge.realm, challenge.nonce, challenge.algorithm.name) for challenge in challenges] == [
            ("a, b", "1", "MD5"),
            ("b", "2", "SHA-256"),
            ("c", "3", "MD5"),
        ]
        assert [challenge.stale for challenge in challenges] == [False, False, True]
        assert [challenge.opaque for challenge in challenges] == [None, None, ""]
        assert [challenge.algorithm_given for challenge in challenges] == [True, True, False]

    @pytest.mark.parametrize(
        "value",
        [
            'Digest realm="r"',
            'Digest nonce="n"',
            'Digest realm="r", nonce="n", algorithm=SHA-1',
            'Digest realm="r", nonce="n", qop="auth-conf"',
            'Basic realm="r"',
            "",
        ],
    )
    def test_what_is_not_understood_is_left_out_8760_2_4(self, value: str) -> None:
        assert parse_challenges([value]) == []

    def test_unknown_qops_are_passed_over_7616_3_3(self) -> None:
        assert one('Digest realm="r", nonce="n", qop="token, AUTH"').qop == ("auth",)

    @pytest.mark.parametrize(
        "value",
        [
            'Digest realm="r',
            'realm="r"',
            'Digest realm="r", realm="s"',
            'Digest realm="r",,nonce="n"',
            "Digest a=b c",
            "Digest <",
        ],
    )
    def test_what_is_no_challenge(self, value: str) -> None:
        with pytest.raises(ParseError):
            parse_challenges([value])

    def test_quotes_in_a_realm_go_back_as_they_came(self) -> None:
        challenge = one(r'Digest realm="a \"b\"", nonce="n\\"')
        credentials = answer(challenge, username='x"y', password="p", method="A", uri="sip:h", cnonce="c")
        assert r'realm="a \"b\""' in credentials
        assert r'nonce="n\\"' in credentials
        assert r'username="x\"y"' in credentials


class TestChoice:
    CHALLENGES = parse_challenges(
        [
            'Digest realm="a", nonce="1", algorithm=MD5',
            'Digest realm="b", nonce="2", algorithm=SHA-256',
            'Digest realm="b", nonce="3", algorithm=SHA-256-sess',
            'Digest realm="c", nonce="4", algorithm=SHA-512-256',
        ]
    )

    def test_the_strongest_goes_first_and_the_topmost_of_equals_8760_2_4(self) -> None:
        assert choose(self.CHALLENGES) is self.CHALLENGES[3]
        assert choose(self.CHALLENGES[:3]) is self.CHALLENGES[1]
        assert choose(self.CHALLENGES[:1]) is self.CHALLENGES[0]

    def test_of_one_realm_only(self) -> None:
        assert choose(self.CHALLENGES, "a") is self.CHALLENGES[0]
        assert choose(self.CHALLENGES, "x") is None
        assert choose([]) is None


def test_the_use_of_a_nonce_is_counted_7616_3_4() -> None:
    session = ClientSession(one('Digest realm="r", nonce="n", qop="auth"'), "u", "secret")
    counts = [params_of(session.authorization("INVITE", "sip:h", "c"))["nc"] for _ in range(3)]
    assert counts == ["00000001", "00000002", "00000003"]
    assert "secret" not in repr(session)


def server(**settings: object) -> DigestServer:
    return DigestServer("example.org", b"k" * 32, **settings)  # type: ignore[arg-type]


def passwords(username: str) -> str | None:
    return {"alice": "wonder", "J\u00e4s\u00f8n": "doe"}.get(username)


def verify(
    server: DigestServer,
    *values: str,
    now: float = 100.0,
    uri: str = "sip:1@example.org",
    method: str = "INVITE",
    body: bytes = b"",
    source: str = "",
) -> Verdict:
    return server.verify(
        values,
        method=method,
        uri=uri,
        body=body,
        secret_of=secrets_of_passwords("example.org", passwords),
        now=now,
        source=source,
    )


def client(challenges: list[str], username: str = "alice", password: str = "wonder") -> ClientSession:
    challenge = choose(parse_challenges(challenges))
    assert challenge is not None
    return ClientSession(challenge, username, password)


def credentials(
    session: ClientSession, uri: str = "sip:1@example.org", body: bytes = b"", method: str = "INVITE"
) -> str:
    return session.authorization(method, uri, "c0ffee", body)


class TestServer:
    def test_one_challenge_for_each_algorithm_preferred_first_8760_2_3(self) -> None:
        first, second = server().challenges(100.0)
        assert re.fullmatch(r'Digest realm="example.org", nonce="[0-9a-f.]+", algorithm=SHA-256, qop="auth"', first)
        assert second == first.replace("SHA-256", "MD5")
        assert server().challenges(1.0, stale=True)[0].endswith(", stale=true")

    def test_no_nonce_is_issued_twice(self) -> None:
        issuer = server()
        nonces = {params_of(issuer.challenges(now)[0])["nonce"] for now in (1.0, 1.0, 2.0)}
        assert len(nonces) == 3

    @pytest.mark.parametrize(
        "algorithm", ["MD5", "MD5-sess", "SHA-256", "SHA-256-sess", "SHA-512-256", "SHA-512-256-sess"]
    )
    @pytest.mark.parametrize("qop", [("auth",), ("auth-int",), ()])
    def test_good_credentials_of_every_kind(self, algorithm: str, qop: tuple[str, ...]) -> None:
        issuer = server(algorithms=[algorithm], qop=qop)
        session = client(issuer.challenges(99.0))
        assert verify(issuer, credentials(session, body=b"x"), body=b"x") == Verdict(True, "alice", "")

    def test_the_body_is_covered_by_auth_int_only_7616_3_4_3(self) -> None:
        for qop, accepted in (("auth", True), ("auth-int", False)):
            issuer = server(qop=[qop])
            made = credentials(client(issuer.challenges(99.0)), body=b"x")
            assert verify(issuer, made, body=b"y").accepted is accepted

    def test_a_wrong_password_and_an_unknown_user_are_refused_without_stale(self) -> None:
        issuer = server()
        challenges = issuer.challenges(99.0)
        wrong = verify(issuer, credentials(client(challenges, password="x")))
        unknown = verify(issuer, credentials(client(challenges, "bob", "")))
        assert wrong[:4] == (False, "alice", "password", False)
        assert unknown[:4] == (False, "bob", "user", False)
        assert wrong.guess != unknown.guess
        assert wrong.guess
        assert unknown.guess

    def test_another_method_is_refused(self) -> None:
        issuer = server()
        assert verify(issuer, credentials(client(issuer.challenges(99.0))), method="BYE").reason == "password"

    def test_without_qop_a_nonce_is_good_once(self) -> None:
        issuer = server(qop=())
        made = credentials(client(issuer.challenges(99.0)))
        assert verify(issuer, made).accepted
        assert verify(issuer, made) == Verdict(False, "alice", "replayed", stale=True)

    def test_a_count_is_good_once_7616_3_4(self) -> None:
        issuer = server()
        session = client(issuer.challenges(99.0))
        first, second = credentials(session), credentials(session)
        assert verify(issuer, first).accepted
        assert verify(issuer, first) == Verdict(False, "alice", "replayed", stale=True)
        assert verify(issuer, second).accepted

    def test_requests_may_overtake_each_other_within_a_window(self) -> None:
        issuer = server()
        session = client(issuer.challenges(99.0))
        made = [credentials(session) for _ in range(66)]
        assert verify(issuer, made[1]).accepted
        assert verify(issuer, made[0]).accepted
        assert verify(issuer, made[0]).reason == "replayed"
        assert verify(issuer, made[65]).accepted
        assert verify(issuer, made[2]).accepted
        assert verify(issuer, made[2]).reason == "replayed"
        assert verify(issuer, made[1]).reason == "replayed"

    def test_an_old_nonce_is_answered_as_stale_7616_3_3(self) -> None:
        issuer = server(nonce_lifetime=30.0)
        session = client(issuer.challenges(100.0))
        assert verify(issuer, credentials(session), now=130.0).accepted
        assert verify(issuer, credentials(session), now=130.002) == Verdict(False, "alice", "stale", stale=True)
        assert verify(issuer, credentials(session), now=39.9).reason == "stale"

    def test_the_clock_of_another_node_may_be_a_minute_ahead(self) -> None:
        assert verify(server(), credentials(client(server().challenges(100.0))), now=40.0).accepted

    def test_a_nonce_of_before_the_start_is_good_for_a_register_alone(self) -> None:
        """What it was used for before is not known; a REGISTER that is repeated does nothing anew."""
        challenges = server().challenges(100.0)
        restarted = server(since=101.0)
        for method, reason in (("INVITE", "stale"), ("REGISTER", "")):
            made = credentials(client(challenges), method=method)
            assert verify(restarted, made, now=102.0, method=method).reason == reason

    def test_a_nonce_that_is_not_good_tells_nothing_of_the_password(self) -> None:
        """RFC 7616 §3.3 would have `stale` say that it was right; then whoever answers old nonces could guess on."""
        issuer = server(nonce_lifetime=30.0)
        for challenges in (
            issuer.challenges(0.0),
            server().challenges(99.0, source="192.0.2.2"),
            server().challenges(200.0),
        ):
            for username, password in (("alice", "wonder"), ("alice", "x"), ("bob", "")):
                made = credentials(client(challenges, username, password))
                assert verify(issuer, made) == Verdict(False, username, "stale", stale=True)

    def test_a_replay_tells_nothing_and_is_no_guess(self) -> None:
        issuer = server()
        challenges = issuer.challenges(99.0)
        assert verify(issuer, credentials(client(challenges))).accepted
        for password in ("wonder", "x"):
            made = credentials(client(challenges, password=password))
            assert verify(issuer, made) == Verdict(False, "alice", "replayed", stale=True)

    def test_a_nonce_is_good_from_where_it_was_issued_to_7616_5_4(self) -> None:
        issuer = server()
        for here, there in (("192.0.2.1", "192.0.2.2"), ("192.0.2.1", ""), ("2001:db8:0:1::/64", "2001:db8:0:2::/64")):
            for one, other in ((here, there), (there, here)):
                session = client(issuer.challenges(99.0, source=one))
                assert verify(issuer, credentials(session), source=other).reason == "stale"
                assert verify(issuer, credentials(session), source=one).accepted

    def test_each_wrong_answer_is_a_guess_of_its_own_and_sent_again_the_same(self) -> None:
        issuer = server()
        session = client(issuer.challenges(99.0), password="x")
        first, second = credentials(session), credentials(session)
        guesses = [verify(issuer, made).guess for made in (first, first, second)]
        assert guesses[0] == guesses[1] != guesses[2]
        other = verify(issuer, credentials(client(issuer.challenges(99.0), password="x")))
        assert other.guess not in guesses

    @pytest.mark.parametrize("nonce", ["abc", "1.1." + "0" * 32, "f" * 17 + ".1." + "0" * 32])
    def test_a_nonce_of_somebody_else_is_stale(self, nonce: str) -> None:
        session = client([f'Digest realm="example.org", nonce="{nonce}", algorithm=MD5, qop="auth"'])
        assert verify(server(), credentials(session)) == Verdict(False, "alice", "stale", stale=True)

    def test_a_nonce_of_another_secret_is_stale(self) -> None:
        session = client(DigestServer("example.org", b"other").challenges(99.0))
        assert verify(server(), credentials(session)).reason == "stale"

    def test_memory_is_bounded_and_what_is_forgotten_can_not_be_replayed(self) -> None:
        issuer = server(max_nonces=10)
        made = [credentials(client(issuer.challenges(50.0 + n))) for n in range(40)]
        for value in made:
            assert verify(issuer, value).accepted
            assert issuer.remembered <= 10
        assert {verify(issuer, value).accepted for value in made} == {False}
        assert verify(issuer, made[0]).reason == "stale"

    def test_old_nonces_are_forgotten_first_and_cost_nobody_anything(self) -> None:
        issuer = server(max_nonces=2, nonce_lifetime=10.0)
        for now in (10.0, 11.0):
            assert verify(issuer, credentials(client(issuer.challenges(now))), now=now).accepted
        waiting = client(issuer.challenges(29.0))
        assert verify(issuer, credentials(client(issuer.challenges(30.0))), now=30.0).accepted
        assert issuer.remembered == 1
        assert verify(issuer, credentials(waiting), now=30.0).accepted

    def test_nothing_is_remembered_of_those_who_guess(self) -> None:
        issuer = server()
        for _ in range(5):
            verify(issuer, credentials(client(issuer.challenges(99.0), password="x")))
        assert issuer.remembered == 0

    def test_unknown_schemes_count_as_none_4475_3_3_7(self) -> None:
        assert verify(server(), "NoOneKnowsThisScheme opaque-data=here") == Verdict(False, "", "missing")
        assert verify(server()) == Verdict(False, "", "missing")
        assert verify(server(), "").reason == "missing"

    def test_another_realms_credentials_do_not_disturb_22_3(self) -> None:
        issuer = server()
        other = credentials(client(DigestServer("other", b"x").challenges(99.0)))
        assert verify(issuer, other) == Verdict(False, "alice", "realm")
        assert verify(issuer, "Basic abc==", other, credentials(client(issuer.challenges(99.0)))).accepted

    @pytest.mark.parametrize(
        ("written", "accepted"),
        [
            ("sip:1@example.org", True),
            ("sip:%31@EXAMPLE.org:5060;transport=udp", True),
            ("sip:2@example.org", False),
            ("sip:1@example.net", False),
            ("tel:1", False),
            ("no uri", False),
        ],
    )
    def test_credentials_are_for_one_target_7616_3_4_6(self, written: str, accepted: bool) -> None:
        issuer = server()
        made = credentials(client(issuer.challenges(99.0)), uri=written)
        verdict = verify(issuer, made)
        assert (verdict.accepted, verdict.reason) == (accepted, "" if accepted else "uri")

    def test_a_wrong_password_is_a_guess_whatever_target_it_was_made_for(self) -> None:
        issuer = server()
        made = credentials(client(issuer.challenges(99.0), password="x"), uri="sip:example.org")
        assert verify(issuer, made).reason == "password"
        assert verify(issuer, made).guess

    def test_the_target_may_be_left_unchecked(self) -> None:
        issuer = server()
        assert verify(issuer, credentials(client(issuer.challenges(99.0)), uri="sip:2@example.net"), uri="").accepted

    def test_tel_targets(self) -> None:
        issuer = server()
        made = credentials(client(issuer.challenges(99.0)), uri="tel:+1-555")
        assert verify(issuer, made, uri="tel:+1555").accepted

    def test_an_algorithm_that_was_not_offered_is_refused(self) -> None:
        issuer = server(algorithms=["SHA-256"])
        nonce = params_of(issuer.challenges(99.0)[0])["nonce"]
        for named in ("", ", algorithm=MD5", ", algorithm=SHA-512-256"):
            session = client([f'Digest realm="example.org", nonce="{nonce}"{named}, qop=auth'])
            assert verify(issuer, credentials(session)).reason == "algorithm"
        broken = credentials(client(issuer.challenges(99.0))).replace("SHA-256", "ROT13")
        assert verify(issuer, broken).reason == "algorithm"

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ('username="alice"', 'username=""'),
            ('uri="sip:1@example.org"', 'uri=""'),
            ("nc=00000001", "nc=1"),
            ("nc=00000001", "nc=0000000g"),
            (', cnonce="c0ffee"', ""),
            ("qop=auth", "qop=auth-int"),
            ("qop=auth", "qop=other"),
            (", ", ",,"),
            ('realm="example.org"', 'realm="example.org'),
        ],
    )
    def test_malformed_credentials(self, old: str, new: str) -> None:
        issuer = server()
        made = credentials(client(issuer.challenges(99.0)))
        assert old in made
        assert verify(issuer, made.replace(old, new, 1)).reason == "malformed"

    @pytest.mark.parametrize("filler", ["a=b,", ",", 'a="\\"",', "x"])
    def test_credentials_without_end_are_not_read(self, filler: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Nobody has to be anybody to send them, and each realm of ours would read them again."""
        issuer = server()
        good = credentials(client(issuer.challenges(100.0)))
        room = digest_server.LONGEST - len(good)
        others = ["Basic " + "x" * 94] * (room // 100)
        read: list[str] = []
        genuine = digest_server.parse_schemes

        def spy(value: str) -> list[tuple[str, dict[str, str]]]:
            read.append(value)
            return genuine(value)

        monkeypatch.setattr(digest_server, "parse_schemes", spy)
        assert verify(issuer, "Digest " + filler * 15_000).reason == "malformed"
        assert verify(issuer, *others, good, "Basic " + "x" * 100).reason == "malformed"
        assert not read
        assert verify(issuer, *others, good).accepted

    def test_hex_in_upper_case_and_quoted_numbers_are_read(self) -> None:
        issuer = server(algorithms=["MD5"])
        made = credentials(client(issuer.challenges(99.0)))
        response = params_of(made)["response"]
        shouted = made.replace(response, response.upper()).replace("qop=auth", 'qop="auth"').replace("=MD5", '="md5"')
        assert verify(issuer, shouted).accepted

    def test_names_beyond_ascii_plain_and_encoded_7616_3_4(self) -> None:
        issuer = server()
        session = client(issuer.challenges(99.0), "J\u00e4s\u00f8n", "doe")
        assert verify(issuer, credentials(session)).username == "J\u00e4s\u00f8n"
        encoded = credentials(session).replace('username="J\u00e4s\u00f8n"', "username*=UTF-8''J%C3%A4s%C3%B8n")
        assert verify(issuer, encoded) == Verdict(True, "J\u00e4s\u00f8n", "")

    @pytest.mark.parametrize("realm", ['a"b', "a\\b", "a\r\nb"])
    def test_realms_that_need_escapes_are_our_own_fault(self, realm: str) -> None:
        with pytest.raises(ValueError, match="realm"):
            DigestServer(realm, b"k")

    @pytest.mark.parametrize("algorithms", [[], ["SHA-1"]])
    def test_unknown_algorithms_are_our_own_fault(self, algorithms: list[str]) -> None:
        with pytest.raises(ValueError, match="algorithms"):
            DigestServer("r", b"k", algorithms=algorithms)


PIECES = st.lists(
    st.sampled_from(
        [
            *(
                "Digest ",
                "realm=",
                "nonce=",
                '"example.org"',
                '"',
                ",",
                " ",
                "=",
                "\\",
                "<",
                "\udcff",
                "é",
                "\0",
                '"a"',
            ),
            *("username=", "uri=", "response=", "qop=auth", "nc=00000001", "cnonce=x", "algorithm=MD5", "1.1."),
            *("username*=UTF-8''%", "sip:1@example.org"),
        ]
    ),
    max_size=25,
).map("".join)


@given(PIECES | st.text(max_size=40))
def test_any_text_raises_nothing_but_parse_errors_and_never_authenticates(text: str) -> None:
    try:
        for challenge in parse_challenges([text]):
            assert answer(challenge, username="u", password="p", method="A", uri="sip:h", cnonce="c")
    except ParseError as error:
        assert error.status == 400
    verdict = verify(server(), text)
    assert not verdict.accepted
    assert verdict.reason


@given(
    st.text(min_size=1, max_size=10).filter(lambda text: not re.search(r"[\r\n]", text)),
    st.text(max_size=10),
    st.binary(max_size=10),
    st.sampled_from(["MD5", "SHA-256-sess", "SHA-512-256"]),
    st.sampled_from([("auth",), ("auth-int",), ()]),
)
def test_what_is_answered_is_accepted(
    username: str, password: str, body: bytes, algorithm: str, qop: tuple[str, ...]
) -> None:
    issuer = server(algorithms=[algorithm], qop=qop)
    made = credentials(client(issuer.challenges(1.0), username, password), body=body)
    verdict = issuer.verify(
        [made],
        method="INVITE",
        uri="sip:1@example.org",
        body=body,
        secret_of=secrets_of_passwords("example.org", {username: password}.get),
        now=2.0,
    )
    assert verdict == Verdict(True, username, "")


def test_the_response_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[int] = []
    genuine = digest_server.hmac.compare_digest

    def spy(one: bytes | str, other: bytes | str) -> bool:
        compared.append(len(one))
        return genuine(one, other)  # type: ignore[type-var]

    issuer = server()
    made = credentials(client(issuer.challenges(99.0), "bob"))
    monkeypatch.setattr(digest_server.hmac, "compare_digest", spy)
    assert verify(issuer, made).reason == "user"
    assert compared == [40, 64]  # the nonce, the response
