"""A synthetic Atlassian site: Jira and Confluence behind one door, `envs.site.site.Site.request`."""
