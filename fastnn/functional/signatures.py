"""What a function made from a row of a table shares with one written by hand: its name, signature, annotations, docstring."""

import inspect

REQUIRED = inspect.Parameter.empty

# Annotations are text, as in files with ``from __future__ import annotations``, which all rooms are.
ARRAY, OPTIONAL_ARRAY, OUT = "npt.ArrayLike", "npt.ArrayLike | None", "np.ndarray | None"
NUMBERS = {
    bool: "bool",
    tuple: "tuple[float, float]",
    float: "float",
    int: "int",
    type(None): "float | None",
}  # a parameter's, from the type of its default


def numbers(params):
    """Return arguments, as ``describe`` takes them, from names to defaults."""
    return {name: (NUMBERS[type(value)], value) for name, value in params.items()}


def describe(function, name, given, options, returns, doc):
    """Describe a function whose code says less.

    Parameters
    ----------
    function : function
    name : str
    given, options : dict
        From argument to (annotation, default): those that may be given by place, and those by name alone.
    returns : str
        Annotation.
    doc : str
    """
    arguments = given | options
    place = dict.fromkeys(given, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    function.__signature__ = inspect.Signature(
        [
            inspect.Parameter(
                key, place.get(key, inspect.Parameter.KEYWORD_ONLY), default=default, annotation=annotation
            )
            for key, (annotation, default) in arguments.items()
        ],
        return_annotation=returns,
    )
    function.__annotations__ = {key: annotation for key, (annotation, _) in arguments.items()} | {"return": returns}
    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
