"""Processes of a test, their logs, and waiting for a condition with a deadline."""

import os
import pathlib
import signal
import subprocess
import time


def wait_until(condition, what, seconds=60):
    """Returns the first true value of `condition`; fails with `what` when the deadline has passed."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.05)


# Seconds. A hub may be told of a stop while it ends: then it tries for 30 s to reach its proxy, which it has ended already.
ENDS_WITHIN = 60


class Process:
    """A child in a session of its own with its output in a file."""

    def __init__(self, name, command, environment, folder):
        self.name = name
        self.log = folder / f"{name}.log"
        kept = {key: os.environ[key] for key in ("PATH", "HOME", "USER", "LANG", "RUST_LOG") if key in os.environ}
        with open(self.log, "w") as log:
            self.child = subprocess.Popen(
                [str(part) for part in command],
                cwd=folder,
                env={**kept, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def output(self):
        return self.log.read_text(errors="replace")

    def wait_until(self, condition, what, seconds=90):
        def unless_ended():
            assert self.child.poll() is None, f"{self.name} has ended with status {self.child.returncode}"
            return condition()

        return wait_until(unless_ended, f"{self.name}: {what}", seconds)

    def end(self):
        """Asks the process to end; one that has to be killed is a failure."""
        if self.child.poll() is None:
            self.child.terminate()
            try:
                self.child.wait(ENDS_WITHIN)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(f"{self.name} did not end within {ENDS_WITHIN} s of SIGTERM") from None

    def kill(self):
        if self.child.poll() is None:
            os.killpg(self.child.pid, signal.SIGKILL)
            self.child.wait()


def processes_with(environment):
    """Process ids, with their command lines, of all processes of this machine that have these variables."""
    wanted = {f"{key}={value}".encode() for key, value in environment.items()}
    found = {}
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if wanted <= set((folder / "environ").read_bytes().split(b"\0")):
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                if command:  # a zombie has none
                    found[int(folder.name)] = command
        except OSError:
            continue  # it has just ended, or is not ours
    return found
