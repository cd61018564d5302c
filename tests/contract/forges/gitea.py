"""A Forgejo or Gitea, as documentation and source say it behaves; ``style`` is which of the two."""

import re

from tests.contract.forges.fake import Asked, FakeForge, FakeRepository, FakeToken, Reply


class FakeGitea(FakeForge):
    """Scopes are checked before anything else, as both do; all that a route wants must be there."""

    api = "/api/v1"
    schemes = ("token", "Bearer")
    style = "forgejo"
    quota: int | None = None  # bytes, of all private repositories
    stored = 5_000_000

    def _no(self, status: int, message: str) -> Reply:
        return Reply(status, {"message": message, "url": f"{self.url}/api/swagger"})

    def interface(self, asked: Asked) -> Reply:
        token = asked.token
        if "authorization" in asked.headers and token is None:
            return self._no(401, "user does not exist [uid: 0, name: ]")
        path = asked.path.removeprefix(self.api)
        route = f"{asked.method} {path}"
        if route == "GET /version":
            return Reply(200, {"version": "15.0.3+gitea-1.22.0" if self.style == "forgejo" else "1.27.3"})
        wanted = ()
        if path.startswith("/user"):
            wanted = ("user", "repository") if path == "/user/repos" else ("user",)
        elif path.startswith("/orgs"):
            wanted = ("organization",)
        elif path.startswith("/repos"):
            wanted = ("repository",)
        for category in wanted:
            if token is None:
                break
            scope = f"{'read' if asked.method == 'GET' else 'write'}:{category}"
            if not {scope, f"write:{category}", "all"} & token.scopes:
                return self._no(403, f"token does not have at least one of required scope(s): [{scope}]")
        if found := re.fullmatch(r"GET /repos/([^/]+)/([^/]+)", route):
            return self._get(token, *found.groups())
        if token is None:
            return self._no(401, "token is required")
        if route == "GET /token" and self.style == "gitea":
            scopes = sorted(token.scopes)
            return Reply(200, {"id": 3, "name": "vexrepo", "scopes": scopes, "user": {"id": 1, "login": token.user}})
        if route == "GET /user":
            return Reply(200, {"id": 1, "login": token.user, "full_name": "", "is_admin": False})
        if route == "GET /user/quota" and self.quota is not None:
            rules = [{"limit": self.quota, "subjects": ["size:all"]}, {"limit": -1, "subjects": ["size:repos:all"]}]
            used = {"size": {"repos": {"public": 0, "private": self.stored}, "git": {"LFS": 0}}}
            return Reply(200, {"groups": [{"name": "default", "rules": rules}], "used": used})
        if route == "POST /user/repos":
            return self._create(asked, token.user)
        if found := re.fullmatch(r"POST /orgs/([^/]+)/repos", route):
            if found[1] not in self.orgs:
                return self._no(404, f"organization does not exist [org_id: 0, name: {found[1]}]")
            if token.user not in self.orgs[found[1]]:
                said = f"Given user is not allowed to create repository in organization {found[1]}."
                return self._no(403, said)
            return self._create(asked, found[1])
        return self._no(404, "The target couldn't be found.")

    def _get(self, token: FakeToken | None, owner: str, name: str) -> Reply:
        repository = self.find(owner, name)
        user = token.user if token else None
        if repository is None or not self.may_read(user, repository):
            return self._no(404, "The target couldn't be found.")
        if token is not None and "public-only" in token.scopes and repository.visibility != "public":
            return self._no(403, "token scope is limited to public repos")
        return Reply(200, self._shown(user, repository))

    def _shown(self, user: str | None, repository: FakeRepository) -> dict:
        may = self.may_write(user, repository)
        return {
            "id": repository.id,
            "owner": {"id": 1, "login": repository.owner},
            "name": repository.name,
            "full_name": f"{repository.owner}/{repository.name}",
            "description": repository.body.get("description", ""),
            "empty": repository.empty,
            "private": repository.visibility == "private",
            "internal": repository.visibility == "internal",
            "size": 21,
            "default_branch": "main",
            "archived": repository.archived,
            "clone_url": f"http://localhost:3000/{repository.owner}/{repository.name}.git",  # a ROOT_URL left as it was
            "ssh_url": f"ssh://git@127.0.0.1:2222/{repository.owner}/{repository.name}.git",
            "permissions": {"admin": may, "push": may, "pull": True},
        }

    def _create(self, asked: Asked, owner: str) -> Reply:
        body = asked.body
        if self.quota is not None and self.stored > self.quota:
            return self._no(413, "quota exceeded")
        if self.find(owner, body["name"]):
            return self._no(409, "The repository with the same name already exists.")
        if not re.fullmatch(r"[A-Za-z0-9._-]{1,100}", body["name"]) or body["name"] in (".", "..", "-"):
            return self._no(422, "[Name]: AlphaDashDot")
        visibility = "private" if body.get("private") else "public"
        made = self.add(owner, body["name"], visibility=visibility, empty=not body.get("auto_init"), body=body)
        return Reply(201, self._shown(asked.token.user, made))

    def git_scope(self, token: FakeToken, service: str) -> bool:
        scopes = {"write:repository", "all"} | ({"read:repository"} if service == "git-upload-pack" else set())
        return bool(scopes & token.scopes)
