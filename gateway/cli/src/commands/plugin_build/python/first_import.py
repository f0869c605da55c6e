"""Imports a project where it is built, as the component will: that tells most mistakes within a second, where the build of a
component takes many. Prints what is wrong; the exit status is 3 if the build would find the same for certain."""

import contextlib
import os
import signal
import sys
import traceback

ENDS_THE_BUILD = 3
# Of the interpreter in components. An older one takes for mistakes what was not yet Python, and is not believed.
VERSION = (3, 14)

folder, libraries, entry, *missing = sys.argv[1:]


def main():
    # As in a component, whose contract the package has for tests as well.
    sys.path[:1] = [folder, libraries]
    sys.path.append(os.path.join(libraries, "hubgate", "contract"))
    for interface in missing:
        sys.modules[f"wit_world.imports.{interface}"] = None
    try:
        with contextlib.redirect_stdout(sys.stderr):
            __import__(entry)
    except Exception as error:
        modules = [frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__)]
        is_refusal = isinstance(error, (TypeError, ImportError)) and modules[-1].startswith("hubgate.")
        is_mistake = isinstance(error, (SyntaxError, NameError)) and not isinstance(error, UnboundLocalError)
        # What else is raised may be due to this machine: what the gateway answers is missing, and packages may be elsewhere.
        if is_refusal or is_mistake or isinstance(error, ModuleNotFoundError):
            show(error)
        if is_refusal or (is_mistake and sys.version_info >= VERSION):
            return ENDS_THE_BUILD
    return 0


def show(error):
    told = traceback.TracebackException.from_exception(error, capture_locals=False)
    told.stack = traceback.StackSummary.from_list(
        [frame for frame in told.stack if frame.filename.startswith(os.path.join(folder, ""))]
    )
    told.__cause__ = told.__context__ = None
    print("".join(told.format()).replace(os.path.join(folder, ""), ""), end="")


if sys.version_info >= (3, 11):
    # A project that does not end to import ends this program instead.
    signal.alarm(10)
    status = main()
    sys.stdout.flush()
    # Threads that it may have begun are not waited for.
    os._exit(status)
