# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Policies on a server: the policy server, its clients and their wire. No ROS; failover/ chooses the endpoint."""
