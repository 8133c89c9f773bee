"""`nmt` as a user runs it, a process a call."""

import subprocess
import sys


def nmt(*arguments: object, stdin: str = "", status: int = 0) -> subprocess.CompletedProcess[str]:
    """Run `nmt`; its exit status must be as said."""
    command = [sys.executable, "-m", "nmt", *map(str, arguments)]
    done = subprocess.run(command, input=stdin, capture_output=True, encoding="utf-8", timeout=300, check=False)
    assert done.returncode == status, done.stderr
    return done
