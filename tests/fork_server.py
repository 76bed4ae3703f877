"""Run scripts, each in a process of its own that begins with the large packages imported.

Importing torch and transformers takes five seconds, and the tests start dozens of processes. This
one imports them once and forks; of tokenry nothing is imported before the fork. A line on standard
input is a request as JSON, with the keys `argv`, `folder`, `environment`, `out` and `err`; the
answer is the exit code.
"""

import json
import os
import runpy
import sys
from importlib import import_module

PACKAGES = (
    "torch._dynamo",
    "transformers.modeling_utils",
    "transformers.generation",
    "scipy.optimize",
    "scipy.stats",
    "sklearn.linear_model",
    "pandas",
)


def requests():
    """Yield one request in each child, and none here."""
    for line in sys.stdin:
        child = os.fork()
        if not child:
            yield json.loads(line)
            return
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def run(argv, folder, environment, out, err):
    """Run a script as if the interpreter had just started with it."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for name, number in ((os.devnull, 0), (out, 1), (err, 2)):
        os.dup2(os.open(name, os.O_RDWR | os.O_CREAT), number)
    sys.argv = argv
    sys.path[0] = folder
    runpy.run_path(argv[0], run_name="__main__")


if __name__ == "__main__":
    for package in PACKAGES:
        import_module(package)
    for request in requests():
        run(**request)
