"""`python -m spark.bench` is the command `spark-bench`."""

from .cli import main

main()
