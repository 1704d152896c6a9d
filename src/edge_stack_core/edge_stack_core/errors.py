# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Errors that a user can mend: each text names the file, field or topic, and says what would be right."""

from __future__ import annotations


class ConfigurationError(Exception):
    """A parameter, file or combination that cannot work; the text says which and what would be right."""
