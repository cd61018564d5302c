"""Forges: the REST interfaces of Git hosts (GitHub, Forgejo and Gitea, GitLab), to make and check a repository."""
