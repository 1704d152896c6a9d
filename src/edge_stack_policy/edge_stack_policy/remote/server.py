# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
`./edge policy-server`: serves a policy to robots elsewhere; ends on SIGINT or SIGTERM.

Its unit is one process. See edge_stack_policy.remote.service for what it does and what it refuses.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Sequence

from edge_stack_core.errors import ConfigurationError
from edge_stack_core.robot import find_robot
from edge_stack_policy.registry import make_policy, policy_names
from edge_stack_policy.settings import NO_CONTRACT, policy_settings

DEFAULT_ADDRESS = "127.0.0.1:8443"


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until told to end. 0: ended; 2: something in the arguments cannot work."""
    try:
        options = _arguments(argv)
        os.environ.setdefault("OMP_NUM_THREADS", str(options.threads))
        return _serve(options)
    except ConfigurationError as error:
        print(f"policy-server: {error}", file=sys.stderr)
        return 2


def _serve(options: argparse.Namespace) -> int:
    try:
        from edge_stack_inference.tls import server_credentials
        from edge_stack_policy.remote.service import PolicyServer, is_loopback
    except ImportError as error:
        raise ConfigurationError(f"the policy server needs grpcio and protobuf: {error}") from error
    if bool(options.certificate) != bool(options.key):
        raise ConfigurationError("--certificate and --key: give both or neither")
    if options.client_ca and not options.certificate:
        raise ConfigurationError("--client-ca: needs --certificate and --key as well")
    credentials = (
        server_credentials(options.certificate, options.key, options.client_ca)
        if options.certificate
        else None
    )
    address = options.address if options.port is None else f"127.0.0.1:{options.port}"
    settings = policy_settings(
        str(find_robot(options.robot)),
        options.contract,
        options.rate_hz,
        camera=options.camera,
        horizon=options.horizon,
        path=options.path,
        device=options.device,
        threads=options.threads,
    )
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    policies = [make_policy(options.policy, settings) for _ in range(options.sessions)]
    try:
        for policy in policies:
            policy.load()
        server = PolicyServer(policies, settings, address, credentials=credentials, insecure=options.insecure)
        host = address.rpartition(":")[0]
        tls = "without TLS"
        if credentials is not None:
            tls = "TLS, clients with certificates only" if options.client_ca else "TLS"
        print(f"policy-server: {options.policy} on {host}:{server.port}, {tls}", flush=True)
        if credentials is None and not is_loopback(address):
            print(
                "policy-server: warning: --insecure: whoever reaches this port can use the policy, and whoever is between"
                " it and a robot can read the cameras and move the robot",
                file=sys.stderr,
                flush=True,
            )
        stopped.wait()
        server.stop()
    finally:
        for policy in policies:
            policy.close()
    return 0


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="edge policy-server", description=__doc__.split("\n")[1])
    parser.add_argument("--policy", required=True, help=f"its name: {', '.join(policy_names())}, ...")
    parser.add_argument("--path", default="", help="weights, for policies that have some")
    parser.add_argument(
        "--contract",
        default=NO_CONTRACT,
        help="what its features are: a file, or a shipped contract's name; default: none",
    )
    parser.add_argument(
        "--robot", required=True, help="its description: a .yaml file, or a shipped robot's name"
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--address", default=DEFAULT_ADDRESS, help="HOST:PORT to listen on; default: %(default)s"
    )
    where.add_argument("--port", type=int, help="the same as --address 127.0.0.1:PORT; 0: a free one")
    parser.add_argument(
        "--sessions", type=_positive, default=1, help="robots at a time; each has its own policy in memory"
    )
    parser.add_argument("--certificate", default="", help="TLS: this server's certificate chain (PEM)")
    parser.add_argument("--key", default="", help="TLS: its key (PEM)")
    parser.add_argument(
        "--client-ca", default="", help="TLS: only clients with a certificate that this CA signed (PEM)"
    )
    parser.add_argument(
        "--insecure", action="store_true", help="listen beyond loopback without TLS all the same"
    )
    parser.add_argument("--device", default="", help="what the policy runs on: cpu, cuda or cuda:N")
    parser.add_argument("--threads", type=_positive, default=1, help="of one inference on the CPU")
    parser.add_argument("--rate-hz", type=float, default=24.0, help="of actions, where there is no contract")
    parser.add_argument(
        "--horizon", type=_positive, default=30, help="actions in a chunk, where one can choose"
    )
    parser.add_argument(
        "--camera", default="", help="whose pixels detections are in; default: the robot's first"
    )
    return parser.parse_args(argv)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


if __name__ == "__main__":
    sys.exit(main())
