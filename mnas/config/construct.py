"""A constructor's keywords as the schema of a TOML table."""

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any, get_args, get_origin

from pydantic import TypeAdapter, ValidationError

from search_space.errors import InputError, require_known


def _readable(annotation: Any) -> str:
    """Write a type as a user of TOML would: `a number`, `sgd or rmsprop`, `a string or nothing`."""
    if get_origin(annotation) is list:
        return f"a list: {_readable(get_args(annotation)[0])}, …"
    if get_origin(annotation) is not None:
        return " or ".join(map(_readable, get_args(annotation)))
    words = {
        int: "an integer",
        float: "a number",
        bool: "true or false",
        str: "a string",
        type(None): "nothing",
    }
    return (
        "a table"
        if dataclasses.is_dataclass(annotation)
        else words.get(annotation, str(annotation))
    )


def construct(
    factory: Callable[..., Any], table: Mapping[str, Any], place: str, *fixed: Any
) -> Any:
    """Call `factory(*fixed, **table)` after checking the table against its keyword-only parameters.

    A parameter that is itself a dataclass takes a table of its own, laid over its default.

    Raises:
        InputError: naming the place, the value and what is allowed.
    """
    try:
        signature = inspect.signature(factory, eval_str=True)
        signature.bind_partial(*fixed)
    except (TypeError, ValueError) as error:
        raise InputError(f"{place}.name: is no {place} ({error})") from None
    takes = {p.name: p for p in signature.parameters.values() if p.kind is p.KEYWORD_ONLY}
    keywords = {}
    for key, value in table.items():
        require_known(key, takes, place=f"{place}.", owner=f"[{place}]")
        annotation = (
            Any if takes[key].annotation is inspect.Parameter.empty else takes[key].annotation
        )
        if dataclasses.is_dataclass(annotation) and isinstance(value, Mapping):
            default = takes[key].default
            said = {} if default is inspect.Parameter.empty else dataclasses.asdict(default)
            keywords[key] = construct(annotation, {**said, **value}, f"{place}.{key}")
            continue
        try:
            keywords[key] = TypeAdapter(annotation).validate_python(value, strict=True)
        except ValidationError:
            raise InputError(f"{place}.{key}: {value!r}; takes {_readable(annotation)}") from None
    for name, parameter in takes.items():
        if parameter.default is parameter.empty and name not in keywords:
            raise InputError(f"{place}.{name}: missing; takes {_readable(parameter.annotation)}")
    try:
        return factory(*fixed, **keywords)
    except InputError as error:
        raise error.at(f"{place}.") from None
