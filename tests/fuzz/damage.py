"""Small, repeatable damages: of a file's bytes, of JSON's values, of elements and operators."""

from __future__ import annotations

import copy
import json
import zlib
from dataclasses import dataclass
from io import BytesIO
from random import Random
from typing import Any

BYTES = ("flip", "set", "number", "cut", "drop", "insert", "repeat", "swap")
"""Of any file. "swap" puts another valid file's beginning before this one's end."""
NASTY: tuple[Any, ...] = (
    None, True, "", [], {}, 0, -1, 1e308, -0.0, 0.5, 2**31, 2**63, 10**400, float("nan"),
    float("inf"), "x" * 5000, "../../etc/passwd", "..\\..\\x", "\0", "\ud800", "א́😀", "-1", "1e999",
    {"toString": None, "valueOf": None}, [None], [[1]], [1] * 3000, {"": {}}, "<b>{0}%s</b>",
)  # fmt: skip
"""Values in place of others."""
EDGES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
DEEP = 100_000


@dataclass(frozen=True)
class Damage:
    """One change.

    Attributes:
        how: One of `BYTES`, or "value", which changes one value within a format.
        where: Place as a share of the file, in [0, 1).
        amount: Which byte, number, length or value; any whole number from 0.
    """

    how: str
    where: float
    amount: int


def random_damages(random: Random) -> list[Damage]:
    """One to six changes; half of them near the file's beginning, where the headers are."""
    return [
        Damage(
            random.choice((*BYTES, "value", "value", "value", "flip", "number")),
            random.random() ** random.choice((1, 4)),
            random.randrange(1 << 20),
        )
        for _ in range(random.choice((1, 1, 1, 2, 3, 6)))
    ]


def damaged(content: bytes, damages: list[Damage], other: bytes, value=None) -> bytes:
    """A file's bytes with all damages.

    Args:
        content: The file.
        damages: In order.
        other: A valid file of the same kind, for "swap".
        value: Makes a "value" damage of its bytes, `(content, damage) -> content`; without it, and
            where it cannot, a number is changed in its place.
    """
    for damage in damages:
        if damage.how == "value" and value is not None:
            try:
                content = value(content, damage)
                continue
            except Exception:  # damaged too far to have values
                pass
        content = _changed(content, damage, other)
    return content


def _changed(content: bytes, damage: Damage, other: bytes) -> bytes:
    at, amount = int(damage.where * len(content)), damage.amount
    before, after = content[:at], content[at:]
    block = 1 << amount % 12  # bytes
    match damage.how:
        case "flip":
            return before + bytes([after[0] ^ (1 << amount % 8)]) + after[1:] if after else content
        case "set":
            return before + bytes([amount % 256]) + after[1:]
        case "cut":
            return before
        case "drop":
            return before + after[block:]
        case "insert":
            return before + Random(amount).randbytes(block) + after
        case "repeat":
            return before + after[:block] * (1 + amount % 50) + after
        case "swap":
            return other[:at] + after
    size = (1, 2, 4)[amount % 3]
    edge = EDGES[amount // 3 % len(EDGES)] % (1 << 8 * size)
    return before + edge.to_bytes(size, ("big", "little")[amount // 40 % 2]) + after[size:]


def change_json(content: bytes, damage: Damage) -> bytes:
    """JSON with one value replaced, removed or nested deeply."""
    root = {"": json.loads(content)}
    places = list(_places(root))
    parent, key = places[int(damage.where * len(places))]
    kind = damage.amount % (len(NASTY) + 2)
    if kind == len(NASTY) and key != "":
        del parent[key]
    elif kind > len(NASTY):
        text = json.dumps(_with(parent, key, "NEST", root)[""])
        return text.replace('"NEST"', "[" * DEEP + "]" * DEEP).encode(errors="surrogatepass")
    else:
        parent[key] = copy.deepcopy(NASTY[kind])
    return json.dumps(root[""]).encode(errors="surrogatepass")


def _with(parent: Any, key: Any, value: Any, root: dict) -> dict:
    parent[key] = value
    return root


def _places(value: Any):
    """Each place of a value within JSON, as its container and its key there; not of long lists."""
    items = value.items() if isinstance(value, dict) else enumerate(value[:20])
    for key, inner in list(items):
        yield value, key
        if isinstance(inner, dict | list):
            yield from _places(inner)


def change_png(content: bytes, damage: Damage) -> bytes:
    """A PNG with one byte of a chunk's content changed, and the chunk's checksum made to fit."""
    starts, at = [], 8
    while at < len(content):
        starts.append(at)
        at += 12 + int.from_bytes(content[at : at + 4], "big")
    at = starts[int(damage.where * len(starts))]
    length = int.from_bytes(content[at : at + 4], "big")
    chunk = bytearray(content[at + 4 : at + 8 + length])
    chunk[4 + damage.amount % length] = (0, 1, 2, 4, 127, 255)[damage.amount // 7 % 6]
    made = bytes(chunk) + zlib.crc32(chunk).to_bytes(4, "big")
    return content[: at + 4] + made + content[at + 12 + length :]


def change_dicom(content: bytes, damage: Damage) -> bytes:
    """A DICOM file with one element's value replaced by one that cannot be meant, or removed."""
    from pydicom import dcmread

    dataset = dcmread(BytesIO(content), force=True)
    elements = [element for element in dataset if element.keyword != "PixelData"]
    element = elements[int(damage.where * len(elements))]
    nasty = (*EDGES, -1, 10**9, "", None, "x" * 70, [1, 2], ["a", "b"], 1e30, "nan", "1.2.3")
    kind = damage.amount % (len(nasty) + 1)
    if kind == len(nasty):
        del dataset[element.tag]
    else:
        dataset[element.tag].value = nasty[kind]
    buffer = BytesIO()
    dataset.save_as(buffer)
    return buffer.getvalue()


def change_graph(content: bytes, damage: Damage) -> bytes:
    """An ONNX file with one number, size or name of its operators, weights or shapes changed."""
    import onnx

    model = onnx.load_model_from_string(content)
    lists = [attribute.ints for node in model.graph.node for attribute in node.attribute]
    lists += [tensor.dims for tensor in model.graph.initializer]
    lists += [names for node in model.graph.node for names in (node.input, node.output)]
    lists = [numbers for numbers in lists if len(numbers)]
    chosen = lists[int(damage.where * len(lists))]
    place = damage.amount % len(chosen)
    if isinstance(chosen[place], str):
        other = model.graph.node[damage.amount // 7 % len(model.graph.node)]
        chosen[place] = (*other.output, "", "image")[damage.amount // 50 % 3]
    else:
        chosen[place] = (0, 1, 2, 3, -1, 7, 64, 1000, 10**5, 2**31, 2**62)[damage.amount // 7 % 11]
    return model.SerializeToString()
