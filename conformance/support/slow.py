"""Slow tests, which run with `RUN_SLOW_TESTS=1`; otherwise they count as skipped."""

import os

import pytest

SLOW_SECS_MAX = 1500


def slow(what):
    """Marks a test that takes minutes."""
    asked = os.environ.get("RUN_SLOW_TESTS") == "1"
    return pytest.mark.skipif(not asked, reason=f"slow: {what}; RUN_SLOW_TESTS=1 runs it")
