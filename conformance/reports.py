"""Reports of other servers' users, each tried on the real binary: would it have happened here?

    .venv/bin/python conformance/reports.py              # all of them
    .venv/bin/python conformance/reports.py -k nchan     # those whose name contains a text

Each file of `reports/` is one report: what happened to whom, in own words, with the address, and a function
`run(checks)`. A new report is a new file. Prints `N passed, N failed`.
"""

import argparse
import faulthandler
import importlib
import pathlib
import sys
import time

FOLDER = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(FOLDER), str(FOLDER / "reports")]
from support.hub import Checks  # noqa: E402

WHOLE_SECS_MAX = 300


class Named:
    """Checks that say which report they belong to."""

    def __init__(self, checks, name):
        self.checks = checks
        self.name = name

    def equal(self, what, found, expected):
        self.checks.equal(f"{self.name}: {what}", found, expected)

    def true(self, what, found):
        self.equal(what, bool(found), True)


def main():
    faulthandler.dump_traceback_later(WHOLE_SECS_MAX, exit=True)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-k", metavar="TEXT", default="", help="only reports whose name contains this")
    only = parser.parse_args().k
    checks = Checks()
    for file in sorted((FOLDER / "reports").glob("*.py")):
        if only not in file.stem:
            continue
        report = importlib.import_module(file.stem)
        started = time.monotonic()
        before = checks.passed + checks.failed
        try:
            report.run(Named(checks, file.stem))
        except (Exception, SystemExit) as error:  # One that breaks must not hide the others.
            checks.equal(f"{file.stem}: runs", f"{type(error).__name__}: {error}", None)
        if checks.passed + checks.failed == before:
            checks.equal(f"{file.stem}: checks something", False, True)
        print(f"{file.stem}: {time.monotonic() - started:.1f} s", flush=True)
    checks.finish()


if __name__ == "__main__":
    main()
