"""The public API's sentences for a refused field, which its clients show to people: `posts.0.value should not be empty`."""

from shared.core.errors import FieldProblem

# By the problem's code; every other problem has its own sentence.
RULES = {
    "missing": "should not be null or undefined",
    "too_short": "should not be empty",
    "string_type": "must be a string",
    "int_type": "must be an integer number",
    "int_parsing": "must be an integer number",
    "int_from_float": "must be an integer number",
    "float_type": "must be a number conforming to the specified constraints",
    "float_parsing": "must be a number conforming to the specified constraints",
    "list_type": "must be an array",
    "dict_type": "must be an object",
    "model_attributes_type": "must be an object",
    "bool_type": "must be a boolean value",
    "bool_parsing": "must be a boolean value",
    "invalid_time": "must be a valid ISO 8601 date string",
    "uuid_type": "must be a string",
}


def rule_of(problem: FieldProblem) -> str:
    """Return the sentence for a field, beginning with its path."""
    rule = RULES.get(problem.code)
    return f"{problem.path} {rule}" if rule else f"{problem.path}: {problem.message}"
