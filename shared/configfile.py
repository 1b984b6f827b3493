"""The text of `cradle.yaml`, and its faults in words.

`read_mapping` reads the file; keys that stand there twice are refused, since YAML would silently
keep the last. `sentences` turns pydantic's errors into one sentence each, which names the key, says
where it came from if that was the environment, says what to do, and shows no value: a misplaced
password stays unseen.
"""

import difflib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, get_args

import yaml
from pydantic import BaseModel, ValidationError

from shared.errors import Misconfigured
from shared.identity import CAMERA_PATTERN

ENV_PREFIX: Final = "CRADLE_"
ENV_DELIMITER: Final = "__"


class BadConfiguration(Misconfigured):
    """The configuration has faults; its text is the first, `faults` are all."""

    def __init__(self, faults: list[str]) -> None:
        more = len(faults) - 1
        super().__init__(faults[0] + (f" (and {more} more)" if more else ""))
        self.faults = tuple(faults)


class _Loader(yaml.SafeLoader):
    """Refuses a mapping in which a key stands twice, and a date or number that there is not."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, OverflowError, LookupError, AttributeError):  # PyYAML's, all of them
            raise BadConfiguration(
                [
                    f"line {node.start_mark.line + 1}: there is no such date or number; mend it, "
                    "or put it into quotes if it is text"
                ]
            ) from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                if key.value in seen:
                    raise BadConfiguration(
                        [f"line {key.start_mark.line + 1}: {key.value} stands there a second time"]
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_mapping(path: Path) -> dict[str, Any]:
    """The file as it stands there, unchecked. Raises Misconfigured."""
    try:
        with path.open(encoding="utf-8") as file:
            content = yaml.load(file, _Loader)  # noqa: S506 - a SafeLoader
    except OSError as error:
        raise Misconfigured(f"{path}: cannot be read ({error.strerror}); check --config") from error
    except UnicodeDecodeError:
        raise Misconfigured(f"{path}: is not a UTF-8 text file") from None
    except BadConfiguration as error:
        raise Misconfigured(f"{path}, {error}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark is not None else ""
        raise Misconfigured(
            f"{path}{line}: is not valid YAML; indent with spaces, and put text that holds any of "
            ": # * & @ { [ into quotes"
        ) from None
    except RecursionError:
        raise Misconfigured(f"{path}: its brackets are nested too deep; take some out") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise Misconfigured(f"{path}: must hold `key: value` pairs, such as `cameras:`")
    return {str(key): value for key, value in content.items()}


def unknown_names(model: type[BaseModel], content: Mapping[str, Any]) -> list[str]:
    """Faults in names that pydantic-settings would pass over in silence.

    It takes keys that begin with `_` for options of its own, and ignores an environment variable
    whose section it does not know.
    """
    faults = [f"{key}: no such key; take it out" for key in content if key.startswith("_")]
    known = {name.upper() for name in model.model_fields}
    for variable in sorted(os.environ):
        section, delimiter, _ = variable.upper().removeprefix(ENV_PREFIX).partition(ENV_DELIMITER)
        if variable.upper().startswith(ENV_PREFIX) and delimiter and section not in known:
            near = _nearest(section.lower(), model)
            faults.append(f"environment {variable}: there is no section {section.lower()}{near}")
    return faults


def sentences(
    error: ValidationError, model: type[BaseModel], content: Mapping[str, Any]
) -> list[str]:
    """Every fault in a sentence."""
    return [
        _sentence(each, model, content)
        for each in error.errors(include_url=False, include_input=False)
    ]


_REQUIRED: Final = {
    "missing": "is missing; add it",
    "bool": "must be true or false",
    "int": "must be a whole number",
    "float": "must be a number",
    "finite": "must be a number",
    "string": "must be text; put it into quotes",
    "list": "must be a list, each entry behind a `-`",
    "tuple": "must be a list, each entry behind a `-`",
    "model": "must be a section with keys of its own",
    "dict": "must be a section with keys of its own",
    "greater_than_equal": "must be at least {ge}",
    "greater_than": "must be more than {gt}",
    "less_than_equal": "must be at most {le}",
    "less_than": "must be less than {lt}",
    "literal_error": "must be {expected}",
    "string_too_long": "must not be longer than {max_length} characters",
    "too_short": "needs at least {min_length} entries",
    "too_long": "has more than {max_length} entries",
}
"""What is wanted, by the error's type or its first word."""

_FORMS: Final = {
    "id": "must be 1 to 32 small letters, digits and -, and not begin with -",
    "bucket": "must be 3 to 63 small letters, digits, dots and -, such as cradle",
    "password_env": "must be the name of an environment variable that holds the password, "
    "not the password",
}
"""What a key must look like, by its name."""


def _sentence(fault: Mapping[str, Any], model: type[BaseModel], content: Mapping[str, Any]) -> str:
    location, kind = fault["loc"], fault["type"]
    key = _key(location, content)
    if kind == "extra_forbidden":
        near = _nearest(str(location[-1]), _model_at(model, location[:-1]))
        return f"{key}: no such key{near or '; take it out or mend its spelling'}"
    if kind == "string_pattern_mismatch":
        text = _FORMS.get(str(location[-1]), "has characters that it may not have")
    else:
        known = _REQUIRED.get(kind) or _REQUIRED.get(kind.partition("_")[0])
        text = known.format(**fault.get("ctx", {})) if known else fault["msg"]
    text = text.removeprefix("Value error, ")
    return f"{key}: {text}" if key else text


def _key(location: tuple[int | str, ...], content: Mapping[str, Any]) -> str:
    """`cameras.camera-1.source` rather than `cameras.0.source`, and the variable it came from."""
    parts = [str(part) for part in location]
    if len(location) > 1 and location[0] == "cameras" and isinstance(location[1], int):
        parts[:2] = [_camera_name(content.get("cameras"), location[1])]
    names = {variable.upper(): variable for variable in os.environ}
    for length in range(len(location), 0, -1):
        variable = ENV_PREFIX + ENV_DELIMITER.join(str(part) for part in location[:length]).upper()
        if variable in names:
            return f"{'.'.join(parts)} (environment {names[variable]})"
    return ".".join(parts)


def _camera_name(cameras: object, index: int) -> str:
    """By its id where that is a good one, else by its place in the list."""
    if isinstance(cameras, list) and index < len(cameras) and isinstance(cameras[index], dict):
        name = cameras[index].get("id")
        same = [each for each in cameras if isinstance(each, dict) and each.get("id") == name]
        if isinstance(name, str) and re.fullmatch(CAMERA_PATTERN, name) and len(same) == 1:
            return f"cameras.{name}"
    return f"cameras (no. {index + 1})"


def _nearest(name: str, model: type[BaseModel] | None) -> str:
    known = [] if model is None else list(model.model_fields)
    near = difflib.get_close_matches(name, known, 1)
    return f"; did you mean {near[0]}?" if near else ""


def _model_at(model: type[BaseModel], location: tuple[int | str, ...]) -> type[BaseModel] | None:
    """The section that a location lies in."""
    for part in location:
        if isinstance(part, int):
            continue
        field = model.model_fields.get(part)
        inner = next(_models(field.annotation), None) if field is not None else None
        if inner is None:
            return None
        model = inner
    return model


def _models(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)
