"""pjsua2 as a registered phone: `python -m tests.peers.pjsua2_account HOST DIRECTORY`, with orders and events as
scripted.py has them.

It is a process of its own because PJSIP is C: what it asserts ends the process. It says a tone and records what it
hears; its messages are in `DIRECTORY/sip.log`.
"""

import json
import os
import select
import sys
from typing import Any

import pjsua2 as pj

TRANSPORTS = {"udp": pj.PJSIP_TRANSPORT_UDP, "tcp": pj.PJSIP_TRANSPORT_TCP, "tls": pj.PJSIP_TRANSPORT_TLS}


def tell(event: str, **more: Any) -> None:
    """One line for what happened."""
    print(json.dumps({"event": event} | more), flush=True)


class Call(pj.Call):  # type: ignore[misc]
    """The call: it says what becomes of it."""

    phone: "Phone"

    def onCallState(self, prm: Any) -> None:  # noqa: N802 - a name of PJSIP's
        info = self.getInfo()
        if info.state == pj.PJSIP_INV_STATE_EARLY and info.role == pj.PJSIP_ROLE_UAC:
            tell("ringing", status=info.lastStatusCode)
        elif info.state == pj.PJSIP_INV_STATE_CONFIRMED:
            tell("answered")
        elif info.state == pj.PJSIP_INV_STATE_DISCONNECTED:
            tell("ended", status=info.lastStatusCode, reason=info.lastReason)

    def onCallMediaState(self, prm: Any) -> None:  # noqa: N802
        info = self.getInfo()
        for index, media in enumerate(info.media):
            if media.status == pj.PJSUA_CALL_MEDIA_LOCAL_HOLD:
                tell("holds")
            if media.type == pj.PJMEDIA_TYPE_AUDIO and media.status == pj.PJSUA_CALL_MEDIA_ACTIVE:
                audio = self.getAudioMedia(index)
                self.phone.tone.startTransmit(audio)
                audio.startTransmit(self.phone.recorder)
                tell("talks")
            elif media.status == pj.PJSUA_CALL_MEDIA_REMOTE_HOLD:
                tell("held")

    def onCallTransferStatus(self, prm: Any) -> None:  # noqa: N802
        tell("transfer", status=prm.statusCode, final=prm.finalNotify)


class Account(pj.Account):  # type: ignore[misc]
    """The account: registrations, calls and messages that come, the mailbox."""

    phone: "Phone"

    def onRegState(self, prm: Any) -> None:  # noqa: N802
        if prm.code // 100 != 2:
            tell("refused", status=prm.code)
        else:
            tell("registered" if self.getInfo().regIsActive else "unregistered", expires=prm.expiration)

    def onIncomingCall(self, prm: Any) -> None:  # noqa: N802
        call = Call(self, prm.callId)
        call.phone = self.phone
        self.phone.calls.append(call)
        ringing = pj.CallOpParam()
        ringing.statusCode = pj.PJSIP_SC_RINGING
        call.answer(ringing)
        tell("incoming", **{"from": call.getInfo().remoteUri})

    def onInstantMessage(self, prm: Any) -> None:  # noqa: N802
        tell("message", **{"from": prm.fromUri, "text": prm.msgBody})

    def onInstantMessageStatus(self, prm: Any) -> None:  # noqa: N802
        tell("sent", status=prm.code)

    def onMwiInfo(self, prm: Any) -> None:  # noqa: N802
        tell("mailbox", body=prm.rdata.wholeMsg.partition("\r\n\r\n")[2])


class Phone:
    """The library, one account and its calls."""

    def __init__(self, endpoint: Any, host: str, directory: str) -> None:
        self.endpoint, self.host, self.directory = endpoint, host, directory
        self.account: Account | None = None
        self.calls: list[Call] = []
        self.tone = pj.ToneGenerator()
        self.tone.createToneGenerator(8000, 1)
        self.recorder = pj.AudioMediaRecorder()
        self.recorder.createRecorder(os.path.join(directory, "heard.wav"))  # noqa: PTH118 - PJSIP takes text

    def register(self, order: dict[str, Any]) -> None:
        """{uri, registrar, transport, password, expires, pitch, mailbox, secure}: the account, which registers."""
        settings = pj.TransportConfig()
        settings.boundAddress = self.host
        self.endpoint.transportCreate(TRANSPORTS[order["transport"]], settings)
        tone = pj.ToneDesc()
        tone.freq1, tone.on_msec, tone.off_msec = order.get("pitch", 440), 1000, 0
        self.tone.play(pj.ToneDescVector([tone]), True)
        config = pj.AccountConfig()
        config.idUri = order["uri"]
        user = order["uri"].partition(":")[2].partition("@")[0]
        config.regConfig.registrarUri = order["registrar"]
        config.regConfig.timeoutSec = order.get("expires", 600)
        config.regConfig.retryIntervalSec = 2
        config.sipConfig.authCreds.append(pj.AuthCredInfo("digest", "*", user, 0, order["password"]))
        if order["transport"] != "udp":
            config.sipConfig.proxies.append(f"{order['registrar']};lr")
        config.mwiConfig.enabled = order.get("mailbox", False)
        config.mediaConfig.transportConfig.boundAddress = self.host
        if order.get("secure", False):
            config.mediaConfig.srtpUse, config.mediaConfig.srtpSecureSignaling = pj.PJMEDIA_SRTP_MANDATORY, 0
        self.account = Account()
        self.account.phone = self
        self.account.create(config)

    def carry_out(self, order: dict[str, Any]) -> None:
        """One order."""
        what = order["do"]
        if what == "register":
            self.register(order)
            return
        assert self.account is not None
        parameters = pj.CallOpParam(True)
        if what in ("refresh", "unregister"):
            self.account.setRegistration(what == "refresh")
        elif what == "call":
            call = Call(self.account)
            call.phone = self
            self.calls.append(call)
            call.makeCall(order["to"], parameters)
        elif what in ("answer", "refuse"):
            parameters.statusCode = order.get("status", 200 if what == "answer" else 486)
            self.calls[-1].answer(parameters)
        elif what == "hangup":
            self.calls[-1].hangup(pj.CallOpParam())
        elif what == "hold":
            self.calls[-1].setHold(parameters)
        elif what == "resume":
            parameters.opt.flag = pj.PJSUA_CALL_UNHOLD
            self.calls[-1].reinvite(parameters)
        elif what == "transfer":
            self.calls[-1].xfer(order["to"], pj.CallOpParam())
        elif what == "message":
            buddy, settings, message = pj.Buddy(), pj.BuddyConfig(), pj.SendInstantMessageParam()
            settings.uri, message.content = order["to"], order["text"]
            buddy.create(self.account, settings)
            buddy.sendInstantMessage(message)
        else:
            raise ValueError(what)


def main(host: str, directory: str) -> None:
    """The library from its beginning to its end, which is the end of the orders."""
    endpoint = pj.Endpoint()
    endpoint.libCreate()
    settings = pj.EpConfig()
    settings.uaConfig.threadCnt = 0  # events are handled where we ask for them
    settings.uaConfig.mainThreadOnly = True
    settings.logConfig.consoleLevel = 0
    settings.logConfig.level = 4
    settings.logConfig.filename = os.path.join(directory, "sip.log")  # noqa: PTH118
    endpoint.libInit(settings)
    endpoint.libStart()
    endpoint.audDevManager().setNullDev()
    phone = Phone(endpoint, host, directory)
    rest = b""
    while True:
        endpoint.libHandleEvents(20)
        if not select.select([0], [], [], 0)[0]:
            continue
        data = os.read(0, 65536)
        if not data:
            os._exit(0)  # what PJSIP would tidy up is asked for no more
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            try:
                phone.carry_out(json.loads(line))
            except (pj.Error, ValueError) as error:
                tell("fault", order=line.decode(), text=error.info() if isinstance(error, pj.Error) else str(error))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
