"""Letters that the figures' own font lacks, such as Chinese ones: drawn in another font that is installed, or told."""

import logging
from functools import cache

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.font_manager import FontEntry, FontProperties, findfont, fontManager, get_font
from matplotlib.text import Text

from lib.errors import printable

log = logging.getLogger(__name__)

_told: set[str] = set()  # letters that this process has warned of already


def make_legible(fig: Figure) -> None:
    """Give the texts of `fig` further fonts for the letters that theirs lacks. Those that no installed font has are told.

    Bytes of a name that are no UTF-8, at which matplotlib stops, are written out.
    """
    for ax in fig.axes:
        for axis in (ax.xaxis, ax.yaxis):
            names = [label.get_text() for label in axis.get_ticklabels()]  # which have no text before somebody asks
            if (shown := [*map(printable, names)]) != names:
                axis.set_ticks(axis.get_majorticklocs(), shown)
    texts = [text for text in fig.findobj(Text) if not text.get_text().isascii()]
    for text in texts:
        text.set_text(printable(text.get_text()))
    letters = {letter for text in texts for letter in text.get_text() if not letter.isspace()}
    lacking = sorted(letters - _letters(findfont(FontProperties())))
    family = {letter: family_with(letter) for letter in lacking}
    others = list(dict.fromkeys(filter(None, family.values())))
    for text in texts if others else []:
        text.set_fontfamily([*text.get_fontfamily(), *others])
    _tell({letter for letter in lacking if family[letter] is None})


@cache
def family_with(letter: str) -> str | None:
    """An installed font family that has `letter`, a plain one rather than a bold or slanted one; None without."""
    entries = (entry for entry in fontManager.ttflist if not entry.name.startswith("Last Resort"))
    fitting = (entry for entry in sorted(entries, key=_plainness) if letter in _letters(entry.fname))
    return next((entry.name for entry in fitting), None)


def _plainness(entry: FontEntry) -> tuple:
    return entry.style != "normal", entry.weight not in (400, "normal", "regular"), "Sans" not in entry.name, entry.name


@cache
def _letters(path: str) -> frozenset[str]:
    """The letters of a font; none of one that cannot be read."""
    try:
        return frozenset(map(chr, get_font(path).get_charmap()))
    except (OSError, RuntimeError):
        return frozenset()


def _tell(lost: set[str]) -> None:
    if lost - _told:
        log.warning(
            "No installed font has the letters %s, so figures show boxes in their place: install one that has them (Noto Sans "
            "CJK: apt-get install fonts-noto-cjk), then remove %s, where matplotlib keeps its list of fonts, and begin anew.",
            "".join(sorted(lost)),
            mpl.get_cachedir(),
        )
        _told.update(lost)
