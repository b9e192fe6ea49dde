import contextlib
import os
import subprocess
import sys

import pytest

from spark.bench.environment import python_path
from spark.bench.pipe import Pipe, ProcessError

SERVER = """
import os, sys, time
from spark.bench.pipe import serve

def add(x, y):
    print("noise")
    os.system("echo noise")
    return {"sum": x + y}

def fail():
    raise ValueError("two\\nlines")

def die():
    print("last words", file=sys.stderr, flush=True)
    os._exit(3)

serve({"add": add, "fail": fail, "die": die, "wait": lambda: time.sleep(600)})
"""
VARIABLES = os.environ | {"PYTHONPATH": python_path()}


@pytest.fixture
def pipe():
    with contextlib.closing(Pipe([sys.executable, "-c", SERVER], VARIABLES)) as opened:
        yield opened


def test_orders_are_answered_whatever_is_printed_meanwhile(pipe):
    assert pipe.ask("add", x=1, y=2) == {"sum": 3}
    assert pipe.ask("add", x=0.1, y=0.2) == {"sum": 0.1 + 0.2}


def test_an_order_that_fails_is_reported_and_the_next_one_is_answered(pipe):
    with pytest.raises(ProcessError, match=r"^ValueError: two lines$"):
        pipe.ask("fail")
    assert pipe.ask("add", x=1, y=2) == {"sum": 3}


def test_a_process_that_dies_is_reported_with_its_last_line(pipe):
    for _ in range(2):
        with pytest.raises(ProcessError, match="the process died: last words"):
            pipe.ask("die")


def test_a_program_that_does_not_exist_is_reported():
    with pytest.raises(ProcessError, match="/no/such/python does not start"):
        Pipe(["/no/such/python"], VARIABLES)


def test_a_process_ends_in_the_middle_of_an_order_when_its_stdin_is_closed():
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER],
        stdin=subprocess.PIPE,
        text=True,
        env=VARIABLES,
    )
    process.communicate('["wait", {}]\n', timeout=60)
    assert process.returncode == 0
