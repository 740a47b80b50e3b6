# SPDX-License-Identifier: Apache-2.0
"""Imports a plug-in's module and finds its class."""

import difflib
import importlib
import inspect
import sys

from sixcall.worker.errors import LoadError, last_lines

CAP_DELETE, CAP_LIMITS, CAP_PING, CAP_USAGE, CAP_LIST, CAP_VALUE_LENS = 1 << 0, 1 << 1, 1 << 2, 1 << 5, 1 << 6, 1 << 19


def module(name: str):
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # A module of that name, or one that it imports itself?
        if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            raise LoadError(
                f'module_path is "{name}", but {sys.executable} has no module "{error.name}"; '
                f"install it there, put its folder on PYTHONPATH, or name another interpreter with python (searched: {', '.join(p for p in sys.path if p)})"
            ) from None
        raise LoadError(f'module_path is "{name}", and importing it failed in {sys.executable}: {last_lines(error)}') from error
    except BaseException as error:  # whatever a module does when it is imported, exit included
        raise LoadError(f'module_path is "{name}", and importing it failed in {sys.executable}: {last_lines(error)}') from error


def named(mod, name: str):
    try:
        return getattr(mod, name)
    except AttributeError:
        pass
    classes = sorted(n for n, v in vars(mod).items() if inspect.isclass(v) and v.__module__ == mod.__name__)
    near = difflib.get_close_matches(name, classes, 1)
    hint = f", did you mean {near[0]}?" if near else ""
    raise LoadError(f'class_name is "{name}", but module "{mod.__name__}" ({getattr(mod, "__file__", "built in")}) has no such class{hint} it has: {", ".join(classes) or "none"}')


def subclass(mod, name: str, base: type, what: str):
    """A class of the module that derives from base."""
    found = named(mod, name)
    if not inspect.isclass(found):
        raise LoadError(f'class_name is "{name}", but in module "{mod.__name__}" that is a {type(found).__name__}, want a class that derives from {what}')
    if not issubclass(found, base):
        raise LoadError(f'class_name is "{name}", but {mod.__name__}.{name} does not derive from {what} ({base.__module__}.{base.__name__})')
    return found


def complete(cls: type, what: str) -> None:
    """Refuses a class that lacks methods."""
    missing = sorted(getattr(cls, "__abstractmethods__", ()))
    if missing:
        raise LoadError(f'class_name is "{cls.__name__}", but {cls.__module__}.{cls.__name__} lacks {", ".join(missing)}, which {what} must have')


def overrides(cls: type, base: type, method: str) -> bool:
    own = getattr(cls, method, None)
    return own is not None and own is not getattr(base, method, None)


def make(cls: type, *args, **kwargs):
    """Makes an instance; whatever its constructor raises is a LoadError."""
    try:
        return cls(*args, **kwargs)
    except BaseException as error:
        raise LoadError(f"{cls.__module__}.{cls.__name__} could not be made: {last_lines(error)}") from error
