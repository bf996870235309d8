"""Fonts are chosen by their glyphs; characters that none has are told in one line."""

from __future__ import annotations

import platform
import types

import pytest
from matplotlib import font_manager, ft2font

from d2lrun.report import fonts
from d2lrun.report.curves import draw_curves

HAN, PLACEHOLDERS, BITMAPS = "汉服", "placeholders", "bitmaps"


@pytest.fixture
def installed(monkeypatch):
    """``installed({family: characters}, {path: ...})``: what matplotlib lists, and files that it does not."""

    def install(listed, unlisted=None):
        manager = types.SimpleNamespace(ttflist=[types.SimpleNamespace(name=name, fname=name) for name in listed])
        found = {**listed, **(unlisted or {})}

        class Font:
            def __init__(self, path):
                self.own, self.scalable = found.get(path, ""), path != BITMAPS

            def get_char_index(self, code):
                return 1 if chr(code) in self.own or self.own == PLACEHOLDERS else 0

        def find(wanted, **_):
            return wanted.get_family()[0]

        manager.addfont = lambda path: manager.ttflist.append(types.SimpleNamespace(name=path, fname=path))
        monkeypatch.setattr(font_manager, "fontManager", manager)
        monkeypatch.setattr(font_manager, "findfont", find)
        monkeypatch.setattr(font_manager, "findSystemFonts", lambda: list(unlisted or {}))
        monkeypatch.setattr(ft2font, "FT2Font", Font)

    for function in (fonts.cover, fonts.glyphs):
        function.cache_clear()
    fonts.lacking.clear()
    yield install
    for function in (fonts.cover, fonts.glyphs):
        function.cache_clear()
    fonts.lacking.clear()


UBUNTU = {"ID": "ubuntu", "ID_LIKE": "debian"}
LATIN = {fonts.OWN: "abc "}


@pytest.mark.parametrize("name", ["Noto Sans CJK JP", "AR PL UMing CN", "Some Font"])
def test_any_family_with_the_glyphs_is_found(installed, name):
    installed(LATIN | {"Other": "汉", name: HAN})
    assert fonts.families("abc " + HAN) == [fonts.OWN, name] and fonts.notices() == []


def test_a_font_newer_than_the_list_of_matplotlib_is_found(installed):
    installed(LATIN, {"new.ttc": HAN})
    assert fonts.families(HAN) == [fonts.OWN, "new.ttc"]


def test_two_fonts_together_have_what_none_has_alone(installed):
    installed(LATIN | {"A": "汉", "B": "服"})
    assert fonts.families(HAN) == [fonts.OWN, "A", "B"] and fonts.notices() == []


def test_placeholders_and_bitmaps_are_no_glyphs(installed):
    installed(LATIN | {"Last Resort": PLACEHOLDERS, BITMAPS: HAN})
    assert fonts.families(HAN) == [fonts.OWN]


def test_a_latin_text_needs_no_other_font(installed):
    installed(LATIN | {"Noto Sans CJK SC": HAN})
    assert fonts.families("a b\nc") == [fonts.OWN]


@pytest.mark.parametrize("system, wanted", [(UBUNTU, "fonts-noto-cjk"), ({}, "Noto Sans")])
def test_what_no_font_has_is_told_once_with_what_to_install(installed, monkeypatch, system, wanted):
    monkeypatch.setattr(platform, "freedesktop_os_release", lambda: system)
    installed(LATIN)
    fonts.families(HAN), fonts.families("汉")
    (line,) = fonts.notices()
    assert "汉" in line and wanted in line and fonts.notices() == []


def test_a_picture_without_the_glyphs_warns_of_none(tmp_path, recwarn):
    draw_curves([{"epoch": 1, "train_loss": 1.0}], tmp_path / "a.png", "\U000e0041\ue000 汉服")
    assert [str(each.message) for each in recwarn] == []
    fonts.notices()
