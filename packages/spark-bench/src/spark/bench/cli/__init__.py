"""The command `spark-bench`: arguments in, tables and files out; the work is done elsewhere."""

from . import measure, peers, results
from .frame import ExitCode, app

__all__ = ["ExitCode", "app", "main", "measure", "peers", "results"]


def main() -> None:
    """Run the command."""
    app()
