"""Class names in any script: drawn in a font that has them, or told."""

import warnings

import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager

from lib.report.figures import fonts
from lib.report.figures.style import figure, png_of

CAT = "\u732b"  # in Chinese and Japanese


@pytest.fixture
def cat_font(tmp_path, monkeypatch):
    """A font that has one letter, a black square, as if it were installed."""
    pen = TTGlyphPen(None)
    pen.moveTo((100, 0))
    for corner in ((100, 700), (800, 700), (800, 0)):
        pen.lineTo(corner)
    pen.closePath()
    square = pen.glyph()
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder([".notdef", "cat"])
    builder.setupCharacterMap({ord(CAT): "cat"})
    builder.setupGlyf({".notdef": TTGlyphPen(None).glyph(), "cat": square})
    builder.setupHorizontalMetrics({".notdef": (900, 0), "cat": (900, 100)})
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": "Cat Sans", "styleName": "Regular"})
    builder.setupOS2(sTypoAscender=800)
    builder.setupPost()
    builder.save(tmp_path / "cat.ttf")
    monkeypatch.setattr(font_manager.fontManager, "ttflist", list(font_manager.fontManager.ttflist))
    font_manager.fontManager.addfont(tmp_path / "cat.ttf")
    forget()
    yield
    forget()


def forget():
    fonts._told.clear()
    fonts.family_with.cache_clear()
    font_manager.fontManager._findfont_cached.cache_clear()


def bars(name):
    with figure(3, 2) as fig:
        ax = fig.subplots()
        ax.bar([name, "dog"], [1, 2])
        ax.set_title(f"{name} and dog")
    return fig


def drawn(name):
    """The picture, and the letters of which matplotlib complains."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        png = png_of(bars(name))
    return png, [str(warning.message) for warning in caught if "Glyph" in str(warning.message)]


def test_letters_are_drawn_in_a_font_that_has_them(cat_font, caplog):
    _, complaints = drawn(CAT)
    assert complaints == []
    assert "No installed font" not in caplog.text
    tick = bars(CAT).axes[0].get_xticklabels()[0]
    assert (tick.get_text(), tick.get_fontfamily()[-1]) == (CAT, "Cat Sans")


def test_letters_that_no_font_has_are_told_once(monkeypatch, caplog):
    own = [entry for entry in font_manager.fontManager.ttflist if entry.name.startswith("DejaVu Sans")]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", own)
    forget()
    drawn(CAT)
    assert f"No installed font has the letters {CAT}, so" in caplog.text
    caplog.clear()
    drawn(f"{CAT} again")
    assert caplog.text == ""
    forget()


@pytest.mark.parametrize(
    "name", ["Ärger™ €", "naïve café", "\u0444\u0438\u043b\u0438\u043d", "\u0642\u0637", "α ≤ β → ¬γ"]
)
def test_what_the_own_font_has_stays_in_it(name, caplog):
    forget()
    assert drawn(name)[1] == []
    assert caplog.text == ""
    assert bars(name).axes[0].title.get_fontfamily() == ["sans-serif"]


def test_bytes_of_a_name_that_are_no_utf8_are_written_out():
    """matplotlib stops at them; they stand at an axis and in a title."""
    name = "gr\udcfcn"
    with figure(2, 2) as fig:
        ax = fig.subplots()
        ax.bar([0, 1], [1, 2])
        ax.set_xticks([0, 1], [name, "b"])
        ax.set_title(name)
    assert png_of(fig)
    assert [label.get_text() for label in ax.get_xticklabels()] == [r"gr\udcfcn", "b"]
    assert ax.get_title("left") == r"gr\udcfcn"
