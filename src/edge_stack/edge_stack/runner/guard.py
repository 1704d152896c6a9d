# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The guard: a small process that ends everything the runner or launch started if its owner dies, however that happens.

It reads "+<session>", "-<session>" and "=<NAME>=<value>" lines from its owner; the last names all processes that have this
in their environment. The end of the input means that the owner is gone: what is still registered gets SIGTERM, and SIGKILL
after a grace. The kernel alone (PR_SET_PDEATHSIG) would reach the owner's children but not their children, and would have to
be asked by each process, which a foreign one does not. It is run by path with `python -I -S`, so that it starts fast and
imports nothing else; what starts it is GuardClient.
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
    marks: set[str] = set()
    for line in sys.stdin:
        word = line[1:].rstrip("\n")
        if line[0] == "=":
            marks.add(word)
        else:
            guarded.add(int(word)) if line[0] == "+" else guarded.discard(int(word))

    def left() -> set[int]:
        return {*sessions.members(guarded), *sessions.marked(marks)}

    asked: set[int] = set()
    end_s = time.monotonic() + GRACE_S
    while (found := left()) and time.monotonic() < end_s:
        sessions.send(found - asked, signal.SIGTERM)  # one that was just started is seen only now
        asked |= found
        time.sleep(0.05)
    sessions.kill_found(left)


if __name__ == "__main__":
    main()
