"""rtpengine as the anchor of calls: its ng protocol, and several of them as one."""
