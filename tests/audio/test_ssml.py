"""SSML: read strictly, kept to what voices know, and as plain words for those that know none."""

import re

import pytest

from engine.audio.errors import SoundError
from engine.audio.tts.ssml import LONGEST, Words, read


@pytest.mark.parametrize("text", ["Hello & <goodbye>", "5 < 6", "speak <up>", "  Hello & <goodbye>\n"])
def test_plain_text_is_no_markup(text: str) -> None:
    assert read(text) == Words(text.strip())


def test_control_characters_are_not_said() -> None:
    assert read("a\0b\x1bc\ud800d").plain == "a b c d"


@pytest.mark.parametrize(
    ("text", "markup", "plain"),
    [
        ("<speak>Hello</speak>", "<speak>Hello</speak>", "Hello"),
        (
            '<?xml version="1.0"?><speak xmlns="http://www.w3.org/2001/10/synthesis" xml:lang="en">Hi</speak>',
            "<speak>Hi</speak>",
            "Hi",
        ),
        (
            "<speak>One<break time='1.5s'/>two<break/>three<break strength='weak'/>.</speak>",
            '<speak>One<break time="1500ms"/>two<break/>three<break strength="weak"/>.</speak>',
            "One, two, three",
        ),
        ("<speak><p><s>A</s><s>B?</s></p> C</speak>", "<speak><p><s>A</s><s>B?</s></p> C</speak>", "A. B? C"),
        (
            '<speak><emphasis level="strong">now</emphasis></speak>',
            '<speak><emphasis level="strong">now</emphasis></speak>',
            "now",
        ),
        (
            '<speak><prosody rate="slow" pitch="+10%" volume="loud" contour="x">now</prosody></speak>',
            '<speak><prosody rate="slow" pitch="+10%" volume="loud">now</prosody></speak>',
            "now",
        ),
        (
            '<speak><say-as interpret-as="characters">AB1</say-as></speak>',
            '<speak><say-as interpret-as="characters">AB1</say-as></speak>',
            "A B 1",
        ),
        ('<speak>No. <say-as interpret-as="digits">4021</say-as></speak>', "<speak>No. 4 0 2 1</speak>", "No. 4 0 2 1"),
        ('<speak><say-as interpret-as="date">1 May</say-as></speak>', "<speak>1 May</speak>", "1 May"),
        ('<speak><sub alias="S I P">SIP</sub>!</speak>', "<speak>S I P!</speak>", "S I P !"),
        ("<speak>5 &lt; 6 &amp; &#8364;</speak>", "<speak>5 &lt; 6 &amp; €</speak>", "5 < 6 & €"),
        ("<speak><![CDATA[<b>]]></speak>", "<speak>&lt;b&gt;</speak>", "<b>"),
    ],
)
def test_what_is_known_is_handed_on(text: str, markup: str, plain: str) -> None:
    words = read(text)
    assert words.markup == markup
    assert words.plain.replace(" !", "!") == plain.replace(" !", "!")


@pytest.mark.parametrize(
    ("inner", "markup"),
    [
        ('<audio src="/etc/passwd">beep</audio>', "beep"),
        ('<voice name="x">Hi</voice>', "Hi"),
        ("<b onclick='x'>Hi</b>", "Hi"),
        ("<metadata>secret<p>more</p></metadata>Hi", "Hi"),
        ('<audio src="x"><desc>a beep</desc></audio>Hi', "Hi"),
        ('<p xml:lang="de" id="1">Hi</p>', "<p>Hi</p>"),
        ('<mark name="x"/>Hi<?target data?><!-- no -->', "Hi"),
    ],
)
def test_of_everything_else_the_tags_go_and_the_words_stay(inner: str, markup: str) -> None:
    assert read(f"<speak>{inner}</speak>").markup == f"<speak>{markup}</speak>"


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><speak>&b;</speak>'


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("<speak>Hi", "the SSML is not well-formed: line 1, column 10: no element found"),
        ("<speak>\n<p>Hi</s></speak>", "line 2, column 8: mismatched tag"),
        ("<speak>Hi</speak>x", "junk after document element"),
        ("<speak>&nbsp;</speak>", "undefined entity"),
        ("<?xml version='1.0'?>" + BOMB, "has a DOCTYPE, which is not read"),
        ('<?xml version="1.0"?><!DOCTYPE speak SYSTEM "file:///etc/passwd"><speak>x</speak>', "has a DOCTYPE"),
        ('<?xml version="1.0"?><html>x</html>', "begins with <html>, not with <speak>"),
        ("<speak><break time='soon'/></speak>", "<break>: time 'soon'; write 500ms or 2s, up to 10s"),
        ("<speak><break time='11s'/></speak>", "<break>: time '11s'"),
        ("<speak><break time='-1s'/></speak>", "<break>: time '-1s'"),
        ("<speak><break strength='big'/></speak>", "<break>: strength 'big' is not one that SSML has"),
        ("<speak><prosody rate='very'>x</prosody></speak>", "<prosody>: rate 'very'"),
        ("<speak><say-as>1</say-as></speak>", "write interpret-as, such as digits"),
        ("<speak>" + "<p>" * 40 + "</p>" * 40 + "</speak>", "more than 1000 elements, or 32 within each other"),
        ("<speak>" + "<p/>" * 1100 + "</speak>", "more than 1000 elements"),
        ("<speak> </speak>", "there is nothing to say"),
        ("", "there is nothing to say"),
        ("x" * (LONGEST + 1), "10000 can be said at a time"),
    ],
)
def test_a_fault_is_reported_with_its_place(text: str, error: str) -> None:
    with pytest.raises(SoundError, match=re.escape(error)):
        read(text)


def test_a_pause_alone_can_be_said() -> None:
    assert "<break" in read('<speak><break time="1s"/></speak>').markup
