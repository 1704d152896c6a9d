# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Admission: critical jobs say when they run, background jobs run in the slack between, on one device.

A background job asks before each inference and is admitted only if it ends before the next critical release. Between the
processes of one user on one machine, through shared memory; there is no server. docs/admission.md has the protocol.
"""

from edge_stack_core.admission.background import Admission, BackgroundJob
from edge_stack_core.admission.critical import CriticalJob
from edge_stack_core.admission.device import AdmissionDevice
from edge_stack_core.admission.oversize import Refused

__all__ = ["AdmissionDevice", "Admission", "BackgroundJob", "CriticalJob", "Refused"]
