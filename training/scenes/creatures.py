"""How animals look: one function per kind, in unit coordinates, filling its box from edge to edge, facing right."""

from training.scenes.pen import INK, WHITE, Pen


def _eye(pen: Pen, x: float, y: float, radius: float = 0.05) -> None:
    pen.dot(x, y, radius * 1.6, WHITE)
    pen.dot(x, y, radius, INK)


def dog(pen: Pen) -> None:
    pen.blob([(0.16, 0.56), (0.04, 0.44), (0, 0.24), (0.04, 0.18), (0.1, 0.36), (0.2, 0.46)], pen.tones.base)
    for left in (0.2, 0.56):
        pen.rounded(left, 0.6, left + 0.1, 0.97, pen.tones.dark, radius=0.05)
    pen.blob(
        [(0.08, 0.48), (0.3, 0.4), (0.6, 0.4), (0.74, 0.48), (0.74, 0.7), (0.5, 0.76), (0.14, 0.74)], pen.tones.base
    )
    for left in (0.1, 0.64):
        pen.rounded(left, 0.6, left + 0.11, 1, pen.tones.base, radius=0.05)
    pen.blob(
        [(0.12, 0.52), (0.3, 0.44), (0.6, 0.44), (0.7, 0.6), (0.6, 0.72), (0.2, 0.7)], pen.tones.base, outlined=False
    )
    pen.blob(
        [(0.56, 0.2), (0.66, 0.04), (0.82, 0.04), (0.88, 0.2), (0.99, 0.28), (1, 0.42), (0.84, 0.48), (0.62, 0.46)],
        pen.tones.base,
    )
    pen.blob([(0.6, 0.06), (0.68, 0), (0.72, 0.14), (0.66, 0.36), (0.57, 0.36), (0.54, 0.2)], pen.tones.dark)
    pen.dot(0.985, 0.3, 0.05, INK if sum(pen.tones.base) > 150 else pen.tones.line)
    pen.curve([(0.98, 0.4), (0.92, 0.43), (0.86, 0.4)], weight=0.7)
    _eye(pen, 0.81, 0.19, 0.035)


def cat(pen: Pen) -> None:
    outside = [(0.34, 0.99), (0.1, 0.98), (0, 0.82), (0.02, 0.7), (0.06, 0.6), (0.02, 0.54), (0.08, 0.5)]
    inside = [(0.15, 0.6), (0.11, 0.74), (0.14, 0.86), (0.34, 0.84)]
    pen.blob([*outside, *inside], pen.tones.base)
    pen.blob(
        [(0.36, 0.5), (0.66, 0.46), (0.86, 0.6), (0.92, 0.86), (0.8, 0.99), (0.3, 0.99), (0.2, 0.84)], pen.tones.base
    )
    for left in (0.46, 0.64):
        pen.rounded(left, 0.7, left + 0.15, 1, pen.tones.base, radius=0.08)
    pen.polygon([(0.34, 0.22), (0.36, 0), (0.55, 0.12)], pen.tones.base)
    pen.polygon([(0.74, 0.12), (0.94, 0), (0.95, 0.22)], pen.tones.base)
    pen.ellipse(0.28, 0.1, 1, 0.58, pen.tones.base)
    _eye(pen, 0.51, 0.29, 0.045)
    _eye(pen, 0.78, 0.29, 0.045)
    pen.polygon([(0.61, 0.39), (0.69, 0.39), (0.65, 0.43)], pen.tones.dark)
    for y in (0.4, 0.46):
        pen.line([(0.5, y), (0.3, y - 0.03 + (y - 0.4))], weight=0.6)
        pen.line([(0.8, y), (0.99, y - 0.03 + (y - 0.4))], weight=0.6)


def rabbit(pen: Pen) -> None:
    for left in (0.42, 0.66):
        pen.ellipse(left, 0, left + 0.2, 0.4, pen.tones.base)
        pen.ellipse(left + 0.06, 0.06, left + 0.14, 0.34, pen.tones.light, outlined=False)
    pen.ellipse(0, 0.72, 0.26, 0.92, pen.tones.light)
    pen.blob([(0.2, 0.72), (0.4, 0.55), (0.7, 0.55), (0.88, 0.75), (0.9, 0.96), (0.6, 1), (0.24, 0.98)], pen.tones.base)
    pen.ellipse(0.62, 0.88, 1, 1, pen.tones.base)
    pen.ellipse(0.2, 0.88, 0.58, 1, pen.tones.base)
    pen.ellipse(0.32, 0.28, 0.96, 0.64, pen.tones.base)
    _eye(pen, 0.52, 0.42, 0.05)
    _eye(pen, 0.8, 0.42, 0.05)
    pen.polygon([(0.61, 0.49), (0.71, 0.49), (0.66, 0.53)], pen.tones.dark)


def bird(pen: Pen) -> None:
    pen.polygon([(0, 0.5), (0.06, 0.82), (0.34, 0.68)], pen.tones.dark)
    pen.blob([(0.46, 0.58), (0.5, 0.2), (0.7, 0.02), (0.74, 0.1), (0.66, 0.5)], pen.tones.dark)
    pen.polygon([(0.9, 0.5), (1, 0.58), (0.9, 0.64)], (244, 166, 40))
    pen.blob(
        [
            (0.14, 0.68),
            (0.4, 0.5),
            (0.66, 0.48),
            (0.78, 0.38),
            (0.92, 0.44),
            (0.92, 0.64),
            (0.76, 0.9),
            (0.46, 1),
            (0.24, 0.88),
        ],
        pen.tones.base,
    )
    pen.blob([(0.62, 0.66), (0.46, 0.36), (0.14, 0), (0.12, 0.2), (0.2, 0.5), (0.4, 0.76)], pen.tones.light)
    _eye(pen, 0.82, 0.53, 0.045)


def butterfly(pen: Pen) -> None:
    for side in (-1, 1):
        upper = [(0.04, 0.36), (0.12, 0.1), (0.36, 0), (0.5, 0.12), (0.42, 0.38), (0.2, 0.5)]
        pen.blob([(0.5 + side * x, y) for x, y in upper], pen.tones.base)
        pen.blob(
            [
                (0.5 + side * x, y)
                for x, y in ((0.04, 0.5), (0.24, 0.5), (0.42, 0.66), (0.34, 0.94), (0.2, 1), (0.08, 0.8))
            ],
            pen.tones.base,
        )
        pen.blob(
            [(0.5 + side * x, y) for x, y in ((0.22, 0.16), (0.38, 0.12), (0.36, 0.3), (0.22, 0.36))],
            pen.tones.light,
            outlined=False,
        )
        pen.blob(
            [(0.5 + side * x, y) for x, y in ((0.2, 0.62), (0.32, 0.68), (0.28, 0.84), (0.18, 0.82))],
            pen.tones.dark,
            outlined=False,
        )
        pen.curve([(0.5, 0.22), (0.5 + side * 0.05, 0.1), (0.5 + side * 0.12, 0.03)])
    pen.ellipse(0.46, 0.18, 0.54, 0.86, (70, 60, 60))


def fish(pen: Pen) -> None:
    pen.blob([(0.24, 0.5), (0.02, 0.12), (0.1, 0.5), (0.02, 0.88)], pen.tones.dark)
    pen.blob([(0.4, 0.24), (0.5, 0.02), (0.7, 0.04), (0.74, 0.3)], pen.tones.dark)
    pen.blob([(0.44, 0.78), (0.46, 0.98), (0.6, 0.96), (0.64, 0.8)], pen.tones.dark)
    pen.blob(
        [(0.18, 0.5), (0.4, 0.2), (0.66, 0.14), (0.9, 0.3), (1, 0.52), (0.9, 0.72), (0.66, 0.86), (0.4, 0.8)],
        pen.tones.base,
    )
    pen.blob([(0.44, 0.3), (0.66, 0.22), (0.8, 0.3), (0.6, 0.36)], pen.tones.light, outlined=False)
    pen.curve([(0.74, 0.3), (0.68, 0.5), (0.74, 0.72)])
    pen.blob([(0.6, 0.5), (0.46, 0.44), (0.42, 0.62), (0.58, 0.6)], pen.tones.dark)
    _eye(pen, 0.86, 0.42, 0.055)
