"""Evaluates the functions of a CloudFormation template (`!Ref`, `!Sub`, `!If` and others).

Only values that are read are resolved, so the others may use resources that exist only in AWS.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]


class TemplateRefused(Exception):
    """The template uses something the local runtime does not know; the message names it."""


class _NoValue:
    """The value of `AWS::NoValue`: a property with it counts as absent."""


NO_VALUE = _NoValue()
_SUBSTITUTION = re.compile(r"\$\{(!?)([^}]+)\}")


@dataclass(frozen=True, slots=True)
class Reference:
    """The value of a resource's `Ref`, and of `GetAtt` by attribute."""

    ref: str
    attributes: Mapping[str, str] = field(default_factory=dict)


# The C loader takes a tenth of the time; not every build of PyYAML has it.
_SafeLoader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_SafeLoader):  # type: ignore[misc]  # the base is chosen at run time
    """YAML with CloudFormation's short tags."""


def _short_tag(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    elif isinstance(node, yaml.MappingNode):
        value = loader.construct_mapping(node, deep=True)
    else:
        raise TemplateRefused(f"!{suffix} holds neither a scalar, a list nor a mapping")
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _short_tag)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a template and expand its short tags.

    Raises:
        TemplateRefused: it is not YAML, or not a mapping.
    """
    try:
        loaded = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 (a SafeLoader)
    except yaml.YAMLError as error:
        raise TemplateRefused(f"{path.name} is not readable: {error}") from error
    if not isinstance(loaded, dict):
        raise TemplateRefused(f"{path.name} is not a mapping")
    return loaded


class Resolver:
    """Evaluates a template's expressions; `refer` returns a resource's local name."""

    def __init__(
        self,
        template: Mapping[str, Any],
        *,
        parameters: Mapping[str, str],
        pseudo: Mapping[str, str],
        exports: Mapping[str, str],
        refer: Callable[[str], Reference | None],
    ) -> None:
        self._declared = template.get("Parameters", {})
        self._conditions = template.get("Conditions", {})
        self._mappings = template.get("Mappings", {})
        self._parameters = parameters
        self._pseudo = pseudo
        self._exports = exports
        self._refer = refer
        self._functions: dict[str, Callable[[Any, str], Any]] = {
            "Ref": self._ref,
            "Condition": lambda value, where: self.holds(str(value), where),
            "Fn::GetAtt": self._get_att,
            "Fn::Sub": self._sub,
            "Fn::If": self._if,
            "Fn::Join": self._join,
            "Fn::Select": self._select,
            "Fn::Split": self._split,
            "Fn::FindInMap": self._find_in_map,
            "Fn::ImportValue": self._import_value,
            "Fn::Equals": self._equals,
            "Fn::Not": lambda value, where: not self._truth(value[0], where),
            "Fn::And": lambda value, where: all(self._truth(one, where) for one in value),
            "Fn::Or": lambda value, where: any(self._truth(one, where) for one in value),
        }

    def resolve(self, node: Any, where: str) -> Any:
        """Return `node` with every function replaced by its value.

        Raises:
            TemplateRefused: a function, parameter, resource or attribute is not known here; `where` is in the message.
        """
        if isinstance(node, list):
            values = [self.resolve(one, f"{where}[{index}]") for index, one in enumerate(node)]
            return [value for value in values if value is not NO_VALUE]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            (name, argument), *_ = node.items()
            if name in self._functions:
                return self._functions[name](argument, where)
            if isinstance(name, str) and name.startswith("Fn::"):
                raise TemplateRefused(f"{where}: {name} is not supported by the local runtime")
        resolved = {key: self.resolve(value, f"{where}.{key}") for key, value in node.items()}
        return {key: value for key, value in resolved.items() if value is not NO_VALUE}

    def holds(self, condition: str, where: str) -> bool:
        """Return whether a named condition of the template is true."""
        if condition not in self._conditions:
            raise TemplateRefused(f"{where}: there is no condition {condition}")
        return self._truth(self._conditions[condition], f"Conditions.{condition}")

    def _truth(self, node: Any, where: str) -> bool:
        value = self.resolve(node, where)
        if not isinstance(value, bool):
            raise TemplateRefused(f"{where}: a condition gave {value!r} instead of true or false")
        return value

    def _ref(self, name: Any, where: str) -> Any:
        if name == "AWS::NoValue":
            return NO_VALUE
        if name in self._pseudo:
            return self._pseudo[name]
        if name in self._declared:
            return self._parameter(name, where)
        return self._reference(name, where).ref

    def _parameter(self, name: str, where: str) -> Any:
        declared = self._declared[name]
        value = self._parameters.get(name, declared.get("Default"))
        if value is None:
            raise TemplateRefused(
                f"{where}: parameter {name} has neither a default nor a local value"
            )
        if declared.get("Type", "String") in ("CommaDelimitedList", "List<String>"):
            return [part.strip() for part in str(value).split(",") if part.strip()]
        return str(value)

    def _reference(self, name: Any, where: str) -> Reference:
        reference = self._refer(str(name))
        if reference is None:
            raise TemplateRefused(
                f"{where}: {name} exists only in AWS; set a local value for what uses it"
            )
        return reference

    def _get_att(self, argument: Any, where: str) -> str:
        parts = argument.split(".", 1) if isinstance(argument, str) else argument
        name, attribute = str(parts[0]), ".".join(str(part) for part in parts[1:])
        reference = self._reference(name, where)
        if attribute not in reference.attributes:
            raise TemplateRefused(f"{where}: the local {name} has no attribute {attribute}")
        return reference.attributes[attribute]

    def _sub(self, argument: Any, where: str) -> str:
        text, extra = (argument, {}) if isinstance(argument, str) else (argument[0], argument[1])

        def replace(match: re.Match[str]) -> str:
            literal, name = match.groups()
            if literal:
                return "${" + name + "}"
            if name in extra:
                return str(self.resolve(extra[name], where))
            is_attribute = (
                "." in name
                and name not in self._declared
                and not name.endswith((".Alias", ".Version"))
            )
            return str(self._get_att(name, where) if is_attribute else self._ref(name, where))

        return _SUBSTITUTION.sub(replace, text)

    def _if(self, argument: Any, where: str) -> Any:
        condition, then, otherwise = argument
        return self.resolve(then if self.holds(condition, where) else otherwise, where)

    def _join(self, argument: Any, where: str) -> str:
        return str(argument[0]).join(str(part) for part in self.resolve(argument[1], where))

    def _select(self, argument: Any, where: str) -> Any:
        values = self.resolve(argument[1], where)
        return values[int(self.resolve(argument[0], where))]

    def _split(self, argument: Any, where: str) -> list[str]:
        return str(self.resolve(argument[1], where)).split(str(argument[0]))

    def _find_in_map(self, argument: Any, where: str) -> Any:
        first, second, third = (self.resolve(part, where) for part in argument[:3])
        try:
            return self._mappings[first][second][third]
        except KeyError as missing:
            raise TemplateRefused(
                f"{where}: Mappings.{first}.{second}.{third} has no {missing}"
            ) from missing

    def _import_value(self, argument: Any, where: str) -> str:
        name = str(self.resolve(argument, where))
        if name not in self._exports:
            raise TemplateRefused(f"{where}: another stack's export {name} has no local value")
        return self._exports[name]

    def _equals(self, argument: Any, where: str) -> bool:
        first, second = (self.resolve(part, where) for part in argument)
        return bool(str(first) == str(second))
