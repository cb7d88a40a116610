"""Work that is done one step ahead."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Callable, TypeVar

Item = TypeVar('Item')
Result = TypeVar('Result')


def prefetch(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Apply a function to items in a thread, while the result of the item before is used.

    Two results are in memory at most. What the function raises is raised where its result is due.

    Args:
        function: Takes an item; releases the GIL where it takes long, as copies do.
        items: In order.

    Yields:
        The function's results, in the order of the items.
    """
    with ThreadPoolExecutor(1) as background:
        ahead = None
        for item in items:
            following = background.submit(function, item)
            if ahead is not None:
                yield ahead.result()
            ahead = following
        if ahead is not None:
            yield ahead.result()
