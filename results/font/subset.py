"""Makes serif.woff2 and serif.ttf, the letters of Liberation Serif that figures need: python3 subset.py LiberationSerif-Regular.ttf

Needs fonttools and brotli. The font is in the Go module codeberg.org/go-fonts/liberation. Its licence, the SIL Open Font
License in the file LICENSE, allows this under another name.
"""
import sys

from fontTools import subset
from fontTools.ttLib import TTFont

LETTERS = "".join(map(chr, [*range(0x20, 0x7F), *range(0xA0, 0x100)])) + "–—‘’“”•…′″−×≤≥"

font = TTFont(sys.argv[1])
options = subset.Options()
options.flavor = "woff2"
options.layout_features = ["kern"]
options.hinting = False
options.name_IDs = [0, 1, 2, 4, 6, 13, 14]
options.recalc_timestamp = False
subsetter = subset.Subsetter(options)
subsetter.populate(text=LETTERS)
subsetter.subset(font)
for name in font["name"].names:
    if name.nameID in (1, 4, 6):
        name.string = "FigureSerif"
subset.save_font(font, "serif.woff2", options)
options.flavor = font.flavor = None
subset.save_font(font, "serif.ttf", options)
