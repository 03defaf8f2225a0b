"""The flat public API: complete, sorted, and nothing in it but what is meant for users."""

from types import ModuleType

import unseen
from unseen import errors
from unseen.methods import METHODS


def order(name):
    """Constants, then classes, then the rest, as ruff sorts `__all__`."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


def test_all_is_sorted():
    assert sorted(unseen.__all__, key=order) == unseen.__all__


def test_all_is_complete():
    public = {n for n, v in vars(unseen).items() if not n.startswith("_") and not isinstance(v, ModuleType)}
    assert public | {"__version__"} == set(unseen.__all__)


def test_every_method_and_error_is_public():
    methods = {type(method) for method in METHODS.values()}
    kinds = {v for v in vars(errors).values() if isinstance(v, type) and v.__module__ == errors.__name__}
    public = [getattr(unseen, name) for name in unseen.__all__]
    assert [kind for kind in methods | kinds if kind not in public] == []


def test_every_public_class_and_function_says_what_it_is():
    bare = [
        n for n in unseen.__all__ if callable(getattr(unseen, n)) and not (getattr(unseen, n).__doc__ or "").strip()
    ]
    assert bare == []
