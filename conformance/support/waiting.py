"""Waiting for what is about to happen: the one place that lets time pass."""

import time

# Nothing that a test waits for takes longer on a busy machine.
DEADLINE_SECS = 30
PAUSE_SECS = 0.02


def until(ask):
    """Asks until the answer is yes; returns whether it came in time."""
    end = time.monotonic() + DEADLINE_SECS
    while not ask():
        if time.monotonic() > end:
            return False
        time.sleep(PAUSE_SECS)
    return True
