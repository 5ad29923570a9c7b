"""The file of the history grew until the disk was full: "for a week it eat all disk space".

https://github.com/dunglas/mercure/issues/74
"""

import pathlib

from support.mercure import publish
from support.waiting import until

BYTES_MAX = 4 << 20


def size(hub):
    return sum(file.stat().st_size for file in pathlib.Path(hub.folder.name, "data").iterdir())


def test_the_file_shrinks_with_retention(start, check):
    hub = start(f"[history]\nretain_bytes = {BYTES_MAX}\n")
    for _ in range(60):
        publish(hub, topic="a", data="x" * 400_000)
    # Retention works beside publishing; what it frees goes back to the file system.
    until(lambda: size(hub) <= 6 * BYTES_MAX)
    check(f"24 MB published, {size(hub) >> 20} MiB kept", size(hub) <= 6 * BYTES_MAX)
