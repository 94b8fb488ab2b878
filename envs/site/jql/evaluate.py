"""Evaluating a JQL query on a site: each clause becomes a predicate on issues.

Some of Jira's rules are surprising:

- `!=`, `NOT IN` and `!~` leave out issues whose field is empty.
- NOT moves inwards and inverts the operators, so `NOT assignee = x` leaves out unassigned issues too.
- Text fields take only `~` and `!~`.
- A name that no project, status, type, priority, user or issue has is an error, not an empty result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from envs.site.jql.fields import FIELDS, SearchField, Values
from envs.site.jql.orders import ORDERS, key_order
from envs.site.jql.syntax import And, Clause, JqlError, Node, Not, Operand, Query
from envs.site.jql.text_search import TextQuery
from envs.site.records import Issue, State

Predicate = Callable[[Issue], bool]
_INVERSE = {
    **{"=": "!=", "!=": "=", "<": ">=", ">": "<=", "<=": ">", ">=": "<", "~": "!~", "!~": "~"},
    **{"IN": "NOT IN", "NOT IN": "IN", "IS": "IS NOT", "IS NOT": "IS"},
}


def search(state: State, query: Query) -> list[Issue]:
    """The issues that match, in the query's order; by project and number if it has none. Raises JqlError."""
    compiler = _Compiler(state)
    matches = compiler.node(query.where, False) if query.where is not None else lambda issue: True
    unsortable = [name for name, _ in query.order if name.lower() not in ORDERS]
    compiler.problems += [f"Not able to sort using field '{name}'." for name in unsortable]
    if compiler.problems:
        raise JqlError(*dict.fromkeys(compiler.problems))
    issues = sorted(filter(matches, state.issues.values()), key=lambda issue: key_order(issue.key))
    # Sorting is stable, so sort by the least significant field first.
    for name, descending in reversed(query.order):
        issues.sort(key=ORDERS[name.lower()](state), reverse=descending)
    return issues


class _Compiler:
    """Turns a syntax tree into a predicate. Collects all problems of a query, so that Jira can report them together."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.problems: list[str] = []

    def node(self, node: Node, negated: bool) -> Predicate:
        if isinstance(node, Not):
            return self.node(node.item, not negated)
        if isinstance(node, Clause):
            return self.clause(node, negated)
        parts = [self.node(item, negated) for item in node.items]
        # De Morgan: a negated AND is an OR of negations.
        if isinstance(node, And) != negated:
            return lambda issue: all(part(issue) for part in parts)
        return lambda issue: any(part(issue) for part in parts)

    def clause(self, clause: Clause, negated: bool) -> Predicate:
        field = FIELDS.get(clause.field.lower())
        if field is None:
            self.problems.append(f"Field '{clause.field}' does not exist or you do not have permission to view it.")
        elif clause.operator not in field.operators:
            operator = clause.operator.lower()
            self.problems.append(f"The operator '{operator}' is not supported by the '{clause.field}' field.")
        elif clause.is_list and clause.operator not in ("IN", "NOT IN"):
            self.problems.append(
                f"Operator '{clause.operator.lower()}' does not support the list value for field '{clause.field}'."
            )
        else:
            return self.valid_clause(field, clause, _INVERSE[clause.operator] if negated else clause.operator)
        return lambda issue: False

    def valid_clause(self, field: SearchField, clause: Clause, operator: str) -> Predicate:
        values = field.values(self.state)
        if operator in ("IS", "IS NOT"):
            if not field.is_empty(clause.operands[0]):
                self.problems.append(f"The operator '{operator.lower()}' only supports EMPTY and NULL.")
            return (lambda issue: not values(issue)) if operator == "IS" else (lambda issue: bool(values(issue)))
        if operator in ("~", "!~"):
            return self.text(values, clause, operator)
        if operator in ("=", "!=", "IN", "NOT IN"):
            return self.equality(field, values, clause, operator)
        return self.comparison(field, values, clause, operator)

    def text(self, values: Values, clause: Clause, operator: str) -> Predicate:
        operand = clause.operands[0]
        query = TextQuery.parse(operand.text) if operand.kind == "value" else None
        if query is None:
            self.problems.append(f"The field '{clause.field}' does not support searching for an empty string.")
            return lambda issue: False
        if operator == "~":
            return lambda issue: any(map(query.matches, values(issue)))

        def lacks(issue: Issue) -> bool:
            texts = values(issue)
            return bool(texts) and not any(map(query.matches, texts))

        return lacks

    def equality(self, field: SearchField, values: Values, clause: Clause, operator: str) -> Predicate:
        empty = any(map(field.is_empty, clause.operands))
        targets: set[object] = set()
        for operand in clause.operands:
            if not field.is_empty(operand):
                targets.update(self.resolve(field, clause, operand))
        if operator in ("=", "IN"):

            def among(issue: Issue) -> bool:
                issue_values = values(issue)
                return any(value in targets for value in issue_values) if issue_values else empty

            return among

        def not_among(issue: Issue) -> bool:
            issue_values = values(issue)
            return bool(issue_values) and not any(value in targets for value in issue_values)

        return not_among

    def comparison(self, field: SearchField, values: Values, clause: Clause, operator: str) -> Predicate:
        operand = clause.operands[0]
        limits = self.resolve(field, clause, operand) if operand.kind != "empty" else ()
        if operand.kind == "empty":
            self.problems.append(f"The operator '{operator}' does not support EMPTY for the field '{clause.field}'.")
        if not limits:
            return lambda issue: False
        compare = field.compare(self.state)
        test = _COMPARISONS[operator]
        limit = next(iter(limits))

        def holds(issue: Issue) -> bool:
            for value in values(issue):
                difference = compare(value, limit)
                if difference is not None and test(difference):
                    return True
            return False

        return holds

    def resolve(self, field: SearchField, clause: Clause, operand: Operand) -> Sequence[object]:
        """The values that an operand refers to. If there are none, notes the problem and returns an empty sequence."""
        try:
            return field.resolve(self.state, clause.field, operand)
        except JqlError as error:
            self.problems += error.messages
            return ()


_COMPARISONS: dict[str, Callable[[int], bool]] = {
    "<": lambda difference: difference < 0,
    ">": lambda difference: difference > 0,
    "<=": lambda difference: difference <= 0,
    ">=": lambda difference: difference >= 0,
}
