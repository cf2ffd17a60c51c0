"""Tools that look for victims, known by the User-Agent that they show unless somebody changes it.

Whoever changes it is met by the bans; but most of what knocks at port 5060 is one of these, and need cost nothing.
`sipsak` is none of them: those who run a server ask it how that is.
"""

SCANNERS = (
    "friendly-scanner",  # SIPVicious: svmap, svwar, svcrack
    "sipvicious",
    "sipcli",
    "vaxsipuseragent",  # robots that try out passwords and numbers, built with that SDK
    "pplsip",
    "sundayddr",
)


def is_scanner(user_agent: str) -> bool:
    """Whether a request with this User-Agent is one of theirs, whatever version stands behind the name."""
    return user_agent.lower().startswith(SCANNERS)
