"""JQL's dates, all in UTC: absolute, relative to the site's clock, or by a function such as startOfDay()."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from envs.site.jql.syntax import Operand

_ABSOLUTE = re.compile(r"([0-9]{4})([-/])([0-9]{1,2})\2([0-9]{1,2})(?:[ T]([0-9]{1,2}):([0-9]{2}))?")
_RELATIVE = re.compile(r"([+-]?)\s*((?:[0-9]{1,6}\s*[wdhm]\s*)+)", re.IGNORECASE)
_PART = re.compile(r"([0-9]+)\s*([wdhm])", re.IGNORECASE)
_SECONDS = {"w": 7 * 86400, "d": 86400, "h": 3600, "m": 60}


def date_of(operand: Operand, now: int) -> int | None:
    """The date of an operand, in seconds since 1970; None if it is not a date. `now` is the time of the site's clock.

    >>> date_of(Operand("value", "-1d"), 100_000)
    13600
    """
    if operand.kind == "function":
        return _function(operand, now)
    text = operand.text.strip()
    absolute = _ABSOLUTE.fullmatch(text)
    if absolute is not None:
        year, _, month, day, hour, minute = absolute.groups("0")
        try:
            return int(datetime(int(year), int(month), int(day), int(hour), int(minute), tzinfo=UTC).timestamp())
        except ValueError:
            return None
    offset = _offset(text)
    return None if offset is None else now + offset


def _offset(text: str) -> int | None:
    """The seconds of a period such as `-4w 2d`; None if `text` is not a period."""
    match = _RELATIVE.fullmatch(text)
    if match is None:
        return None
    seconds = sum(int(count) * _SECONDS[unit.lower()] for count, unit in _PART.findall(match[2]))
    return -seconds if match[1] == "-" else seconds


def _function(operand: Operand, now: int) -> int | None:
    """The date of now(), startOfDay(), endOfWeek() and so on; None for other functions.

    The optional argument is an offset such as "-1d", or "-1" in the unit of the function.
    """
    name = operand.text.lower()
    if name == "now":
        return now if not operand.arguments else None
    match = re.fullmatch(r"(start|end)of(day|week|month|year)", name)
    if match is None or len(operand.arguments) > 1:
        return None
    text = operand.arguments[0].strip() if operand.arguments else "0"
    steps = int(text) if re.fullmatch(r"[+-]?[0-9]{1,4}", text) else 0
    offset = 0 if re.fullmatch(r"[+-]?[0-9]{1,4}", text) else _offset(text)
    if offset is None:
        return None
    try:
        start = _start(datetime.fromtimestamp(now, UTC), match[2], steps)
        end = _start(datetime.fromtimestamp(now, UTC), match[2], steps + 1)
    except (ValueError, OverflowError):
        return None
    return offset + int(start.timestamp() if match[1] == "start" else end.timestamp() - 1)


def _start(moment: datetime, unit: str, steps: int) -> datetime:
    """The start of the day, week (from Monday), month or year of `moment`, `steps` units away."""
    day = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    if unit == "day":
        return day + timedelta(days=steps)
    if unit == "week":
        return day + timedelta(weeks=steps, days=-day.weekday())
    if unit == "month":
        months = day.year * 12 + day.month - 1 + steps
        return day.replace(year=months // 12, month=months % 12 + 1, day=1)
    return day.replace(year=day.year + steps, month=1, day=1)
