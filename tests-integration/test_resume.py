"""A run that is saved on one mesh of devices and goes on there, or on another."""

import os
import subprocess
import sys
from pathlib import Path


def test_synapses_go_on_where_they_were(tmp_path):
    # The number of devices is settled when JAX starts: a process of its own.
    command = [sys.executable, Path(__file__).with_name("resumed.py"), str(tmp_path)]
    eight = {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
        "JAX_PLATFORMS": "cpu",
    }
    result = subprocess.run(
        command,
        env={**os.environ, **eight},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    assert result.stdout.split()[-1] == "resumed"
