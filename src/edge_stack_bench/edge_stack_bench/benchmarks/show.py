# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Shows a saved result again: as a table, as a plot, or in the documentation. Measures nothing.

Its unit is one file that a benchmark wrote with --json. In a Markdown file, the table of a result stands between the lines
`<!-- bench NAME -->` and `<!-- end -->`, where NAME is the benchmark's, and that of `contention` has its device after it.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

from edge_stack_bench.benchmarks import common
from edge_stack_bench.benchmarks.views import view_of
from edge_stack_core.errors import ConfigurationError


def main(argv: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="edge bench show", description=__doc__)
    parser.add_argument("file", type=Path, help="what a benchmark wrote with --json")
    common.add_output_options(parser, saved=True)
    parser.add_argument("--into", metavar="FILE.md", type=Path, help="replace the table in this file")
    options = parser.parse_args(argv)
    try:
        result = read_result(options.file)
        if options.into is not None:
            insert(result, options.into)
        return common.show(result, options)
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return 1


def read_result(path: Path) -> dict[str, Any]:
    """
    Read what a benchmark wrote.

    Raises:
        ConfigurationError: the file is missing or is no such result.
    """
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise ConfigurationError(f"{path}: not JSON: {error}") from None
    if not isinstance(result, dict) or not {"bench", "machine", "rows"} <= set(result):
        raise ConfigurationError(f"{path}: not the result of a benchmark, which has bench, machine and rows")
    return result


def insert(result: dict[str, Any], path: Path) -> None:
    """
    Replace the table of a benchmark in a Markdown file, with the line that says where and when it was measured.

    Raises:
        ConfigurationError: the file has no place for it.
    """
    name = " ".join([result["bench"], *([result["device"]] if "device" in result else [])])
    begin, end = f"<!-- bench {name} -->", "<!-- end -->"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from None
    block = f"{begin}\n{common.markdown(view_of(result))}\n\n{common.describe(result)}\n{end}"
    text, count = re.subn(f"{begin}.*?{end}", lambda _: block, text, count=1, flags=re.DOTALL)
    if not count:
        raise ConfigurationError(
            f"{path}: has no lines {begin} and {end}, between which the table would stand"
        )
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
