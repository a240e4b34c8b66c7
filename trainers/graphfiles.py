"""Nets that others have saved as graphs: TorchScript, and what `torch.export.save` writes (.pt2).

Both are ZIP archives of data and of a program, which torch translates and runs. torch says of both readers that a
file made for it can run any code: it unpickles parts of a .pt2, and evaluates strings in it as Python. So a file is
looked through first, and torch gets a new archive of those parts alone that can only compute:

TorchScript    sources without operations that reach files or other code; the pickles in it are read by torch's own
               reader in C++, which knows tensors and plain values and has no Python
torch.export   no pickled weights; operations of `torch.ops.aten`, and arithmetic on sizes; a single tensor goes in;
               guards, metadata and traces, which may hold Python, are left out
"""

from __future__ import annotations

import ast
import io
import json
import pickle
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from unify.errors import UnifyError, error

Kind = Literal["torchscript", "export"]
_GROWS, _SMALL = 4, 1 << 26  #: weights are not compressed, sources are: times, and bytes, that an archive may unpack to

_TRUST = "save it with torch.export.save or torch.jit.save from a net that only computes"
#: Of TorchScript: these write or read files, or reach Python.
_REACHES = re.compile(r"\b(save|from_file|load_tensor|PythonOp|IgnoredPythonOp|rpc_\w+)\b")
_UNKNOWN = re.compile(r"(?<![\w.])ops\b(?!\s*\.\s*(aten|prim|prims|quantized|_quantized|torchvision)\b)[\s.]*\w*")
#: Of torch.export.
_COMPUTES = re.compile(
    r"torch\.ops\.(aten|prims)\.(?!from_file\b|save\b)\w+\.\w+|math\.(ceil|floor|sqrt|trunc)|torch\.sym_\w+|"
    r"_operator\.(getitem|add|sub|mul|truediv|floordiv|mod|pow|neg|pos|abs|eq|ne|lt|le|gt|ge|and_|or_|not_|xor)"
)
#: What sizes are made of: sympy evaluates these strings.
_SIZES = {
    "Symbol", "Integer", "Float", "Rational", "Add", "Mul", "Pow", "Mod", "Max", "Min", "floor", "ceiling", "FloorDiv",
    "CeilDiv", "CleanDiv", "PythonMod", "ModularIndexing", "PowByNatural", "IntTrueDiv", "FloatTrueDiv", "ToFloat",
    "CeilToInt", "FloorToInt", "TruncToInt", "TruncToFloat", "RoundToInt", "Where", "Equality", "Unequality",
    "StrictLessThan", "LessThan", "StrictGreaterThan", "GreaterThan", "Eq", "Ne", "Lt", "Le", "Gt", "Ge", "And", "Or",
    "Not",
}  # fmt: skip
_NAME = re.compile(r"(?!(.*\.)?__\w*__(\.|$))[A-Za-z0-9_.]*")
_SYMBOLS = re.compile(r"[A-Za-z0-9_*+/ (),-]*")  # of sizes: keys of a table, never evaluated


def kind_of(file: Path) -> Kind | None:
    """What a file is, by what is in it; None for anything else, such as plain weights."""
    try:
        with zipfile.ZipFile(file) as archive:
            names = [name.partition("/")[2] for name in archive.namelist()]
    except (OSError, zipfile.BadZipFile):
        return None
    if "constants.pkl" in names and any(name.startswith("code/") for name in names):
        return "torchscript"
    if any(re.fullmatch(r"models/[^/]+\.json", name) for name in names):
        return "export"
    return None


def load_graph(data: bytes, kind: Kind, file: object, device: torch.device) -> nn.Module:
    """The net in a file of these bytes, for inference.

    Raises `UnifyError` (bad-artifact) for a file that is damaged, or may do more than compute; nothing of it is run.
    """
    clean = _vetted(data, _script_parts if kind == "torchscript" else _export_parts, file)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TorchScript is deprecated, and files of it are still around
            if kind == "torchscript":
                script: nn.Module = torch.jit.load(io.BytesIO(clean), map_location=device)  # type: ignore[no-untyped-call]
                return script.eval()
            program = torch.export.load(io.BytesIO(clean))
            if device.type != "cpu":
                from torch.export.passes import move_to_device_pass

                program = move_to_device_pass(program, device)
            return program.module()
    except Exception as e:  # what torch raises for a graph that is not one has many types
        first = (str(e).strip().splitlines() or [""])[0]
        raise error("bad-artifact", file, f"torch cannot read it ({type(e).__name__}: {first})", _TRUST) from e


# --- What goes on to torch ------------------------------------------------------------------------------------

Parts = Iterator[tuple[str, bytes]]


def _vetted(data: bytes, parts_of: Callable[[zipfile.ZipFile, object], Parts], file: object) -> bytes:
    """An archive of what `parts_of` lets through: torch and we then read the same, whatever the ZIP had in store."""
    out = io.BytesIO()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive, zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as clean:
            infos = [info for info in archive.infolist() if not info.is_dir()]
            if sum(info.file_size for info in infos) > _GROWS * len(data) + _SMALL:
                raise error("bad-artifact", file, "says it is far larger than its file", _TRUST)
            names = [_below(info).casefold() for info in infos]
            if len(set(names)) < len(names):
                raise error("bad-artifact", file, "has two entries of one name", _TRUST)
            for name, part in parts_of(archive, file):
                clean.writestr(zipfile.ZipInfo(f"net/{name}"), part)
    except (zipfile.BadZipFile, NotImplementedError, OSError, EOFError) as e:
        raise error("bad-artifact", file, f"is damaged ({e})", "take another copy") from e
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as e:
        raise error("bad-artifact", file, f"is damaged or no graph ({e!r})", "take another copy") from e
    return out.getvalue()


def _below(info: zipfile.ZipInfo) -> str:
    """The name without the archive's own folder, which is called as one likes."""
    return info.filename.partition("/")[2]


def _entries(archive: zipfile.ZipFile) -> Iterator[tuple[str, bytes]]:
    for info in archive.infolist():
        if not info.is_dir():
            yield _below(info), archive.read(info)


def _refused(file: object, what: str) -> UnifyError:
    return error("bad-artifact", file, f"{what}; nothing of it was run", _TRUST)


def _script_parts(archive: zipfile.ZipFile, file: object) -> Parts:
    for name, part in _entries(archive):
        if name.endswith(".debug_pkl"):
            continue  # where its lines come from
        if name.startswith("code/"):
            source = part.decode()
            if found := _REACHES.search(source):
                raise _refused(file, f"uses '{found.group()}', which may do more than compute")
            if found := _UNKNOWN.search(source):
                raise _refused(file, f"uses '{found.group()}', operations that are not known here")
        yield name, part


def _export_parts(archive: zipfile.ZipFile, file: object) -> Parts:
    for name, part in _entries(archive):
        if re.fullmatch(r"models/[^/]+\.json", name):
            part = json.dumps(_plain_program(json.loads(part), file)).encode()
        elif re.fullmatch(r"data/(weights|constants)/[^/]+\.json", name):
            _refuse_pickles(json.loads(part), file)
        elif re.fullmatch(r"data/sample_inputs/[^/]+", name):
            part = _plain_inputs(part, file)
        elif not re.fullmatch(r"data/(weights|constants)/(weight|tensor)_\d+|archive_\w+|byteorder|\.data/\w+", name):
            raise _refused(file, f"holds '{name}', which is neither a graph nor weights")
        yield name, part


def _refuse_pickles(config: dict[str, Any], file: object) -> None:
    for name, facts in config["config"].items():
        if facts["use_pickle"] or not re.fullmatch(r"(weight|tensor)_\d+", facts["path_name"]):
            raise _refused(file, f"holds '{name}' as a pickle, which may hold code")


def _plain_inputs(data: bytes, file: object) -> bytes:
    """The tensors that the net was exported with, which torch unpickles with whatever code is in them."""
    out = io.BytesIO()
    try:
        torch.save(torch.load(io.BytesIO(data), weights_only=True), out)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as e:
        raise _refused(file, "holds more than tensors in its sample inputs") from e
    return out.getvalue()


def _plain_program(program: dict[str, Any], file: object) -> dict[str, Any]:
    """The program without what is not needed to run it, and nothing in it that torch could take for Python."""
    program = {**program, "guards_code": []}
    graph_module = program["graph_module"] = {
        **program["graph_module"],
        "metadata": {},
        "treespec_namedtuple_fields": {},
    }
    calls = [call for call in graph_module["module_call_graph"] if call["fqn"] == ""]
    for call in calls:
        signature = call["signature"]
        arguments, keywords = json.loads(signature["in_spec"])[1]["children_spec"]
        if keywords["children_spec"] or [a["children_spec"] for a in arguments["children_spec"]] != [[]]:
            raise error("bad-artifact", file, "takes more than one tensor of images", "export a net of images alone")
        for spec in (signature["in_spec"], signature["out_spec"]):
            _refuse_types(json.loads(spec)[1], file)
    graph_module["module_call_graph"] = calls
    for symbols in program["range_constraints"]:
        if not _SYMBOLS.fullmatch(symbols):
            raise _refused(file, f"has the size {symbols[:40]!r}, which is more than arithmetic")
    graph_module["graph"] = _plain_graph(graph_module["graph"], file)
    _refuse_strings(graph_module["signature"], file)
    return program


def _refuse_types(spec: dict[str, Any], file: object) -> None:
    """Of the containers that go in and come out: torch imports what their types name."""
    if spec["type"] not in (None, "builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict"):
        raise _refused(file, f"takes or gives a {spec['type']}, no plain container")
    if spec["type"] == "builtins.dict" or spec["type"] == "collections.OrderedDict":
        for key in json.loads(spec["context"]):
            _refuse_odd_name(key, file)
    for child in spec["children_spec"]:
        _refuse_types(child, file)


def _plain_graph(graph: dict[str, Any], file: object) -> dict[str, Any]:
    nodes = []
    for node in graph["nodes"]:
        if not _COMPUTES.fullmatch(node["target"]):
            raise _refused(file, f"uses '{node['target']}', which is not known to compute only")
        nodes.append({**node, "metadata": {}, "target": ""})
    if graph.get("custom_obj_values"):
        raise _refused(file, "holds objects that are no tensors")
    _refuse_strings({**graph, "nodes": nodes}, file)
    return {**graph, "nodes": [{**node, "metadata": {}} for node in graph["nodes"]]}


def _refuse_strings(value: Any, file: object, key: str = "") -> None:
    """All text below `value` is a name, a size that is arithmetic, or text that an operation takes."""
    if isinstance(value, dict):
        for name, below in value.items():
            _refuse_odd_name(name, file)
            if name in ("as_graph", "as_operator", "as_custom_obj", "custom_obj", "token"):
                if below is not None:
                    raise _refused(file, f"holds {name}, which is not known here")
            else:
                _refuse_strings(below, file, name)
    elif isinstance(value, list):
        for below in value:
            _refuse_strings(below, file, key)
    elif isinstance(value, str):
        if key == "expr_str":
            _refuse_expression(value, file)
        elif key not in ("as_string", "as_strings"):
            _refuse_odd_name(value, file)


def _refuse_odd_name(name: object, file: object) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise _refused(file, f"has the name {str(name)[:40]!r}, which could be code")


def _refuse_expression(text: str, file: object) -> None:
    """Only calls of `_SIZES` on each other, on numbers, and on names of symbols."""
    try:
        tree = ast.parse(text, mode="eval")
    except SyntaxError as e:
        raise _refused(file, f"has the size {text[:40]!r}, which is no expression") from e
    for node in ast.walk(tree):
        known = isinstance(node, ast.Expression | ast.Load | ast.keyword | ast.UnaryOp | ast.USub)
        known |= isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        known |= isinstance(node, ast.Name) and node.id in _SIZES
        known |= isinstance(node, ast.Constant) and (
            isinstance(node.value, int | float) or (isinstance(node.value, str) and node.value.isidentifier())
        )
        if not known:
            raise _refused(file, f"has the size {text[:40]!r}, which is more than arithmetic")
