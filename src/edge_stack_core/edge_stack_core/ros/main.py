# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Runs one node in one process: start, spin, and a clean exit with code 0 on SIGINT or SIGTERM, never a traceback."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions

from edge_stack_core.process_environment import LAUNCH_VARIABLE
from edge_stack_core.ros.base import StackNode
from edge_stack_core.runtime.local_process import end_with_launch
from edge_stack_core.runtime.process import program_name, set_program_name


class _Stopped(BaseException):
    """A signal asked the process to end."""


def run(make_node: Callable[[], StackNode], argv: list[str] | None = None) -> None:
    """
    Run a node until SIGINT or SIGTERM.

    A callback that raises all the same is logged and the node goes on: the base class guards what arrives from outside,
    so this is the last line and means a defect.
    """
    faulthandler.enable()
    set_program_name(program_name(sys.argv if argv is None else argv))
    stopped = False

    def stop(_number: int, _frame: Any) -> None:
        nonlocal stopped
        stopped = True
        # Once is enough: the second signal must not interrupt the clean-up.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise _Stopped

    node: StackNode | None = None
    try:
        signal.signal(signal.SIGINT, stop)
        signal.signal(signal.SIGTERM, stop)
        # Launch holds SIGINT back at the start: a node that did not import early_end gets it here.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        if not end_with_launch(os.environ.get(LAUNCH_VARIABLE, "")):
            raise _Stopped
        rclpy.init(args=argv, signal_handler_options=SignalHandlerOptions.NO)
        node = make_node()
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        # Raised inside a callback that C++ called, _Stopped arrives as another error: the flag ends the loop all the same.
        while rclpy.ok() and not stopped:
            try:
                # The limit lets Python run signal handlers: a wait inside rcl does not.
                executor.spin_once(timeout_sec=0.1)
            except ExternalShutdownException:
                break
            except Exception as error:  # noqa: BLE001
                if stopped:
                    break
                node.count_raised("executor", error)
    except _Stopped:
        pass
    finally:
        if node is not None:
            node.close()
            node.destroy_node()
        rclpy.try_shutdown()
    sys.exit(0)
