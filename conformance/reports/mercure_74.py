"""The file of the history grew until the disk was full: "for a week it eat all disk space".

https://github.com/dunglas/mercure/issues/74
"""

import pathlib
import time

from support.hub import DEADLINE_SECS
from support.mercure import publish, start

BYTES_MAX = 4 << 20


def size(hub):
    return sum(file.stat().st_size for file in pathlib.Path(hub.folder.name, "data").iterdir())


def run(checks):
    hub = start(f"[history]\nretain_bytes = {BYTES_MAX}\n")
    for _ in range(60):
        publish(hub, topic="a", data="x" * 400_000)
    # Retention works beside publishing; what it frees goes back to the file system.
    end = time.monotonic() + DEADLINE_SECS
    while size(hub) > 6 * BYTES_MAX and time.monotonic() < end:
        time.sleep(0.1)
    checks.true(f"24 MB published, {size(hub) >> 20} MiB kept", size(hub) <= 6 * BYTES_MAX)
    hub.stop()
