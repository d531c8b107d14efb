"""From the dict form of an object to the parts that engines store. Pure."""

from collections.abc import Mapping

import msgspec

from asyncbackends.errors import InvalidRequestError
from asyncbackends.narrowing import is_list, is_mapping
from asyncbackends.object_model.values import (
    canonical_id,
    checked_index_key,
    checked_text,
    encoded,
    fq_key,
    json_text,
    json_texts,
    plain_text,
)
from asyncbackends.object_model.views import TypeView
from asyncbackends.object_model.writes import RefTarget
from asyncbackends.protocols.guarantees import Limits
from asyncbackends.protocols.values import Json

__all__ = ("Fields", "element_key", "normalise")


REF_KEYS = frozenset({"uuid", "to", "attr"})


class Fields(msgspec.Struct):
    """A written dict, taken apart."""

    key: str | None = None
    parent_type: str | None = None
    parent_uuid: str | None = None
    properties: dict[str, Json] = msgspec.field(default_factory=dict[str, Json])
    """Checked values; None removes."""
    document: str = "{}"
    """Those that are not None, as a JSON object."""
    index: dict[str, str | None] = msgspec.field(default_factory=dict[str, str | None])
    elements: dict[str, list[tuple[str, str]]] = msgspec.field(
        default_factory=dict[str, list[tuple[str, str]]]
    )
    refs: dict[str, list[RefTarget]] = msgspec.field(default_factory=dict[str, list[RefTarget]])
    size: int = 0


def normalise(view: TypeView, uuid: str, obj_dict: Mapping[str, Json], limits: Limits) -> Fields:
    """Check every field of a written dict and take it apart.

    :raises InvalidRequestError: naming type, uuid, field and reason.
    """
    if not isinstance(obj_dict, Mapping):
        message = f"{view.name} {uuid}: an object is a dict, not {type(obj_dict).__name__}"
        raise InvalidRequestError(message)
    fields = Fields()
    for field, value in obj_dict.items():
        role, name = view.role(field)
        if role == "property":
            fields.properties[field] = value
        else:
            where = f"{view.name} {uuid}: {field}"
            if role == "identity":
                _identity(fields, uuid, field, value, where, limits)
            elif role == "refs":
                fields.refs[name] = _refs(fields, view, name, value, where, limits)
            elif role in {"list", "map"}:
                fields.elements[field] = _elements(fields, view, field, value, where, limits)
            else:
                message = f"{where} is read-only: it follows from other objects"
                raise InvalidRequestError(message)
    for field in view.object_type.indexed:
        if field in fields.properties:
            where = f"{view.name} {uuid}: {field}"
            value = fields.properties[field]
            fields.index[field] = None if value is None else checked_index_key(value, where)
    _encode_properties(fields, view.name, uuid, limits)
    if limits.object_bytes is not None and fields.size > limits.object_bytes:
        message = (
            f"{view.name} {uuid} takes {fields.size} bytes as JSON; "
            f"this engine stores {limits.object_bytes} an object"
        )
        raise InvalidRequestError(message)
    return fields


def _identity(
    fields: Fields, uuid: str, field: str, value: Json, where: str, limits: Limits
) -> None:
    if field == "uuid":
        if canonical_id(value) != uuid:
            message = f"{where} is {value}, and the object's id is {uuid}"
            raise InvalidRequestError(message)
    elif field == "fq_name":
        fields.key = fq_key(value, limits.fq_name_bytes)
    elif field == "parent_type":
        fields.parent_type = None if value is None else checked_text(value, where)
    else:
        fields.parent_uuid = None if value is None else canonical_id(value)


def _encode_properties(fields: Fields, obj_type: str, uuid: str, limits: Limits) -> None:
    values = {field: value for field, value in fields.properties.items() if value is not None}
    document = plain_text(values) if limits.value_bytes is None else None
    if document is None:
        for field, value in values.items():
            json_text(value, f"{obj_type} {uuid}: {field}", limits.value_bytes)
        document = encoded(values)
    fields.document = document
    fields.size += len(document)


def _elements(
    fields: Fields, view: TypeView, field: str, value: Json, where: str, limits: Limits
) -> list[tuple[str, str]]:
    mapped = view.object_type.maps.get(field)
    wrapper = view.object_type.lists.get(field) if mapped is None else mapped.wrapper
    elements = _unwrapped(value, wrapper, where)
    texts = json_texts(elements, where, limits.value_bytes)
    fields.size += sum(map(len, texts))
    if mapped is None:
        return [(str(position), text) for position, text in enumerate(texts)]
    keyed: dict[str, str] = {}
    for element, text in zip(elements, texts, strict=True):
        key = element_key(element, mapped.key, where)
        if key in keyed:
            message = f"{where} has the key {key!r} twice"
            raise InvalidRequestError(message)
        keyed[key] = text
    return list(keyed.items())


def _unwrapped(value: Json, wrapper: str | None, where: str) -> list[Json]:
    """Give the elements of a collection in its dict form; None and {} are empty."""
    elements = value
    if wrapper is not None and is_mapping(value):
        if value.keys() - {wrapper}:
            message = f"{where} is {{{wrapper!r}: [...]}}, not with {sorted(value)}"
            raise InvalidRequestError(message)
        elements = value.get(wrapper)
    if elements is None or (wrapper is None and elements == {}):
        return []
    if not is_list(elements) or (wrapper is not None and elements is value):
        form = "a list" if wrapper is None else f"{{{wrapper!r}: [...]}}"
        message = f"{where} is {form}, not {type(value).__name__}"
        raise InvalidRequestError(message)
    return elements


def element_key(value: Json, key_name: str, where: str) -> str:
    """Give the key that a map's element holds."""
    if not is_mapping(value) or key_name not in value:
        message = f"{where}: an element is a dict with its key under {key_name!r}"
        raise InvalidRequestError(message)
    return checked_text(value[key_name], f"{where}: the key {key_name!r}")


def _refs(
    fields: Fields, view: TypeView, target: str, value: Json, where: str, limits: Limits
) -> list[RefTarget]:
    if value is None:
        return []
    if not is_list(value):
        message = f"{where} is a list of refs, not {type(value).__name__}"
        raise InvalidRequestError(message)
    attrs = [_attr(ref, where, at) for at, ref in enumerate(value)]
    texts = json_texts(attrs, f"{where}, attr", limits.value_bytes)
    if not view.object_type.refs[target].attr and any(attr is not None for attr in attrs):
        message = f"{where}: refs to {target} carry no attr"
        raise InvalidRequestError(message)
    refs: dict[str, RefTarget] = {}
    for at, (ref, text) in enumerate(zip(value, texts, strict=True)):
        uuid, to = ref.get("uuid"), ref.get("to")
        uuid = None if uuid is None else canonical_id(uuid)
        key = None if to is None else fq_key(to, limits.fq_name_bytes)
        identity = uuid or key
        if identity is None or identity in refs:
            reason = "neither 'uuid' nor 'to'" if identity is None else f"{identity} again"
            message = f"{where}[{at}] has {reason}"
            raise InvalidRequestError(message)
        refs[identity] = RefTarget(target, uuid, key, text)
        fields.size += len(text)
    return list(refs.values())


def _attr(ref: Json, where: str, at: int) -> Json:
    if not is_mapping(ref) or not ref.keys() <= REF_KEYS:
        message = f"{where}[{at}] is a dict with 'uuid', 'to' or both, and 'attr'"
        raise InvalidRequestError(message)
    return ref.get("attr")
