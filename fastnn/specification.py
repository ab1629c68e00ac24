"""What losses, optimizers and schedules are: frozen dataclasses whose methods stand in one base.

``dataclasses`` would compile methods for each class, a third of a millisecond for each of some forty: half of the package's import.
"""

import inspect
from dataclasses import FrozenInstanceError, dataclass, fields


class _Signature:
    """The signature of a class's constructor, made when it is asked for."""

    def __get__(self, obj, cls):
        kinds = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
        ordered = sorted(fields(cls), key=lambda one: one.kw_only)
        return inspect.Signature(
            [
                inspect.Parameter(
                    one.name,
                    kinds[one.kw_only],
                    default=inspect.Parameter.empty if one.default is one.default_factory else one.default,
                    annotation=one.type,
                )
                for one in ordered
            ]
        )


@dataclass(init=False, repr=False, eq=False)
class Specification:
    """Base of the specifications. A subclass is a dataclass without methods of its own making (``specification``)."""

    __signature__ = _Signature()

    def __init__(self, *values, **options):
        name, names = type(self).__name__, [one.name for one in fields(self)]
        unknown = next((key for key in options if key not in names), None)
        if unknown is not None:
            raise TypeError(f"{name}: unknown parameter {unknown!r} ({name} takes {', '.join(names) or 'none'})")
        try:
            given = type(self).__signature__.bind(*values, **options)
        except TypeError as error:
            raise TypeError(f"{name}: {error}") from None
        given.apply_defaults()
        for key, value in given.arguments.items():
            object.__setattr__(self, key, value)
        self.__post_init__()

    def __post_init__(self):
        """Check the arguments; a subclass says how."""

    def _values(self):
        return tuple(getattr(self, one.name) for one in fields(self))

    def __repr__(self):
        arguments = zip(fields(self), self._values(), strict=True)
        return f"{type(self).__name__}({', '.join(f'{one.name}={value!r}' for one, value in arguments)})"

    def __eq__(self, other):
        return self._values() == other._values() if type(other) is type(self) else NotImplemented

    def __hash__(self):
        return hash((type(self), self._values()))

    def __setattr__(self, name, value):
        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name):
        raise FrozenInstanceError(f"cannot delete field {name!r}")


def specification(cls, *, kw_only=False):
    """Return the class as a dataclass that keeps the methods of ``Specification``."""
    return dataclass(cls, init=False, repr=False, eq=False, kw_only=kw_only)


def specified(value, known, what, func="Trainer"):
    """Return the object that a name, a class or an object means."""
    if isinstance(value, str):
        if value not in known:
            raise ValueError(f"{func}: {what} is {value!r} but one of {', '.join(known)} was expected")
        value = known[value]
    return value() if isinstance(value, type) and value in known.values() else value
