"""The command `spark-bench`: arguments in, tables and files out; the work is done elsewhere."""

from . import device, measure, networks, peers, results
from .frame import ExitCode, app

__all__ = ["ExitCode", "app", "device", "main", "measure", "networks", "peers", "results"]


def main() -> None:
    """Run the command."""
    app()
