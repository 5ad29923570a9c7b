"""Counts what holds and what does not, for tools that measure and are no tests of pytest."""

import sys


class Checks:
    """Counts what holds and what does not, and says what does not."""

    def __init__(self):
        self.passed = 0
        self.failed = 0

    def equal(self, name, found, expected):
        if found == expected:
            self.passed += 1
        else:
            self.failed += 1
            print(f"FAILED {name}: {found!r}, not {expected!r}")

    def finish(self):
        """Prints the counts and ends the script."""
        print(f"{self.passed} passed, {self.failed} failed")
        sys.exit(1 if self.failed or not self.passed else 0)
