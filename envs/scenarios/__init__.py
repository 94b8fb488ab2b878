"""The scenarios by name: the one list to which a new scenario is added."""

from envs.scenarios import issue_create, issue_labels, issue_read, page_create, ticket_transition
from envs.scenarios.drafting import AtlassianScenario

ALL: tuple[AtlassianScenario, ...] = (
    issue_read.SCENARIO,
    issue_create.SCENARIO,
    page_create.SCENARIO,
    ticket_transition.SCENARIO,
    issue_labels.SCENARIO,
)
"""The scenarios that the name `all` stands for. Add a new one here."""

NAMES: tuple[str, ...] = tuple(scenario.name for scenario in ALL)
SCENARIOS: dict[str, AtlassianScenario] = {s.name: s for s in (*ALL, ticket_transition.SATURATED)}
