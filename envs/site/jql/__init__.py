"""The Jira Query Language: parsing and evaluating queries."""
