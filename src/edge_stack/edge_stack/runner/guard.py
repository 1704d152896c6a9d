# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The guard: a small process that ends everything the runner started if the runner dies, however that happens.

It reads "+<session>" and "-<session>" lines from the runner. The end of the input means that the runner is gone: what is
still registered gets SIGTERM, and SIGKILL after a grace. The kernel alone (PR_SET_PDEATHSIG) would reach the runner's
children but not their children. It is run by path with `python -I -S`, so that it starts fast and imports nothing else.
"""

from __future__ import annotations

import os
import signal
import sys
import time

GRACE_S = 2.0


def main() -> None:
    """Guard until the input ends."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import sessions  # type: ignore[import-not-found, unused-ignore]

    guarded: set[int] = set()
    for line in sys.stdin:
        session = int(line[1:])
        guarded.add(session) if line[0] == "+" else guarded.discard(session)
    sessions.send(sessions.members(guarded), signal.SIGTERM)
    end_s = time.monotonic() + GRACE_S
    while sessions.members(guarded) and time.monotonic() < end_s:
        time.sleep(0.05)
    sessions.kill_all(guarded)


if __name__ == "__main__":
    main()
