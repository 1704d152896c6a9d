# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Cuts a model into slices and says what that costs: ./edge split-model MODEL --max-ms 8."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from edge_stack_core.errors import ConfigurationError
from edge_stack_inference.splitting.build import split_model


def main(argv: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="edge split-model", description="Cut an ONNX model.")
    parser.add_argument("model", type=Path)
    wish = parser.add_mutually_exclusive_group(required=True)
    wish.add_argument("--max-ms", type=float, default=0.0, help="no slice shall take longer on this machine")
    wish.add_argument("--slices", type=int, default=0, help="this many slices of about equal time")
    parser.add_argument("--threads", type=int, default=1, help="of each slice (default: 1)")
    arguments = parser.parse_args(argv)
    try:
        plan, folder = split_model(arguments.model, arguments.max_ms, arguments.slices, arguments.threads)
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return 1
    total = sum(model_slice.ms for model_slice in plan.slices)
    for model_slice in plan.slices:
        print(
            f"{model_slice.file}  {model_slice.ms:8.2f} ms  takes {len(model_slice.inputs)}, "
            f"gives {len(model_slice.outputs)} tensors"
        )
    print(
        f"whole {plan.whole_ms:.2f} ms; {len(plan.slices)} slices {total:.2f} ms, the longest {plan.longest_ms:.2f} ms"
    )
    print(f"largest difference from the whole {plan.difference:g}")
    print(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
