"""What the texts of a column mean: booleans, numbers, dates, or else categories.

Design
A. Beside its kind a column has a form, which says how its texts are written: the marks of its numbers, or the order of its dates. A form fits
   where every text has a value in it; the first that fits is taken. Where another one fits too, with other values, a note says so.
B. What training knew of a column is tried before anything else: a file with a single row then means what the file of the training meant.
C. Integers with leading zeros are codes, such as 007: as numbers they would lose their zeros. So they are categories.
"""

import re
from datetime import datetime, timezone

import numpy as np

# What stands for a value that is not known, in lower case.
MISSING = frozenset(
    {"", "na", "n/a", "#n/a", "n.a.", "nan", "null", "none", "nil", "?", "-", "--", "missing", "<na>", "nat"}
)
PAIRS = (("false", "true"), ("no", "yes"), ("f", "t"), ("n", "y"), ("off", "on"))

# Forms of numbers: the decimal mark and, where there is one, the mark between groups of three digits. The first line is for files in which
# a comma separates cells, where 1,5 is no number.
_POINT = (".", ".,", ",.", ". ", ".'")
_COMMA = (".", ",", ",.", ", ", ".,", ". ", ".'")
_ALIKE = {" ": " \u00a0\u202f", "'": "'\u2019"}  # a group's mark as it may be written
_GROUPED = {
    form: re.compile(rf"[+-]?[1-9]\d{{0,2}}(?:[{_ALIKE.get(form[1], form[1])}]\d{{3}})+(?:[{form[0]}]\d*)?")
    for form in _COMMA
    if len(form) > 1
}
_INTEGER = re.compile(r"[+-]?\d+")

_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december",
)  # fmt: skip
_CLOCK = (
    r"(?:[T ] ?(?P<hour>\d\d?):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:[.,](?P<fraction>\d+))?)?(?: ?(?P<half>[ap])\.?m\.?)?"
    r" ?(?P<zone>Z|UTC|GMT|[+-]\d\d(?::?\d\d)?)?)?"
)
_DATES = [
    re.compile(date + _CLOCK, re.I)
    for date in (
        r"(?P<year>\d{4})(?P<mark>[-/.])(?P<month>\d\d?)(?P=mark)(?P<day>\d\d?)",
        r"(?P<year>(?:19|20)\d\d)-(?P<month>\d\d)",
        r"(?P<first>\d\d?)(?P<mark>[-/.])(?P<other>\d\d?)(?P=mark)(?P<year>\d{4})",
        r"(?P<first>\d\d?)(?P<mark>/)(?P<other>\d\d?)/(?P<year>\d\d)",
        r"(?P<first>\d\d)(?P<mark>\.)(?P<other>\d\d)\.(?P<year>\d\d)",
        r"(?P<day>\d\d?)\.?[ -]?(?P<name>[a-z]{3,9})\.?,?[ -]?(?P<year>\d{4}|\d\d)",
        r"(?P<name>[a-z]{3,9})\.? (?P<day>\d\d?),? (?P<year>\d{4})",
    )
]


def is_missing(word):
    """Return whether a text without spaces around it stands for a value that is not known."""
    return word.lower() in MISSING


def is_number(word):
    """Return whether a text is a number in any form."""
    return not is_missing(word) and any(number(word, form) is not None for form in _COMMA)


def number(word, form):
    """Return the number that a text is, or None."""
    if form in _GROUPED and _GROUPED[form].fullmatch(word):
        word = re.sub(f"[{_ALIKE.get(form[1], form[1])}]", "", word)
    if form[0] == ",":
        if "." in word:
            return None
        word = word.replace(",", ".")
    try:
        return None if "_" in word else float(word)
    except ValueError:
        return None


def _boolean(word, pair):
    """Return 0 or 1, or None for a text that is neither word of a pair."""
    word = word.lower()
    return pair.index(word) if word in pair else None


def _date(word, form):
    """Return the seconds since 1970 that a text is, or None; years of two digits are those from 1969 to 2068, as in POSIX."""
    match = next(filter(None, (pattern.fullmatch(word) for pattern in _DATES)), None)
    if match is None:
        return None
    part = match.groupdict()
    if "first" in part:
        turned = form == "month first" and part["mark"] != "."
        month, day = part["other"], part["first"]
        month, day = (day, month) if turned else (month, day)
    else:
        names = (i for i, full in enumerate(_MONTHS, 1) if full.startswith(part.get("name", "").lower()))
        month, day = part.get("month") or next(names, 0), part.get("day", 1)
    year = int(part["year"])
    if len(part["year"]) == 2:
        year += 1900 if year >= 69 else 2000
    hour = int(part["hour"] or 0)
    if part["half"]:
        hour = hour % 12 + 12 * (part["half"].lower() == "p") if 1 <= hour <= 12 else 24  # which no day has
    clock = hour, int(part["minute"] or 0), int(part["second"] or 0)
    try:
        seconds = datetime(year, int(month), int(day), *clock, tzinfo=timezone.utc).timestamp()
    except ValueError:
        return None
    return seconds + float(f"0.{part['fraction'] or 0}") - _offset(part["zone"] or "")


def _offset(zone):
    """Return how many seconds a zone, such as +02:00, is ahead of UTC."""
    if zone[:1] not in ("+", "-"):
        return 0
    digits = zone[1:].replace(":", "").ljust(4, "0")
    return int(f"{zone[0]}1") * (3600 * int(digits[:2]) + 60 * int(digits[2:]))


_VALUE = {
    "boolean": _boolean,
    "number": number,
    "date": _date,
}  # by kind, what returns the value of a text in a form, or None


def _values(kind, words, form, most=0):
    """Return a dict from text to value, or None where more texts than ``most`` have none or no text has the marks of the form.

    No texts at all are numbers: a column without a value has to be of some kind.
    """
    if not words and kind != "number" or form in _GROUPED and not any(map(_GROUPED[form].fullmatch, words)):
        return None
    value_of, values, strays = _VALUE[kind], {}, 0
    for word in words:
        value = value_of(word, form)
        if value is not None:
            values[word] = value
        elif strays < most:
            strays += 1
        else:
            return None
    return values


def _forms(kind, words, comma):
    """Return the forms of a kind, the likeliest first: of 3/2/2024 the month, of 3-2-2024 and 3.2.2024 the day is first."""
    if kind == "boolean":
        return PAIRS
    if kind == "number":
        return _COMMA if comma else _POINT
    return ("month first", "day first") if any("/" in word for word in words) else ("day first", "month first")


def has_value(word, kind, comma=False):
    """Return whether a text has a value of a kind in any form."""
    return any(_values(kind, [word], form) for form in _forms(kind, [word], comma))


def meant(words, comma=False, known=(None, None)):
    """Return what distinct texts mean, none of which is missing.

    Parameters
    ----------
    words : list of str
    comma : bool
        Whether 1,5 may be a number.
    known : tuple
        Kind and form that training knew; (None, None) for a column that is new.

    Returns
    -------
    kind : {"boolean", "number", "date", "category"}
    form : str, tuple of str or None
        Words of booleans, marks of numbers, order of dates; None where all forms of dates mean the same.
    values : dict or None
        From text to value; None for categories.
    doubt : str or None
        What one of the texts could mean too.
    """
    kind, form = known
    for one in ("boolean", "number", "date") if kind is None else (kind,) if kind in _VALUE else ():
        if one == "number" and kind is None and are_codes(words):
            break
        found = _fitting(one, words, comma, form)
        if found is not None:
            return one, *found
    if kind not in (None, "category"):
        return meant(words, comma)
    return "category", None, None, _two_orders(words) if kind is None else None


def _two_orders(words):
    """Return a doubt where texts are dates of which some can only have the month first and some the day, else None."""
    if not words or not all(has_value(word, "date") for word in words):
        return None
    month, day = (next(word for word in words if _date(word, form) is None) for form in ("day first", "month first"))
    return f"{day!r} has the day first but {month!r} the month: so they are categories, not dates"


def are_codes(words):
    """Return whether texts are integers of which one has leading zeros."""
    zeros = any(word[0] == "0" and len(word) > 1 and word.isdecimal() for word in words)
    return zeros and all(map(_INTEGER.fullmatch, words))


def _fitting(kind, words, comma, known):
    """Return the form of a kind that fits, the values and a doubt or None; None where no form fits."""
    forms, fits = _forms(kind, words, comma), {}
    for form in dict.fromkeys((known, *forms) if known in forms else forms):
        values = _values(kind, words, form)
        if values is not None:
            fits[form] = values
            if form in (known, ".") or kind == "boolean":
                break
    if not fits:
        return None
    (form, values), *others = fits.items()
    other = next((other for _, other in others if other != values), None)
    if other is not None:
        word = next(word for word in words if other[word] != values[word])
        said = f"{word!r} is read as {_shown(kind, values[word])} but could be {_shown(kind, other[word])}: no row tells which"
        return form, values, said
    if kind == "date" and others:
        return None, values, None
    if kind == "date" and known in forms and form != known:
        word = next(word for word in words if _date(word, known) is None)
        return form, values, f"{word!r} has the {form}, in training it was the {known}"
    return form, values, None


def _shown(kind, value):
    return str(np.datetime64(int(value), "s"))[:10] if kind == "date" else repr(value)


def nearly_all(kind, words, comma, most):
    """Return a dict from text to value in the form of a kind in which fewest texts have none; None where it is more than ``most``."""
    found = (_values(kind, words, form, int(most)) for form in _forms(kind, words, comma))
    return max((values for values in found if values is not None), key=len, default=None)
