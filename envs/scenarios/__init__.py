"""The scenarios by name. `NAMES` are the five that the name `all` stands for."""

from envs.scenarios import issue_create, issue_labels, issue_read, page_create, ticket_transition
from envs.scenarios.drafting import AtlassianScenario

_FIVE = (
    issue_read.SCENARIO,
    issue_create.SCENARIO,
    page_create.SCENARIO,
    ticket_transition.SCENARIO,
    issue_labels.SCENARIO,
)

NAMES: tuple[str, ...] = tuple(scenario.name for scenario in _FIVE)
SCENARIOS: dict[str, AtlassianScenario] = {s.name: s for s in (*_FIVE, ticket_transition.SATURATED)}
