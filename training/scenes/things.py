"""How made things and plants look: one function per kind, in unit coordinates, filling its box from edge to edge."""

from training.scenes.pen import DARK_GREY, GLASS, GREY, LAMPLIGHT, WHITE, Pen

WOOD = (122, 92, 66)
LEAF = (72, 140, 62)
CREAM = (244, 232, 208)


def ball(pen: Pen) -> None:
    pen.ellipse(0, 0, 1, 1, pen.tones.base)
    pen.curve([(0.14, 0.17), (0.32, 0.5), (0.14, 0.83)], pen.tones.dark)
    pen.curve([(0.86, 0.17), (0.68, 0.5), (0.86, 0.83)], pen.tones.dark)
    pen.ellipse(0.3, 0.1, 0.56, 0.3, pen.tones.light, outlined=False)


def car(pen: Pen) -> None:
    pen.polygon([(0.2, 0.45), (0.32, 0), (0.68, 0), (0.84, 0.45)], pen.tones.base)
    pen.polygon([(0.27, 0.42), (0.36, 0.1), (0.49, 0.1), (0.49, 0.42)], GLASS)
    pen.polygon([(0.54, 0.42), (0.54, 0.1), (0.65, 0.1), (0.76, 0.42)], GLASS)
    pen.blob(
        [(0.02, 0.66), (0.05, 0.46), (0.2, 0.4), (0.8, 0.4), (0.95, 0.5), (0.98, 0.68), (0.95, 0.84), (0.06, 0.84)],
        pen.tones.base,
    )
    pen.line([(0.1, 0.52), (0.88, 0.52)], pen.tones.light)
    pen.ellipse(0.91, 0.52, 0.98, 0.66, LAMPLIGHT)
    for left in (0.12, 0.66):
        pen.ellipse(left, 0.58, left + 0.22, 1, DARK_GREY)
        pen.ellipse(left + 0.06, 0.7, left + 0.16, 0.88, GREY, outlined=False)


def bus(pen: Pen) -> None:
    pen.rounded(0, 0, 1, 0.88, pen.tones.base, radius=0.12)
    pen.rounded(0.03, 0.6, 0.97, 0.68, pen.tones.light, radius=0.02, outlined=False)
    for left in (0.06, 0.25, 0.44, 0.63):
        pen.rounded(left, 0.14, left + 0.15, 0.48, LAMPLIGHT if pen.is_dark else GLASS, radius=0.05)
    pen.rounded(0.82, 0.14, 0.95, 0.8, GLASS, radius=0.05)
    for left in (0.14, 0.66):
        pen.ellipse(left, 0.68, left + 0.18, 1, DARK_GREY)
        pen.ellipse(left + 0.05, 0.77, left + 0.13, 0.91, GREY, outlined=False)


def house(pen: Pen) -> None:
    pen.polygon([(0.72, 0.26), (0.72, 0.04), (0.85, 0.04), (0.85, 0.4)], pen.tones.dark)
    pen.polygon([(0.08, 0.42), (0.92, 0.42), (0.92, 1), (0.08, 1)], pen.tones.base)
    pen.polygon([(0.5, 0), (1, 0.46), (0, 0.46)], pen.tones.dark)
    pen.polygon([(0.42, 1), (0.42, 0.66), (0.6, 0.66), (0.6, 1)], CREAM)
    pen.dot(0.56, 0.84, 0.02)
    for left in (0.16, 0.68):
        pen.polygon(
            [(left, 0.56), (left + 0.17, 0.56), (left + 0.17, 0.75), (left, 0.75)], LAMPLIGHT if pen.is_dark else GLASS
        )
        pen.line([(left + 0.085, 0.56), (left + 0.085, 0.75)])


def tree(pen: Pen) -> None:
    pen.polygon([(0.42, 0.55), (0.58, 0.55), (0.62, 1), (0.38, 1)], WOOD)
    crown = [(0.5, 0), (0.78, 0.08), (0.9, 0.26), (1, 0.42), (0.88, 0.62), (0.66, 0.66), (0.5, 0.7), (0.3, 0.66)]
    pen.blob([*crown, (0.1, 0.6), (0, 0.42), (0.1, 0.25), (0.24, 0.07)], pen.tones.base)
    pen.blob([(0.34, 0.12), (0.5, 0.1), (0.46, 0.22), (0.28, 0.32), (0.2, 0.28)], pen.tones.light, outlined=False)
    pen.blob([(0.5, 0.6), (0.7, 0.54), (0.84, 0.4), (0.84, 0.54), (0.68, 0.62)], pen.tones.dark, outlined=False)


def flower(pen: Pen) -> None:
    pen.line([(0.5, 0.4), (0.5, 0.98)], LEAF, weight=2)
    pen.blob([(0.5, 0.95), (0.62, 0.72), (0.9, 0.64), (0.8, 0.84)], LEAF)
    pen.blob([(0.5, 0.98), (0.36, 0.8), (0.12, 0.74), (0.22, 0.92)], LEAF)
    petals = [(0.5, 0.01), (0.13, 0.08), (0.87, 0.08), (0, 0.29), (1, 0.29), (0.23, 0.46), (0.77, 0.46)]
    for x, y in petals:
        left, top = min(max(x - 0.2, 0), 0.6), min(max(y - 0.1, 0), 0.4)
        pen.ellipse(left, top, left + 0.4, top + 0.22, pen.tones.base)
    pen.ellipse(0.2, 0.12, 0.8, 0.5, pen.tones.base, outlined=False)
    pen.ellipse(0.35, 0.21, 0.65, 0.4, pen.tones.dark)


def mushroom(pen: Pen) -> None:
    pen.blob([(0.38, 0.45), (0.62, 0.45), (0.66, 0.75), (0.7, 0.97), (0.5, 1), (0.3, 0.97), (0.34, 0.75)], CREAM)
    cap = [(0, 0.5), (0.08, 0.22), (0.3, 0.03), (0.5, 0), (0.7, 0.03), (0.92, 0.22), (1, 0.5), (0.75, 0.58), (0.5, 0.6)]
    pen.blob([*cap, (0.25, 0.58)], pen.tones.base)
    spots = pen.tones.dark if min(pen.tones.base) > 200 else WHITE
    for left, top, size in ((0.42, 0.1, 0.17), (0.16, 0.26, 0.15), (0.7, 0.27, 0.15), (0.46, 0.38, 0.12)):
        pen.ellipse(left, top, left + size, top + size, spots, outlined=False)


def umbrella(pen: Pen) -> None:
    pen.line([(0.5, 0.02), (0.5, 0.99)], GREY, weight=2)
    dome = [(0.0, 0.5), (0.06, 0.3), (0.22, 0.12), (0.5, 0.04), (0.78, 0.12), (0.94, 0.3), (1.0, 0.5)]
    hem = [(0.83, 0.43), (0.67, 0.5), (0.5, 0.43), (0.33, 0.5), (0.17, 0.43)]
    pen.polygon([*dome, *hem], pen.tones.base)
    pen.polygon([(0.33, 0.5), (0.36, 0.28), (0.5, 0.04), (0.64, 0.28), (0.67, 0.5), (0.5, 0.43)], pen.tones.light)
    pen.line([(0.5, 0), (0.5, 0.06)], weight=1.5)
    pen.curve([(0.5, 0.9), (0.54, 1), (0.62, 0.99), (0.64, 0.9)], weight=1.5)


def chair(pen: Pen) -> None:
    for left in (0.06, 0.82):
        pen.polygon([(left, 0.6), (left + 0.12, 0.6), (left + 0.12, 1), (left, 1)], pen.tones.dark)
    pen.rounded(0.06, 0, 0.94, 0.42, pen.tones.base, radius=0.14)
    for x in (0.32, 0.5, 0.68):
        pen.line([(x, 0.1), (x, 0.34)], pen.tones.dark, weight=1.6)
    pen.polygon([(0.1, 0.42), (0.2, 0.42), (0.2, 0.56), (0.1, 0.56)], pen.tones.dark)
    pen.polygon([(0.8, 0.42), (0.9, 0.42), (0.9, 0.56), (0.8, 0.56)], pen.tones.dark)
    pen.rounded(0, 0.54, 1, 0.68, pen.tones.base, radius=0.08)


def table(pen: Pen) -> None:
    for left in (0.07, 0.84):
        pen.polygon([(left, 0.16), (left + 0.09, 0.16), (left + 0.09, 1), (left, 1)], pen.tones.dark)
    pen.polygon([(0.07, 0.16), (0.93, 0.16), (0.93, 0.34), (0.07, 0.34)], pen.tones.dark)
    pen.rounded(0, 0, 1, 0.18, pen.tones.base, radius=0.06)
    pen.line([(0.05, 0.06), (0.95, 0.06)], pen.tones.light)


def cup(pen: Pen) -> None:
    handle = [(0.7, 0.2), (0.88, 0.16), (0.95, 0.36), (0.88, 0.6), (0.68, 0.72)]
    pen.curve(handle, weight=4.5)
    pen.curve(handle, pen.tones.base, weight=2.5)
    pen.blob(
        [(0, 0.08), (0.4, 0.12), (0.78, 0.08), (0.78, 0.5), (0.7, 0.9), (0.56, 1), (0.22, 1), (0.08, 0.9)],
        pen.tones.base,
    )
    pen.ellipse(0, 0, 0.78, 0.24, pen.tones.light)
    pen.ellipse(0.09, 0.05, 0.69, 0.2, pen.tones.dark, outlined=False)


def box(pen: Pen) -> None:
    pen.polygon([(0.04, 0.2), (0.96, 0.2), (0.96, 1), (0.04, 1)], pen.tones.base)
    pen.polygon([(0.04, 0.26), (0.96, 0.26), (0.96, 0.36), (0.04, 0.36)], pen.tones.dark, outlined=False)
    pen.polygon([(0.42, 0.26), (0.58, 0.26), (0.58, 0.62), (0.42, 0.62)], pen.tones.light)
    pen.polygon([(0, 0), (1, 0), (1, 0.27), (0, 0.27)], pen.tones.base)
    pen.line([(0.06, 0.09), (0.94, 0.09)], pen.tones.light)


def kite(pen: Pen) -> None:
    pen.curve([(0.5, 0.55), (0.62, 0.66), (0.4, 0.78), (0.6, 0.88), (0.5, 0.99)])
    for x, y in ((0.54, 0.7), (0.5, 0.86)):
        pen.polygon([(x, y), (x - 0.16, y - 0.03), (x - 0.16, y + 0.03)], pen.tones.base)
        pen.polygon([(x, y), (x + 0.16, y - 0.03), (x + 0.16, y + 0.03)], pen.tones.base)
    pen.polygon([(0.5, 0), (1, 0.24), (0.5, 0.6), (0, 0.24)], pen.tones.base)
    pen.polygon([(0.5, 0), (1, 0.24), (0.5, 0.24)], pen.tones.light)
    pen.polygon([(0, 0.24), (0.5, 0.24), (0.5, 0.6)], pen.tones.dark)


def balloon(pen: Pen) -> None:
    pen.curve([(0.5, 0.64), (0.58, 0.76), (0.42, 0.88), (0.52, 0.99)])
    pen.polygon([(0.5, 0.56), (0.6, 0.65), (0.4, 0.65)], pen.tones.dark)
    pen.blob(
        [
            (0.5, 0),
            (0.85, 0.09),
            (1, 0.27),
            (0.84, 0.47),
            (0.56, 0.6),
            (0.44, 0.6),
            (0.16, 0.47),
            (0, 0.27),
            (0.15, 0.09),
        ],
        pen.tones.base,
    )
    pen.blob([(0.24, 0.14), (0.38, 0.08), (0.34, 0.18), (0.22, 0.28), (0.16, 0.24)], pen.tones.light, outlined=False)


def plane(pen: Pen) -> None:
    pen.polygon([(0.46, 0.45), (0.36, 0.04), (0.45, 0.04), (0.66, 0.45)], pen.tones.dark)
    pen.polygon([(0.03, 0), (0.13, 0), (0.26, 0.42), (0.08, 0.45)], pen.tones.dark)
    pen.blob(
        [
            (0, 0.36),
            (0.2, 0.36),
            (0.55, 0.34),
            (0.85, 0.36),
            (0.97, 0.46),
            (1, 0.56),
            (0.9, 0.68),
            (0.6, 0.7),
            (0.2, 0.62),
        ],
        pen.tones.base,
    )
    pen.polygon([(0.4, 0.58), (0.64, 0.58), (0.4, 1), (0.3, 1)], pen.tones.base)
    pen.polygon([(0.86, 0.4), (0.93, 0.42), (0.96, 0.5), (0.86, 0.5)], GLASS)
    for x in (0.34, 0.45, 0.56, 0.67, 0.78):
        pen.dot(x, 0.47, 0.045, GLASS)


def boat(pen: Pen) -> None:
    pen.line([(0.46, 0.02), (0.46, 0.76)], WOOD, weight=2)
    pen.polygon([(0.52, 0), (0.52, 0.66), (0.98, 0.66)], pen.tones.light)
    pen.polygon([(0.4, 0.14), (0.4, 0.66), (0.08, 0.66)], pen.tones.light)
    pen.blob([(0, 0.74), (0.5, 0.76), (1, 0.74), (0.92, 0.9), (0.78, 1), (0.22, 1), (0.08, 0.9)], pen.tones.base)
    pen.line([(0.1, 0.84), (0.9, 0.84)], pen.tones.dark)
