"""A polyfill considered a silent connection dead after 45 seconds and kept reconnecting: the server sent nothing
between events.

https://github.com/Yaffle/EventSource/issues/164
"""

from support.mercure import Stream


def test_a_silent_stream_gets_comments(start, check):
    hub = start("keep_alive_secs = 1\n")
    # Longer than two intervals without a byte would be the fault.
    stream = Stream(hub, timeout=15)
    check("a comment comes", stream.comment() and stream.comment())
    stream.close()
