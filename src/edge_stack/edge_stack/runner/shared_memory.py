# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Removes the shared-memory segments that killed processes left behind: Fast DDS frees a segment only at a clean exit.

Its unit is one look at /dev/shm. A segment in use is never touched: its owner holds a lock on the file beside it.
"""

from __future__ import annotations

import fcntl
import re
import time
from pathlib import Path

FOLDER = Path("/dev/shm")
_LOCK_FILE = re.compile(r"fastrtps_[0-9a-f]{16}_el")
# A newborn segment may not be locked yet.
_YOUNG_S = 5.0


def remove_orphans(folder: Path = FOLDER) -> int:
    """Remove segments without a living owner and return how many bytes that freed. Others' files are left alone."""
    freed = 0
    try:
        locks = [path for path in folder.iterdir() if _LOCK_FILE.fullmatch(path.name)]
    except OSError:
        return 0
    for lock in locks:
        segment = lock.with_name(lock.name[: -len("_el")])
        try:
            if time.time() - lock.stat().st_mtime < _YOUNG_S:
                continue
            with lock.open("ab") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                size = segment.stat().st_size if segment.exists() else 0
                segment.unlink(missing_ok=True)
                lock.unlink(missing_ok=True)
                freed += size
        except OSError:
            continue
    return freed
