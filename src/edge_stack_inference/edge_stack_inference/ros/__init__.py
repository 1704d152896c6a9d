# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""TLS parameters of the nodes whose model runs on a server."""
