"""A GitHub, as its documentation says it behaves.  Its answers start from the examples in GitHub's own OpenAPI."""

import copy
import re

from tests.contract.forges.fake import Asked, FakeForge, FakeRepository, FakeToken, Reply

DOCS = "https://docs.github.com/rest"


class FakeGitHub(FakeForge):
    """``examples`` are the document's: "full-repository" and "private-user"."""

    examples: dict[str, dict]

    def interface(self, asked: Asked) -> Reply:
        reply = self._answer(asked)
        token = asked.token
        if token is not None and not token.fine:
            reply.headers["X-OAuth-Scopes"] = ", ".join(sorted(token.scopes))
        if token is not None and token.expires:
            reply.headers["GitHub-Authentication-Token-Expiration"] = token.expires
        return reply

    def _no(self, status: int, message: str, **headers: str) -> Reply:
        return Reply(status, {"message": message, "documentation_url": DOCS, "status": str(status)}, headers)

    def _answer(self, asked: Asked) -> Reply:
        if asked.headers.get("x-github-api-version") != "2022-11-28" or "user-agent" not in asked.headers:
            return self._no(403, "Request forbidden by administrative rules.")
        if "authorization" in asked.headers and asked.token is None:
            return self._no(401, "Bad credentials")
        route = f"{asked.method} {asked.path}"
        if route == "GET /rate_limit":
            core = {"limit": 5000, "remaining": 4987, "reset": 1_900_000_000, "used": 13}
            kinds = ("core", "search", "graphql", "integration_manifest", "source_import", "code_search")
            return Reply(200, {"resources": dict.fromkeys(kinds, core), "rate": core})
        if found := re.fullmatch(r"GET /repos/([^/]+)/([^/]+)", route):
            return self._get(asked.token, *found.groups())
        if asked.token is None:
            return self._no(401, "Requires authentication")
        if route == "GET /user":
            return Reply(200, {**copy.deepcopy(self.examples["private-user"]), "login": asked.token.user})
        if route == "POST /user/repos":
            return self._create(asked, asked.token.user)
        if found := re.fullmatch(r"POST /orgs/([^/]+)/repos", route):
            return self._create(asked, found[1])
        return self._no(404, "Not Found")

    def _sees(self, token: FakeToken | None, repository: FakeRepository) -> bool:
        if repository.visibility == "public":
            return True
        if token is None or not self.may_read(token.user, repository):
            return False
        return "metadata=read" in token.scopes if token.fine else "repo" in token.scopes

    def _get(self, token: FakeToken | None, owner: str, name: str) -> Reply:
        repository = self.find(owner, name)
        if repository is None or not self._sees(token, repository):
            return self._no(404, "Not Found")
        return Reply(200, self._shown(token, repository))

    def _shown(self, token: FakeToken | None, repository: FakeRepository) -> dict:
        shown = copy.deepcopy(self.examples["full-repository"])
        for part in ("parent", "source", "template_repository", "organization"):
            shown.pop(part, None)
        may = self.may_write(token.user if token else None, repository)
        shown |= {
            "has_discussions": False,  # which the document wants, and its own example has not
            "name": repository.name,
            "full_name": f"{repository.owner}/{repository.name}",
            "private": repository.visibility != "public",
            "visibility": repository.visibility,
            "archived": repository.archived,
            "size": 108,
            "default_branch": "main",
            "ssh_url": f"git@github.com:{repository.owner}/{repository.name}.git",
            "permissions": {"admin": may, "push": may, "pull": True},  # the account's, whatever the token may
        }
        shown["owner"]["login"] = repository.owner
        return shown

    def _create(self, asked: Asked, owner: str) -> Reply:
        token, body = asked.token, asked.body
        assert token is not None
        if token.fine and "administration=write" not in token.scopes:
            needed = {"X-Accepted-GitHub-Permissions": "administration=write"}
            return self._no(403, "Resource not accessible by personal access token", **needed)
        if not token.fine and not {"repo", "public_repo"} & token.scopes:
            return self._no(404, "Not Found", **{"X-Accepted-OAuth-Scopes": "public_repo, repo"})
        if owner != token.user:
            if owner not in self.orgs:
                return self._no(404, "Not Found")
            if token.sso:
                page = f"required; url=https://github.com/orgs/{owner}/sso?authorization_request=AB12"
                return self._no(403, "Resource protected by organization SAML enforcement.", **{"X-GitHub-SSO": page})
            if token.user not in self.orgs[owner]:
                return self._no(403, "You need admin access to the organization before adding a repository to it.")
        if body.get("private") and not token.fine and "repo" not in token.scopes:
            return self._failed("private", "Visibility can't be private")
        if not re.fullmatch(r"[A-Za-z0-9._-]{1,100}", body["name"]):
            return self._failed("name", "name is invalid")
        if self.find(owner, body["name"]):
            return self._failed("name", "name already exists on this account")
        visibility = "private" if body.get("private") else "public"
        made = self.add(owner, body["name"], visibility=visibility, empty=not body.get("auto_init"), body=body)
        return Reply(201, self._shown(token, made))

    @staticmethod
    def _failed(name: str, message: str) -> Reply:
        error = {"resource": "Repository", "code": "custom", "field": name, "message": message}
        said = {"message": "Repository creation failed.", "errors": [error], "documentation_url": DOCS}
        return Reply(422, said)

    def git_scope(self, token: FakeToken, service: str) -> bool:
        if not token.fine:
            return "repo" in token.scopes
        return "contents=write" in token.scopes or (service == "git-upload-pack" and "contents=read" in token.scopes)
