from collections.abc import Callable
from typing import Any, TypeVar

_R = TypeVar("_R", bound=tuple[Any, ...])

def run(
    messages: list[Any], start: int, methods: tuple[Callable[[Any], Any], ...], kind: type[_R]
) -> list[_R]: ...
