"""A GitLab, as documentation and source say it behaves."""

import re
from urllib.parse import unquote

from tests.contract.forges.fake import Asked, FakeForge, FakeRepository, FakeToken, Reply

LEVELS = {"reader": 20, "developer": 30, "maintainer": 40, "owner": 50}
TAKEN = "has already been taken"


class FakeGitLab(FakeForge):
    """Groups are ``orgs``; their names may have slashes."""

    api = "/api/v4"
    schemes = ("Bearer",)

    def interface(self, asked: Asked) -> Reply:
        token = asked.token
        path = asked.path.removeprefix(self.api)
        route = f"{asked.method} {path}"
        if "authorization" in asked.headers and token is None:
            said = "Token is expired. You can either do re-authorization or token refresh."
            return Reply(401, {"error": "invalid_token", "error_description": said})
        if route == "GET /personal_access_tokens/self" and token is not None and not token.fine:  # any scope will do
            return Reply(200, {
                "id": 4, "name": "vexrepo", "revoked": False, "scopes": sorted(token.scopes), "user_id": 3,
                "active": True, "expires_at": token.expires,
            })  # fmt: skip
        if token is not None:
            needed = {"api", "read_api"} if asked.method == "GET" else {"api"}
            if route == "GET /user":
                needed |= {"read_user"}
            if not needed & token.scopes:
                return Reply(403, {
                    "error": "insufficient_scope",
                    "error_description": "The request requires higher privileges than provided by the access token.",
                    "scope": " ".join(sorted(needed)),
                })  # fmt: skip
        if found := re.fullmatch(r"GET /projects/([^/]+)", route):
            return self._get(token, unquote(found[1]))
        if token is None:
            return Reply(401, {"message": "401 Unauthorized"})
        if route == "GET /personal_access_tokens/self":
            return Reply(
                400, {"message": "400 Bad request - This endpoint requires token type to be a personal access token"}
            )
        if route == "GET /user":
            limits = {"RateLimit-Limit": "2000", "RateLimit-Remaining": "1999", "RateLimit-Reset": "1900000000"}
            return Reply(200, {"id": 3, "username": token.user, "name": "A", "state": "active"}, limits)
        if found := re.fullmatch(r"GET /namespaces/([^/]+)", route):
            name = unquote(found[1])
            if name not in self.orgs and name != token.user:
                return Reply(404, {"message": "404 Namespace Not Found"})
            number = 10 + sorted(self.orgs).index(name) if name in self.orgs else 3
            return Reply(200, {"id": number, "name": name, "path": name, "kind": "group", "full_path": name})
        if route == "POST /projects":
            return self._create(asked, token)
        return Reply(404, {"error": "404 Not Found"})

    def _get(self, token: FakeToken | None, path: str) -> Reply:
        repository = self.find(*path.rsplit("/", 1)) if "/" in path else None
        user = token.user if token else None
        if repository is None or not self.may_read(user, repository):
            return Reply(404, {"message": "404 Project Not Found"})
        return Reply(200, self._shown(user, repository))

    def _level(self, user: str | None, repository: FakeRepository) -> int:
        if user == repository.owner:
            return LEVELS["owner"]
        if user in repository.writers or user in self.orgs.get(repository.owner, ()):
            return LEVELS["developer"]
        return LEVELS["reader"] if user in repository.readers else 0

    def _shown(self, user: str | None, repository: FakeRepository) -> dict:
        level = self._level(user, repository)
        in_group = repository.owner in self.orgs
        access = {"access_level": level, "notification_level": 3} if level else None
        path = f"{repository.owner}/{repository.name}"
        return {
            "id": repository.id,
            "name": repository.name,
            "path": repository.name,
            "path_with_namespace": path,
            "visibility": repository.visibility,
            "archived": repository.archived,
            "empty_repo": repository.empty,
            "default_branch": "main",
            "http_url_to_repo": f"{self.url}/{path}.git",
            "ssh_url_to_repo": f"git@127.0.0.1:{path}.git",
            "permissions": {
                "project_access": None if in_group else access,
                "group_access": access if in_group else None,
            },
            "statistics": {"repository_size": 1038090, "storage_size": 1038090},
        }

    def _create(self, asked: Asked, token: FakeToken) -> Reply:
        body = asked.body
        if not body.get("name") and not body.get("path"):
            return Reply(400, {"error": "name, path are missing, at least one parameter must be provided"})
        owner = token.user
        if "namespace_id" in body:
            owner = sorted(self.orgs)[body["namespace_id"] - 10]
            if token.user not in self.orgs[owner]:
                return Reply(400, {"message": {"namespace": ["is not valid"]}})
        name = body.get("path") or body["name"]
        if not re.fullmatch(r"[A-Za-z0-9_.][A-Za-z0-9_.-]*", name) or name.endswith((".git", ".")):
            return Reply(
                400, {"message": {"path": ["can only include non-accented letters, digits, '_', '-' and '.'."]}}
            )
        if self.find(owner, name):
            return Reply(400, {"message": {"name": [TAKEN], "path": [TAKEN], "project_namespace.name": [TAKEN]}})
        visibility = body.get("visibility", "private")
        empty = not body.get("initialize_with_readme")
        made = self.add(owner, name, visibility=visibility, empty=empty, body=body)
        return Reply(201, self._shown(token.user, made))

    def git_scope(self, token: FakeToken, service: str) -> bool:
        scopes = {"api", "write_repository"} | ({"read_repository"} if service == "git-upload-pack" else set())
        return bool(scopes & token.scopes)

    def git_refusal(self, token: FakeToken) -> Reply:
        said = (
            b"HTTP Basic: Access denied. If a password was provided for Git authentication, the password was incorrect."
        )
        return Reply(
            401, said, {"Content-Type": "text/plain; charset=utf-8", "WWW-Authenticate": 'Basic realm="GitLab"'}
        )
