"""After the server had closed a session, the client polled again and again: the answers did not say that the session
was closed.

https://github.com/sockjs/sockjs-client/issues/308
"""

from support.mercure import ask


def test_a_broken_frame_is_refused_by_status(start, check):
    hub = start('[sockjs]\nenabled = true\n[rooms]\naccess = "anonymous"\ntopics = ["chat"]\n')
    base = "/sockjs/room/chat/000/closed"
    check("it opens", ask(hub, "POST", base + "/xhr").text, "o\n")
    bad = ask(hub, "POST", base + "/xhr_send", body='["broken')
    check("a broken frame is refused", bad.status, 500)
    unknown = ask(hub, "POST", "/sockjs/room/chat/000/nobody/xhr_send", body='["x"]')
    check("an unknown session is not found", unknown.status, 404)
