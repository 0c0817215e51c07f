#!/usr/bin/env python3
"""Real clients against the release build, over loopback: what is mixed is what they sent.

Each scenario is a function whose name is the law that it holds; it has a server and a folder of its own
(target/clients/NAME), and returns its figures. Without arguments all of them run, some at a time.

    python3 tests/clients/run.py [NAME...]
"""

import concurrent.futures
import shutil
import sys
import time

sys.dont_write_bytecode = True

import audiosocket
import calls
import egress
import listen
import rooms
import rtp
import sip
import tcp
import web
from server import ROOT

MODULES = [rtp, sip, calls, tcp, audiosocket, egress, listen, web, rooms]
AT_ONCE = 4


def scenarios():
    return {
        name: function
        for module in MODULES
        for name, function in vars(module).items()
        if callable(function) and not name.startswith("_")
        and function.__module__ == module.__name__ and not isinstance(function, type)
    }


def attempt(name, scenario):
    """Runs it: whether it held, and a line about it."""
    folder = ROOT / "target/clients" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    begun = time.monotonic()
    try:
        held, figures = True, scenario(folder)
    except Exception as error:
        held, figures = False, f"{type(error).__name__}: {error}"
    verdict = "ok  " if held else "FAIL"
    print(f"{verdict} {name} ({time.monotonic() - begun:.1f} s): {figures}", flush=True)
    return held


def main(names):
    known = scenarios()
    unknown = [name for name in names if name not in known]
    if unknown:
        sys.exit(f"no scenario is called {', '.join(unknown)}; there are:\n" + "\n".join(known))
    names = names or list(known)
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        held = list(pool.map(lambda name: attempt(name, known[name]), names))
    failed = [name for name, held in zip(names, held) if not held]
    # Some senders pace themselves, and a machine that stands still makes them late: once more, alone.
    failed = [name for name in failed if not attempt(name, known[name])]
    print(f"{len(names) - len(failed)} of {len(names)} scenarios held")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
