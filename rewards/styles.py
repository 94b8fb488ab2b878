"""CSS styles as far as they decide whether a text can be read: colours, sizes, and what is not displayed.

A colour or a declaration that is not known here is reported as None, for the caller to be careful.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

BLANKS = " \t\n\r\f"
"""White space in styles."""

Colour = tuple[int, int, int]
BLACK, WHITE = (0, 0, 0), (255, 255, 255)
TRANSPARENT = (-1, -1, -1)
CONTRAST = 48
"""Text can be read if its colour differs from the background's by this much in red, green or blue."""
COLOURS: Mapping[str, Colour] = {
    **{"black": BLACK, "white": WHITE, "transparent": TRANSPARENT, "red": (255, 0, 0), "lime": (0, 255, 0)},
    **{"blue": (0, 0, 255), "yellow": (255, 255, 0), "aqua": (0, 255, 255), "fuchsia": (255, 0, 255)},
    **{"silver": (192, 192, 192), "gray": (128, 128, 128), "grey": (128, 128, 128), "maroon": (128, 0, 0)},
    **{"green": (0, 128, 0), "navy": (0, 0, 128), "olive": (128, 128, 0), "teal": (0, 128, 128)},
    **{"purple": (128, 0, 128), "orange": (255, 165, 0)},
}
HEX = re.compile(r"#(?:[0-9a-f]{3,4}|[0-9a-f]{6}|[0-9a-f]{8})")
RGB = re.compile(r"rgba?\(\s*([0-9]{1,3})\s*,\s*([0-9]{1,3})\s*,\s*([0-9]{1,3})\s*(?:,\s*([01](?:\.0{1,9})?)\s*)?\)")


def parse_colour(value: Any) -> Colour | None:
    """Red, green and blue of a CSS colour, TRANSPARENT, or None for a colour that is not known here."""
    if not isinstance(value, str):
        return None
    name = value.strip(BLANKS).lower()
    if HEX.fullmatch(name):
        digits = name[1:] if len(name) > 5 else "".join(digit * 2 for digit in name[1:])
        red, green, blue, alpha = (int(digits[i : i + 2] or "ff", 16) for i in (0, 2, 4, 6))
    elif parts := RGB.fullmatch(name):
        red, green, blue = (min(int(part), 255) for part in parts.groups()[:3])
        alpha = 0 if (parts[4] or "1").startswith("0") else 255
    else:
        return COLOURS.get(name)
    return (red, green, blue) if alpha == 255 else TRANSPARENT if alpha == 0 else None


def is_readable(colour: Colour, background: Colour) -> bool:
    return colour != TRANSPARENT and any(abs(a - b) >= CONTRAST for a, b in zip(colour, background, strict=True))


SAFE_STYLE = re.compile(
    r"text-align:(?:left|right|center|justify|start|end)|font-weight:(?:normal|bold|bolder|lighter|[1-9]00)"
    r"|font-style:(?:normal|italic|oblique)|text-decoration:(?:none|underline)|opacity:(?:1(?:\.0+)?|100%)"
    r"|vertical-align:(?:top|middle|bottom|baseline)|width:[1-9][0-9]*(?:\.[0-9]+)?(?:px|pt|em|rem|%)"
    r"|(?:margin|padding)(?:-(?:left|right|top|bottom))?:[0-9]{1,2}(?:\.[0-9]+)?(?:px|pt|em|rem|%)?"
)
"""Declarations that leave a text as it is."""
GONE_STYLE = re.compile(r"display:none|opacity:0+(?:\.0+)?%?")
NO_SIZE = re.compile(r"0+(?:\.0+)?(?:px|pt|em|rem|%)?")
FIXED_SIZE = re.compile(
    r"(?:[6-9]|[1-9][0-9])(?:\.[0-9]+)?p[xt]|[1-9](?:\.[0-9]+)?rem|medium|(?:x{1,2}-)?(?:small|large)"
)
RELATIVE_SIZE = re.compile(r"[1-9](?:\.[0-9]+)?em|1[0-9]{2}%")


class Look(NamedTuple):
    """How text inside an element is displayed. Descendants inherit it."""

    skipped: bool = False
    """Inside an element that counts as OBJECT."""
    gone: bool = False
    """Not displayed, whatever the styles of descendants."""
    hidden: bool = False
    tiny: bool = False
    colour: Colour = BLACK
    background: Colour = WHITE
    code: bool = False

    @property
    def seen(self) -> bool:
        return not (self.gone or self.hidden or self.tiny) and is_readable(self.colour, self.background)


def styled(look: Look, style: str) -> Look | None:
    """The look with a `style` attribute, or None if the effect of a declaration is not known here."""
    result: Look | None = look
    for declaration in style.lower().split(";"):
        name, colon, value = (part.strip(BLANKS) for part in declaration.partition(":"))
        if result is not None and (name or colon):
            result = _declared(result, name, value)
    return result


def _declared(look: Look, name: str, value: str) -> Look | None:
    declaration = f"{name}:{value}"
    if SAFE_STYLE.fullmatch(declaration):
        return look
    if GONE_STYLE.fullmatch(declaration):
        return look._replace(gone=True)
    if name == "visibility" and value in ("visible", "hidden", "collapse"):
        return look._replace(hidden=value != "visible")
    if name == "font-size" and NO_SIZE.fullmatch(value):
        return look._replace(tiny=True)
    if name == "font-size" and FIXED_SIZE.fullmatch(value):
        return look._replace(tiny=False)
    if name == "font-size" and RELATIVE_SIZE.fullmatch(value):
        return look
    colour = parse_colour(value) if name in ("color", "background-color", "background") else None
    if colour is None:
        return None
    if name == "color":
        return look._replace(colour=colour)
    return look if colour == TRANSPARENT else look._replace(background=colour)
