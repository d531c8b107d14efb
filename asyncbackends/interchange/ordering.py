"""In which order types come so that parents stand before their children. Pure."""

from collections.abc import Iterator, Mapping

from asyncbackends.schema import Schema

__all__ = ("type_groups",)


def type_groups(schema: Schema) -> list[tuple[str, ...]]:
    """Give the types in groups, parents' groups first, names in order.

    A group has one type, or all types that can be ancestors of each other; a type that can be its
    own parent is a group whose objects need an order of their own.
    """
    parents = {
        name: sorted(object_type.parent_types) for name, object_type in sorted(schema.types.items())
    }
    return list(_components(parents))


def _components(edges: Mapping[str, list[str]]) -> Iterator[tuple[str, ...]]:
    """Tarjan's strongly connected components, what is pointed at first; without recursion."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    path: list[str] = []
    for root in edges:
        if root in order:
            continue
        work = [(root, iter(edges[root]))]
        order[root] = low[root] = len(order)
        path.append(root)
        while work:
            node, targets = work[-1]
            target = next(targets, None)
            if target is not None:
                if target not in order:
                    order[target] = low[target] = len(order)
                    path.append(target)
                    work.append((target, iter(edges[target])))
                elif target in path:
                    low[node] = min(low[node], order[target])
                continue
            work.pop()
            if work:
                low[work[-1][0]] = min(low[work[-1][0]], low[node])
            if low[node] == order[node]:
                at = path.index(node)
                component, path[at:] = path[at:], []
                yield tuple(sorted(component))
