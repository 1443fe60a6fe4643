"""Finding and replacing what a nested state calls by name.

A name is the key of a dictionary, the field of a NamedTuple or registered dataclass, or the name of such a
class. Values are listed as Optax lists them: first those of the topmost nodes that hold the name, then what is below
these nodes.
"""

import dataclasses
import difflib
from collections.abc import Callable, Iterator
from typing import Any

import jax

KeyPath = tuple[Any, ...]
Filter = Callable[[KeyPath, Any], bool]


@dataclasses.dataclass(frozen=True)
class NamedTupleKey:
    """A step of a path into a NamedTuple, which says of which one.

    Attributes:
      tuple_name: name of the NamedTuple's class.
      name: name of the field.
    """

    tuple_name: str
    name: str

    def __str__(self) -> str:
        return f"{self.tuple_name}.{self.name}"


def path_str(keypath: KeyPath) -> str:
    """A path as one would write it in Python, such as `['layer2']['bias']`; "the root" for the empty path.

    >>> path_str((jax.tree_util.SequenceKey(0), NamedTupleKey("ScaleByAdamState", "mu")))
    '[0].mu'
    """
    steps = [f".{key.name}" if isinstance(key, NamedTupleKey) else str(key) for key in keypath]
    return "".join(steps) or "the root"


def _is_namedtuple(node: Any) -> bool:
    return isinstance(node, tuple) and hasattr(node, "_fields")


def children(node: Any) -> list[tuple[Any, Any]]:
    """(key, child) of each child of a node; nothing for a leaf."""
    pairs = jax.tree_util.tree_flatten_with_path(node, is_leaf=lambda x: x is not node)[0]
    if pairs and not pairs[0][0]:
        return []
    if _is_namedtuple(node):
        return [(NamedTupleKey(type(node).__name__, key[0].name), child) for key, child in pairs]
    return [(key[0], child) for key, child in pairs]


def _rebuild(node: Any, children: list[Any]) -> Any:
    return jax.tree.unflatten(jax.tree.structure(node, is_leaf=lambda x: x is not node), children)


def _names(path: KeyPath, node: Any) -> list[Any]:
    """What a node can be called by: the last step of its path, and the name of its class."""
    names = []
    if path and isinstance(path[-1], jax.tree_util.DictKey):
        names.append(path[-1].key)
    elif path and isinstance(path[-1], NamedTupleKey | jax.tree_util.GetAttrKey):
        names.append(path[-1].name)
    if _is_namedtuple(node) or (dataclasses.is_dataclass(node) and children(node)):
        names.append(type(node).__name__)
    return names


def _holders(path: KeyPath, node: Any, key: Any) -> Iterator[tuple[KeyPath, Any]]:
    """The topmost nodes of which a child is called `key`."""
    below = [((*path, k), child) for k, child in children(node)]
    if any(key in _names(*pair) for pair in below):
        yield path, node
    else:
        for pair in below:
            yield from _holders(*pair, key)


def _walk(path: KeyPath, node: Any) -> Iterator[tuple[KeyPath, Any]]:
    yield path, node
    for key, child in children(node):
        yield from _walk((*path, key), child)


def _matches(path: KeyPath, node: Any, key: Any, filtering: Filter | None) -> bool:
    return key in _names(path, node) and (filtering is None or bool(filtering(path, node)))


def get_all_with_path(tree: Any, key: Any, filtering: Filter | None = None) -> list[tuple[KeyPath, Any]]:
    """All values called `key`, each with its path.

    Args:
      tree: any tree, such as the state of an optimizer.
      key: key of a dictionary, field of a NamedTuple or dataclass, or name of such a class.
      filtering: keeps only values for which filtering(path, value) is true. A step into a NamedTuple is a
        `NamedTupleKey`, which knows the class: `path[-1].tuple_name == "ScaleByAdamState"`.

    Returns:
      (path, value) pairs, topmost first; a value inside another match is listed too.

    >>> [(path_str(path), value) for path, value in get_all_with_path([{"lr": 1.0}, {"lr": 2.0}], "lr")]
    [("[0]['lr']", 1.0), ("[1]['lr']", 2.0)]
    """
    found = [((), tree)] if _matches((), tree, key, filtering) else []
    nodes: list[tuple[KeyPath, Any]] = [((), tree)]
    while nodes:
        nodes = [
            ((*path, k), child)
            for root in nodes
            for path, node in _holders(*root, key)
            for k, child in children(node)
        ]
        found += [pair for pair in nodes if _matches(*pair, key, filtering)]
    return found


def get(tree: Any, key: Any, default: Any | None = None, filtering: Filter | None = None) -> Any:
    """The one value called `key`, or `default` if there is none.

    Args:
      tree: as in `get_all_with_path`, and so are key and filtering.
      default: returned where nothing matches.

    Raises:
      KeyError: several values match; the message lists their paths.

    >>> get([{"lr": 1.0}, {"decay": 0.1}], "decay")
    0.1
    """
    found = get_all_with_path(tree, key, filtering)
    if len(found) > 1:
        paths = ", ".join(path_str(path) for path, _ in found)
        raise KeyError(
            f"tree.get: {len(found)} values match {key!r}, at {paths}. Choose one with filtering=."
        )
    return found[0][1] if found else default


def set(tree: Any, filtering: Filter | None = None, /, **kwargs: Any) -> Any:
    """A copy of a tree in which the values of the given names are replaced.

    Every match is replaced; inside a replaced value nothing is looked for.

    Args:
      tree: any tree, such as the state of an optimizer.
      filtering: as in `get_all_with_path`: only values that pass are replaced.
      **kwargs: new values by name.

    Raises:
      KeyError: a name matches nothing; the message gives the nearest names, or the paths that filtering
        refused.

    >>> set([{"lr": 1.0}, {"decay": 0.1}], lr=0.5)
    [{'lr': 0.5}, {'decay': 0.1}]
    """
    missing = [key for key in kwargs if not get_all_with_path(tree, key, filtering)]
    if missing:
        raise KeyError(_nothing_called(tree, missing[0]))

    def replace(path: KeyPath, node: Any) -> Any:
        for key, value in kwargs.items():
            if _matches(path, node, key, filtering):
                return value
        pairs = children(node)
        if not pairs:
            return node
        return _rebuild(node, [replace((*path, key), child) for key, child in pairs])

    return replace((), tree)


def _nothing_called(tree: Any, key: str) -> str:
    refused = get_all_with_path(tree, key)
    if refused:
        paths = ", ".join(path_str(path) for path, _ in refused)
        return f"tree.set: filtering refused every value called {key!r}, at {paths}."
    names = list(dict.fromkeys(str(name) for path, node in _walk((), tree) for name in _names(path, node)))
    nearest = difflib.get_close_matches(key, names, n=3) or names[:20]
    return f"tree.set: nothing in the tree is called {key!r}. Did you mean {', '.join(nearest)}?"
