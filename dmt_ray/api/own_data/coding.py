"""What the values in masks become: classes, and the setting `data.mask_values`."""

from collections.abc import Callable, Iterable

from dmt_ray.api.own_data.proposal import text_of
from dmt_ray.data.mask_values import IGNORED, OTHER, shown
from dmt_ray.data.survey import Masks
from dmt_ray.data.survey.contents import RARE
from dmt_ray.errors import DataError

VOID = frozenset({"void", "unlabelled", "unlabeled", "ignore", "ignored", "unknown", "undefined"})
MOSTLY = 0.2  # of the pixels: black that covers less is void, as in street scenes, and no background


def coding_of(masks: Masks) -> tuple[list[str], list[str], str]:
    """Names of the classes, lines of the recipe that say what values mean, and what was found, for people."""
    held = [(shown(value, masks.kind), share) for value, share in sorted(masks.shares.items())]
    percent = {value: f"   # {100 * share:.2f} % of the pixels" for value, share in held}
    listed = ", ".join(value if masks.kind == "numbers" else f"({value})" for value, _ in held[:8])
    seen = (
        f"{len(held)} {'colours' if masks.kind == 'colours' else 'values'}: {listed}{', ...' if len(held) > 8 else ''}"
    )
    if masks.meaning == "numbers":
        numbers = range(max(int(value) for value, _ in held if value != "255") + 1)
        names = [masks.names.get(str(k), "background" if k == 0 else f"class {k}") for k in numbers]
        return names, [], f"class numbers, {seen}"
    if masks.meaning == "instances":
        lines = ["  mask_values:   # every object has a number of its own", "    0: background", "    other: object"]
        return ["background", "object"], lines, f"numbers of objects, {seen}"
    meanings = dict[str, str]()
    objects = [value for value, share in held if not _void(value, share, masks)]
    for value, share in held:
        if masks.kind == "colours" and share < RARE and masks.names.get(value) is None:
            continue
        if _void(value, share, masks):
            meanings[value] = IGNORED
        elif masks.kind == "colours" and value in masks.names:
            meanings[value] = masks.names[value]
        elif value in ("0", "0 0 0"):
            meanings[value] = "background"
        else:
            alone = len(objects) == 2 and {"0", "0 0 0"} & set(objects)
            meanings[value] = "object" if alone else f"class {value}"
    if masks.kind == "colours":  # a colour that no mask of the sample holds may be in others
        meanings |= {
            v: IGNORED if name.lower() in VOID else name for v, name in masks.names.items() if v not in meanings
        }
        if len(held) > len([value for value, _ in held if value in meanings]):
            meanings[OTHER] = IGNORED
    if len(set(meanings.values()) - {IGNORED}) < 2:
        only = next(iter(meanings))
        raise DataError(f"masks hold {seen}: fewer than two classes; is {only} all that there is?")
    lines = [
        "  mask_values:   # what each value of the masks means: a class, or ignore",
        *(f"    {value}: {text_of(name)}{percent.get(value, '')}" for value, name in meanings.items()),
    ]
    classes = list(dict.fromkeys(name for name in meanings.values() if name != IGNORED))
    return sorted(classes, key=_order(masks)) if masks.names else classes, lines, seen


def _order(masks: Masks) -> Callable[[str], int]:
    """The order of classes in the file that names them; others come first, as the background does."""
    return lambda name: list(masks.names.values()).index(name) if name in masks.names.values() else -1


def _void(value: str, share: float, masks: Masks) -> bool:
    """Whether a value seems to be of pixels without a class."""
    if masks.names.get(value, "").lower() in VOID:
        return True
    if masks.kind == "colours":
        return value == "0 0 0" and value not in masks.names and share < MOSTLY and len(masks.shares) > 2
    others = [number for number in masks.shares if number != 255]
    return value == "255" and len(others) > 1 and max(others) < 128


def line_of(names: Iterable[str], masks: Masks) -> list[str]:
    """The line of the recipe that names the classes."""
    known = all(name in masks.names.values() for name in names)
    note = "" if known else "   # rename them as you like, here and in mask_values"
    return [f"  classes: [{', '.join(map(text_of, names))}]{note}"]
