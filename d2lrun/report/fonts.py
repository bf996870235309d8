"""Choose the fonts for the texts of a picture, by the glyphs in the installed fonts, not by the names of the fonts."""

from __future__ import annotations

import platform
import re
import unicodedata
from collections.abc import Iterable
from functools import cache

OWN = "DejaVu Sans"  # comes with matplotlib
UNASSIGNED = 0x0378  # not a character: a font with a glyph for it has placeholders instead of glyphs
SIMPLIFIED = re.compile(r"\b(SC|CN|GB)\b|Hei|Song|YaHei")  # preferred among the families with all glyphs
NAMED = 8  # most missing characters in a message
INSTALL = {
    "debian": "apt-get install fonts-noto-cjk",
    "fedora": "dnf install google-noto-sans-cjk-fonts",
    "rhel": "dnf install google-noto-sans-cjk-fonts",
    "suse": "zypper install noto-sans-cjk-fonts",
    "arch": "pacman -S noto-fonts-cjk",
    "alpine": "apk add font-noto-cjk",
}

lacking: set[str] = set()  # characters that no installed font has, since the last call of ``notices``


def families(text: str) -> list[str]:
    """Return matplotlib's own font and as few others as needed for missing glyphs; record what no font has."""
    shown = {character for character in text if unicodedata.category(character)[0] not in "CZ"}
    missing = frozenset(shown - glyphs(OWN, frozenset(shown)))
    found, left = cover(missing) if missing else ((), frozenset())
    lacking.update(left)
    return [OWN, *found]


def notices() -> list[str]:
    """Return one line if texts since the last call have characters that no installed font has, else nothing."""
    if not lacking:
        return []
    named = "".join(sorted(lacking)[:NAMED]) + ("…" if len(lacking) > NAMED else "")
    wide = any(unicodedata.east_asian_width(character) in "WF" for character in lacking)
    lacking.clear()
    return [f"pictures show boxes for {named}: no installed font has them; {advice(wide)}"]


def advice(wide: bool) -> str:
    """Return what to install on this system; ``wide`` if Chinese, Japanese or Korean characters are missing."""
    if not wide:
        return "install one that does"
    try:
        facts = platform.freedesktop_os_release()
    except OSError:  # not Linux
        facts = {}
    names = [facts.get("ID", ""), *facts.get("ID_LIKE", "").split()]
    command = next((command for name in names for known, command in INSTALL.items() if known in name), None)
    return command or "install one that does, such as Noto Sans CJK"


@cache
def cover(missing: frozenset[str]) -> tuple[tuple[str, ...], frozenset[str]]:
    """Return the families that have the ``missing`` characters, and the characters that no family has.

    If the families in matplotlib's list are not enough, installed fonts that are not in the list are searched, too.
    """
    from matplotlib.font_manager import findSystemFonts, fontManager

    names = ordered(entry.name for entry in fontManager.ttflist)
    for name in names:
        if missing <= glyphs(name, missing):
            return (name,), frozenset()
    known = {str(entry.fname) for entry in fontManager.ttflist}
    before = len(fontManager.ttflist)
    for path in sorted(set(findSystemFonts()) - known):
        try:
            fontManager.addfont(path)
        except (OSError, RuntimeError):  # damaged, or of a kind that matplotlib cannot draw
            continue
    names = ordered([*(entry.name for entry in fontManager.ttflist[before:]), *names])
    found, left = [], missing
    while left:
        best = max(names, key=lambda name: len(glyphs(name, missing) & left))
        if not glyphs(best, missing) & left:
            break
        found.append(best)
        left -= glyphs(best, missing)
    return tuple(found), left


def ordered(names: Iterable[str]) -> list[str]:
    """Return each family once, families for simplified Chinese first, then by name, so the choice is deterministic."""
    return sorted(set(names), key=lambda name: (not SIMPLIFIED.search(name), name))


@cache
def glyphs(family: str, characters: frozenset[str]) -> frozenset[str]:
    """Return the ``characters`` that matplotlib draws with this family; none for a bitmap font."""
    from matplotlib.font_manager import FontProperties, findfont
    from matplotlib.ft2font import FT2Font

    try:
        font = FT2Font(str(findfont(FontProperties(family=[family]), fallback_to_default=False)))
    except (OSError, RuntimeError, ValueError):
        return frozenset()
    if not font.scalable or font.get_char_index(UNASSIGNED):
        return frozenset()
    return frozenset(each for each in characters if font.get_char_index(ord(each)))
