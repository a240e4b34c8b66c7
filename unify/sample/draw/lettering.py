"""Letters for signs and road paint: a 3 x 5 face, as rectangles."""

from __future__ import annotations

#: Five rows of three, top first; a set bit is ink, the highest bit leftmost.
GLYPHS: dict[str, tuple[int, int, int, int, int]] = {
    "A": (2, 5, 7, 5, 5), "B": (6, 5, 6, 5, 6), "C": (3, 4, 4, 4, 3), "D": (6, 5, 5, 5, 6), "E": (7, 4, 6, 4, 7),
    "F": (7, 4, 6, 4, 4), "G": (3, 4, 5, 5, 3), "H": (5, 5, 7, 5, 5), "I": (7, 2, 2, 2, 7), "J": (1, 1, 1, 5, 2),
    "K": (5, 5, 6, 5, 5), "L": (4, 4, 4, 4, 7), "M": (5, 7, 7, 5, 5), "N": (6, 5, 5, 5, 5), "O": (2, 5, 5, 5, 2),
    "P": (6, 5, 6, 4, 4), "Q": (2, 5, 5, 6, 3), "R": (6, 5, 6, 5, 5), "S": (3, 4, 2, 1, 6), "T": (7, 2, 2, 2, 2),
    "U": (5, 5, 5, 5, 7), "V": (5, 5, 5, 5, 2), "W": (5, 5, 7, 7, 5), "X": (5, 5, 2, 5, 5), "Y": (5, 5, 2, 2, 2),
    "Z": (7, 1, 2, 4, 7), "0": (7, 5, 5, 5, 7), "1": (2, 6, 2, 2, 7), "2": (6, 1, 2, 4, 7), "3": (6, 1, 2, 1, 6),
    "4": (5, 5, 7, 1, 1), "5": (7, 4, 6, 1, 6), "6": (3, 4, 7, 5, 7), "7": (7, 1, 2, 2, 2), "8": (7, 5, 7, 5, 7),
    "9": (7, 5, 7, 1, 6), " ": (0, 0, 0, 0, 0), "-": (0, 0, 7, 0, 0), "&": (2, 5, 2, 5, 3),
}  # fmt: skip

SHOP_NAMES = (
    "CAFE", "BOOKS", "HOTEL", "BAKERY", "PHARMACY", "SHOES", "MARKET", "BIKES", "PIZZA", "FLOWERS", "TAILOR",
    "OPTIK", "BANK", "DELI", "RADIO", "TEA", "STORE", "MOBILE", "TYRES", "SWEETS", "BAR", "NOODLES", "MUSIC",
)  # fmt: skip


def letter_boxes(
    text: str, left: float, bottom: float, height: float, width: float | None = None
) -> list[tuple[float, float, float, float]]:
    """(x0, x1, y0, y1) of the ink of `text`, upwards; runs of a row are one box. `width` fits it to a length."""
    cell_y = height / 5
    cell_x = cell_y * 0.8 if width is None else width / (len(text) * 4 - 1)
    boxes = []
    for place, letter in enumerate(text):
        for row, bits in enumerate(GLYPHS[letter]):
            x = left + place * 4 * cell_x
            y = bottom + (4 - row) * cell_y
            start = None
            for column in range(4):
                ink = column < 3 and bits >> (2 - column) & 1
                if ink and start is None:
                    start = column
                elif not ink and start is not None:
                    boxes.append((x + start * cell_x, x + column * cell_x, y, y + cell_y))
                    start = None
    return boxes
