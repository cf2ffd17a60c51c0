"""Media of calls: RTP of our own, relays and rtpengine, and the paths that session descriptions take."""
