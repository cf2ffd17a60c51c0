"""SRTP with keys from the description: RFC 4568's lines, and packets there and back."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.media.rtp import rtcp
from engine.media.rtp.packet import build
from engine.media.rtp.srtp import AES_32, AES_80, Crypto, Keys, Srtp, SrtpError, new_key

KEY = bytes(range(30))
TEXT = base64.b64encode(KEY).decode()


def pair(suite: str = AES_80, mki: bytes = b"") -> tuple[Srtp, Srtp]:
    ours, theirs = Crypto(1, suite, new_key(), mki), Crypto(1, suite, new_key())
    return Srtp(Keys(ours, theirs)), Srtp(Keys(theirs, ours))


def packet(sequence: int) -> bytes:
    return build(0, False, sequence & 0xFFFF, 160 * sequence & 0xFFFFFFFF, 7, b"\xd5" * 160)


class TestLine:
    @pytest.mark.parametrize(
        ("value", "crypto"),
        [
            (f"1 AES_CM_128_HMAC_SHA1_80 inline:{TEXT}", Crypto(1, AES_80, KEY)),
            (f" 12  aes_cm_128_hmac_sha1_32   inline:{TEXT} ", Crypto(12, AES_32, KEY)),
            (f"1 AES_CM_128_HMAC_SHA1_80 inline:{TEXT}|2^20", Crypto(1, AES_80, KEY)),
            (f"1 AES_CM_128_HMAC_SHA1_80 inline:{TEXT}|1048576|1:4", Crypto(1, AES_80, KEY, bytes((0, 0, 0, 1)))),
            (f"1 AES_CM_128_HMAC_SHA1_80 inline:{TEXT}|1:1", Crypto(1, AES_80, KEY, b"\1")),
            (f"1 AES_CM_128_HMAC_SHA1_80 inline:{TEXT}|2^31 WSH=64 -NEW=x", Crypto(1, AES_80, KEY)),
        ],
    )
    def test_one_that_can_be_used_4568_9_1(self, value: str, crypto: Crypto) -> None:
        assert Crypto.parse(value) == crypto

    @pytest.mark.parametrize(
        "value",
        [
            "",
            "1",
            "1 AES_CM_128_HMAC_SHA1_80",
            "1 AES_CM_128_HMAC_SHA1_80 inline:",
            "1 AES_CM_128_HMAC_SHA1_80 inline:AAAA",
            f"1 AES_CM_128_HMAC_SHA1_80 inline:{TEXT}AAAA",
            f"1 AES_CM_128_HMAC_SHA1_80 inline:{TEXT[:-1]}",
            f"1 AES_CM_128_HMAC_SHA1_80 inline:!{TEXT[1:]}",
            f"x AES_CM_128_HMAC_SHA1_80 inline:{TEXT}",
            f"1 F8_128_HMAC_SHA1_80 inline:{TEXT}",
            f"1 AES_CM_128_HMAC_SHA1_80 inline:{TEXT} UNENCRYPTED_SRTP",
            f"1 AES_CM_128_HMAC_SHA1_80 inline:{TEXT} KDR=1",
            f"1 AES_CM_128_HMAC_SHA1_80 inline:{TEXT}|1:4;inline:{TEXT}|2:4",
            f"1 AES_CM_128_HMAC_SHA1_80 inline:{TEXT}|256:1",
            f"1 AES_CM_128_HMAC_SHA1_80 inline:{TEXT}|1:999",
            f"1 AES_CM_128_HMAC_SHA1_80 inline:{TEXT}" + " WSH=64" * 100,
        ],
    )
    def test_one_that_cannot_be_used_4568_7_1_2(self, value: str) -> None:
        assert Crypto.parse(value) is None

    def test_ours_reads_back_and_keeps_its_key_out_of_logs(self) -> None:
        ours = Crypto(2, AES_32, new_key())
        assert Crypto.parse(str(ours)) == ours
        assert base64.b64encode(ours.key).decode() not in repr(Keys(ours, ours))
        assert new_key() != new_key()

    @given(st.text(max_size=60) | st.text(f"1 AES_CM128HSinle:{TEXT[:6]}|=2^-;", max_size=120))
    def test_any_text_is_a_line_or_none(self, text: str) -> None:
        for value in (text, f"1 AES_CM_128_HMAC_SHA1_80 inline:{text}", f"1 {AES_80} inline:{TEXT}{text}"):
            crypto = Crypto.parse(value)
            assert crypto is None or len(crypto.key) == 30


class TestPackets:
    @pytest.mark.parametrize(("suite", "tag"), [(AES_80, 10), (AES_32, 4)])
    def test_there_and_back_4568_6_2(self, suite: str, tag: int) -> None:
        here, there = pair(suite)
        for sequence in range(65530, 65550):  # over the wrap
            protected = here.protect(packet(sequence))
            assert len(protected) == len(packet(sequence)) + tag
            assert packet(sequence)[12:] not in protected
            assert there.unprotect(protected) == packet(sequence)
        report = rtcp.compound(rtcp.ReceiverReport(7))
        assert len(here.protect_rtcp(report)) == len(report) + 14
        assert there.unprotect_rtcp(here.protect_rtcp(report)) == report
        assert here.unprotect(there.protect(packet(1))) == packet(1)

    @pytest.mark.parametrize("suite", [AES_80, AES_32])
    def test_a_peer_that_names_its_key_in_every_packet_3711_3_1(self, suite: str) -> None:
        mki = bytes((0, 0, 0, 1))
        here, there = pair(suite, mki)
        tag = 10 if suite == AES_80 else 4
        protected = here.protect(packet(1))
        assert there.unprotect(protected[:-tag] + mki + protected[-tag:]) == packet(1)
        report = rtcp.compound(rtcp.ReceiverReport(7))
        protected = here.protect_rtcp(report)
        assert there.unprotect_rtcp(protected[:-10] + mki + protected[-10:]) == report
        protected = here.protect(packet(3))
        with pytest.raises(SrtpError, match="key"):
            there.unprotect(protected[:-tag] + bytes(4) + protected[-tag:])
        with pytest.raises(SrtpError):
            there.unprotect(here.protect(packet(2)))

    def test_what_is_forged_repeated_or_broken_is_refused(self) -> None:
        here, there = pair()
        good = here.protect(packet(1))
        forged = bytearray(good)
        forged[20] ^= 1
        for wrong in (bytes(forged), good[:-1], packet(1), b"", b"\x80", bytes(11), bytes(3000)):
            with pytest.raises(SrtpError):
                there.unprotect(wrong)
            with pytest.raises(SrtpError):
                there.unprotect_rtcp(wrong)
        assert there.unprotect(good) == packet(1)
        with pytest.raises(SrtpError, match="replay"):
            there.unprotect(good)

    def test_packets_out_of_order(self) -> None:
        here, there = pair()
        protected = [here.protect(packet(sequence)) for sequence in range(300)]
        assert there.unprotect(protected[299]) == packet(299)
        assert there.unprotect(protected[0]) == packet(0)

    def test_keys_that_cannot_be_used(self) -> None:
        good = Crypto(1, AES_80, new_key())
        for bad in (Crypto(1, AES_80, bytes(29)), Crypto(1, "F8_128_HMAC_SHA1_80", new_key())):
            with pytest.raises(SrtpError):
                Srtp(Keys(good, bad))
            with pytest.raises(SrtpError):
                Srtp(Keys(bad, good))

    def test_a_direction_whose_key_stays_goes_on_3711_3_3_1(self) -> None:
        """The count of wraps is in no packet: it would be lost with the session."""
        here, there = pair()
        for sequence in range(65500, 65600):
            there.unprotect(here.protect(packet(sequence)))
        fresh = Crypto(2, AES_32, new_key())
        here.rekey(Keys(here.keys.ours._replace(tag=2), fresh))
        there.rekey(Keys(fresh, there.keys.theirs._replace(tag=2)))
        assert there.unprotect(here.protect(packet(65600))) == packet(65600)
        assert here.unprotect(there.protect(packet(1))) == packet(1)

    @given(st.binary(max_size=200), st.integers(0x80, 0xBF))
    def test_any_datagram_is_an_srtp_error(self, data: bytes, first: int) -> None:
        for wrong in (data, bytes((first,)) + data):
            for read in (SPARE.unprotect, SPARE.unprotect_rtcp):
                with pytest.raises(SrtpError):
                    read(wrong)


SPARE = pair(mki=b"\1")[1]
