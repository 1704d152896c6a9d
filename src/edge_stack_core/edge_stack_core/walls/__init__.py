# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The walls between packages and the two floors inside each, as checks that every package's own tests call.

A package's source folder is the unit of work. Its package.xml defines which packages it may import, so a package is
checked by itself (plain `colcon test`). Everything is read as text: no module of the package is imported.
"""

from edge_stack_core.walls.manifest import Manifest, read_manifest
from edge_stack_core.walls.manifest_check import manifest_problems
from edge_stack_core.walls.violations import violations

__all__ = ["Manifest", "manifest_problems", "read_manifest", "violations"]
