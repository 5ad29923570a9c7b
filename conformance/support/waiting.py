"""Waiting for events: the only place in which time passes."""

import time

# Nothing that a test waits for takes longer on a busy machine.
DEADLINE_SECS = 30
PAUSE_SECS = 0.02


def until(ask):
    """Waits until a condition is true; returns whether it became true in time."""
    end = time.monotonic() + DEADLINE_SECS
    while not ask():
        if time.monotonic() > end:
            return False
        time.sleep(PAUSE_SECS)
    return True
