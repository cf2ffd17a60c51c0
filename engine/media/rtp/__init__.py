"""RTP, RTCP and SRTP (RFC 3550, RFC 3711): packets, sessions, and whose packets are taken."""
