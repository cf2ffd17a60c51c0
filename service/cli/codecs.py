"""`trunkline codecs`: the codecs of the engine's own media, and whether this machine can speak them."""

from typing import get_args

from service.cli.support.running import DONE


def codecs() -> int:
    """List the codecs that `media.codecs` may name, with their rates; and those that this machine lacks."""
    from config.settings import CodecName
    from engine.media.codec.registry import by_name

    for name in get_args(CodecName):
        codec = by_name(name)
        print(f"{name:<5} {codec.rate} Hz" if codec is not None else f"{name:<5} missing: PyAV has no libopus here")
    return DONE
